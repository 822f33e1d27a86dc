"""A disk that is full at any moment: said in a sentence, nothing half, and all is done once there is room."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.conftest import Job, sampled, write_pictures
from tests.faults.disks import disk
from tests.faults.ledger import Ledger
from tests.faults.nursery import Ended, Nursery
from tests.faults.state import check_complete, check_nothing_half, records, results, strays

ROOM = 1 << 14  # KiB


def check_told(ended: Ended, status: int = 3) -> None:
    """Check that a command said in one sentence that the disk is full."""
    assert ended.status == status, ended.err
    said = [line for line in ended.err.splitlines() if line.startswith("derain: ")]
    assert "the disk is full" in said[-1], ended.err
    assert "Traceback" not in ended.err
    assert "unexpected" not in ended.err


def fill_and_go_on(nursery: Nursery, job: Job, out: Path, kib: int, files: int) -> str:
    with disk(out, kib, files) as place:
        ended = nursery.run(job.photos, "-o", out, *job.words)
        far = check_nothing_half(out, job.expected)
        assert strays(out) == []
        if ended.status:
            check_told(ended)
        before = records(out)
        place.resize(ROOM)
        again = nursery.run(job.photos, "-o", out, *job.words)
        assert again.status == 0, again.err
        check_complete(out, job.expected, before)
        return (
            "enough room"
            if not ended.status
            else f"told with {'some' if far else 'none'} done, then completed"
        )


def check_pictures(nursery: Nursery, job: Job, ledger: Ledger, place: Path, trials: range) -> None:
    for trial in trials:
        rng = random.Random(trial)
        kib, files = (4 * rng.randint(1, 14), 0) if trial % 3 else (ROOM, rng.randint(1, 20))
        with ledger.trial("full disk, pictures") as told:
            told.outcome = fill_and_go_on(nursery, job, place / str(trial), kib, files)


def test_pictures(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_pictures(nursery, job, ledger, tmp_path, range(1, 2))


@pytest.mark.slow
def test_pictures_often(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path) -> None:
    check_pictures(nursery, job, ledger, tmp_path, range(100, 200))


def check_manifest(
    nursery: Nursery, model: list[str], ledger: Ledger, place: Path, names: int, kibs: list[int]
) -> None:
    """The results have a disk of their own, with room; that of the manifest gets full."""
    for index in range(24):
        name = f"{index:02}{'x' * names}.png"
        write_pictures(place / "one" / "deep", 1, seed=index).joinpath("00.png").rename(place / "one" / name)
    (place / "one" / "deep").rmdir()
    (place / "photos").mkdir()
    photos = (place / "one").rename(place / "photos" / "deep").parent
    assert nursery.run(photos, "-o", place / "whole", *model).status == 0
    expected = results(place / "whole")
    for kib in kibs:
        out = place / f"out{kib}"
        with (
            ledger.trial("full disk, manifest") as told,
            disk(out, kib) as small,
            disk(out / "deep", ROOM),
        ):
            ended = nursery.run(photos, "-o", out, *model)
            far = check_nothing_half(out, expected)
            assert strays(out) == []
            check_told(ended)
            before = records(out)
            small.resize(ROOM)
            again = nursery.run(photos, "-o", out, *model)
            assert again.status == 0, again.err
            check_complete(out, expected, before)
            told.outcome = f"told with {'some' if far else 'none'} done, then completed"


@pytest.mark.slow
def test_manifest(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path) -> None:
    check_manifest(nursery, model, ledger, tmp_path, 40, [8])


@pytest.mark.slow
def test_manifest_often(nursery: Nursery, model: list[str], ledger: Ledger, tmp_path: Path) -> None:
    for names in (1, 20, 60, 100, 150):
        check_manifest(nursery, model, ledger, tmp_path / str(names), names, [4, 8, 12])


def check_weights(nursery: Nursery, checkpoint: Path, ledger: Ledger, place: Path, trials: range) -> None:
    most = checkpoint.stat().st_size // 1024
    for trial in trials:
        rng = random.Random(trial)
        kib, files = (rng.randint(4, 3 * most), 0) if trial % 3 else (ROOM, rng.randint(1, 6))
        cache = place / str(trial)
        env = {"DERAIN_CACHE": str(cache)}
        words = ["weights", "import", checkpoint, "--name", "mine"]
        with ledger.trial("full disk, weights") as told, disk(cache, kib, files) as small:
            ended = nursery.run(*words, env=env)
            if ended.status:
                check_told(ended)
                assert results(cache) == {}
                assert nursery.run("weights", "where", "mine", env=env).status == 3
                small.resize(ROOM)
                again = nursery.run(*words, env=env)
                assert again.status == 0, again.err
                told.outcome = "told with nothing kept, then completed"
            else:
                told.outcome = "enough room"
            assert nursery.run("weights", "verify", "mine", env=env).status == 0
            assert strays(cache) == []
            assert len(results(cache)) == 2


@pytest.mark.slow
def test_weights(nursery: Nursery, checkpoint: Path, ledger: Ledger, tmp_path: Path) -> None:
    check_weights(nursery, checkpoint, ledger, tmp_path, range(1))


@pytest.mark.slow
def test_weights_often(nursery: Nursery, checkpoint: Path, ledger: Ledger, tmp_path: Path) -> None:
    check_weights(nursery, checkpoint, ledger, tmp_path, range(100, 150))


@pytest.mark.slow
@pytest.mark.parametrize("kind", sampled(["json", "csv"], "json"))
def test_report_of_a_run(nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, kind: str) -> None:
    with ledger.trial("full disk, report") as told, disk(tmp_path / "small", 4) as small:
        report = small.path / f"report.{kind}"
        words = [job.photos, "-o", tmp_path / "out", "--report", report, *job.words]
        first = nursery.run(
            words[0], "-o", tmp_path / "one", "--report", report, "--shard", "1/40", *job.words
        )
        older = report.read_bytes() if first.status == 0 else None
        check_told(nursery.run(*words))
        assert (report.read_bytes() if report.exists() else None) == older
        assert strays(small.path) == []
        check_complete(tmp_path / "out", job.expected)
        small.resize(ROOM)
        assert nursery.run(*words).status == 0
        assert all(name in report.read_text("utf-8") for name in job.expected)
        told.outcome = "told, older report kept, results complete; then completed"


@pytest.mark.parametrize("kind", sampled(["json", "csv", "html", "md", "tex"], "html"))
def test_report_of_an_evaluation(
    nursery: Nursery, job: Job, ledger: Ledger, tmp_path: Path, kind: str
) -> None:
    with ledger.trial("full disk, report of eval") as told, disk(tmp_path / "small", 4, 3) as small:
        report = small.path / f"report.{kind}"
        (small.path / "filler").write_bytes(b"x" * 4096)
        words = ["eval", "--gt", job.photos, "--pred", job.photos, "--report", report, "--json"]
        ended = nursery.run(*words)
        check_told(ended)
        assert ended.out.count('"status": "scored"') == len(job.expected)
        assert not report.exists()
        assert strays(small.path) == []
        small.resize(ROOM)
        assert nursery.run(*words).status == 0
        assert report.stat().st_size > 100
        told.outcome = "told, figures shown; then completed"
