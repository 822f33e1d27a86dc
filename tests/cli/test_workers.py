"""`derain` with workers and in shards, as a user meets them."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from drsformer_cli.cli.work import EngineName, Work, parse_devices
from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from tests.cli.conftest import Command, run_process, spawn, write_picture
from tests.media.clips import X264, pattern, tone
from tests.media.clips import run as make

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def words(tiny: Path) -> list[str]:
    return ["-m", str(tiny), "--device", "cpu"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder of 24 pictures in three folders."""
    for index in range(24):
        write_picture(tmp_path / "many" / f"{index % 3}" / f"{index:02}.png", index, (24 + index, 32))
    return tmp_path / "many"


def results(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith(FILE_NAME[:16]))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def test_workers_give_the_same_bytes(derain: Command, many: Path, tmp_path: Path, words: list[str]) -> None:
    (many / "bad.png").write_bytes(b"no picture")
    assert derain(many, "-o", tmp_path / "one", *words).status == 1
    two = run_process(
        many, "-o", "two", "--workers", 2, "--json", "--report", "done.json", *words, cwd=tmp_path
    )
    assert two.status == 1
    assert results(tmp_path / "two") == results(tmp_path / "one")
    lines = [json.loads(line) for line in two.out.splitlines()]
    assert [line["status"] for line in lines].count("done") == 24
    assert [line["error"] for line in lines if line["status"] == "failed"] == ["UnreadableError"]
    assert (lines[-1]["done"], lines[-1]["failed"]) == (24, 1)
    assert len(json.loads((tmp_path / "done.json").read_text())["pictures"]) == 25
    assert not list((tmp_path / "two").rglob("*.part"))
    one, both = Manifest.load(tmp_path / "one"), Manifest.load(tmp_path / "two")
    for name in both.outputs():
        mine, theirs = one.record(name), both.record(name)
        assert mine is not None
        assert theirs is not None
        assert mine.settings == theirs.settings
        assert isinstance(mine.plan, dict)
        assert isinstance(theirs.plan, dict)
        assert theirs.plan["limit"] == mine.plan["limit"] // 2
    again = derain(many, "-o", tmp_path / "two", *words)
    assert "24 done before" in again.err


def test_shards_at_once_into_one_folder(
    derain: Command, many: Path, tmp_path: Path, words: list[str]
) -> None:
    out = tmp_path / "out"
    shards = [spawn(many, "-o", out, "--shard", f"{index}/4", "--json", *words) for index in (1, 2, 3, 4)]
    done: list[str] = []
    for shard in shards:
        stdout, stderr = shard.communicate(timeout=120)
        assert shard.returncode == 0, stderr
        lines = [json.loads(line) for line in stdout.splitlines()]
        mine = [line["output"] for line in lines if line["status"] == "done"]
        assert lines[-1]["left_out"] == {"of other shards": 24 - len(mine)}
        done += mine
    assert len(done) == len(set(done)) == 24
    assert derain(many, "-o", tmp_path / "whole", *words).status == 0
    assert results(out) == results(tmp_path / "whole")
    manifests = sorted(path.name for path in out.glob(".derain-manifest*"))
    assert manifests == [f".derain-manifest.{index}-of-4.jsonl" for index in (1, 2, 3, 4)]
    assert Manifest.load(out).damaged_lines == 0
    assert "24 done before" in derain(many, "-o", out, *words).err
    other = derain(many, "-o", out, "--shard", "2/3", *words)
    assert re.search(r"\b0 restored, \d+ done before", other.err)


