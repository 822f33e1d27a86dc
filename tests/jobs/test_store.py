"""The store writes into folders it makes itself, and clears away what killed runs left."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import DONE_BEFORE, Decision
from drsformer_cli.jobs.source import read_input
from drsformer_cli.jobs.store import FolderStore, Staged, StreamStore
from drsformer_cli.media.discover import Source
from drsformer_cli.media.files import partial_name, stage

RECORD = Record("deep/a.png", Input("../a.png", 1, 1, ""), Result(5, 0, "ab"), {"model": "m"})
DYING_WRITE = """
import os, sys
from pathlib import Path
from drsformer_cli.media import files
files._put_in_place = lambda *_: os._exit(9)
files.write_atomically(Path(sys.argv[1]), b"half", replace=False)
"""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    source = Source(tmp_path / "in" / "a.png", PurePath("deep/a.png"), tmp_path / "in", False)
    return Task(source, tmp_path / "out", PurePath("deep/a.png"))


def leave_partial(path: Path) -> list[Path]:
    """Let a process die while it writes a file; return what it left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = set(path.parent.iterdir())
    died = subprocess.run([sys.executable, "-c", DYING_WRITE, str(path)], check=False)
    assert died.returncode == 9
    return [left for left in path.parent.iterdir() if left not in before]


def test_put(task: Task, tmp_path: Path) -> None:
    with FolderStore([task], {}) as store:
        record = store.put(task, b"clean", RECORD, replace=False)
    assert task.path.read_bytes() == b"clean"
    assert record.result == Result(5, task.path.stat().st_mtime_ns, "ab")
    assert Manifest.load(tmp_path / "out").record("deep/a.png") == record


def test_the_plan_of_an_earlier_run_with_the_same_settings_is_found(task: Task) -> None:
    plan = {"limit": 5, "threads": 2}
    with FolderStore([task], {"model": "m"}) as store:
        assert store.earlier_plan() == {}
        store.put(task, b"clean", replace(RECORD, plan=[{"limit": 4}, plan]), replace=False)
    with FolderStore([task], {"model": "m"}) as store:
        assert store.earlier_plan() == plan
    with FolderStore([task], {"model": "other"}) as store:
        assert store.earlier_plan() == {}


def test_it_decides_by_its_manifest(task: Task) -> None:
    assert task.source.path is not None
    task.source.path.parent.mkdir()
    task.source.path.write_bytes(b"rainy")
    data, seen = read_input(task)
    record = replace(
        RECORD, input=seen, result=Result(5, 0, hashlib.sha256(b"clean").hexdigest()), settings={"model": "m"}
    )
    assert data == b"rainy"
    for look in (False, True):
        store = FolderStore([task], {"model": "m"})
        if look:
            store.look()
            assert store.decide(task) == Decision(skip=DONE_BEFORE)
            continue
        with store:
            assert store.decide(task) == Decision()
            store.put(task, b"clean", record, replace=False)
            assert store.decide(task) == Decision(skip=DONE_BEFORE)
    assert FolderStore([task], {"model": "other"}).damaged_lines == 0
    other = FolderStore([task], {"model": "other"})
    other.look()
    assert other.decide(task) == Decision(replace=True, again="another model")


def test_no_input_is_ever_replaced(task: Task) -> None:
    assert task.source.path is not None
    task.source.path.parent.mkdir()
    task.source.path.write_bytes(b"rainy")
    task.path.parent.mkdir(parents=True)
    os.link(task.source.path, task.path)
    with (
        FolderStore([task], {}, overwrite=True) as store,
        pytest.raises(OutputError, match="itself an input"),
    ):
        store.decide(task)


def staged(task: Task, tmp_path: Path, name: str) -> Staged:
    mine = replace(task, output=PurePath(name))
    mine.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = mine.path.parent / partial_name(hashlib.sha256(name.encode()).hexdigest()[:16])
    stage(temporary, b"clean")
    return Staged(mine, temporary, replace(RECORD, output=name), replace=False)


