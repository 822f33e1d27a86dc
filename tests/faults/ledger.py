"""The account of all trials: which fault, what came of it, what was lost."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

#: Names a file to which each trial is added as a line of JSON, so that a campaign can be run in pieces.
VARIABLE = "DERAIN_FAULTS"


@dataclass
class Trial:
    """One fault brought about; `lost` counts files that were lost, half, wrong or done twice."""

    fault: str
    outcome: str = "as undisturbed"
    lost: int = 0


class Ledger:
    """Collects trials; a trial whose checks fail is in it as what it is."""

    def __init__(self, path: Path | None = None) -> None:
        self.trials: list[Trial] = []
        self._path = path

    @contextmanager
    def trial(self, fault: str) -> Iterator[Trial]:
        """Count one trial; the block checks it, and says its outcome. What is broken off does not count."""
        trial = Trial(fault)
        try:
            yield trial
        except Exception as error:
            trial.outcome, trial.lost = f"FAILED: {type(error).__name__}", max(1, trial.lost)
            self._enter(trial)
            raise
        self._enter(trial)

    def _enter(self, trial: Trial) -> None:
        self.trials.append(trial)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial)) + "\n")


def read(path: Path) -> list[Trial]:
    """Return the trials that were added to a file."""
    return [Trial(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def table(trials: Iterable[Trial]) -> str:
    """Return a table in Markdown: a row for each fault, with how often what came of it."""
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    lost: Counter[str] = Counter()
    for trial in trials:
        outcomes[trial.fault][trial.outcome] += 1
        lost[trial.fault] += trial.lost
    lines = ["| fault | trials | outcomes | lost |", "|---|---|---|---|"]
    for fault, counts in sorted(outcomes.items()):
        words = "; ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        lines.append(f"| {fault} | {counts.total()} | {words} | {lost[fault] or 'nothing'} |")
    total = sum(counts.total() for counts in outcomes.values())
    lines.append(f"| all | {total} | | {lost.total() or 'nothing'} |")
    return "\n".join(lines)
