"""The loop for a film or a part of it: one thread decodes, the caller's runs the model, one encodes.

Bounded queues stand between them, so memory does not grow with the film. What is finished is finished in
whole segments; the film itself appears when all of it is there.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from numpy.typing import NDArray

from drsformer_cli.errors import OutputError
from drsformer_cli.jobs.film_events import Progress, SegmentDone, Step
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.film_record import SegmentRecord
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.pipeline import Model
from drsformer_cli.jobs.side_thread import SideThread
from drsformer_cli.media.video_frames import Shot
from drsformer_cli.media.video_segment import Segment

POLL_SECONDS = 0.1
#: Pictures that wait between two threads.
WAITING = 2
#: When interrupted, a segment is ended if that takes no longer than so many seconds.
QUICK_SECONDS = 5.0


class Terms(Protocol):
    """What the plan for one film rests on: a restorer, or workers that have one each."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return all that decides the result besides the picture's size."""

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Return how pictures of this size are done."""

    def go_on_as(self, plan: Mapping[str, Any], /) -> None:
        """Keep to the ways of an earlier plan."""


class FilmModel(Terms, Model, Protocol):
    """What the loop needs of a restorer."""


class Shelf(Protocol):
    """Where finished segments go."""

    @property
    def count(self) -> int:
        """How many pictures stand finished before what comes next."""

    def next_file(self) -> str:
        """Return the name of the segment that comes next."""

    def add(self, record: SegmentRecord, data: bytes, /) -> None:
        """Put it there. Raises StorageError and OutputError."""


@dataclass
class _Seen:
    """A picture on its way: `rgb` is upright, None if that of the picture before serves again."""

    shot: Shot
    rgb: NDArray[Any] | None


@dataclass
class _Restored:
    seen: _Seen
    clean: NDArray[Any] | None
    plan: dict[str, Any] | None
    seconds: float


@dataclass
class _Open:
    """A segment that is being encoded."""

    encoder: Segment
    shots: list[Shot] = field(default_factory=list)  # without their pictures
    plans: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


class FilmLoop:
    """Restores pictures of a film into segments; iterating over it runs it and yields its steps.

    Args:
        plan: what is done with the film.
        model: the restorer.
        pictures: what is to be restored, from the first picture that is missing on.
        shelf: for the segments.
        size: pictures in a segment.

    On KeyboardInterrupt the segment in work is ended if that is quick, else dropped; a second one drops it at
    once. Signals are held back between two steps. Raises what went wrong in any of the threads. Decoding
    begins with the `with` block, and leaving it stops all threads.
    """

    def __init__(
        self,
        plan: FilmPlan,
        model: FilmModel,
        pictures: Generator[Shot, None, None],
        shelf: Shelf,
        size: int,
    ) -> None:
        self._plan, self._model, self._shelf = plan, model, shelf
        self._shots, self._size = pictures, size
        self._decoded: queue.Queue[_Seen | None] = queue.Queue(WAITING)
        self._restored: queue.Queue[_Restored | None] = queue.Queue(WAITING)
        self._steps: queue.SimpleQueue[SegmentDone | BaseException] = queue.SimpleQueue()
        self._told: list[SegmentDone] = []
        self._fault: BaseException | None = None
        self._held = Held()
        self._stop = threading.Event()
        self._decoder = SideThread(partial(self._guard, self._decode_all))
        self._encoder = SideThread(partial(self._guard, self._encode_all))
        self._begun = self._pictures = shelf.count
        self._seconds = 0.0
        self._computed = 0

    def __enter__(self) -> FilmLoop:
        self._held.__enter__()
        self._decoder.start()
        self._encoder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the threads; a segment that is not finished is dropped."""
        self._held.close()
        self._stop.set()
        self._decoder.wait()
        self._encoder.wait()
        self._held.__exit__(kind, error, trace)

    # ---- the caller's thread

    def __iter__(self) -> Iterator[Step]:
        """Run."""
        try:
            yield from self._run()
        except (Exception, KeyboardInterrupt):
            yield from self._safe()  # what is safe is told before what went wrong
            raise

    def _run(self) -> Iterator[Step]:
        pending: _Seen | None = None
        stop: KeyboardInterrupt | None = None
        while True:
            try:
                yield from self._finished()
                self._held.check()
                if pending is None:
                    pending = self._next()
                if pending is None:
                    break
                if stop is not None and self._pictures % self._size == 0:
                    break
                self._hand_on(self._restore(pending))
                pending = None
                self._pictures += 1
                yield Progress(self._pictures, self._pictures - self._begun, self._plan)
            except KeyboardInterrupt as interruption:
                if stop is not None or not self._quick():
                    raise
                stop = interruption
        self._hand_on(None)
        while not self._encoder.wait(POLL_SECONDS):
            if stop is not None:
                self._held.check()
            yield from self._finished()
        yield from self._finished()
        if stop is not None:
            raise stop

    def _finished(self) -> Iterator[Step]:
        yield from self._safe()
        self._raise_fault()

    def _safe(self) -> Iterator[Step]:
        """Tell of the segments that stand complete."""
        self._hear()
        while self._told:
            yield self._told.pop(0)

    def _hear(self) -> None:
        while not self._steps.empty():
            step = self._steps.get()
            if isinstance(step, BaseException):
                self._fault = self._fault or step
            else:
                self._told.append(step)

    def _next(self) -> _Seen | None:
        while True:
            try:
                return self._decoded.get(timeout=POLL_SECONDS)
            except queue.Empty:
                self._raise_fault()
                self._held.check()

    def _hand_on(self, item: _Restored | None) -> None:
        while True:
            try:
                self._restored.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                self._raise_fault()
                if item is not None:  # at the end all is restored, and waiting is soon over
                    self._held.check()

    def _raise_fault(self) -> None:
        """Raise what another thread died of; finished segments are in the work folder anyway."""
        self._hear()
        if self._fault is not None:
            raise self._fault

    def _restore(self, seen: _Seen) -> _Restored:
        if seen.rgb is None:
            return _Restored(seen, None, None, 0.0)
        start = time.perf_counter()
        with self._held.exposed():
            clean, plan = self._model.restore(seen.rgb)
        seconds = time.perf_counter() - start
        self._seconds += seconds
        self._computed += 1
        return _Restored(seen, clean, plan, seconds)

    def _quick(self) -> bool:
        """Tell whether the segment in work can be ended within a few seconds."""
        missing = -self._pictures % self._size
        if self._plan.frames:
            missing = min(missing, max(1, self._plan.frames - self._pictures))
        return self._computed > 0 and missing * self._seconds / self._computed <= QUICK_SECONDS

    # ---- the two threads

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # the caller's thread raises it
            self._steps.put(error)

    def _put(self, item: _Seen | None) -> bool:
        while not self._stop.is_set():
            try:
                self._decoded.put(item, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def _decode_all(self) -> None:
        first = True
        with closing(self._shots) as pictures:
            for shot in pictures:
                rgb = None if shot.repeated and not first else self._plan.pixels.upright(shot.frame)
                first = False
                if not self._put(_Seen(shot, rgb)):
                    return
        self._put(None)

    def _encode_all(self) -> None:
        plan = self._plan
        segment: _Open | None = None
        picture: Any = None
        following = self._begun
        while not self._stop.is_set():
            try:
                item = self._restored.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None:
                break
            if item.seen.shot.index != following:
                raise OutputError(
                    f"picture {following} of {plan.film.path} was left out or came twice: run it again."
                )
            following += 1
            if item.clean is not None and item.seen.rgb is not None:
                picture = plan.pixels.back(item.seen.shot.frame, item.seen.rgb, item.clean)
            segment = segment or _Open(Segment(plan.film, plan.encoding))
            _enter(segment, item, picture)
            del item
            if len(segment.shots) == self._size:
                self._finish(segment)
                segment = None
        if segment is not None and not self._stop.is_set():
            self._finish(segment)

    def _finish(self, segment: _Open) -> None:
        data, shots = segment.encoder.finish(), segment.shots
        record = SegmentRecord(
            file=self._shelf.next_file(),
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            times=[shot.pts for shot in shots],
            digests=[shot.digest for shot in shots],
            order=segment.encoder.order,
            last=shots[-1].duration,
            lost=sum(shot.lost for shot in shots),
            damaged=sum(shot.damaged for shot in shots),
            mended=sum(shot.mended for shot in shots),
            repeated=sum(shot.repeated for shot in shots),
            seconds=round(segment.seconds, 4),
            plans=segment.plans,
        )
        self._shelf.add(record, data)
        self._steps.put(SegmentDone(self._shelf.count, self._plan))


def _enter(segment: _Open, item: _Restored, picture: Any) -> None:
    """Encode a picture, and keep the accounts of its segment."""
    shot = item.seen.shot
    segment.encoder.add(picture, shot.pts)
    segment.shots.append(replace(shot, frame=None))
    segment.seconds += item.seconds
    if item.plan is not None and item.plan not in segment.plans:
        segment.plans.append(item.plan)