def test_results_that_others_finished_get_their_names(task: Task, tmp_path: Path) -> None:
    second = Task(task.source, tmp_path / "second", PurePath("z.png"))
    with FolderStore([task, second], {}) as store:
        batch = [staged(task, tmp_path, name) for name in ("a.png", "deep/b.png", "taken.png")]
        batch.append(staged(second, tmp_path, "z.png"))
        (tmp_path / "out" / "taken.png").write_bytes(b"mine")
        outcomes = store.publish(batch)
        assert [isinstance(outcome, Record) for outcome in outcomes] == [True, True, False, True]
        assert isinstance(outcomes[2], OutputError)
        assert store.publish([]) == []
    for folder, names in (("out", ["a.png", "deep/b.png"]), ("second", ["z.png"])):
        manifest = Manifest.load(tmp_path / folder)
        for name in names:
            written = manifest.record(name)
            assert written is not None
            assert written.result.mtime_ns == (tmp_path / folder / name).stat().st_mtime_ns
    assert Manifest.load(tmp_path / "out").record("taken.png") is None
    assert (tmp_path / "out" / "taken.png").read_bytes() == b"mine"
    assert not list(tmp_path.rglob("*.part"))


def test_put_does_not_replace_unless_told(task: Task) -> None:
    with FolderStore([task], {}) as store:
        task.path.parent.mkdir()
        task.path.write_bytes(b"mine")
        with pytest.raises(OutputError):
            store.put(task, b"clean", RECORD, replace=False)
        assert task.path.read_bytes() == b"mine"
        store.put(task, b"clean", RECORD, replace=True)
    assert task.path.read_bytes() == b"clean"


def test_what_killed_runs_left_is_cleared_away(task: Task, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Manifest(out) as manifest:
        manifest.intend("old/b.png", "cd")
    left = leave_partial(task.path) + leave_partial(out / "old" / "b.png")
    assert len(left) == 2
    with FolderStore([task], {}):
        pass
    assert not any(path.exists() for path in left)


def test_a_manifest_leads_nowhere_outside(task: Task, tmp_path: Path) -> None:
    left = leave_partial(tmp_path / "elsewhere" / "b.png")
    with Manifest(tmp_path / "out") as manifest:
        manifest.intend("../elsewhere/b.png", "cd")
    with FolderStore([task], {}):
        pass
    assert left[0].exists()


def test_several_folders_are_all_or_none(task: Task, tmp_path: Path) -> None:
    second = Task(task.source, tmp_path / "busy", task.output)
    with (
        Manifest(tmp_path / "busy"),
        pytest.raises(StorageError, match="busy"),
        FolderStore([task, second], {}),
    ):
        pass
    assert not (tmp_path / "out").exists()
    with FolderStore([task, second], {}):
        assert (tmp_path / "out" / FILE_NAME).exists()


def test_a_file_where_a_folder_should_be(task: Task, tmp_path: Path) -> None:
    with FolderStore([task], {}) as store:
        (tmp_path / "out" / "deep").write_bytes(b"")
        with pytest.raises(OutputError, match="deep"):
            store.put(task, b"clean", RECORD, replace=False)


def test_a_closed_folder_below_concerns_its_results_only(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with FolderStore([task], {}) as store:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(OutputError, match="deep cannot be written"):
            store.put(task, b"clean", RECORD, replace=False)
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(StorageError, match="out cannot be written any more"):
            store.put(task, b"clean", RECORD, replace=False)
        monkeypatch.undo()


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StorageError), (errno.EACCES, OutputError)])
def test_a_folder_that_cannot_be_made(
    task: Task, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with FolderStore([task], {}) as store:
        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(kind, match="deep"):
            store.put(task, b"clean", RECORD, replace=False)


def test_a_stream(task: Task) -> None:
    stream = io.BytesIO()
    assert StreamStore(stream).put(task, b"clean", RECORD, replace=False) == RECORD
    assert stream.getvalue() == b"clean"


class Closed(io.BytesIO):
    def write(self, _data: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stream_nobody_reads(task: Task) -> None:
    with pytest.raises(OutputError, match="Broken pipe"):
        StreamStore(Closed()).put(task, b"clean", RECORD, replace=False)
