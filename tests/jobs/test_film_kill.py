"""A film killed at any moment and run again: byte for byte what an undisturbed run makes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drsformer_cli.jobs.film_work import MANIFEST
from tests.media.clips import X264, pattern, run, tone

ROOT = Path(__file__).parents[2]
PICTURES = 150
RUN = """
import os, sys, time
from pathlib import Path
from drsformer_cli.jobs import film_finish, film_plan, film_work
from tests.jobs.films import Negative, restore

class Slow(Negative):
    def restore(self, rainy):
        time.sleep(0.008)
        return super().restore(rainy)

film_plan.LEAST = film_plan.MOST = 12
moment = sys.argv[3] if len(sys.argv) > 3 else ""

def dying(module, name, before):
    # ends the process, as a kill would, at a moment that a kill would hardly ever meet
    real = getattr(module, name)
    def die(*words, **options):
        if not before:
            real(*words, **options)
        os._exit(9)
    setattr(module, name, die)

if moment == "segment written":
    real, count = film_work.os.fsync, 0
    def fsync(number):
        global count
        count += 1
        if count == 8:
            os._exit(9)
        real(number)
    film_work.os.fsync = fsync
if moment in ("joining", "joined"):
    dying(film_finish, "join", moment == "joining")
if moment in ("finishing", "finished"):
    dying(film_finish, "finish", moment == "finishing")
if moment in ("placing", "placed"):
    dying(film_finish, "place_finished", moment == "placing")
print("ready", flush=True)
events = restore(Path(sys.argv[1]), Path(sys.argv[2]), Slow())
"""


def start(*words: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "rainy.mp4"
    words = [*pattern(PICTURES / 25), *tone(440, PICTURES / 25), *X264, "-g", 40, "-bf", 3, "-c:a", "aac"]
    run(*words, path)
    return path


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """Return the film of a run nobody disturbed, and the seconds it took."""
    out = tmp_path_factory.mktemp("whole") / "out.mp4"
    with start(source, out) as process:
        began = time.perf_counter()
        assert process.wait(100) == 0
    return out.read_bytes(), time.perf_counter() - began


def segments(out: Path) -> int:
    """Return how many segments the work folder records."""
    path = out.parent / f".{out.name}.derain-work" / MANIFEST
    return path.read_bytes().count(b'{"segment"') if path.exists() else 0


def finish(source: Path, out: Path, expected: bytes) -> None:
    """Run to the end, and compare."""
    with start(source, out) as process:
        assert process.wait(100) in (0, 1)  # done, or done before
    assert out.read_bytes() == expected
    with start(source, out) as process:  # a leftover of the last moment goes away at the latest now
        process.wait(100)
    assert {path.name for path in out.parent.iterdir()} == {out.name, ".derain-manifest.jsonl"}


@pytest.mark.parametrize(
    "moment", ["segment written", "joining", "joined", "finishing", "finished", "placing", "placed"]
)
def test_killed_between_two_steps(
    source: Path, whole: tuple[bytes, float], tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "out.mp4"
    with start(source, out, moment) as process:
        assert process.wait(100) == 9
    assert out.exists() == (moment == "placed")
    assert segments(out) == (2 if moment == "segment written" else 13)
    finish(source, out, whole[0])


def check(source: Path, whole: tuple[bytes, float], tmp_path: Path, trials: range) -> None:
    expected, seconds = whole
    amid = 0
    for trial in trials:
        rng = random.Random(trial)
        out = tmp_path / str(trial) / "out.mp4"
        out.parent.mkdir()
        for _ in range(rng.choice([1, 1, 2])):
            with start(source, out) as process:
                time.sleep(rng.uniform(0.1, 0.8) * seconds)
                process.kill()
            amid += 0 < segments(out) < 13
        assert not out.exists() or out.read_bytes() == expected
        finish(source, out, expected)
    assert amid >= len(trials) // 2, "the kills came too early or too late to show anything"


def test_killed_and_run_again(source: Path, whole: tuple[bytes, float], tmp_path: Path) -> None:
    check(source, whole, tmp_path, range(2))


@pytest.mark.slow
def test_killed_and_run_again_often(source: Path, whole: tuple[bytes, float], tmp_path: Path) -> None:
    check(source, whole, tmp_path, range(100, 120))
