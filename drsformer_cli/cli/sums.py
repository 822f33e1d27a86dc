"""The sums that every run has, of pictures or of films, in words and as plain data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from drsformer_cli.cli.words import left_out
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.media.discover import OUTSIDE

#: What to do where all that was found are links.
LINKS = " Links that lead out of a folder are taken where a pattern matches them, such as 'links/*'."


class Sums:
    """The sums of a run over `total` things to do; `left_out` counts what the search passed over, by reason.

    `planned` counts what a dry run would do.
    """

    def __init__(self, total: int, left_out: Counter[str]) -> None:
        self.total, self.left_out = total, left_out
        self.done = self.planned = self.skipped = 0
        self.failures: list[Failed] = []
        self.interrupted = False
        self._start = time.perf_counter()

    def take_undone(self, event: Skipped | Failed) -> None:
        """Count what was not done."""
        if isinstance(event, Skipped):
            self.skipped += 1
        else:
            self.failures.append(event)

    @property
    def ended(self) -> int:
        """Return how many need no more work in this run."""
        return self.done + self.skipped + len(self.failures)

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._start

    def row_with(self, **own: Any) -> dict[str, Any]:
        """Return the last line of `--json`, with the sums of one kind of run."""
        return {
            "status": "summary",
            "done": self.done,
            "skipped": self.skipped,
            "failed": len(self.failures),
            "left_out": dict(self.left_out),
            **own,
            "seconds": round(self.elapsed(), 3),
            "interrupted": self.interrupted,
        }

    def sentence_of(self, parts: Sequence[str], nothing: str, pace: str, *, beside: str = "") -> str:
        """Return the run in one line.

        Args:
            parts: what was done, or would be.
            nothing: what is said instead where there is nothing to do.
            pace: what is said of the time.
            beside: where the results of earlier runs are.
        """
        words = list(parts) if self.total else [nothing]
        if self.skipped:
            words.append(f"{self.skipped} done before{beside}")
        if self.failures:
            words.append(f"{len(self.failures)} failed")
        text = ", ".join([*words, *left_out(self.left_out)]) + pace
        return f"{text}.{LINKS if not self.total and self.left_out[OUTSIDE] else ''}"
