"""Killed, ended and interrupted at any moment, and run again: as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import FILE_NAME
from tests.faults.conftest import COUNT, Job, sampled
from tests.faults.ledger import Ledger
from tests.faults.nursery import Child, Nursery, fresh
from tests.faults.state import check_complete, check_nothing_half, records, strays

NAMES = {signal.SIGKILL: "SIGKILL", signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
#: What a command may end with that was sent a signal: before it could take note, in order, or too late.
STATUSES = {
    signal.SIGKILL: {-signal.SIGKILL, 0},
    signal.SIGTERM: {-signal.SIGTERM, 143, 0},
    signal.SIGINT: {-signal.SIGINT, 130, 0},
}


def disturb(child: Child, number: int, out: Path, lines: int, delay: float) -> None:
    """Send a signal a moment after the manifest has so many lines, or at once if it has ended by then."""
    while manifest_lines(out) < lines and not child.poll():
        time.sleep(0.001)
    time.sleep(delay)
    child.send_signal(number)
    ended = child.wait()
    assert ended.status in STATUSES[signal.Signals(number)], ended.err
    begun = "__main__.py" in ended.err or "Traceback" not in ended.err  # else it came before the program
    assert not begun or "Traceback" not in ended.err, ended.err
    assert "unexpected" not in ended.err, ended.err


def manifest_lines(out: Path) -> int:
    try:
        return (out / FILE_NAME).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def disturb_pictures(nursery: Nursery, job: Job, out: Path, number: int, rng: random.Random) -> str:
    """Disturb one run after the other, and let the last one end; return how far the first ones came."""
    far = 0
    for _ in range(rng.choice([1, 1, 2])):
        child = nursery.start(job.photos, "-o", out, *job.words)
        disturb(child, number, out, rng.randint(0, 2 * COUNT), rng.uniform(0, 0.03))
        far = check_nothing_half(out, job.expected)
        if number != signal.SIGKILL and out.exists():
            assert strays(out) == []
    before = records(out) if out.exists() else None
    ended = nursery.run(job.photos, "-o", out, *job.words)
    assert ended.status == 0, ended.err
    check_complete(out, job.expected, before)
    return "none" if far == 0 else "all" if far == COUNT else "some"


def check_pictures(
    nursery: Nursery, job: Job, ledger: Ledger, place: Path, number: int, trials: range
) -> None:
    for trial in trials:
        with ledger.trial(f"{NAMES[signal.Signals(number)]}, pictures") as told:
            done = disturb_pictures(nursery, job, place / str(trial), number, random.Random(trial))
            told.outcome = f"stopped with {done} done, then completed"


@pytest.mark.parametrize("number", sampled(NAMES, signal.SIGTERM))
def test_pictures(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_pictures(nursery, job, ledger, tmp_path, number, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_pictures_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_pictures(nursery, job, ledger, tmp_path, number, range(100, 200))


def check_weights(
    nursery: Nursery, checkpoint: Path, ledger: Ledger, place: Path, number: int, trials: range
) -> None:
    for trial in trials:
        cache = place / str(trial)
        env = {"DERAIN_CACHE": str(cache)}
        words = ["weights", "import", checkpoint, "--name", "mine"]
        with ledger.trial(f"{NAMES[signal.Signals(number)]}, weights") as told:
            child = nursery.start(*words, env=env)
            time.sleep(random.Random(trial).uniform(0, 0.4))
            child.send_signal(number)
            ended = child.wait()
            assert ended.status in STATUSES[signal.Signals(number)], ended.err
            assert "__main__.py" not in ended.err, ended.err
            kept = (cache / "mine.safetensors").exists()
            if not kept:
                again = nursery.run(*words, env=env)
                assert again.status == 0, again.err
            assert nursery.run("weights", "verify", "mine", env=env).status == 0
            assert strays(cache) == [] or (kept and number == signal.SIGKILL)
            told.outcome = "kept whole" if kept else "not kept; then kept whole"


@pytest.mark.parametrize("number", sampled(NAMES))
def test_weights(nursery: Nursery, checkpoint: Path, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_weights(nursery, checkpoint, ledger, tmp_path, number, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_weights_often(
    nursery: Nursery, checkpoint: Path, ledger: Ledger, tmp_path: Path, number: int
) -> None:
    check_weights(nursery, checkpoint, ledger, tmp_path, number, range(100, 130))


def check_evaluation(
    nursery: Nursery, job: Job, ledger: Ledger, place: Path, number: int, trials: range
) -> None:
    """A report is there as a whole or not at all, and an older one stays until then."""
    for trial in trials:
        reports = [place / f"{trial}.{kind}" for kind in ("json", "html", "csv")]
        words = ["eval", "--gt", job.photos, "--pred", job.photos]
        older = ["eval", "--gt", job.photos / "deep", "--pred", job.photos / "deep"]
        asked = [word for report in reports for word in ("--report", report)]
        with ledger.trial(f"{NAMES[signal.Signals(number)]}, eval") as told:
            assert nursery.run(*older, *asked).status == 0
            before = [report.read_bytes() for report in reports]
            child = nursery.start(*words, *asked)
            time.sleep(random.Random(trial).uniform(0, 0.5))
            child.send_signal(number)
            ended = child.wait()
            assert ended.status in STATUSES[signal.Signals(number)], ended.err
            assert "__main__.py" not in ended.err, ended.err
            after = [report.read_bytes() for report in reports]
            assert nursery.run(*words, *asked).status == 0
            whole = [report.read_bytes() for report in reports]
            assert all(now in (old, new) for old, now, new in zip(before, after, whole, strict=True))
            assert number == signal.SIGKILL or strays(place) == []
            told.outcome = "older reports kept" if after == before else "reports whole"


@pytest.mark.parametrize("number", sampled(NAMES, signal.SIGTERM))
def test_evaluation(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_evaluation(nursery, job, ledger, tmp_path, number, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_evaluation_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_evaluation(nursery, job, ledger, tmp_path, number, range(100, 120))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_a_fresh_interpreter(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    """All of a process's life, with the interpreter's own beginning and end."""
    for trial in range(100, 108):
        rng, out = random.Random(trial), tmp_path / str(trial)
        with ledger.trial(f"{NAMES[signal.Signals(number)]}, fresh interpreter") as told:
            process = fresh(job.photos, "-o", out, *job.words, cwd=tmp_path)
            lines = rng.choice([0, 0, rng.randint(1, 2 * COUNT)])
            while manifest_lines(out) < lines and process.poll() is None:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.1 if lines else 8))
            process.send_signal(number)
            _, err = process.communicate(timeout=250)
            assert process.returncode in STATUSES[signal.Signals(number)], err
            far = check_nothing_half(out, job.expected)
            before = records(out) if out.exists() else None
            assert nursery.run(job.photos, "-o", out, *job.words).status == 0
            check_complete(out, job.expected, before)
            told.outcome = f"stopped with {'some' if far else 'none'} done, then completed"


WHILE_READING_WORDS = """
import os
from drsformer_cli.cli import app
real = app.PathsOrCommand.with_run
def with_run(self, words):
    os.kill(os.getpid(), {number})
    return real(self, words)
app.PathsOrCommand.with_run = with_run
"""
WHILE_LOADING = """
import sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == "drsformer_cli.cli.app":
            raise KeyboardInterrupt
del sys.modules["drsformer_cli.cli.app"]
sys.meta_path.insert(0, Interrupting())
"""


@pytest.mark.parametrize(
    ("before", "status"),
    [
        (WHILE_READING_WORDS.format(number=signal.SIGTERM.value), 143),
        (WHILE_READING_WORDS.format(number=signal.SIGINT.value), 130),
        (WHILE_LOADING, 130),
    ],
)
def test_before_any_work(nursery: Nursery, job: Job, ledger: Ledger, before: str, status: int) -> None:
    with ledger.trial("SIGTERM and Ctrl-C before any work") as told:
        ended = nursery.run(job.photos, *job.words, before=before)
        assert (ended.status, ended.err) == (status, "derain: interrupted.\n")
        assert not (job.photos.parent / "derained").exists()
        told.outcome = "said, with its own status"
