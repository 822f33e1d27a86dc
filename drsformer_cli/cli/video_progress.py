"""What a person sees of a run over films: pictures, speed, time left, and what became of each film."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from drsformer_cli.cli.display import Screen, choose
from drsformer_cli.cli.progress import ways
from drsformer_cli.cli.video_tally import FilmTally
from drsformer_cli.cli.words import duration, number, printable
from drsformer_cli.jobs.events import Skipped
from drsformer_cli.jobs.film_events import FilmAssembling, FilmDone, FilmEvent, FilmStarted
from drsformer_cli.jobs.film_events import Progress as Advance
from drsformer_cli.jobs.naming import from_here

#: Seconds between two lines about a film where no line can move.
PACE = 30.0


class FilmDisplay(Screen[FilmTally]):
    """Shows a run on a console; this base says nothing but errors, as `-q` asks. A context manager."""

    def show(self, event: FilmEvent) -> None:
        """Show an event that the tally has taken already."""

    def note(self, text: str) -> None:
        """Say something beside the events."""


class PlainFilmDisplay(FilmDisplay):
    """Lines, for logs and pipes: one when a film begins, one now and then, one when it is through."""

    def __init__(self, console: Console, tally: FilmTally, *, verbose: bool = False) -> None:
        super().__init__(console, tally, verbose=verbose)
        self._last = time.perf_counter()

    def note(self, text: str) -> None:
        """Write a line."""
        self.line(text)

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
        film = tally.current
        if film is None:
            return ""
        of = f" of {film.plan.frames}" if film.plan.frames else ""
        words = [f"{film.now}{of} pictures"]
        if film.fresh:
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
        self.progress: Progress = Progress(
            TextColumn("{task.fields[place]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[pace]}", markup=False),
            console=console,
            transient=True,
        )
        self._bar = self.progress.add_task("", total=None, place="", pace="")

    def show(self, event: FilmEvent) -> None:
        """Move the line; write above it what will matter later."""
        tally = self.tally
        if not isinstance(event, Advance):
            super().show(event)
        film = tally.current
        if film is None:
            return
        name = f"[{tally.ended + 1}/{tally.total}] {printable(film.plan.task.name)}"
        pace = "putting the film together" if isinstance(event, FilmAssembling) else self.pace()
        self.progress.update(self._bar, place=name, pace=pace, total=film.plan.frames, completed=film.now)


def display_for(tally: FilmTally, *, quiet: bool, verbose: bool) -> FilmDisplay:
    """Return the display that standard error bears: nothing, a live line, or plain lines."""
    return choose(FilmDisplay, LiveFilmDisplay, PlainFilmDisplay, tally, quiet=quiet, verbose=verbose)
