"""What happens to each picture, as told by the loop to whoever shows or records it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from drsformer_cli.errors import DerainError
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Record


@dataclass(frozen=True)
class Started:
    """The model begins with a picture."""

    task: Task


@dataclass(frozen=True)
class Done:
    """A result stands complete at its place; `sizes` are (height, width) of its frames in pixels, upright.

    `again` says in words which settings of the earlier result in its place were others.
    """

    task: Task
    record: Record
    sizes: tuple[tuple[int, int], ...]
    again: str = ""

    @property
    def megapixels(self) -> float:
        """Return the millions of pixels of all frames."""
        return sum(height * width for height, width in self.sizes) / 1e6


@dataclass(frozen=True)
class Skipped:
    """A picture is left as it is, for this reason."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Failed:
    """A picture could not be done.

    `kind` is the name of the error; `details` a traceback where nobody expected the error. The exception
    itself is not kept: it would keep the pixels of the failed picture in memory.
    """

    task: Task
    kind: str
    reason: str
    details: str | None = None

    @classmethod
    def because(cls, task: Task, error: Exception) -> Failed:
        """Put an error into words fit for a user."""
        return cls(task, *words_for(error))


def words_for(error: Exception) -> tuple[str, str, str | None]:
    """Return the kind, reason and details that `Failed` tells of an error."""
    kind = type(error).__name__
    if isinstance(error, DerainError):
        return kind, str(error), None
    if isinstance(error, MemoryError):
        return kind, "there is not enough memory for this picture; close other programs.", None
    if isinstance(error, OSError) and error.strerror:
        return kind, f"{error.strerror}.", None
    details = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return kind, f"unexpected {kind}: {error}", details


Event = Started | Done | Skipped | Failed
