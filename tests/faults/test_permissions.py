"""What may not be read or written is told by name; all else is done, and that too once it may."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import FILE_NAME
from tests.faults.conftest import COUNT, sampled, write_pictures
from tests.faults.disks import disk
from tests.faults.ledger import Ledger
from tests.faults.nursery import Ended, Nursery
from tests.faults.state import check_complete, results, strays

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that everybody may read and write."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root may run a process as another user, and only POSIX has such")
    folder = Path(tempfile.mkdtemp(prefix="derain-faults-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def words(place: Path, checkpoint: Path) -> list[str]:
    shutil.copy(checkpoint, place / "model.safetensors").chmod(0o644)
    return ["-m", str(place / "model.safetensors"), "--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def photos(place: Path) -> Path:
    return write_pictures(place / "photos", COUNT)


@pytest.fixture
def expected(nursery: Nursery, place: Path, photos: Path, words: list[str]) -> dict[str, bytes]:
    assert nursery.run(photos, "-o", place / "whole", *words).status == 0
    return results(place / "whole")


def run(nursery: Nursery, *words: object, **options: object) -> Ended:
    """Run a command as nobody."""
    ended = nursery.run(*words, user=NOBODY, **options)
    assert "Traceback" not in ended.err, ended.err
    assert "unexpected" not in ended.err, ended.err
    return ended


def test_inputs(
    nursery: Nursery, ledger: Ledger, place: Path, photos: Path, words: list[str], expected: dict[str, bytes]
) -> None:
    with ledger.trial("permission denied, single inputs") as told:
        closed = [photos / "00.png", photos / "deep" / "05.jpg"]
        for path in closed:
            path.chmod(0)
        ended = run(nursery, photos, "-o", place / "out", *words)
        assert ended.status == 1
        for path in closed:
            assert any(str(path) in line and "Permission denied" in line for line in ended.err.splitlines())
        assert len(results(place / "out")) == COUNT - 2
        for path in closed:
            path.chmod(0o644)
        assert run(nursery, photos, "-o", place / "out", *words).status == 0
        check_complete(place / "out", expected)
        told.outcome = "each named, others done; then completed"


@pytest.mark.slow
def test_input_folder(
    nursery: Nursery, ledger: Ledger, place: Path, photos: Path, words: list[str], expected: dict[str, bytes]
) -> None:
    with ledger.trial("permission denied, folder of inputs") as told:
        (photos / "deep").chmod(0)
        ended = run(nursery, photos, "-o", place / "out", *words)
        assert f"1 left out (1 folder that cannot be read: {photos / 'deep'})" in ended.err, ended.err
        assert set(results(place / "out")) == {name for name in expected if "deep" not in name}
        (photos / "deep").chmod(0o755)
        assert run(nursery, photos, "-o", place / "out", *words).status == 0
        check_complete(place / "out", expected)
        told.outcome = "folder named, others done; then completed"


@pytest.mark.parametrize("how", sampled(["mode", "mount"], "mode"))
def test_output_folder(
    nursery: Nursery,
    ledger: Ledger,
    place: Path,
    photos: Path,
    words: list[str],
    expected: dict[str, bytes],
    how: str,
) -> None:
    out = place / "out"
    with ledger.trial("read-only output folder") as told, disk(out, 1 << 14) as medium:
        if how == "mode":
            out.chmod(0o555)
        else:
            medium.lock()
        ended = run(nursery, photos, "-o", out, *words)
        assert ended.status == 3, ended.err
        assert str(out) in ended.err.splitlines()[-1]
        assert "cannot be written" in ended.err.splitlines()[-1]
        assert list(out.iterdir()) == []
        medium.unlock()
        out.chmod(0o777)
        assert run(nursery, photos, "-o", out, *words).status == 0
        check_complete(out, expected)
        told.outcome = "told, nothing written; then completed"


def test_output_subfolder(
    nursery: Nursery, ledger: Ledger, place: Path, photos: Path, words: list[str], expected: dict[str, bytes]
) -> None:
    with ledger.trial("read-only folder in the output") as told:
        (place / "out" / "deep").mkdir(parents=True)
        (place / "out").chmod(0o777)
        ended = run(nursery, photos, "-o", place / "out", *words)
        assert ended.status == 1, ended.err
        assert f"the folder {place / 'out' / 'deep'} cannot be written" in ended.err
        assert set(results(place / "out")) == {name for name in expected if "deep" not in name}
        assert strays(place / "out") == []
        (place / "out" / "deep").chmod(0o777)
        assert run(nursery, photos, "-o", place / "out", *words).status == 0
        check_complete(place / "out", expected)
        told.outcome = "each named, others done; then completed"


@pytest.mark.slow
def test_manifest(
    nursery: Nursery, ledger: Ledger, place: Path, photos: Path, words: list[str], expected: dict[str, bytes]
) -> None:
    for mode in (0o000, 0o444):
        with ledger.trial("permission denied, manifest") as told:
            out = place / f"out{mode}"
            out.mkdir()
            out.chmod(0o777)
            assert run(nursery, photos, "-o", out, *words).status == 0
            (out / FILE_NAME).chmod(mode)
            os.chown(out / FILE_NAME, 0, 0)
            ended = run(nursery, photos, "-o", out, "--strength", "0.5", *words)
            assert ended.status == 3, ended.err
            assert FILE_NAME in ended.err.splitlines()[-1]
            assert results(out) == expected
            told.outcome = "told, nothing touched"


def test_cache_of_weights(nursery: Nursery, ledger: Ledger, place: Path, words: list[str]) -> None:
    for made in (True, False):
        with ledger.trial("read-only cache of weights") as told:
            cache = place / "closed" / f"cache{made}"
            (cache if made else cache.parent).mkdir(parents=True, exist_ok=True)
            env = {"DERAIN_CACHE": str(cache)}
            ended = run(nursery, "weights", "import", words[1], "--name", "mine", env=env)
            assert ended.status == 3, ended.err
            assert "DERAIN_CACHE" in ended.err
            assert not made or list(cache.iterdir()) == []
            told.outcome = "told, nothing written"


@pytest.mark.slow
def test_evaluation(nursery: Nursery, ledger: Ledger, place: Path, photos: Path) -> None:
    with ledger.trial("permission denied, eval") as told:
        (photos / "00.png").chmod(0)
        ended = run(nursery, "eval", "--gt", photos, "--pred", photos, "--json")
        assert ended.status == 1
        assert "Permission denied" in ended.err
        assert ended.out.count('"status": "scored"') == COUNT - 1
        told.outcome = "named, others compared"


@pytest.mark.slow
def test_report(nursery: Nursery, ledger: Ledger, place: Path, photos: Path, words: list[str]) -> None:
    with ledger.trial("read-only folder of the report") as told:
        (place / "closed").mkdir()
        report = place / "closed" / "report.json"
        ended = run(nursery, photos, "-o", place / "out", "--report", report, *words)
        assert ended.status == 2
        assert "no file can be made" in ended.err
        assert not (place / "out").exists()
        told.outcome = "refused before any work"
