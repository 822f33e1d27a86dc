"""The manifest keeps what was done through cuts, kills and garbage, and has one writer at a time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from drsformer_cli.errors import StorageError
from drsformer_cli.jobs.manifest import FILE_NAME, LOCK_NAME, MOST_BYTES, Manifest
from drsformer_cli.jobs.record import Input, Record, Result, plain

HOLDER = """
import sys, pathlib
from drsformer_cli.jobs.manifest import Manifest
with Manifest(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def record(output: str, **changes: object) -> Record:
    values = {
        "output": output,
        "input": Input("../in/" + output, 10, 123456789, "ab" * 32),
        "result": Result(20, 987654321, "cd" * 32),
        "settings": {"model": "m", "strength": 0.5, "memory": None},
        "plan": {"tiles": [[1, 2], [3, 4]]},
        "seconds": 0.25,
        "notes": ["gain map dropped"],
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    names = ["a.png", "deep/b \n[red].png", "caf\udce9.jpg", "日本.jpg"]
    with Manifest(tmp_path / "out") as manifest:
        for name in names:
            manifest.intend(name, "cd" * 32)
            manifest.finish(record(name))
    again = Manifest.load(tmp_path / "out")
    assert [again.record(name) for name in names] == [record(name) for name in names]
    assert set(again.outputs()) == set(names)
    assert again.damaged_lines == 0
    text = (tmp_path / "out" / FILE_NAME).read_text("ascii")
    assert all(json.loads(line)["v"] == 1 for line in text.splitlines())


def test_the_last_record_counts(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png"))
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png", seconds=9.0))
    assert Manifest.load(tmp_path).record("a.png") == record("a.png", seconds=9.0)


def test_nothing_there() -> None:
    manifest = Manifest.load(Path("/nowhere/at/all"))
    assert manifest.record("a.png") is None
    assert not manifest.claims("a.png")


def test_cut_anywhere_in_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png"))
        whole = path.read_bytes()
        manifest.finish(record("b.png"))
    both = path.read_bytes()
    for cut in range(len(whole), len(both)):
        path.write_bytes(both[:cut])
        seen = Manifest.load(tmp_path)
        assert seen.record("a.png") == record("a.png")
        # a line that lacks nothing but its end still says it all
        assert (seen.record("b.png") is not None) == (cut == len(both) - 1)
    path.write_bytes(both[:-9])
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("c.png"))
    mended = Manifest.load(tmp_path)
    assert mended.damaged_lines == 0
    assert mended.record("b.png") is None
    assert mended.record("c.png") == record("c.png")
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\n",
        b"[]\n",
        b"7\n",
        b"{}\n",
        b'{"v":1,"kind":"done"}\n',
        b'{"v":99,"kind":"done"}\n',
        b"\xff\n",
        b"[" * 200_000 + b"\n",
    ],
)
def test_garbage_in_the_middle_is_counted_and_passed_over(tmp_path: Path, garbage: bytes) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png"))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(garbage)
    with Manifest(tmp_path) as manifest:
        assert manifest.damaged_lines == 1
        manifest.finish(record("b.png"))
    again = Manifest.load(tmp_path)
    assert again.record("a.png") == record("a.png")
    assert again.record("b.png") == record("b.png")


def test_an_intent_claims_the_very_bytes_and_nothing_else(tmp_path: Path) -> None:
    data = b"the finished picture"
    with Manifest(tmp_path) as manifest:
        manifest.intend("a.png", hashlib.sha256(data).hexdigest())
    manifest = Manifest.load(tmp_path)
    (tmp_path / "a.png").write_bytes(b"the user's own")
    assert not manifest.claims("a.png")
    (tmp_path / "a.png").write_bytes(data)
    assert manifest.claims("a.png")
    (tmp_path / "b.png").write_bytes(data)
    assert not manifest.claims("b.png")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that takes no files")
def test_a_folder_that_takes_no_files_is_not_called_busy() -> None:
    with pytest.raises(StorageError, match=r"/proc cannot be written"):
        Manifest(Path("/proc")).open()


def test_one_writer_at_a_time_and_none_after_a_kill(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(
            StorageError, match=rf"another run of derain \(process {holder.pid} on .+\) writes"
        ):
            Manifest(tmp_path).open()
        Manifest.load(tmp_path)  # looking is allowed
        holder.kill()
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE_NAME]


def test_a_folder_made_for_nothing_goes_away(tmp_path: Path) -> None:
    with Manifest(tmp_path / "deep" / "out"):
        assert (tmp_path / "deep" / "out" / LOCK_NAME).exists()
    assert not (tmp_path / "deep" / "out").exists()
    (tmp_path / "mine").mkdir()
    with Manifest(tmp_path / "mine"):
        pass
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        Manifest(tmp_path / "out").open()


def test_a_result_is_claimed_for_as_long_as_it_is_what_was_written(tmp_path: Path) -> None:
    data = b"the finished picture"
    (tmp_path / "a.png").write_bytes(data)
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png", result=Result(len(data), 1, hashlib.sha256(data).hexdigest())))
        assert manifest.claims("a.png")
        (tmp_path / "a.png").write_bytes(b"THE finished picture")
        assert not manifest.claims("a.png")


def test_a_manifest_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / FILE_NAME).open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(StorageError, match="larger than"):
        Manifest.load(tmp_path)


def test_a_line_without_an_end(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("a.png"))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"x" * (5 << 20))
    with Manifest(tmp_path) as manifest:
        manifest.finish(record("b.png"))
    again = Manifest.load(tmp_path)
    assert again.record("a.png") == record("a.png")
    assert again.record("b.png") == record("b.png")
    assert again.damaged_lines == 0


def test_a_manifest_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        Manifest(tmp_path).open()
    assert not (tmp_path / LOCK_NAME).exists()


def test_plain_compares_like_a_record() -> None:
    assert plain({"size": (1, 2), 3: None}) == {"size": [1, 2], "3": None}