def test_ray_gives_the_same_bytes(derain: Command, many: Path, tmp_path: Path, words: list[str]) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install "drsformer-cli[ray]"')
    ray = run_process(
        many, "-o", tmp_path / "ray", "--engine", "ray", "--workers", 2, "--json", *words, cwd=tmp_path
    )
    assert (ray.status, ray.err.count("Traceback")) == (0, 0)
    lines = [json.loads(line) for line in ray.out.splitlines()]
    assert (len(lines), lines[-1]["done"]) == (25, 24)
    assert derain(many, "-o", tmp_path / "one", *words).status == 0
    assert results(tmp_path / "ray") == results(tmp_path / "one")
    assert not list((tmp_path / "ray").rglob("*.part"))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Return a film of two segments, most of its pictures equal."""
    path = tmp_path / "rainy.mp4"
    still = ["-vf", "tpad=stop=250:stop_mode=clone"]  # equal pictures are restored once
    make(*pattern(0.8, size="48x32"), *tone(seconds=10.8), *still, *X264, "-qp", 0, "-c:a", "aac", path)
    return path


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_films(derain: Command, film: Path, tmp_path: Path, words: list[str], engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason='Ray is not installed: pip install "drsformer-cli[ray]"')
    empty = tmp_path / "empty.mp4"
    empty.touch()
    out = tmp_path / "two"
    spread = run_process(
        "video", film, empty, "-o", f"{out}/", "--engine", engine, "--workers", 2, "--json", *words
    )
    assert (spread.status, spread.err.count("Traceback")) == (1, 0)
    assert "empty.mp4 is empty (0 bytes)" in spread.err
    lines = [json.loads(line) for line in spread.out.splitlines()]
    assert [line["status"] for line in lines if line["status"] != "progress"] == ["failed", "done", "summary"]
    assert lines[-3]["status"] == "progress"
    assert (lines[-3]["frames"], lines[-2]["frames"], lines[-1]["frames"]) == (270, 270, 270)
    one = derain("video", film, "-o", tmp_path / "one.mp4", *words)
    assert one.status == 0, one.err
    assert (out / "rainy.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [".derain-manifest.jsonl", "rainy.mp4"]
    again = run_process("video", film, "-o", f"{out}/", "--workers", 2, *words)
    assert "1 done before" in again.err


def test_films_with_words_that_make_no_sense(derain: Command, film: Path) -> None:
    refused = derain("video", film, "--ray-address", "auto")
    assert (refused.status, len(refused.err.splitlines())) == (2, 1)
    assert "--ray-address" in refused.err


@POSIX
def test_interrupted(many: Path, tmp_path: Path, words: list[str]) -> None:
    for index in range(200):
        write_picture(many / "more" / f"{index:03}.png", index, (64, 64))
    out = tmp_path / "out"
    with spawn(many, "-o", out, "--workers", 2, "--ensemble", *words) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert first.startswith(b"[1/224] ")
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert b"goes on where this one stopped" in err
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert not list(out.rglob("*.part"))
    assert sorted(results(out)) == sorted(Manifest.load(out).outputs())


def test_a_model_that_is_not_there(many: Path, tmp_path: Path) -> None:
    absent = run_process(many, "-o", tmp_path / "out", "--workers", 2, "-m", "nothing.pth")
    assert absent.status == 3
    assert len(absent.err.splitlines()) == 1
    assert "nothing.pth" in absent.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--shard", "5/4"], "--shard 5/4"),
        (["--ray-address", "auto"], "--ray-address"),
        (["--gpus-per-worker", "1"], "--gpus-per-worker"),
        (["--device", "cuda:0,cpu"], "cuda:0,cuda:1"),
        (["--device", "cuda:0,cuda:0"], "twice"),
        (["--device", "cuda:0,cuda:1", "--workers", "1"], "--workers 1"),
        (["--device", "cuda:1", "--engine", "ray"], "deals out"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_words_that_make_no_sense(derain: Command, photos: Path, words: list[str], part: str) -> None:
    refused = derain(photos, *words)
    assert refused.status == 2
    assert part in refused.err
    assert len(refused.err.splitlines()) == 1


def test_pipes_are_for_one_process(photos: Path) -> None:
    data = (photos / "a.png").read_bytes()
    for words in (["--workers", 2], ["--shard", "1/2"], ["--engine", "ray"]):
        assert run_process("-", *words, data=data).status == 2


def test_devices() -> None:
    assert parse_devices("cuda:0, CUDA:1") == ("cuda:0", "cuda:1")
    assert Work.check(
        engine=EngineName.LOCAL, device="cpu", workers=1, ray_address=None, gpus_per_worker=None
    ).alone
    for device, workers in (("cpu", 2), ("cuda:0,cuda:1", None)):
        work = Work.check(
            engine=EngineName.LOCAL, device=device, workers=workers, ray_address=None, gpus_per_worker=None
        )
        assert not work.alone
    with pytest.raises(UsageError):
        parse_devices("")


def test_a_dry_run_of_a_shard(derain: Command, many: Path, tmp_path: Path, words: list[str]) -> None:
    listed = [derain(many, "-o", tmp_path / "out", "--shard", f"{i}/2", "--dry-run", *words) for i in (1, 2)]
    lines = [set(outcome.out.splitlines()) for outcome in listed]
    assert not lines[0] & lines[1]
    assert len(lines[0] | lines[1]) == 24
    assert not (tmp_path / "out").exists()
