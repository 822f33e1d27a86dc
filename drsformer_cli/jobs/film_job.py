"""One film in work: taken up where an earlier run stopped, and put together when all of it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drsformer_cli.errors import UnreadableError
from drsformer_cli.jobs.film import Terms
from drsformer_cli.jobs.film_events import FilmAssembling, FilmDone, FilmStarted
from drsformer_cli.jobs.film_finish import Sums, assemble, changed, deliver
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.film_record import SegmentRecord, identity_of
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.record import plain
from drsformer_cli.media.video_frames import Ending


class FilmJob:
    """What is done with one film, whoever restores its pictures. A context manager: it holds the work folder.

    Args:
        plan: what is done with it.
        terms: what decides the bytes besides.
        replace: whether a result in its place may be replaced.
        anew: whether work that was begun otherwise is thrown away.
    """

    def __init__(self, plan: FilmPlan, terms: Terms, *, replace: bool, anew: bool) -> None:
        self.plan, self.work = plan, Work(plan.task.path)
        self.notes: list[str] = []
        self.replace = replace
        self._terms, self._anew = terms, anew
        self._words: tuple[str, ...] = ()
        self._input: dict[str, Any] = {}
        self._seen: tuple[int, int] | None = None
        self.limit: int | None = None  # the memory in bytes that its plan rests on, once it is begun
        self._begun, self._clock = 0, time.perf_counter()

    def __enter__(self) -> FilmJob:
        self.work.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.work.__exit__(*error)

    def begin(self) -> FilmStarted:
        """Take up what an earlier run has finished. Raises OutputError and StorageError."""
        head = self._head(self.work.earlier_head())
        lost = self.work.begin(head, anew=self._anew)
        words = [*self.plan.notes, *self._words]
        if lost:
            words.append("what an earlier run had begun does not go with this one, and is done again")
        self._input, self._seen = head["input"], None
        self.limit = head["plan"].get("limit")
        self._begun, self._clock = self.work.done, time.perf_counter()
        return FilmStarted(self.plan, self._begun, tuple(words))

    def _head(self, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Return the head of the work; the model keeps to an earlier run's ways where that decides bytes."""
        plan, terms = self.plan, self._terms
        source = identity_of(plan.film.path, earlier.get("input"))
        head = plan.head(source, terms.settings, terms.describe(*plan.film.upright))
        ways = earlier.get("plan")
        if ways and earlier.get("settings") == head["settings"] and ways != head["plan"]:
            terms.go_on_as(ways)
            head = plan.head(source, terms.settings, terms.describe(*plan.film.upright))
        return head

    def start_over(self) -> None:
        """Throw all segments away: the film does not show their pictures.

        Raises UnreadableError the second time, and where that is no wonder, since the film was changed: what
        is done goes with what it was.
        """
        self.check_source()
        if self._words:
            raise UnreadableError(
                f"{self.plan.film.path} does not show the same pictures whenever it is read."
            )
        whose = "an earlier run restored" if self._begun else "were restored"
        self._words = (
            f"the film does not show again the {self.work.count} pictures that {whose}: they are done again",
        )
        self.work.wipe()

    def check_source(self) -> None:
        """Raise UnreadableError if the film is no longer the one begun with, OSError if it is gone."""
        path = self.plan.film.path
        status = path.stat()
        now = status.st_size, status.st_mtime_ns
        if now == self._seen:
            return
        if identity_of(path, self._input)["sha256"] != self._input["sha256"]:
            raise changed(path)
        self._seen = now

    # ---- what is done, seen by whoever makes segments

    @property
    def count(self) -> int:
        """How many pictures stand finished before what comes next."""
        return self.work.count

    def next_file(self) -> str:
        """Return the name of the segment that comes next."""
        return self.work.next_file()

    def add(self, record: SegmentRecord, data: bytes) -> None:
        """Keep the segment that comes next. Raises StorageError, OutputError, and as `check_source` does."""
        self.check_source()
        self.work.add(record, data)

    def take(self, record: SegmentRecord, staged: Path) -> None:
        """Keep a segment that a worker has written. Raises what `add` does."""
        self.check_source()
        self.work.take(record, staged)

    def close(self, ending: Ending) -> None:
        """Keep how the film ends. Raises ChangedError if other pictures are there, and as `check_source`."""
        self.check_source()
        self.work.close(ending)

    @property
    def fresh(self) -> int:
        """How many pictures were restored in this run."""
        return self.work.done - self._begun

    @property
    def settings(self) -> dict[str, Any]:
        """Return all that decides the bytes of the result besides the input."""
        return plain(self.plan.settings(self._terms.settings))

    def finish(self) -> Iterator[FilmAssembling | FilmDone]:
        """Put the film together and into its place. Raises StorageError, OutputError and UnreadableError."""
        plan, work = self.plan, self.work
        assert work.end is not None
        yield FilmAssembling(plan)
        finished, unlike = assemble(plan, work)
        sums = Sums.of(work.segments, work.end.lost)
        unlike += work.end.notes(sums.pictures, sums.lost, plan.frames)
        ways: list[dict[str, Any]] = []
        for segment in work.segments:
            ways += [way for way in segment.plans if way not in ways]
        record = deliver(
            plan,
            finished,
            settings=self.settings,
            how=ways,
            seconds=sums.seconds,
            notes=[*plan.notes, *self.notes, *sums.notes(), *unlike],
            replace=self.replace,
            content=self._input["sha256"],
        )
        fresh = self.fresh
        work.remove()
        yield FilmDone(plan, record, sums, fresh, time.perf_counter() - self._clock)
