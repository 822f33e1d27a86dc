"""Clocks that jump, and times of files that cannot be: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import FILE_NAME
from drsformer_cli.media import files
from tests.faults.conftest import Job, sampled
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.state import check_complete, records, results

DAY = 86400
#: Makes the clock of a process jump whenever it is looked at: seconds, and after how many looks.
JUMPS = """
import time
looks, real, real_ns = 0, time.time, time.time_ns
def offset():
    global looks
    looks += 1
    return sum(seconds for after, seconds in {jumps} if looks >= after)
time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
"""
TIMES = {"the future": 4e9, "1970": 0, "before 1970": -1e9, "the far future": 2**33}


@pytest.mark.parametrize("when", sampled(TIMES))
def test_times_of_inputs(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, when: str) -> None:
    with ledger.trial(f"inputs last changed in {when}") as told:
        photos, out = shutil.copytree(job.photos, tmp_path / "photos"), tmp_path / "out"
        for path in photos.rglob("*.*"):
            os.utime(path, (TIMES[when], TIMES[when]))
        assert nursery.run(photos, "-o", out, *job.words).status == 0
        check_complete(out, job.expected)
        before = records(out)
        again = nursery.run(photos, "-o", out, *job.words)
        assert again.status == 0
        check_complete(out, job.expected, before)
        told.outcome = "done, and not again"


@pytest.mark.parametrize("when", sampled(TIMES, "the future"))
def test_times_of_results(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, when: str) -> None:
    with ledger.trial(f"results and manifest copied, with times in {when}") as told:
        out = tmp_path / "out"
        assert nursery.run(job.photos, "-o", out, *job.words).status == 0
        for path in out.rglob("*"):
            os.utime(path, (TIMES[when], TIMES[when]))
        before = records(out)
        assert nursery.run(job.photos, "-o", out, *job.words).status == 0
        check_complete(out, job.expected, before)
        told.outcome = "not done again"


def check_jumps(nursery: Nursery, job: Job, ledger: Ledger, place: Path, trials: range) -> None:
    for trial in trials:
        rng, out = random.Random(trial), place / str(trial)
        with ledger.trial("clock jumps during and between runs") as told:
            for _ in range(2):
                span = rng.choice([60, DAY, 400 * DAY])
                jumps = [(rng.randint(1, 30), rng.choice([-span, span])) for _ in range(3)]
                words = [job.photos, "-o", out, *job.words]
                child = nursery.start(*words, before=JUMPS.format(jumps=jumps))
                before = records(out) if out.exists() else None
                assert child.wait().status == 0
                check_complete(out, job.expected, before)
            told.outcome = "done, and not again"


@pytest.mark.slow
def test_jumps(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_jumps(nursery, job, ledger, tmp_path, range(1))


@pytest.mark.slow
def test_jumps_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_jumps(nursery, job, ledger, tmp_path, range(100, 130))


@pytest.mark.slow
@pytest.mark.parametrize("ahead", sampled([-DAY, 0, DAY], DAY))
def test_what_a_killed_run_left(
    nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, ahead: int
) -> None:
    """A temporary file of a process that is dead goes, whatever the clock says of its age."""
    with ledger.trial("a killed run's leftover, times in past and future") as told:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        out = tmp_path / "out"
        (out / "deep").mkdir(parents=True)
        name = files.partial_name("0" * 16).replace(f"-{os.getpid()}-", f"-{dead.pid}-")
        (out / "deep" / name).write_bytes(b"half")
        os.utime(out / "deep" / name, (ahead + 1.8e9,) * 2)
        assert nursery.run(job.photos, "-o", out, *job.words).status == 0
        check_complete(out, job.expected)
        told.outcome = "cleared away"


@pytest.mark.slow
def test_a_shard_whose_clock_was_ahead(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    """Its results were replaced by a later run, which counts, whatever clocks say."""
    with ledger.trial("a shard's clock was ahead") as told:
        out = tmp_path / "out"
        assert (
            nursery.run(job.photos, "-o", out, "--shard", "1/2", "--strength", "0.5", *job.words).status == 0
        )
        shard = out / FILE_NAME.replace(".jsonl", ".1-of-2.jsonl")
        text = shard.read_text()
        for path in results(out):
            old = (out / path).stat().st_mtime_ns
            text = text.replace(f'"mtime_ns":{old}', f'"mtime_ns":{old + 10**18}')
            os.utime(out / path, ns=(old, old + 10**18))
        assert text != shard.read_text()
        shard.write_text(text)
        ended = nursery.run(job.photos, "-o", out, *job.words)
        assert ended.status == 0, ended.err
        assert results(out) == job.expected
        before = records(out)
        again = nursery.run(job.photos, "-o", out, *job.words)
        assert again.status == 0, again.err
        assert records(out) == before
        told.outcome = "the later result counts, and is not done again"
