from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import DerainError, OutputError, StorageError
from drsformer_cli.media.files import sweep_partials, write_atomically

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX only")
NOT_ROOT = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may everything"
)
HERE = f"{zlib.crc32(platform.node().encode()):08x}"


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".derain-")]


def partial(folder: Path, machine: str, process: int, age: float = 0) -> Path:
    path = folder / f".derain-{machine}-{process}-{'0' * 16}.part"
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_atomically(path, b"new", replace=False)
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


def test_a_file_in_the_way_stays_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a\.png already exists.*--overwrite"):
        write_atomically(path, b"new", replace=False)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new", replace=True)
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


def test_a_dangling_link_is_in_the_way_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    try:
        path.symlink_to(tmp_path / "elsewhere.png")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(OutputError, match="already exists"):
        write_atomically(path, b"new", replace=False)
    assert not (tmp_path / "elsewhere.png").exists()


def test_one_of_many_writers_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    told: list[DerainError] = []

    def write(number: int) -> None:
        try:
            write_atomically(path, b"%d" % number * 100_000, replace=False)
        except OutputError as error:
            told.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 7
    assert len(set(path.read_bytes())) == 1
    assert len(path.read_bytes()) == 100_000
    assert leftovers(tmp_path) == []


@POSIX
def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.png", b"x", replace=False)
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    def full(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(tmp_path / "a.png", b"x", replace=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_really_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.open

    def to_full(path: Any, *args: Any, **options: Any) -> int:
        plain_descriptor = plain(path, *args, **options)
        if not str(path).endswith(".part"):
            return plain_descriptor
        os.close(plain_descriptor)
        return plain("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", to_full)
    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(tmp_path / "a.png", b"x" * 100_000, replace=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    write_atomically(tmp_path / "a.png", b"x", replace=False)
    assert (tmp_path / "a.png").read_bytes() == b"x"
    with pytest.raises(OutputError, match="already exists"):
        write_atomically(tmp_path / "a.png", b"y", replace=False)
    assert leftovers(tmp_path) == []


def test_a_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        write_atomically(tmp_path / ("x" * 300 + ".png"), b"x", replace=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_atomically(tmp_path / "gone" / "a.png", b"x", replace=False)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    for replace in (False, True):
        with pytest.raises(OutputError, match=r"a\.png"):
            write_atomically(tmp_path / "a.png", b"x", replace=replace)
    assert leftovers(tmp_path) == []


@POSIX
@NOT_ROOT
def test_a_folder_that_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_atomically(tmp_path / "a.png", b"x", replace=False)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=f"folder .*{tmp_path.name} cannot be written"):
        write_atomically(tmp_path / "a.png", b"x", replace=False)


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.png", b"x", replace=False)
    assert list(tmp_path.iterdir()) == []


def test_sweeping_takes_what_killed_runs_left(tmp_path: Path) -> None:
    dead = partial(tmp_path, HERE, dead_process())
    old = partial(tmp_path, "0" * 8, 1, age=4000)
    kept = [partial(tmp_path, HERE, os.getpid()), partial(tmp_path, "1" * 8, 1)]
    for name in ("a.png", ".derain-notes.part", ".derain.json", "derain-x.part"):
        (tmp_path / name).write_bytes(b"mine")
        kept.append(tmp_path / name)
    assert sweep_partials(tmp_path) == 2
    assert not dead.exists()
    assert not old.exists()
    assert all(path.exists() for path in kept)
    assert sweep_partials(tmp_path / "gone") == 0


@POSIX
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05])
def test_a_kill_at_any_moment_leaves_old_or_new_and_a_sweep_the_rest(tmp_path: Path, delay: float) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\0" * 3_000_000)
    code = (
        "import sys, itertools, pathlib\n"
        "from drsformer_cli.media.files import write_atomically\n"
        "print('ready', flush=True)\n"
        "for n in itertools.count():\n"
        "    write_atomically(pathlib.Path(sys.argv[1]), bytes([n % 256]) * 3_000_000, replace=True)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
    data = path.read_bytes()
    assert len(data) == 3_000_000
    assert len(set(data)) == 1
    sweep_partials(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_disk_that_fails_is_told_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=r"a\.png could not be written \(Input/output error\)\.$"):
        write_atomically(tmp_path / "a.png", b"x", replace=True)
    assert list(tmp_path.iterdir()) == []
