"""The whole campaign of hurt pictures: seeded, time-boxed; prints a table and what failed.

    python benchmarks/fuzz.py --seed 1 --trials 5000 --minutes 10 --keep failures/

Each trial is done in a process of its own kind, with 30 s and a limit of memory. The same seed makes the same
inputs; failures are printed with how to have them again, and kept with --keep.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz import pictures, seeds
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Table, cases, run


def main() -> int:
    """Run what the words ask for; the status is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--from", dest="sources", choices=["small", "torture"], default="small")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that fail")
    words = parser.parse_args()
    files = list(seeds.small().items()) if words.sources == "small" else list(seeds.torture())
    table = Table()
    with Cage(pictures.attempt) as cage:
        run(cage, cases(files, words.seed, words.trials), table, minutes=words.minutes, keep=words.keep)
    for case, outcome in table.failures:
        print(f"{case.name}, {case.attack}, seed {case.seed}: {outcome}")
    print(*table.lines(), sep="\n")
    return 1 if table.failures else 0


if __name__ == "__main__":
    sys.exit(main())
