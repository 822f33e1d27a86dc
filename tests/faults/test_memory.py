"""Too little memory: what does not fit is named, or done in smaller tiles; the others go on."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import Manifest
from tests.faults.conftest import Job, picture, sampled, write_pictures
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.state import check_complete, records, results, strays

MIB = 1 << 20
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are set as on Linux")
#: Raises what a device raises that is full, whenever the network is asked for the n-th time and `if` holds.
FULL = """
import torch
from drsformer_cli.restore import banded
real, calls = banded.Banded.__call__, 0
def call(self, picture):
    global calls
    calls += 1
    if {condition}:
        raise {error}
    return real(self, picture)
banded.Banded.__call__ = call
"""
STEPS = ["drsformer_cli.jobs.pipeline.decode", "drsformer_cli.jobs.pipeline.encode"]
ERRORS = {
    "cuda": "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')",
    "cpu": 'RuntimeError("[enforce fail] DefaultCPUAllocator: can\'t allocate memory")',
    "python": "MemoryError()",
}


def tile_of(out: Path, name: str) -> list[int] | None:
    """Return the tile that a result was made in, None for whole."""
    record = Manifest.load(out).record(name)
    assert record is not None
    assert isinstance(record.plan, dict)
    return None if record.plan["whole"] else record.plan["tile"]


def check_smaller_tiles(
    nursery: Nursery, model: list[str], ledger: Ledger, place: Path, error: str, trials: range
) -> None:
    """One call fails: that picture is done in tiles, and is what a run with those tiles makes of it."""
    photos = write_pictures(place / "photos", 4, (96, 128))
    assert nursery.run(photos, "-o", place / "whole", *model).status == 0
    whole = results(place / "whole")
    assert nursery.run(photos, "-o", place / "tiled", "--tile", "64", *model).status == 0
    tiled = results(place / "tiled")
    for trial in trials:
        out = place / f"{error}{trial}"
        at = random.Random(trial).randint(1, 4)
        with ledger.trial(f"out of memory amid the model ({error})") as told:
            before = FULL.format(condition=f"calls == {at}", error=ERRORS[error])
            ended = nursery.run(photos, "-o", out, *model, before=before)
            assert ended.status == 0, ended.err
            found = results(out)
            smaller = [name for name in whole if tile_of(out, name) is not None]
            assert len(smaller) == 1
            assert tile_of(out, smaller[0]) == tile_of(place / "tiled", smaller[0])
            for name in whole:
                assert found[name] == (tiled if name in smaller else whole)[name]
            told.outcome = "one picture in smaller tiles, as told in the manifest"


@pytest.mark.parametrize("error", sampled(ERRORS, "cuda"))
def test_once(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path, error: str) -> None:
    check_smaller_tiles(nursery, model, ledger, tmp_path, error, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_often(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path, error: str) -> None:
    check_smaller_tiles(nursery, model, ledger, tmp_path, error, range(100, 110))


@pytest.mark.slow
@pytest.mark.parametrize("error", sampled(ERRORS, "cpu"))
def test_one_picture_that_never_fits(
    nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, error: str
) -> None:
    """The memory is full for whatever belongs to the one large picture: the others are done."""
    with ledger.trial(f"never enough memory for one picture ({error})") as told:
        photos = write_pictures(tmp_path / "photos", len(job.expected))
        picture(photos / "large.png", 7, (200, 300))
        condition = "picture.shape[0] * picture.shape[1] > 2000"
        before = FULL.format(condition=condition, error=ERRORS[error])
        ended = nursery.run(photos, "-o", tmp_path / "out", *job.words, before=before)
        assert ended.status == 1, ended.err
        assert "large.png: 64 x 64 pixels at once do not fit in memory" in ended.err, ended.err
        assert results(tmp_path / "out") == job.expected
        again = nursery.run(photos, "-o", tmp_path / "out", *job.words)
        assert again.status == 0
        assert len(results(tmp_path / "out")) == len(job.expected) + 1
        told.outcome = "named, others done; then completed"


@pytest.mark.parametrize("step", sampled(STEPS, STEPS[-1]))
def test_out_of_memory_around_the_model(
    nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, step: str
) -> None:
    module, _, name = step.rpartition(".")
    before = (
        f"import {module} as module\nreal, calls = module.{name}, 0\n"
        "def full(*words, **options):\n    global calls\n    calls += 1\n"
        "    if calls == 4:\n        raise MemoryError\n    return real(*words, **options)\n"
        f"module.{name} = full\n"
    )
    with ledger.trial("out of memory in decoding or encoding") as told:
        ended = nursery.run(job.photos, "-o", tmp_path / "out", *job.words, before=before)
        assert ended.status == 1, ended.err
        assert "not enough memory for this picture" in ended.err
        assert len(results(tmp_path / "out")) == len(job.expected) - 1
        assert strays(tmp_path / "out") == []
        done = records(tmp_path / "out")
        assert nursery.run(job.photos, "-o", tmp_path / "out", *job.words).status == 0
        check_complete(tmp_path / "out", job.expected, done)
        told.outcome = "named, others done; then completed"


def check_limit(nursery: Nursery, model: list[str], ledger: Ledger, place: Path, rooms: list[int]) -> None:
    """Addresses run out, wherever that is: each picture is done as told in the manifest, or named."""
    photos = write_pictures(place / "photos", 4)
    picture(photos / "large.png", 7, (320, 480))
    assert nursery.run(photos, "-o", place / "whole", *model).status == 0
    whole = results(place / "whole")
    for room in rooms:
        out = place / f"out{room}"
        with ledger.trial("limit on the memory of the process") as told:
            ended = nursery.run(photos, "-o", out, "--json", *model, room=room * MIB, seconds=200)
            assert ended.status in (0, 1, 3), ended.err
            assert "Traceback" not in ended.err, ended.err
            assert "unexpected" not in ended.err, ended.err
            assert strays(out) == [] if out.exists() else True
            rows = [json.loads(line) for line in ended.out.splitlines()]
            for row in rows:
                name = Path(row.get("output", "")).relative_to(out).as_posix() if "output" in row else ""
                if row["status"] == "done" and row["plan"]["whole"]:
                    assert (out / name).read_bytes() == whole[name], name
            failed = [row["input"] for row in rows if row["status"] == "failed"]
            if ended.status == 1:
                assert failed
                assert all("memory" in row["reason"] for row in rows if row["status"] == "failed"), rows
            if ended.status == 3:
                assert "memory" in ended.err.splitlines()[-1], ended.err
            ways = {0: "done, in tiles where told", 1: "some named, others done", 3: "told what to do"}
            told.outcome = ways[ended.status] + ("; then completed" if ended.status else "")
            again = nursery.run(photos, "-o", out, *model)
            assert again.status == 0, again.err
            found = results(out)
            assert found.keys() == whole.keys()
            assert all(found[name] == whole[name] for name in whole if tile_of(out, name) is None)


@LINUX
def test_limit(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path) -> None:
    check_limit(nursery, model, ledger, tmp_path, [320])


@pytest.mark.slow
@LINUX
def test_limit_often(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path) -> None:
    check_limit(nursery, model, ledger, tmp_path, list(range(8, 400, 16)))
