"""A segment of a film from the film's path to a finished file: what a worker does, wherever it is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.events import words_for
from drsformer_cli.jobs.film import FilmLoop
from drsformer_cli.jobs.film_events import Progress
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.film_record import SegmentRecord, segment_name
from drsformer_cli.jobs.hands import Errand
from drsformer_cli.jobs.worker import (
    Facts,
    FileErrand,
    Finished,
    ModelRecipe,
    PictureErrand,
    Refused,
    Worker,
    software,
)
from drsformer_cli.media.files import stage
from drsformer_cli.media.video_frames import PROOF, RUN_UP, ChangedError, Ending, Known, Shot, shots


@dataclass(frozen=True)
class SizeErrand(Errand):
    """Asks how pictures of (height, width) pixels are done."""

    size: tuple[int, int] = (1, 1)
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class SegmentErrand(FileErrand):
    """A segment to make: the pictures of a film from number `first` on, `size` of them or up to the end.

    Where they are is told in one of two ways. Either `times` are theirs and those of the `PROOF` pictures
    before them: then no others will do, and those before come back to be compared with what another worker
    saw. Or `times` is None, and the film is read on from `known`, pictures for certain, however far that is.

    Attributes:
        plan: what is done with the film; its path is absolute.
        segment: its number in the film.
        count: where reading begins: the number of the picture behind `known`.
        known: the last pictures before that; without digests where `times` are told.
        last: whether `times` end with the film.
    """

    plan: FilmPlan
    segment: int
    first: int
    size: int
    count: int
    known: tuple[Known, ...]
    times: tuple[int, ...] | None = None
    last: bool = False


@dataclass(frozen=True)
class SegmentMade:
    """A segment stands complete at the errand's `place`; `record` is None where no picture was left.

    `ending` is there if the film's end was seen.
    """

    record: SegmentRecord | None
    ending: Ending | None


@dataclass(frozen=True)
class Misplaced:
    """The film does not show the pictures where the errand says they are."""


class FilmRecipe(ModelRecipe):
    """How to make a FilmWorker."""

    def make(self) -> FilmWorker:
        """Load the model. Raises SetupError."""
        return FilmWorker(self.model())


class FilmWorker:
    """A loaded model that makes segments, and does animations as the pictures they are.

    While the model is busy with one segment, the next one's film is opened and read up to its first pictures,
    and the one before is encoded to its end.
    """

    def __init__(self, model: Any) -> None:
        self._model = _InOneThread(model)
        self._pictures = Worker(self._model.resting_on(None))
        self._next, self._turn = threading.Lock(), threading.Lock()
        self._reading = threading.Lock()
        self._cursor: _Cursor | None = None

    @property
    def facts(self) -> Facts:
        """Return what the results rest on."""
        return Facts(self._model.settings, self._model.limit, ", ".join(software("torch", "av")))

    def do(self, errand: Errand) -> SegmentMade | Misplaced | Finished | Refused | dict[str, Any]:
        """Do an errand of whichever kind. Raises SetupError for what concerns all films."""
        if isinstance(errand, PictureErrand):
            return self._pictures.do(errand)
        if isinstance(errand, SizeErrand):
            return self._model.resting_on(errand.limit).describe(*errand.size)
        assert isinstance(errand, SegmentErrand)
        try:
            return self._make(errand)
        except SetupError:
            raise
        except ChangedError:
            errand.forget()  # what follows may show only when the file is written
            return Misplaced()
        except Exception as error:  # this film's misfortune must not stop the others
            errand.forget()
            return Refused(*words_for(error))

    def _make(self, errand: SegmentErrand) -> SegmentMade:
        shelf = _Place(errand)
        model = self._model.resting_on(errand.limit)
        loop = FilmLoop(errand.plan, model, self._read(errand, shelf), shelf, errand.size)
        with ExitStack() as stack, ExitStack() as turn:
            with self._next:  # who reads first has the model first: else each would wait for the other
                stack.enter_context(loop)
                shelf.reads.wait()
                turn.enter_context(self._turn)
            for step in loop:
                if isinstance(step, Progress) and step.fresh == errand.size:
                    turn.close()  # it is being encoded to its end; the model is free for the next
        return SegmentMade(shelf.record, shelf.ending)

    def _read(self, errand: SegmentErrand, shelf: _Place) -> Generator[Shot, None, None]:
        """Yield the segment's pictures. Raises ChangedError if they are not those that the errand tells."""
        with self._reading:  # as long as it lasts: one segment is read at a time
            shelf.reads.set()
            cursor, self._cursor = self._cursor, None
            if cursor is not None and not cursor.leads_to(errand):
                cursor.close()
                cursor = None
            cursor = cursor or _Cursor(errand)
            try:
                yield from cursor.pictures(errand, shelf)
            except BaseException:
                cursor.close()
                raise
            self._cursor = cursor  # the next segment may be the one behind


