"""The sums of a run: how many pictures, how fast, how long still."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from drsformer_cli.cli.words import duration, left_out, number
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.media.discover import NO_PICTURE, OUTSIDE

#: What to do where all that was found are links.
LINKS = " Links that lead out of a folder are taken where a pattern matches them, such as 'links/*'."


@dataclass
class Tally:
    """The sums of a run. `left_out` counts what the search passed over, by reason; `total` is of pictures.

    `more` says that the search goes on and `total` will grow.
    `where` is the place of the results in words, empty if there is none to look into. `again` counts the
    results made again for settings that differ, by which and how.
    """

    total: int
    sizes: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    where: str = ""
    done: int = 0
    planned: int = 0
    skipped: int = 0
    again: Counter[str] = field(default_factory=Counter)
    failures: list[Failed] = field(default_factory=list)
    megapixels: float = 0.0
    interrupted: bool = False
    more: bool = False
    _start: float = field(default_factory=time.perf_counter)
    _begun: float | None = None
    _worked_bytes: int = 0
    _left_bytes: int = 0

    def __post_init__(self) -> None:
        self._left_bytes = sum(self.sizes.values())

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Started):
            self._begun = self._begun or time.perf_counter()
            return
        size = self.sizes.get(event.task.name, 0)
        self._left_bytes -= size
        if isinstance(event, Done):
            self.done += 1
            self.again.update([event.again] if event.again else [])
            self.megapixels += event.megapixels
            self._worked_bytes += size
        elif isinstance(event, Skipped):
            self.skipped += 1
        else:
            self.failures.append(event)

    @property
    def ended(self) -> int:
        """Return how many pictures need no more work in this run."""
        return self.done + self.skipped + len(self.failures)

    def of(self) -> str:
        """Return how many pictures there are, in words."""
        return f"{self.total}{' or more' if self.more else ''}"

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._start

    def worked(self) -> float:
        """Return the seconds since the first picture began; what came before was loading the model."""
        return time.perf_counter() - self._begun if self._begun else 0.0

    def speed(self) -> float:
        """Return megapixels a second since the first picture began."""
        worked = self.worked()
        return self.megapixels / worked if worked else 0.0

    def seconds_left(self) -> float | None:
        """Return a guess by the bytes of the files that are left, None before there is anything to go by."""
        if self._begun is None or not self._worked_bytes:
            return None
        return self.worked() * self._left_bytes / self._worked_bytes

    def sentence(self) -> str:
        """Return the run in one line."""
        into, beside = (f" into {self.where}", f" in {self.where}") if self.where else ("", "")
        parts = [
            f"{self.planned} to do" if self.planned else f"{self.done} restored{into if self.done else ''}"
        ]
        parts += [f"{count} of them again ({why})" for why, count in sorted(self.again.items())]
        if not self.total:
            parts = ["no pictures found"]
        if self.skipped:
            parts.append(f"{self.skipped} done before{'' if self.done or self.planned else beside}")
        if self.failures:
            parts.append(f"{len(self.failures)} failed")
        parts += left_out(self.left_out)
        text = ", ".join(parts)
        if not self.total and self.left_out[NO_PICTURE]:
            text += "; films are for `derain video`"
        if self.done:
            worked = duration(self.worked())
            text += f"; {number(self.megapixels)} megapixels in {worked}, {number(self.speed())} MP/s"
        return text + "." + (LINKS if not self.total and self.left_out[OUTSIDE] else "")
