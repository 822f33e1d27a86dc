"""The sums of a run: how many pictures, how fast, how long still."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from drsformer_cli.cli.sums import Sums
from drsformer_cli.cli.words import duration, number
from drsformer_cli.jobs.events import Done, Event, Started
from drsformer_cli.media.discover import NO_PICTURE


class Tally(Sums):
    """The sums of a run over pictures; `sizes` are the bytes of each, by name, as far as they are known.

    `more` says that the search goes on and `total` will grow.
    `where` is the place of the results in words, empty if there is none to look into. `again` counts the
    results made again for settings that differ, by which and how.
    """

    def __init__(
        self,
        total: int,
        sizes: Mapping[str, int] | None = None,
        left_out: Counter[str] | None = None,
        where: str = "",
    ) -> None:
        super().__init__(total, Counter() if left_out is None else left_out)
        self.where, self.more = where, False
        self.again: Counter[str] = Counter()
        self.megapixels = 0.0
        self._sizes = sizes or {}
        self._begun: float | None = None
        self._worked_bytes, self._left_bytes = 0, sum(self._sizes.values())

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Started):
            self._begun = self._begun or time.perf_counter()
            return
        size = self._sizes.get(event.task.name, 0)
        self._left_bytes -= size
        if isinstance(event, Done):
            self.done += 1
            self.again.update([event.again] if event.again else [])
            self.megapixels += event.megapixels
            self._worked_bytes += size
        else:
            self.take_undone(event)

    def of(self) -> str:
        """Return how many pictures there are, in words."""
        return f"{self.total}{' or more' if self.more else ''}"

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

    def row(self) -> dict[str, Any]:
        """Return the last line of `--json`: how many, how fast."""
        return self.row_with(again=dict(self.again), megapixels=round(self.megapixels, 3))

    def sentence(self) -> str:
        """Return the run in one line."""
        into, beside = (f" into {self.where}", f" in {self.where}") if self.where else ("", "")
        parts = [
            f"{self.planned} to do" if self.planned else f"{self.done} restored{into if self.done else ''}"
        ]
        parts += [f"{count} of them again ({why})" for why, count in sorted(self.again.items())]
        pace = ""
        if not self.total and self.left_out[NO_PICTURE]:
            pace = "; films are for `derain video`"
        if self.done:
            worked = duration(self.worked())
            pace = f"; {number(self.megapixels)} megapixels in {worked}, {number(self.speed())} MP/s"
        beside = "" if self.done or self.planned else beside
        return self.sentence_of(parts, "no pictures found", pace, beside=beside)