class _Cursor:
    """Reads a film forward. `count` is the number of the next picture, `recent` are the last before it."""

    def __init__(self, errand: SegmentErrand) -> None:
        plan = errand.plan
        self._film, self._cut = plan.film, plan.cut
        self._sure = errand.times is None
        self.ending = Ending()
        self.count = errand.count
        self.recent = deque(errand.known if self._sure else (), PROOF)
        self._shots = shots(
            plan.film,
            plan.pixels,
            start=plan.cut.start,
            end=plan.cut.end,
            known=errand.known,
            count=errand.count,
            ending=self.ending,
            only_there=not self._sure,
        )

    def leads_to(self, errand: SegmentErrand) -> bool:
        """Tell whether it is as good to read on as to begin where the errand says."""
        ahead = errand.first - self.count
        if (self._film, self._cut) != (errand.plan.film, errand.plan.cut) or ahead < 0:
            return False
        if errand.times is None:
            return self._sure and self.count >= errand.count
        return ahead <= RUN_UP and len(self.recent) + ahead >= min(PROOF, errand.first)

    def pictures(self, errand: SegmentErrand, shelf: _Place) -> Iterator[Shot]:
        """Yield the pictures of a segment, and tell the shelf what came before, and of the film's end."""
        while self.count < errand.first and self._next() is not None:
            pass
        shelf.before = list(self.recent)
        times = [one.pts for one in shelf.before]
        for shot in islice(iter(self._next, None), errand.size):
            times.append(shot.pts)
            if errand.times is not None and tuple(times) != errand.times[: len(times)]:
                raise ChangedError
            yield shot
        more = errand.last and self._next() is not None
        if errand.times is not None and (more or tuple(times) != errand.times):
            raise ChangedError
        if self.ending.count is not None:
            shelf.ending = replace(self.ending)

    def _next(self) -> Shot | None:
        shot = next(self._shots, None)
        if shot is not None:
            self.count = shot.index + 1
            self.recent.append(Known(shot.pts, shot.digest))
        return shot

    def close(self) -> None:
        """Let go of the film."""
        self._shots.close()


class _Place:
    """Where one segment goes: the errand's place."""

    def __init__(self, errand: SegmentErrand) -> None:
        self._errand = errand
        self.count = errand.first
        self.reads = threading.Event()
        self.before: list[Known] = []
        self.record: SegmentRecord | None = None
        self.ending: Ending | None = None

    def next_file(self) -> str:
        """Return the name that the caller will give it."""
        return segment_name(self._errand.segment)

    def add(self, record: SegmentRecord, data: bytes) -> None:
        """Write it."""
        stage(self._errand.place, data)
        self.record = replace(record, before=[[one.pts, one.digest] for one in self.before])
        self.count += len(record.times)


class _InOneThread:
    """A model that always computes in the same thread, whoever asks.

    Those who ask may each rest on a memory limit of their own: films that are in work side by side may have
    been begun with different ones.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(1, "model")
        self._own = int(model.limit)
        self._limit: int | None = None

    def resting_on(self, limit: int | None) -> _InOneThread:
        """Return the same model, in the same thread, on a limit in bytes; None is the model's own."""
        other = copy(self)
        other._limit = limit
        return other

    def _do(self, ask: Callable[..., Any], *words: Any) -> Any:
        self._model.limit = self._own
        if self._limit is not None:
            self._model.go_on_as({"limit": self._limit})
        return ask(*words)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the model's."""
        settings: dict[str, Any] = self._model.settings
        return settings

    @property
    def limit(self) -> int:
        """Return the memory that it may use, in bytes."""
        return self._own if self._limit is None else min(self._own, self._limit)

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """See `FilmModel.restore`."""
        clean: tuple[NDArray[Any], dict[str, Any]] = self._thread.submit(
            self._do, self._model.restore, rainy
        ).result()
        return clean

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """See `FilmModel.describe`."""
        words: dict[str, Any] = self._thread.submit(self._do, self._model.describe, height, width).result()
        return words

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Rest further plans on the memory limit of an earlier one, or on the model's own if that is less."""
        self._limit = plan.get("limit", self._limit)
