"""One film among workers: which of its segments is wanted next, and what becomes of those that come back.

Where the film's packets tell the times of its pictures, each segment is asked for by its times, and a worker
enters the film there. What it saw before the segment must be what the maker of the segment before saw: only
then the segment has its place. Where that fails, or the packets tell nothing, segments are asked for by their
numbers, and each worker reads on from pictures that are certain: slower, and right for every film.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from drsformer_cli.errors import SetupError, UnreadableError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_crew import FilmCrew
from drsformer_cli.jobs.film_events import (
    FilmAssembling,
    FilmDone,
    FilmEvent,
    FilmStarted,
    Progress,
    SegmentDone,
)
from drsformer_cli.jobs.film_finish import Sums, deliver
from drsformer_cli.jobs.film_job import FilmJob
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.film_worker import Misplaced, SegmentErrand, SegmentMade
from drsformer_cli.jobs.naming import absolute
from drsformer_cli.jobs.team import failed
from drsformer_cli.jobs.worker import FileErrand, Finished, PictureErrand, Refused
from drsformer_cli.media.video_frames import PROOF, RUN_UP, ChangedError, Ending, Known
from drsformer_cli.media.video_index import times_of
from drsformer_cli.media.video_pixels import Pixels

#: So many pictures one worker makes one behind the other.
RUN = 240
#: What is said of a film whose segments are asked for by their numbers.
IN_TURN = (
    "the film cannot be entered in its middle with certainty: each worker reads it from where all is certain"
)


class AllottedFilm:
    """A film that workers restore. `begin` comes first; `close` lets go of what is on its `stack`."""

    def __init__(self, job: FilmJob) -> None:
        self.job, self.stack = job, ExitStack()
        self.failure: Failed | None = None
        self._index: list[int] | None = None
        self._out: dict[int, int] = {}
        self._last: dict[int | None, int] = {}
        self._certain: set[int] = set()
        self._endings: dict[int, Ending] = {}
        self._animation: tuple[Finished, Path] | None = None
        self._sent = _absolute(job.plan)

    def close(self) -> None:
        """Let go of the film; errands that come back later are of no use."""
        self._out.clear()
        self.stack.close()

    def begin(self) -> FilmStarted:
        """Take up what is done of it, and look where its pictures are. Raises what keeps it from that."""
        plan, work = self.job.plan, self.job.work
        if plan.as_picture:
            return FilmStarted(plan, 0, ())
        started = self.job.begin()
        self._index = times_of(plan.film, start=plan.cut.start, end=plan.cut.end)
        flat = [time for segment in work.segments for time in segment.times]
        if self._index is None or self._index[: len(flat)] != flat:
            self._in_turn()
        self._settle()
        return started

    # ---- what is to do

    @property
    def over(self) -> bool:
        """Tell whether nothing more is to come."""
        if self.failure is not None:
            return not self._out
        return self._animation is not None or self.job.work.complete

    def wants(self) -> bool:
        """Tell whether there is another errand."""
        return next(self._free(), None) is not None

    def _free(self) -> Iterator[int]:
        """Yield the numbers of segments that are to be made and that nobody has in work."""
        work = self.job.work
        if self.failure is not None or self.over:
            return
        taken = {*work.ahead, *self._out.values()}
        first, end = len(work.segments), self._segments()
        for number in itertools.count(first):
            if number > first and end is not None and number >= end:
                return  # the first is made even then: only that shows whether the film has ended
            if number not in taken:
                yield number

    def _segments(self) -> int | None:
        """Return how many segments there are, for all that is known; None if nothing is."""
        plan = self.job.plan
        if plan.as_picture:
            return 1
        count = len(self._index) if self._index is not None else plan.frames
        return min(self._endings, default=None if count is None else -(-count // plan.segment))

    def _next(self, worker: int | None) -> int:
        """Return the number of the segment for a worker, of those that are free.

        A worker makes some one behind the other, so that it does not read the same pictures twice to enter
        the film.
        """
        own = self._last.get(worker, -1) + 1
        free = self._free()
        lowest = next(free)
        stride = 1 if self._index is None else max(1, RUN // self.job.plan.segment)
        if stride == 1:
            return lowest
        busy = {number // stride for number in self._out.values()}
        elsewhere = None
        for number in itertools.chain([lowest], free):
            if number == own and own % stride:
                return own
            if elsewhere is None and number // stride not in busy:
                elsewhere = number
            if elsewhere is not None and number > own:
                break
        return lowest if elsewhere is None else elsewhere

    def next_errand(self, crew: FilmCrew) -> FileErrand:
        """Return the next errand, which there must be, for the worker whose turn it is."""
        worker = crew.next_worker()
        number = self._next(worker)
        words = {**crew.keywords(), "folder": str(absolute(self.job.work.folder))}
        words["limit"] = words["limit"] if self.job.limit is None else self.job.limit
        errand = self._picture(words) if self.job.plan.as_picture else self._segment(number, words)
        self._out[errand.number] = number
        self._last[worker] = number
        return errand

    def _picture(self, words: dict[str, Any]) -> PictureErrand:
        return PictureErrand(**words, path=self._sent.film.path.as_posix(), name=self.job.plan.task.name)

    def _segment(self, number: int, words: dict[str, Any]) -> SegmentErrand:
        work, size = self.job.work, self.job.plan.segment
        first = number * size
        words = {**words, "plan": self._sent, "segment": number, "first": first, "size": size}
        index = self._index
        if index is None or first >= len(index):
            known = tuple(work.known(RUN_UP))
            return SegmentErrand(**words, count=work.count, known=known)
        count = max(0, first - PROOF)
        known = tuple(Known(time) for time in index[max(0, count - RUN_UP) : count])
        times = tuple(index[count : first + size])
        last = first + size >= len(index)
        return SegmentErrand(**words, count=count, known=known, times=times, last=last)

    # ---- what is done

    def take(self, errand: Any, outcome: Any) -> Iterator[FilmEvent]:
        """Keep what a worker has made, and tell of it. Raises SetupError, and errors of the film."""
        current = self._out.pop(errand.number, None) is not None
        if isinstance(outcome, SetupError):
            raise outcome
        if not current:  # it is through, or was begun anew
            errand.forget()
        elif isinstance(outcome, Finished):
            self._animation = outcome, errand.place
        elif isinstance(outcome, (SegmentMade, Misplaced)):
            try:
                self._keep(errand, outcome)
            except ChangedError:
                yield self._start_over()
                return
            work, plan = self.job.work, self.job.plan
            if isinstance(outcome, SegmentMade) and outcome.record is not None:
                yield Progress(work.done, self.job.fresh, plan)
                yield SegmentDone(work.done, plan)
        else:
            self.fail(self._cause(outcome))

    def _cause(self, outcome: Any) -> Any:
        """Return why a worker could not do its part: that the film was changed meanwhile, if it was."""
        if isinstance(outcome, Refused) and not self.job.plan.as_picture:
            try:
                self.job.check_source()
            except (UnreadableError, OSError) as error:
                return error
        return outcome

    def fail(self, why: Any) -> None:
        """Give the film up, for what a worker says or an error; what is in work of it is waited for."""
        self.failure = self.failure or failed(self.job.plan.task, why, "a part of it")

    def _keep(self, errand: SegmentErrand, outcome: SegmentMade | Misplaced) -> None:
        certain = errand.times is None
        if isinstance(outcome, Misplaced):
            if certain:
                raise ChangedError
            self._in_turn()
            return
        if certain:
            self._certain.add(errand.segment)
        if outcome.record is not None:
            try:
                self.job.take(outcome.record, errand.place)
            except UnreadableError:  # nobody knows of which film its pictures are
                errand.forget()
                raise
        if outcome.ending is not None:
            self._endings[errand.segment] = outcome.ending
        self._settle()

    def _settle(self) -> None:
        """Give segments their turn. Raises ChangedError if a certain one does not follow those before."""
        work = self.job.work
        odd = work.settle()
        if odd is not None:
            if odd in self._certain:
                raise ChangedError
            self._in_turn()
        for number, ending in self._endings.items():
            if number not in (len(work.segments) - 1, len(work.segments)):
                continue
            if ending.count == work.count or number in self._certain:
                self.job.close(ending)

    def _in_turn(self) -> None:
        """Ask for no more segments by their times."""
        self._index = None
        self._endings.clear()
        if IN_TURN not in self.job.notes:
            self.job.notes.append(IN_TURN)

    def _start_over(self) -> FilmStarted:
        self.job.start_over()
        self._out.clear()
        self._endings.clear()
        self._certain.clear()
        return self.begin()

    # ---- its end

    def finish(self) -> Iterator[FilmEvent]:
        """Put the film together and into its place. Raises StorageError, OutputError and UnreadableError."""
        if self._animation is None:
            yield from self.job.finish()
            return
        made, place = self._animation
        plan = self.job.plan
        yield FilmAssembling(plan)
        record = deliver(
            plan,
            place,
            settings=self.job.settings,
            how=made.plan if isinstance(made.plan, list) else [made.plan],
            seconds=made.seconds,
            notes=made.notes,
            replace=self.job.replace,
            content=made.read_sha256,
        )
        count = len(made.sizes)
        yield FilmDone(plan, record, Sums(count, 0, 0, 0, made.repeated, made.seconds), count, made.seconds)


def _absolute(plan: FilmPlan) -> FilmPlan:
    """Return a plan as workers elsewhere can use it."""
    film = replace(plan.film, path=absolute(plan.film.path))
    return replace(plan, film=film, pixels=Pixels(film))
