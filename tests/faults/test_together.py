"""Two commands at one folder at once: the second says who is there, or both are safe."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Job
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.state import check_complete, check_nothing_half, records

#: Keeps a run busy until a file appears.
SLOW = """
import time
from pathlib import Path
from drsformer_cli.restore import restorer
real = restorer.Restorer.restore
def restore(self, rainy):
    while not Path({go!r}).exists():
        time.sleep(0.01)
    return real(self, rainy)
restorer.Restorer.restore = restore
"""


def wait_for(path: Path, *, filled: bool = False) -> None:
    """Wait until a file is there, or something in it."""
    end = time.monotonic() + 200
    while not path.exists() or (filled and not path.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.005)


def test_two_runs(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.trial("two runs into one folder, pictures") as told:
        out, go = tmp_path / "out", tmp_path / "go"
        words = [job.photos, "-o", out, *job.words]
        first = nursery.start(*words, before=SLOW.format(go=str(go)))
        wait_for(out / ".derain-manifest.lock", filled=True)  # it is held, and says by whom
        second = nursery.run(*words)
        assert second.status == 3
        assert re.search(rf"another run of derain \(process {first.pid} on \S+\) writes into", second.err)
        assert nursery.run(*words, "--dry-run").status == 0  # looking is allowed
        go.touch()
        assert first.wait().status == 0
        check_complete(out, job.expected)
        told.outcome = "second refused, and told who writes"


def check_races(nursery: Nursery, job: Job, ledger: Ledger, place: Path, trials: range) -> None:
    for trial in trials:
        rng, out = random.Random(trial), place / str(trial)
        with ledger.trial("two runs started at about the same time") as told:
            first = nursery.start(job.photos, "-o", out, *job.words)
            time.sleep(rng.uniform(0, 0.2))
            second = nursery.start(job.photos, "-o", out, *job.words)
            ended = [first.wait(), second.wait()]
            statuses = sorted(each.status for each in ended)
            assert statuses in ([0, 0], [0, 3]), [each.err for each in ended]
            check_complete(out, job.expected)
            assert set(records(out).values()) == {1}
            told.outcome = "one refused" if statuses[1] else "one after the other"


@pytest.mark.slow
def test_a_race(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_races(nursery, job, ledger, tmp_path, range(1))


@pytest.mark.slow
def test_races(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_races(nursery, job, ledger, tmp_path, range(100, 140))


@pytest.mark.slow
def test_shards_at_once(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    with ledger.trial("three shards into one folder at once") as told:
        out = tmp_path / "out"
        shards = [
            nursery.start(job.photos, "-o", out, "--shard", f"{index}/3", *job.words) for index in (1, 2, 3)
        ]
        assert [each.wait().status for each in shards] == [0, 0, 0]
        before = records(out)
        assert sum(before.values()) == len(job.expected)
        assert nursery.run(job.photos, "-o", out, *job.words).status == 0
        assert records(out) == before
        assert check_nothing_half(out, job.expected) == len(job.expected)
        told.outcome = "all done, nothing twice"


def test_an_evaluation_of_a_folder_that_is_written(
    nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path
) -> None:
    with ledger.trial("eval of a folder that a run writes into") as told:
        out = tmp_path / "out"
        child = nursery.start(job.photos, "-o", out, *job.words)
        wait_for(out / "00.png")
        counts = []
        while True:
            over = child.poll()
            ended = nursery.run("eval", "--gt", job.photos, "--pred", out, "--allow-missing", "--json")
            assert ended.status == 0, ended.err
            counts.append(ended.out.count('"status": "scored"'))
            if over:
                break
        assert counts == sorted(counts)
        assert counts[-1] == len(job.expected)
        assert child.wait().status == 0
        check_complete(out, job.expected)
        told.outcome = "whole pictures only, both end well"
