"""Many attacks one after the other, seeded and time-boxed, and the table of what became of them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.cage import CRASH, ESCAPED, HANG, Cage
from tests.fuzz.mutate import ATTACKS, mutate

COLUMNS = ("attack", "trials", "whole", "refused", "crashes", "hangs over 30 s", "half outputs", "other")


@dataclass(frozen=True)
class Case:
    """One hurt file: made by `attack` from `name`, again the same for the same `seed`."""

    name: str
    attack: str
    seed: str
    data: bytes = field(repr=False)


@dataclass
class Table:
    """Counts outcomes by attack; what is no "whole" and no "refused" is kept as a failure."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[tuple[Case, str]] = field(default_factory=list)

    def take(self, case: Case, outcome: str) -> None:
        """Count one outcome."""
        word = outcome.split(":")[0].split(" (")[0]
        self.rows.setdefault(case.attack, Counter())[word] += 1
        if word not in ("whole", "refused"):
            self.failures.append((case, outcome))

    @property
    def trials(self) -> int:
        """How many there were."""
        return sum(row.total() for row in self.rows.values())

    def lines(self) -> Iterator[str]:
        """The table in Markdown, its sums last."""
        yield "| " + " | ".join(COLUMNS) + " |"
        yield "|---|" + "---:|" * (len(COLUMNS) - 1)
        for name, row in [*sorted(self.rows.items()), ("all", sum(self.rows.values(), Counter[str]()))]:
            known = [row[word] for word in ("whole", "refused", CRASH, HANG, "half")]
            cells = [row.total(), *known, row.total() - sum(known)]
            yield f"| {name} | " + " | ".join(f"{cell:,}" for cell in cells) + " |"


def cases(sources: Sequence[tuple[str, bytes]], seed: int, count: int) -> Iterator[Case]:
    """`count` hurt files: each attack in turn, on files taken at random."""
    attacks = list(ATTACKS)
    for number in range(count):
        word = f"{seed}/{number}"
        rng = random.Random(f"choice {word}")
        name, data = rng.choice(sources)
        # half of the time another file of the same kind, so that a splice goes deeper than the header
        alike = [each for each in sources if Path(each[0]).suffix.lower() == Path(name).suffix.lower()]
        other = rng.choice(alike if rng.random() < 0.5 else sources)[1]
        attack = attacks[number % len(attacks)]
        yield Case(name, attack, word, mutate(attack, data, other, word))


def edited(
    attack: str, name: str, make: Callable[[random.Random], bytes], seed: int, count: int
) -> Iterator[Case]:
    """`count` files that are hurt in a way of their own."""
    for number in range(count):
        word = f"{seed}/{number}"
        yield Case(name, attack, word, make(random.Random(word)))


def run(cage: Cage, hurt: Iterable[Case], table: Table, *, minutes: float, keep: Path | None = None) -> None:
    """Try cases until they or the time run out; inputs that fail are kept in a folder."""
    end = time.monotonic() + 60 * minutes
    for case in hurt:
        if time.monotonic() > end:
            break
        outcome = cage(case.name, case.data)
        table.take(case, outcome)
        if keep is not None and table.failures and table.failures[-1][0] is case:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{case.seed.replace('/', '-')}-{case.name.replace(' ', '_')}").write_bytes(case.data)


__all__ = ["CRASH", "ESCAPED", "HANG", "Case", "Table", "cases", "edited", "run"]
