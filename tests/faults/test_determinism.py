"""Same input, model, device and plan: same bytes, whatever the order, the workers, or what came between."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Job
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.state import check_complete, records, results


def one_way(nursery: Nursery, job: Job, place: Path, rng: random.Random) -> str:
    """Do the pictures in parts and in an order of the generator's choice; return that in words."""
    out, parts = place / "out", rng.choice([1, 1, 2, 3])
    inputs = [path for path in sorted(job.photos.rglob("*.*")) if path.parent == job.photos]
    rng.shuffle(inputs)
    named = rng.random() < 0.5
    # the folder below keeps its place in the tree only when it is named as a folder
    words = [*inputs, job.photos / "deep"] if named else [job.photos]
    shards = [f"{index}/{parts}" for index in range(1, parts + 1)]
    rng.shuffle(shards)
    for shard in shards if parts > 1 else [None]:
        options = [] if shard is None else ["--shard", shard]
        if rng.random() < 0.5:
            child = nursery.start(*words, "-o", out, *options, *job.words)
            time.sleep(rng.uniform(0, 0.5))
            child.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            child.wait()
        before = records(out) if out.exists() else None
        ended = nursery.run(*words, "-o", out, *options, *job.words)
        assert ended.status == 0, ended.err
        assert before is None or all(records(out)[name] == count for name, count in before.items())
    found = {Path(name).name: data for name, data in results(out).items()}
    assert found == {Path(name).name: data for name, data in job.expected.items()}
    return "same bytes"


def check(nursery: Nursery, job: Job, ledger: Ledger, place: Path, trials: range) -> None:
    for trial in trials:
        with ledger.trial("order of inputs, shards, interruptions at will") as told:
            told.outcome = one_way(nursery, job, place / str(trial), random.Random(trial))


def test_any_way(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check(nursery, job, ledger, tmp_path, range(1))


@pytest.mark.slow
def test_any_way_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check(nursery, job, ledger, tmp_path, range(100, 150))


@pytest.mark.slow
def test_moved_together(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    """Inputs and results in another place, half done there: the rest is done, and all is the same."""
    with ledger.trial("moved to another place half-way") as told:
        shutil.copytree(job.photos, tmp_path / "one" / "photos")
        words = ["-o", "out", *job.words]
        assert nursery.run("photos", "--shard", "1/2", *words, cwd=tmp_path / "one").status == 0
        before = records(tmp_path / "one" / "out")
        assert 0 < len(before) < len(job.expected)
        (tmp_path / "one").rename(tmp_path / "two")
        assert nursery.run("photos", *words, cwd=tmp_path / "two").status == 0
        check_complete(tmp_path / "two" / "out", job.expected, before)
        told.outcome = "same bytes, nothing twice"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, workers: int) -> None:
    with ledger.trial("number of workers") as told:
        words = [job.photos, "-o", tmp_path / "out", "--workers", workers, *job.words]
        ended = nursery.run(*words, seconds=250)
        assert ended.status == 0, ended.err
        check_complete(tmp_path / "out", job.expected)
        told.outcome = "same bytes"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_stopped(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, number: int) -> None:
    with ledger.trial("workers, stopped amid the work") as told:
        words = [job.photos, "-o", tmp_path / "out", "--workers", 2, *job.words]
        child = nursery.start(*words)
        while not results(tmp_path / "out") and not child.poll():
            time.sleep(0.01)
        child.send_signal(number)
        assert "Traceback" not in child.wait().err
        before = records(tmp_path / "out")
        assert nursery.run(*words, seconds=250).status == 0
        check_complete(tmp_path / "out", job.expected, before)
        told.outcome = "completed, same bytes"
