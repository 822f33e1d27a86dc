"""Killed, ended and interrupted at any moment, and run again: as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import FILE_NAME
from tests.faults.conftest import COUNT, Job
from tests.faults.ledger import Ledger
from tests.faults.nursery import Child, Nursery
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


@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_pictures(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_pictures(nursery, job, ledger, tmp_path, number, range(3))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_pictures_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_pictures(nursery, job, ledger, tmp_path, number, range(100, 200))
