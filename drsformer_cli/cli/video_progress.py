"""What a person sees of a run over films: pictures, speed, time left, and what became of each film."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from drsformer_cli.cli.progress import failure_line, ways
from drsformer_cli.cli.words import duration, number, printable
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_events import FilmAssembling, FilmDone, FilmEvent, FilmStarted, SegmentDone
from drsformer_cli.jobs.film_events import Progress as Advance
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.naming import Task, from_here

#: Seconds between two lines about a film where no line can move.
PACE = 30.0


class FilmTally:
    """The sums of a run over films."""

    def __init__(self, tasks: Sequence[Task], left_out: Counter[str]) -> None:
        self.total, self.left_out = len(tasks), left_out
        self.done = self.planned = self.skipped = self.pictures = 0
        self.failures: list[Failed] = []
        self.interrupted = False
        self.plan: FilmPlan | None = None
        self.now = self.fresh = self.safe = 0
        self._sizes = {task.name: _size(task.source.path) for task in tasks}
        self._left = sum(self._sizes.values())
        self._worked = 0.0
        self._start = time.perf_counter()
        self._first: float | None = None
        self._begun = self._start

    def take(self, event: FilmEvent) -> None:
        """Count an event."""
        if isinstance(event, FilmStarted):
            self.plan, self.now, self.safe, self.fresh = event.plan, event.earlier, event.earlier, 0
            self._begun = time.perf_counter()
            self._first = self._first or self._begun
        elif isinstance(event, Advance):
            self.now, self.fresh = event.pictures, event.fresh
        elif isinstance(event, SegmentDone):
            self.safe = event.pictures
        elif isinstance(event, (FilmDone, Skipped, Failed)):
            task = event.plan.task if isinstance(event, FilmDone) else event.task
            self._left -= self._sizes.get(task.name, 0)
            if isinstance(event, FilmDone):
                self.done += 1
                self.pictures += event.fresh
                self._worked += self._sizes.get(task.name, 0)
            elif isinstance(event, Skipped):
                self.skipped += 1
            else:
                self.failures.append(event)
            self.plan = None

    @property
    def ended(self) -> int:
        """Return how many films need no more work in this run."""
        return self.done + self.skipped + len(self.failures)

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._start

    def speed(self) -> float:
        """Return pictures a second of the film in work, in this run."""
        worked = time.perf_counter() - self._begun
        return self.fresh / worked if worked else 0.0

    def film_left(self) -> float | None:
        """Return a guess at the seconds this film still takes."""
        if self.plan is None or self.plan.frames is None or not self.fresh:
            return None
        return max(0, self.plan.frames - self.now) / self.speed()

    def all_left(self) -> float | None:
        """Return a guess at the seconds all films still take, by the bytes of their files."""
        if self.plan is None or self._first is None or not self.plan.frames or not self.fresh:
            return None
        size = self._sizes.get(self.plan.task.name, 0)
        share = size / self.plan.frames
        worked = self._worked + share * self.fresh
        left = self._left - share * min(self.now, self.plan.frames)
        return (time.perf_counter() - self._first) * left / worked if worked else None

    def row(self) -> dict[str, Any]:
        """Return the last line of `--json`."""
        return {
            "status": "summary",
            "done": self.done,
            "skipped": self.skipped,
            "failed": len(self.failures),
            "left_out": dict(self.left_out),
            "frames": self.pictures,
            "seconds": round(self.elapsed(), 3),
            "interrupted": self.interrupted,
        }

    def sentence(self) -> str:
        """Return the run in one line."""
        parts = [f"{self.planned} to do" if self.planned else f"{self.done} restored"]
        if not self.total:
            parts = ["no films found"]
        if self.skipped:
            parts.append(f"{self.skipped} done before")
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        if self.left_out:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))
            parts.append(f"{self.left_out.total()} left out ({reasons})")
        text = ", ".join(parts)
        if self.done and self._first is not None:
            worked = time.perf_counter() - self._first
            pace = self.pictures / worked if worked else 0.0
            text += f"; {self.pictures} pictures in {duration(worked)}, {number(pace)} a second"
        return text + "."


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path is not None else 0
    except OSError:
        return 0  # reading it will say why


class FilmDisplay:
    """Shows a run on a console; this base says nothing but errors, as `-q` asks. A context manager."""

    def __init__(self, console: Console, tally: FilmTally, *, verbose: bool = False) -> None:
        self.console, self.tally, self.verbose = console, tally, verbose

    def show(self, event: FilmEvent) -> None:
        """Show an event that the tally has taken already."""

    def end(self) -> None:
        """Say how it went, and why each failed film did."""
        for failure in self.tally.failures:
            self.line(f"derain: {failure_line(failure)}")
            if self.verbose and failure.details:
                for line in failure.details.rstrip().split("\n"):
                    self.line(f"  {line}")

    def line(self, text: str) -> None:
        """Write one line as it is: no markup, no wrapping, no control characters."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    def __enter__(self) -> FilmDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the console as it was."""


