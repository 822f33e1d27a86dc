"""One film after the other: what is done already, what is to do, and what came of it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import OutputError, SetupError, UsageError
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film import FilmLoop, FilmModel, Progress, SegmentDone
from drsformer_cli.jobs.film_finish import Sums, assemble, deliver
from drsformer_cli.jobs.film_plan import FilmPlan, Wish, plan_film
from drsformer_cli.jobs.film_work import Work, differences, identity_of, sweep_work, without_memory
from drsformer_cli.jobs.manifest import Manifest, Record, plain
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.resume import Decision, decide, file_ids
from drsformer_cli.media.files import write_atomically
from drsformer_cli.media.video_frames import ChangedError


@dataclass(frozen=True)
class FilmStarted:
    """A film begins; `earlier` of its pictures were restored by an earlier run. `words` tell what to know."""

    plan: FilmPlan
    earlier: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class FilmAssembling:
    """All pictures are restored; the film is put together."""

    plan: FilmPlan


@dataclass(frozen=True)
class FilmDone:
    """A film stands complete at its place.

    `fresh` pictures were restored in this run, `seconds` is what they took from decoding to encoding.
    """

    plan: FilmPlan
    record: Record
    sums: Sums
    fresh: int
    seconds: float


FilmEvent = FilmStarted | Progress | SegmentDone | FilmAssembling | FilmDone | Skipped | Failed


class FilmBatch:
    """Restores films in turn; iterating over it runs it. A film that fails is an event, and the rest go on.

    Raises SetupError, and KeyboardInterrupt, which leave finished segments behind for the next run.
    """

    def __init__(
        self, tasks: Sequence[Task], model: FilmModel, wish: Wish, *, overwrite: bool = False
    ) -> None:
        self._tasks, self._model, self._wish, self._overwrite = tasks, model, wish, overwrite
        self._inputs = file_ids(tasks)

    def __iter__(self) -> Iterator[FilmEvent]:
        """Run."""
        for task in self._tasks:
            try:
                yield from self._film(task)
            except (SetupError, KeyboardInterrupt, GeneratorExit):
                raise
            except Exception as error:  # this film's misfortune must not stop the others
                if self.alone(error):
                    raise
                yield Failed.because(task, error)

    def alone(self, error: Exception) -> bool:
        """Tell whether an error is wrong usage for the one film that was named, and so ends the run."""
        return isinstance(error, UsageError) and len(self._tasks) == 1 and self._tasks[0].source.named

    def look(self, task: Task) -> tuple[FilmPlan, Decision]:
        """Return what would be done with a film, and whether. Raises what keeps it from being done."""
        plan = plan_film(task, self._wish)
        settings = plain(plan.settings(self._model.settings))
        manifest = Manifest.load(task.folder)
        record = manifest.record(task.output.as_posix())
        if record is not None and _done_whole(record):
            settings = without_memory(settings)
        decision = decide(task, manifest, settings, overwrite=self._overwrite, inputs=self._inputs)
        if decision.skip is None:
            if record is not None and not self._overwrite and task.path.exists():
                _refuse_other_settings(task, record, settings)
            _refuse_locked_folder(task)
        return plan, decision

    def _film(self, task: Task) -> Iterator[FilmEvent]:
        plan, decision = self.look(task)
        if decision.skip is not None:
            sweep_work(task.path, plain(plan.settings(self._model.settings)))
            yield Skipped(task, decision.skip)
            return
        with Work(task.path) as work:
            if plan.as_picture:
                yield from self._animation(plan, work, decision.replace)
                return
            words: tuple[str, ...] = ()
            for attempt in (1, 2):
                try:
                    yield from self._restore(plan, work, decision.replace, words)
                    return
                except ChangedError:
                    if attempt == 2:
                        raise
                    words = (
                        f"the film does not show again the {work.count} pictures that an earlier run "
                        "restored: they are done again",
                    )
                    work.wipe()

    def _head(self, plan: FilmPlan, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Return the head of the work; the model keeps to an earlier run's ways where that decides bytes."""
        model = self._model
        source = identity_of(plan.film.path, earlier.get("input"))
        head = plan.head(source, model.settings, model.describe(*plan.film.upright))
        if earlier.get("settings") == head["settings"] and earlier.get("plan") != head["plan"]:
            model.go_on_as(earlier.get("plan", {}))
            head = plan.head(source, model.settings, model.describe(*plan.film.upright))
        return head

    def _restore(
        self, plan: FilmPlan, work: Work, replace: bool, further: tuple[str, ...]
    ) -> Iterator[FilmEvent]:
        model = self._model
        head = self._head(plan, work.earlier_head())
        lost = work.begin(head, anew=self._overwrite)
        words = [*plan.notes, *further]
        if lost:
            words.append("what an earlier run had begun does not go with this one, and is done again")
        begun, clock = work.count, time.perf_counter()
        yield FilmStarted(plan, begun, tuple(words))
        with FilmLoop(plan, model, work) as loop:
            yield from loop
        yield FilmAssembling(plan)
        finished, unlike = assemble(plan, work)
        sums = Sums.of(work.segments, loop.ending.lost)
        unlike += loop.ending.notes(sums.pictures, sums.lost, plan.frames)
        ways: list[dict[str, Any]] = []
        for segment in work.segments:
            ways += [way for way in segment.plans if way not in ways]
        record = deliver(
            plan,
            finished,
            settings=plain(plan.settings(model.settings)),
            how=ways,
            seconds=sums.seconds,
            notes=[*plan.notes, *sums.notes(), *unlike],
            replace=replace,
            content=head["input"]["sha256"],
        )
        fresh = work.count - begun
        work.remove()
        yield FilmDone(plan, record, sums, fresh, time.perf_counter() - clock)

    def _animation(self, plan: FilmPlan, work: Work, replace: bool) -> Iterator[FilmEvent]:
        """Restore a GIF at once, as the picture file it is: delays, loop and transparency are its own."""
        from drsformer_cli.media.images import decode, encode

        clock = time.perf_counter()
        yield FilmStarted(plan, 0, ())
        data = plan.film.path.read_bytes()
        content = hashlib.sha256(data).hexdigest()
        picture = decode(data, plan.task.name)
        clean: list[NDArray[Any]] = []
        ways: list[dict[str, Any]] = []
        repeated, before = 0, None
        for frame in picture.frames:
            if before is not None and np.array_equal(before, frame):
                clean.append(clean[-1])
                repeated += 1
            else:
                restored, way = self._model.restore(frame)
                clean.append(restored)
                ways += [way] if way not in ways else []
            before = frame
            yield Progress(len(clean), len(clean))
        yield FilmAssembling(plan)
        finished = work.folder / "film.gif"
        write_atomically(finished, encode(picture, clean), replace=True)
        seconds = time.perf_counter() - clock
        settings = plain(plan.settings(self._model.settings))
        record = deliver(
            plan,
            finished,
            settings=settings,
            how=ways,
            seconds=seconds,
            notes=picture.notes,
            replace=replace,
            content=content,
        )
        yield FilmDone(plan, record, Sums(len(clean), 0, 0, 0, repeated, seconds), len(clean), seconds)


def _done_whole(record: Record) -> bool:
    """Tell whether each picture of a result was done whole, so that memory decided nothing."""
    ways = record.plan if isinstance(record.plan, list) else [record.plan]
    return bool(ways) and all(isinstance(way, dict) and way.get("whole") is True for way in ways)


def _refuse_other_settings(task: Task, record: Record, settings: Mapping[str, Any]) -> None:
    """Raise OutputError where a film of other settings stands finished: it may be the work of days."""
    recorded = {name: value for name, value in record.settings.items() if name in settings}
    names = differences(recorded, settings)
    if names:
        raise OutputError(
            f"{task.path} stands finished with other settings ({', '.join(names)}): choose another -o, or "
            "--overwrite replaces it."
        )


def _refuse_locked_folder(task: Task) -> None:
    """Raise OutputError where a result cannot be written, before any work is done."""
    folder = task.path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        what = "does not let you write" if folder.is_dir() else "is no folder"
        raise OutputError(f"{task.path} cannot be written: {folder} {what}. Choose another -o.")
