"""What a person sees of a run: a live line on a terminal, plain lines elsewhere, errors alone with `-q`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from drsformer_cli.cli.display import Screen, choose, failure_line
from drsformer_cli.cli.tally import Tally
from drsformer_cli.cli.words import duration, number, printable
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started

HANDFUL = 5  # lines: a failure that lies further back is told again at the end


class Display(Screen[Tally]):
    """Shows a run on a console; this base says nothing but errors, as `-q` asks. A context manager."""

    def show(self, event: Event, scores: Sequence[str] = ()) -> None:
        """Show an event that the tally has taken already; `scores` say in words how good the result is."""

    def note(self, text: str) -> None:
        """Say something beside the events."""


class PlainDisplay(Display):
    """One line a picture, for logs and pipes."""

    def __init__(self, console: Console, tally: Tally, *, verbose: bool = False) -> None:
        super().__init__(console, tally, verbose=verbose)
        self._lines_since_failure: int | None = None

    def show(self, event: Event, scores: Sequence[str] = ()) -> None:
        """Write a line when a picture is through."""
        if isinstance(event, Started):
            return
        position = f"[{self.tally.ended}/{self.tally.total}{'+' if self.tally.more else ''}]"
        if isinstance(event, Done):
            words = (
                f"{number(event.megapixels)} MP",
                duration(event.record.seconds),
                *ways(event.record.plan),
                *scores,
            )
            self.line(f"{position} {event.task.name} -> {event.task.place} ({', '.join(words)})")
            self.notes(event)
        elif isinstance(event, Failed):
            self.line(f"{position} failed: {failure_line(event)}")
            self.details(event)
            self._lines_since_failure = self._lines_since_failure or 0
        elif self.verbose or scores:
            self.line(f"{position} {event.task.name}: {', '.join((event.reason, *scores))}")

    def notes(self, event: Done) -> None:
        """Say what could not be kept of a picture, and with -v how it was done."""
        for text in event.record.notes:
            self.line(f"  {event.task.name}: {text}")
        if self.verbose:
            plans = event.record.plan
            for plan in plans if isinstance(plans, list) else [plans]:
                words = ", ".join(f"{key} {value}" for key, value in plan.items())
                self.line(f"  {event.task.name}: {words}")

    def note(self, text: str) -> None:
        """Write a line."""
        self.line(text)

    def end(self) -> None:
        """Write the sums, then the failures unless all of them can still be seen above."""
        self.line(self.tally.sentence())
        since = self._lines_since_failure
        if since is None:
            super().end()
        elif since > HANDFUL:
            for failure in self.tally.failures:
                self.line(f"derain: {failure_line(failure)}")

    def line(self, text: str) -> None:
        """Write one line, and count it."""
        super().line(text)
        if self._lines_since_failure is not None:
            self._lines_since_failure += 1


def ways(plans: dict[str, Any] | list[dict[str, Any]]) -> list[str]:
    """Tell in words how a picture, or its frames, went through the model: whole or not, how precisely."""
    words = [
        word
        for plan in (plans if isinstance(plans, list) else [plans])
        if plan
        for word in (
            "whole" if plan["whole"] else "in tiles of {1} x {0}".format(*plan["tile"]),
            str(plan["precision"]),
        )
    ]
    return list(dict.fromkeys(words))


class LiveDisplay(PlainDisplay):
    """A line that moves, for terminals."""

    def __init__(self, console: Console, tally: Tally, *, verbose: bool = False) -> None:
        super().__init__(console, tally, verbose=verbose)
        self.progress: Progress = Progress(
            TaskProgressColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[pace]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
        )
        self._bar = self.progress.add_task("", total=tally.total, pace="")

    def show(self, event: Event, scores: Sequence[str] = ()) -> None:
        """Move the line; write above it what will matter later."""
        if scores and self.verbose:
            self.line(f"{event.task.name}: {', '.join(scores)}")
        if isinstance(event, Done):
            self.notes(event)
        elif isinstance(event, Skipped) and self.verbose:
            self.line(f"{event.task.name}: {event.reason}")
        left = self.tally.seconds_left()
        pace = f"{number(self.tally.speed())} MP/s" + (f", {duration(left)} left" if left is not None else "")
        self.progress.update(
            self._bar,
            completed=self.tally.ended,
            total=self.tally.total,
            pace=pace if self.tally.done else "",
        )
        if isinstance(event, Started):
            self.progress.update(self._bar, description=printable(event.task.name))


def display_for(tally: Tally, *, quiet: bool, verbose: bool) -> Display:
    """Return the display that standard error bears: nothing, a live line, or plain lines."""
    return choose(Display, LiveDisplay, PlainDisplay, tally, quiet=quiet, verbose=verbose)
