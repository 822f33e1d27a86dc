"""What happens to films, as told by the loops to whoever shows or records it."""

from __future__ import annotations

from dataclasses import dataclass, field

from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_finish import Sums
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.record import Record


@dataclass(frozen=True)
class Progress:
    """So many pictures of the film are restored; `fresh` of them in this run."""

    pictures: int
    fresh: int
    plan: FilmPlan | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class SegmentDone:
    """A segment stands complete; `pictures` are safe now."""

    pictures: int
    plan: FilmPlan | None = field(default=None, compare=False, repr=False)


Step = Progress | SegmentDone


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
