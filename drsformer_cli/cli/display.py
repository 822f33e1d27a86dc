"""What all displays of a run have in common: safe lines, failures, a line that moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from drsformer_cli.cli.sums import Sums
from drsformer_cli.cli.words import printable, sentence
from drsformer_cli.jobs.events import Failed
from drsformer_cli.media.discover import CONVERTIBLE

D = TypeVar("D")
S = TypeVar("S", bound=Sums)


class Screen(Generic[S]):
    """Writes about a run, of which `tally` has the sums, to a console.

    A context manager, within which `progress` moves if there is any.
    """

    progress: Progress | None = None

    def __init__(self, console: Console, tally: S, *, verbose: bool = False) -> None:
        self.console, self.tally, self.verbose = console, tally, verbose

    def end(self) -> None:
        """Say why each failed one did."""
        for failure in self.tally.failures:
            self.line(f"derain: {failure_line(failure)}")
            self.details(failure)

    def passed_over(self, entries: Sequence[tuple[str, str]], unnamed: int) -> None:
        """Name what the search left out, each with its reason, with -v; `unnamed` are more than are named."""
        for name, reason in entries if self.verbose else ():
            kept = "; convert it to PNG, JPEG, WebP or TIFF first" if reason in CONVERTIBLE.values() else ""
            self.line(f"{name}: left out ({reason}){kept}.")
        if self.verbose and unnamed:
            self.line(f"Left out were {unnamed} more, which are not named.")

    def details(self, failure: Failed) -> None:
        """Write the traceback of a failure that nobody expected, with -v."""
        if self.verbose and failure.details:
            for line in failure.details.rstrip().split("\n"):
                self.line(f"  {line}")

    def line(self, text: str) -> None:
        """Write one line as it is: no markup, no wrapping, no control characters."""
        self.console.print(Text(printable(text)), soft_wrap=True)

    def __enter__(self) -> Screen[S]:
        if self.progress is not None:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the console as it was."""
        if self.progress is not None:
            self.progress.stop()


def failure_line(failure: Failed) -> str:
    """Return why an input failed, its name first unless the reason has it."""
    name = failure.task.name
    return sentence(failure.reason if name in failure.reason else f"{name}: {failure.reason}")


def choose(
    silent: Callable[..., D],
    live: Callable[..., D],
    plain: Callable[..., D],
    tally: Sums,
    *,
    quiet: bool,
    verbose: bool,
) -> D:
    """Return the display that standard error bears: nothing, a line that moves, or plain lines."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    moves = console.is_terminal and not console.is_dumb_terminal
    kind = silent if quiet else live if moves else plain
    return kind(console, tally, verbose=verbose)
