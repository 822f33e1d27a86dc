"""The whole campaign of hurt files: seeded, time-boxed; prints a table and what failed.

    python benchmarks/fuzz.py --what small --seed 1 --trials 5000 --minutes 10 --keep failures/

Each trial is done in a process of its own kind, with 30 s and a limit of memory. The same seed makes the same
inputs; failures are printed with how to have them again, and kept with --keep.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from safetensors.torch import save

from tests.fuzz import checkpoints, crews, films, pictures, seeds, trainings
from tests.fuzz.cage import MEMORY_LIMIT, Cage
from tests.fuzz.campaign import Case, Table, cases, edited, run
from tests.fuzz.test_records import KINDS as RECORDS
from tests.media.clips import pattern
from tests.media.clips import run as ffmpeg
from tests.weights.samples import PLAIN, tiny

Sources = Sequence[tuple[str, bytes]]
Work = Callable[[str, bytes], str]


def checkpoint(name: str, data: bytes) -> str:
    """Read a checkpoint."""
    return checkpoints.attempt(data, Path(name).suffix)


def record(kind: str, data: bytes) -> str:
    """Use a record that was edited."""
    return RECORDS[kind][2](data)


def make_films() -> Sources:
    """A short film of every kind."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix, words in films.KINDS.items():
            ffmpeg(*pattern(0.4, 20, "32x32"), *words, Path(folder) / f"a.{suffix}")
        return [(path.name, path.read_bytes()) for path in sorted(Path(folder).iterdir())]


def make_checkpoints() -> Sources:
    """The same small model in both formats."""
    small = PLAIN.with_name("tiny_biasfree.pth")
    return [("m.pth", small.read_bytes()), ("m.safetensors", save(tiny(small)))]


def lying(seed: int, count: int) -> Iterator[Case]:
    """Checkpoints whose headers lie."""
    sound = make_checkpoints()[1][1]
    return edited("headers that lie", "m.safetensors", partial(checkpoints.lie, sound), seed, count)


def records(seed: int, count: int) -> Iterator[Case]:
    """Records of every kind, edited by hand."""
    for kind, (make, edit, _) in RECORDS.items():

        def hurt(rng: random.Random, sound: bytes = make(), edit: Callable[..., bytes] = edit) -> bytes:
            return edit(sound, rng)

        yield from edited(f"edited by hand: {kind}", kind, hurt, seed, count // len(RECORDS))


def work(seed: int, count: int) -> Iterator[Case]:
    """Films in work, edited by hand."""
    return edited("work edited by hand", "a film in work", crews.edit_work, seed, count)


def states(seed: int, count: int) -> Iterator[Case]:
    """Checkpoints of a training: hurt as all files, and such that lie."""
    sources = [("checkpoint.pt", trainings.sound())]
    yield from cases(sources, seed, count // 2)
    yield from edited("states that lie", "checkpoint.pt", trainings.lie, seed, count - count // 2)


def hurt_by(sources: Callable[[], Sources]) -> Callable[[int, int], Iterator[Case]]:
    """All attacks on some files."""
    return lambda seed, count: cases(sources(), seed, count)


KINDS: dict[str, tuple[Work, Callable[[int, int], Iterator[Case]]]] = {
    "small": (pictures.attempt, hurt_by(lambda: list(seeds.small().items()))),
    "torture": (pictures.attempt, hurt_by(lambda: list(seeds.torture()))),
    "films": (films.look, hurt_by(make_films)),
    "films-whole": (films.redo, hurt_by(make_films)),
    "films-workers": (crews.redo, hurt_by(make_films)),
    "films-work": (crews.go_on, work),
    "checkpoints": (checkpoint, hurt_by(make_checkpoints)),
    "trainings": (trainings.go_on, states),
    "headers": (checkpoint, lying),
    "records": (record, records),
}
#: Bytes of address space where the usual limit is too low: threads reserve far more than they use.
MEMORY = {"films-workers": crews.MEMORY, "films-work": crews.MEMORY}


def main() -> int:
    """Run what the words ask for; the status is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=KINDS, default="small")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--keep", type=Path, help="a folder for inputs that fail")
    words = parser.parse_args()
    work, make = KINDS[words.what]
    table = Table()
    with Cage(work, memory=MEMORY.get(words.what, MEMORY_LIMIT)) as cage:
        run(cage, make(words.seed, words.trials), table, minutes=words.minutes, keep=words.keep)
    for case, outcome in table.failures:
        print(f"{case.name}, {case.attack}, seed {case.seed}: {outcome}")
    print(*table.lines(), sep="\n")
    return 1 if table.failures else 0


if __name__ == "__main__":
    sys.exit(main())