class PlainFilmDisplay(FilmDisplay):
    """Lines, for logs and pipes: one when a film begins, one now and then, one when it is through."""

    def __init__(self, console: Console, tally: FilmTally, *, verbose: bool = False) -> None:
        super().__init__(console, tally, verbose=verbose)
        self._last = time.perf_counter()

    def show(self, event: FilmEvent) -> None:
        """Write a line where there is something new to say."""
        tally = self.tally
        if isinstance(event, FilmStarted):
            self.begin(event)
        elif (
            isinstance(event, Advance) and time.perf_counter() - self._last > PACE and tally.plan is not None
        ):
            self.line(f"  {tally.plan.task.name}: {self.pace()}")
            self._last = time.perf_counter()
        elif isinstance(event, FilmDone):
            task = event.plan.task
            words = [f"{event.sums.pictures} pictures", duration(event.seconds)]
            if event.fresh and event.seconds:
                words.append(f"{number(event.fresh / event.seconds)} a second")
            words += ways(event.record.plan)
            self.line(
                f"[{tally.ended}/{tally.total}] {task.name} -> {from_here(task.path)} ({', '.join(words)})"
            )
            for note in event.record.notes:
                if note not in event.plan.notes:
                    self.line(f"  {task.name}: {note}")
        elif isinstance(event, Skipped) and self.verbose:
            self.line(f"[{tally.ended}/{tally.total}] {event.task.name}: {event.reason}")

    def begin(self, event: FilmStarted) -> None:
        """Say what a film is, and what will not be kept."""
        self._last = time.perf_counter()
        name = event.plan.task.name
        if event.earlier:
            self.line(f"{name}: {event.earlier} pictures were done before, going on there")
        for word in event.plan.words() if self.verbose else event.words:
            self.line(f"{name}: {word}")

    def pace(self) -> str:
        """Return in words how far a film is, how fast, and what is left."""
        tally = self.tally
        of = f" of {tally.plan.frames}" if tally.plan is not None and tally.plan.frames else ""
        words = [f"{tally.now}{of} pictures"]
        if tally.fresh:
            words.append(f"{number(tally.speed())} a second")
        left, all_left = tally.film_left(), tally.all_left()
        if left is not None:
            words.append(f"{duration(left)} left")
        if all_left is not None and tally.total - tally.ended > 1:
            words.append(f"{duration(all_left)} for all")
        return ", ".join(words)

    def end(self) -> None:
        """Write the sums, and the failures."""
        self.line(self.tally.sentence())
        super().end()


class LiveFilmDisplay(PlainFilmDisplay):
    """A line that moves, for terminals."""

    def __init__(self, console: Console, tally: FilmTally, *, verbose: bool = False) -> None:
        super().__init__(console, tally, verbose=verbose)
        self._progress = Progress(
            TextColumn("{task.fields[place]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[pace]}", markup=False),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task("", total=None, place="", pace="")

    def show(self, event: FilmEvent) -> None:
        """Move the line; write above it what will matter later."""
        tally = self.tally
        if not isinstance(event, Advance):
            super().show(event)
        if tally.plan is None:
            return
        name = f"[{tally.ended + 1}/{tally.total}] {printable(tally.plan.task.name)}"
        pace = "putting the film together" if isinstance(event, FilmAssembling) else self.pace()
        self._progress.update(self._bar, place=name, pace=pace, total=tally.plan.frames, completed=tally.now)

    def __enter__(self) -> LiveFilmDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self._progress.stop()


def display_for(tally: FilmTally, *, quiet: bool, verbose: bool) -> FilmDisplay:
    """Return the display that standard error bears: nothing, a live line, or plain lines."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if quiet:
        return FilmDisplay(console, tally, verbose=verbose)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveFilmDisplay(console, tally, verbose=verbose)
    return PlainFilmDisplay(console, tally, verbose=verbose)
