"""Inputs that go, come, grow, shrink or change at any moment: told by name, and never mixed in a result."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from tests.faults.changes import CHANGES
from tests.faults.conftest import Job, picture, sampled
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.state import results, strays

#: Does something to the k-th input that is read, at a step of reading it.
MEDDLE = """
import os
from pathlib import Path
from drsformer_cli.jobs import source
real, count = source.os.fstat, 0
class Meddling:
    def __getattr__(self, name):
        return getattr(os, name)
    @staticmethod
    def fstat(number):
        global count
        status = real(number)
        count += 1
        if count == {at}:
            path = Path(os.readlink("/proc/self/fd/%d" % number))
            {action}
        return status
source.os = Meddling()
"""
#: Does something to an input when the listing is done and the first picture is about to be read.
BEFORE = """
from pathlib import Path
from drsformer_cli.jobs import pipeline
real, done = pipeline.read_input, False
def meddle(task):
    global done
    if not done:
        done = True
        path = Path({path!r})
        {action}
    return real(task)
pipeline.read_input = meddle
"""
ACTION = "from tests.faults.changes import CHANGES; CHANGES[{what!r}](path, Path({other!r}))"


@pytest.fixture
def photos(job: Job, tmp_path: Path) -> Path:
    """Return a copy of the pictures, last changed long ago."""
    shutil.copytree(job.photos, tmp_path / "photos")
    for path in (tmp_path / "photos").rglob("*.*"):
        os.utime(path, (1e9, 1e9))
    return tmp_path / "photos"


def check_settled(nursery: Nursery, job: Job, photos: Path, out: Path, gone: set[str]) -> None:
    """Run again now that nothing changes any more, and compare with a run that nothing ever disturbed."""
    ended = nursery.run(photos, "-o", out, *job.words)
    settled = out.with_name(out.name + "-settled")
    undisturbed = nursery.run(photos, "-o", settled, *job.words)
    assert ended.status == undisturbed.status, ended.err
    found = results(out)
    for name, data in results(settled).items():
        assert found.pop(name) == data, name
    assert set(found) <= gone  # what was done before its input went, or went bad
    assert strays(out) == []


@pytest.mark.parametrize("what", sampled(CHANGES, "is rewritten"))
def test_while_it_is_read(
    nursery: Nursery, job: Job, ledger: Ledger, photos: Path, tmp_path: Path, what: str
) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("a file's name is found through /proc here")
    other = picture(tmp_path / "other.bmp", 99)
    action = ACTION.format(what=what, other=str(other))
    with ledger.trial(f"an input {what} while it is read") as told:
        before = MEDDLE.format(at=3, action=action)
        ended = nursery.run(photos, "-o", tmp_path / "out", *job.words, before=before)
        assert "Traceback" not in ended.err, ended.err
        found = results(tmp_path / "out")
        whole = what in ("vanishes", "is replaced")  # what was opened is still read to its end
        assert ended.status == (0 if whole else 1), ended.err
        assert whole or "was changed while it was read" in ended.err
        assert len(found) == len(job.expected) - (not whole)
        assert all(job.expected[name] == data for name, data in found.items())
        check_settled(nursery, job, photos, tmp_path / "out", set(job.expected))
        told.outcome = "as it was when opened; then as it is" if whole else "named; then as it is"


@pytest.mark.slow
@pytest.mark.parametrize("what", sampled(CHANGES, "shrinks"))
def test_before_it_is_read(
    nursery: Nursery, job: Job, ledger: Ledger, photos: Path, tmp_path: Path, what: str
) -> None:
    other = picture(tmp_path / "other.bmp", 99)
    action = ACTION.format(what=what, other=str(other))
    with ledger.trial(f"an input {what} after it is listed") as told:
        before = BEFORE.format(path=str(photos / "04.bmp"), action=action)
        ended = nursery.run(photos, "-o", tmp_path / "out", *job.words, before=before)
        assert "Traceback" not in ended.err, ended.err
        bad = what in ("vanishes", "shrinks")
        assert ended.status == bad, ended.err
        assert not bad or "04.bmp" in ended.err
        assert len(results(tmp_path / "out")) == len(job.expected) - bad
        check_settled(nursery, job, photos, tmp_path / "out", set())
        told.outcome = "named; then as it is" if bad else "as it is"


@pytest.mark.slow
def test_the_folder_goes_away(
    nursery: Nursery, job: Job, ledger: Ledger, photos: Path, tmp_path: Path
) -> None:
    with ledger.trial("the folder of inputs is renamed away") as told:
        action = f"path.rename({str(tmp_path / 'elsewhere')!r})"
        before = BEFORE.format(path=str(photos), action=action)
        ended = nursery.run(photos, "-o", tmp_path / "out", *job.words, before=before)
        assert ended.status == 1, ended.err
        assert "No such file" in ended.err
        (tmp_path / "elsewhere").rename(photos)
        check_settled(nursery, job, photos, tmp_path / "out", set())
        assert results(tmp_path / "out") == job.expected
        told.outcome = "each named; then completed"


def meddle(photos: Path, others: list[Path], rng: random.Random, stop: threading.Event) -> None:
    """Do things to inputs until told to stop."""
    while not stop.wait(rng.uniform(0, 0.01)):
        path, other = rng.choice(sorted(photos.rglob("*.*"))), rng.choice(others)
        CHANGES[rng.choice(sorted(CHANGES))](path, other)
        if not path.exists():
            shutil.copy(other, path)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(60))
def test_at_any_moment(
    nursery: Nursery, job: Job, ledger: Ledger, photos: Path, tmp_path: Path, trial: int
) -> None:
    (tmp_path / "others").mkdir()
    others = [picture(tmp_path / "others" / f"{index}.bmp", 200 + index) for index in range(3)]
    with ledger.trial("inputs change all the time") as told:
        stop = threading.Event()
        thread = threading.Thread(target=meddle, args=(photos, others, random.Random(trial), stop))
        thread.start()
        try:
            ended = nursery.run(photos, "-o", tmp_path / "out", *job.words)
        finally:
            stop.set()
            thread.join()
        assert ended.status in (0, 1), ended.err
        assert "Traceback" not in ended.err, ended.err
        check_settled(nursery, job, photos, tmp_path / "out", set(job.expected))
        told.outcome = "told by name where not whole; then as they are"
