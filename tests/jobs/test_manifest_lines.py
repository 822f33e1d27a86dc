"""What single lines of a manifest mean, and what comes of lines that are not what they were."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import StorageError
from drsformer_cli.jobs.manifest import FILE_NAME, LOCK_NAME, Manifest, file_name, lock_name
from drsformer_cli.jobs.record import Result, unchanged
from tests.jobs.test_manifest import record


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_names() -> None:
    assert (file_name(), lock_name()) == (".derain-manifest.jsonl", ".derain-manifest.lock")
    assert file_name("1-of-2") == ".derain-manifest.1-of-2.jsonl"
    assert lock_name("1-of-2") == ".derain-manifest.1-of-2.lock"


def test_size_and_time_vouch_for_a_file_else_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    os.utime(path, ns=(7, 7))
    assert unchanged(path, 5, 7, "not looked at")
    assert unchanged(path, 5, 8, sha256(b"12345"))
    assert unchanged(path, 5, None, sha256(b"12345"))
    assert not unchanged(path, 5, 8, sha256(b"54321"))
    assert not unchanged(path, 4, 7, sha256(b"12345"))
    with pytest.raises(FileNotFoundError):
        unchanged(tmp_path / "b", 5, 7, "")


def line(**changes: Any) -> bytes:
    """Return a whole line for `a.png`, with changes; a value of `...` takes the key away."""
    entry: dict[str, Any] = {
        "v": 1,
        "kind": "done",
        "output": "a.png",
        "input": {"path": "../in/a.png", "size": 1, "mtime_ns": 2, "sha256": "ab"},
        "result": {"size": 3, "mtime_ns": 4, "sha256": "cd"},
        "settings": {"model": "m"},
        "plan": {"limit": 5},
        "seconds": 1.5,
        "notes": ["n"],
    }
    entry = {key: value for key, value in {**entry, **changes}.items() if value is not ...}
    return json.dumps(entry).encode() + b"\n"


def test_a_line_says_all_that_a_record_has(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\n" + line() + b"  \n" + line(output="b.png", seconds=2))
    manifest = Manifest.load(tmp_path)
    assert manifest.damaged_lines == 0
    first, second = manifest.record("a.png"), manifest.record("b.png")
    assert first is not None
    assert second is not None
    assert (first.input.path, first.input.size, first.input.mtime_ns, first.input.sha256) == (
        "../in/a.png",
        1,
        2,
        "ab",
    )
    assert first.result == Result(3, 4, "cd")
    assert (first.settings, first.plan, first.seconds, first.notes) == (
        {"model": "m"},
        {"limit": 5},
        1.5,
        ["n"],
    )
    assert (second.output, second.seconds) == ("b.png", 2.0)
    assert sorted(manifest.outputs()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"path": "x"}},
        {"result": {"size": 3, "mtime_ns": 4}},
        {"result": {"size": 3, "mtime_ns": 4, "sha256": "cd", "more": 1}},
        {"settings": ...},
        {"plan": ...},
        {"notes": ...},
        {"seconds": "long"},
        {"output": ...},
        {"kind": ...},
        {"v": 2},
        {"v": ...},
    ],
)
def test_a_line_that_lacks_something_is_damaged(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / FILE_NAME).write_bytes(line(**changes) + line(output="b.png"))
    manifest = Manifest.load(tmp_path)
    assert (manifest.damaged_lines, list(manifest.outputs())) == (1, ["b.png"])


def test_a_line_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    """So that a later version can say more without its manifests being damaged for this one."""
    (tmp_path / FILE_NAME).write_bytes(line(kind="remark") + line(output="b.png", more=1))
    manifest = Manifest.load(tmp_path)
    assert (manifest.damaged_lines, list(manifest.outputs())) == (0, ["b.png"])


def test_a_last_line_cut_short_is_damage_until_it_is_mended(tmp_path: Path) -> None:
    whole = line()
    (tmp_path / FILE_NAME).write_bytes(whole + line(output="b.png")[:-20])
    assert Manifest.load(tmp_path).damaged_lines == 1
    with Manifest(tmp_path) as manifest:
        assert (tmp_path / FILE_NAME).read_bytes() == whole
        manifest.intend("c.png", "ef")
    assert (tmp_path / FILE_NAME).read_bytes().startswith(whole + b'{"v":1,"kind":"intent","output":"c.png"')


def test_the_plan_is_the_first_that_was_made_with_the_settings(tmp_path: Path) -> None:
    other = {"model": "other"}
    (tmp_path / FILE_NAME).write_bytes(
        line(plan={})
        + line(settings=other, plan=[{"limit": 1}, {"limit": 2}])
        + line(plan={"limit": 6})
        + line(settings=other, plan={"limit": 7})
        + line(plan={"limit": 8})
    )
    manifest = Manifest.load(tmp_path)
    assert manifest.plan_for({"model": "m"}) == {"limit": 6}
    assert manifest.plan_for(other) == {"limit": 2}
    assert manifest.plan_for({"model": "none"}) == {}


def test_what_is_finished_is_no_longer_intended(tmp_path: Path) -> None:
    data = b"the picture of the first run"
    done = record("a.png", result=Result(5, 1, sha256(b"other")))
    with Manifest(tmp_path) as manifest:
        manifest.intend("a.png", sha256(data))
        (tmp_path / "a.png").write_bytes(data)
        assert manifest.claims("a.png")
        manifest.finish(done)
        assert not manifest.claims("a.png")
        manifest.intend_all([("a.png", "00"), ("a.png", sha256(data)), ("b.png", sha256(data))])
        assert manifest.claims("a.png")  # the record does not go with it, one of the intents does
    again = Manifest.load(tmp_path)
    assert again.claims("a.png")
    assert again.record("a.png") == done
    with pytest.raises(FileNotFoundError):
        again.claims("b.png")


def test_a_record_that_was_taken_away_or_altered_since(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(line())
    for change in (lambda: path.write_bytes(b"x" * len(line())), path.unlink):
        manifest = Manifest.load(tmp_path)
        path.write_bytes(line())
        manifest = Manifest.load(tmp_path)
        assert manifest.record("a.png") is not None
        change()
        assert manifest.record("a.png") is None
    path.mkdir()
    with pytest.raises(StorageError, match=rf"{FILE_NAME} cannot be read: Is a directory"):
        manifest.record("a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_manifest_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(StorageError, match="no plain file"):
        Manifest.load(tmp_path)


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Manifest(tmp_path) as manifest:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=rf"the disk is full: .*{FILE_NAME} could not be written"):
            manifest.finish(record("a.png"))
        assert manifest.record("a.png") is None


def test_only_its_writer_writes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not open"):
        Manifest.load(tmp_path).intend("a.png", "ab")
    manifest = Manifest(tmp_path).open()
    manifest.close()
    manifest.close()
    with pytest.raises(ValueError, match="not open"):
        manifest.finish(record("a.png"))


def test_locks_that_nobody_holds_keep_nobody_out(tmp_path: Path) -> None:
    for name in (LOCK_NAME, lock_name("1-of-2"), lock_name("2-of-3")):
        (tmp_path / name).touch()
    with Manifest(tmp_path, "1-of-2") as one, Manifest(tmp_path, "2-of-2") as two:
        one.intend("a.png", "ab")
        two.intend("b.png", "ab")
    with Manifest(tmp_path) as whole:
        assert sorted(whole.outputs()) == ["a.png", "b.png"]


def test_the_folder_of_results_stays(tmp_path: Path) -> None:
    with Manifest(tmp_path / "out") as manifest:
        manifest.intend("a.png", "ab")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [FILE_NAME]
    with pytest.raises(RuntimeError, match="stop"), Manifest(tmp_path / "new"):
        raise RuntimeError("stop")
    assert not (tmp_path / "new").exists()
