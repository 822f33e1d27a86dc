"""The sums of a run over films: what is done, how fast, and what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drsformer_cli.cli.sums import Sums
from drsformer_cli.cli.words import duration, number
from drsformer_cli.errors import UnreadableError
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_events import (
    FilmAssembling,
    FilmDone,
    FilmEvent,
    FilmStarted,
    Progress,
    SegmentDone,
)
from drsformer_cli.jobs.film_naming import NO_FILM
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.video import pixels_of


@dataclass
class InWork:
    """A film that is being restored; `safe` pictures of it stand in finished segments."""

    plan: FilmPlan
    now: int
    safe: int
    fresh: int = 0
    begun: float = field(default_factory=lambda: time.perf_counter())


class FilmTally(Sums):
    """The sums of a run over films; `current` is the film of which was heard last."""

    def __init__(self, tasks: Sequence[Task], left_out: Counter[str]) -> None:
        super().__init__(len(tasks), left_out)
        self.pictures = 0
        self.current: InWork | None = None
        self._in_work: dict[Path, InWork] = {}
        self._waiting = {task.path: task.source.path for task in tasks}
        self._sizes: dict[Path, int] = {}
        self._worked = 0
        self._first: float | None = None

    def take(self, event: FilmEvent) -> None:
        """Count an event."""
        if isinstance(event, FilmStarted):
            self.current = InWork(event.plan, event.earlier, event.earlier)
            self._in_work[event.plan.task.path] = self.current
            self._waiting.pop(event.plan.task.path, None)
            self._first = self._first or self.current.begun
        elif isinstance(event, (Progress, SegmentDone, FilmAssembling)):
            self._take_step(event)
        elif isinstance(event, (FilmDone, Skipped, Failed)):
            task = event.plan.task if isinstance(event, FilmDone) else event.task
            self._waiting.pop(task.path, None)
            if isinstance(event, FilmDone):
                self.done += 1
                self.pictures += event.fresh
                self._worked += event.fresh * _area(event.plan)
            else:
                self.take_undone(event)
            self._in_work.pop(task.path, None)
            self.current = next(reversed(self._in_work.values()), None)

    def _take_step(self, event: Progress | SegmentDone | FilmAssembling) -> None:
        if event.plan is not None:
            self.current = self._in_work.get(event.plan.task.path, self.current)
        if self.current is not None and isinstance(event, Progress):
            self.current.now, self.current.fresh = event.pictures, event.fresh
        elif self.current is not None and isinstance(event, SegmentDone):
            self.current.safe = event.pictures

    @property
    def plan(self) -> FilmPlan | None:
        """Return the current film's plan."""
        return None if self.current is None else self.current.plan

    @property
    def in_work(self) -> list[InWork]:
        """Return the films that are in work side by side."""
        return list(self._in_work.values())

    def speed(self) -> float:
        """Return pictures a second of the current film, in this run."""
        film = self.current
        worked = time.perf_counter() - film.begun if film is not None else 0.0
        return film.fresh / worked if film is not None and worked else 0.0

    def film_left(self) -> float | None:
        """Return a guess at the seconds this film still takes."""
        film = self.current
        if film is None or film.plan.frames is None or not film.fresh:
            return None
        return max(0, film.plan.frames - film.now) / self.speed()

    def all_left(self) -> float | None:
        """Return a guess at the seconds all films still take, by the pixels of their pictures.

        It is never less than what the current film takes.
        """
        worked, left = self._worked, 0
        for film in self._in_work.values():
            if not film.plan.frames:
                return None
            worked += film.fresh * _area(film.plan)
            left += max(0, film.plan.frames - film.now) * _area(film.plan)
        if not worked or self._first is None:
            return None
        for path, source in self._waiting.items():
            if path not in self._sizes:
                self._sizes[path] = _pixels(source)
            left += self._sizes[path]
        return max((time.perf_counter() - self._first) * left / worked, self.film_left() or 0.0)

    def row(self) -> dict[str, Any]:
        """Return the last line of `--json`."""
        return self.row_with(frames=self.pictures)

    def sentence(self) -> str:
        """Return the run in one line."""
        pace = ""
        if not self.total and self.left_out[NO_FILM]:
            pace = "; pictures are for derain without the word video"
        if self.done and self._first is not None:
            worked = time.perf_counter() - self._first
            speed = self.pictures / worked if worked else 0.0
            pace = f"; {self.pictures} pictures in {duration(worked)}, {number(speed)} a second"
        first = f"{self.planned} to do" if self.planned else f"{self.done} restored"
        return self.sentence_of([first], "no films found", pace)


def _area(plan: FilmPlan) -> int:
    """Return the pixels of a picture of a film."""
    return plan.film.width * plan.film.height


def _pixels(path: Path | None) -> int:
    """Return the pixels of all pictures of a film that nobody has looked into yet, 0 if it does not say."""
    try:
        return pixels_of(path) if path is not None else 0
    except (OSError, UnreadableError):
        return 0  # reading it will say why
