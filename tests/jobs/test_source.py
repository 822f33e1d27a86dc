"""An input is read once, whole, and never waits or fills the memory where no picture can be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path, PurePath

import pytest

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.jobs import source
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source
from drsformer_cli.media.sniff import TGA_MARK

FROM_STDIN = """
import sys
from pathlib import Path, PurePath
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.source import read_input
from drsformer_cli.media.discover import Source
stdin = Source(None, PurePath("stdin"), None, True)
from drsformer_cli.jobs import source
source.MOST_BYTES = int(sys.argv[1])
data, identity = read_input(Task(stdin, Path("/out"), PurePath("a.png")))
print(len(data), identity.path, identity.sha256)
"""


def task(path: Path) -> Task:
    return Task(
        Source(path, PurePath(path.name), path.parent, True), path.parent / "out", PurePath(path.name)
    )


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"rainy")
    os.utime(path, ns=(0, 1_000_000_000))
    data, identity = source.read_input(task(path))
    assert data == b"rainy"
    assert identity.path == "../a.png"
    assert (identity.size, identity.mtime_ns) == (5, 1_000_000_000)
    assert identity.sha256 == hashlib.sha256(b"rainy").hexdigest()


def test_a_time_that_others_may_get_too_vouches_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"rainy")
    assert source.read_input(task(path))[1].mtime_ns == 0
    later = time.time() + 1e8
    os.utime(path, (later, later))
    assert source.read_input(task(path))[1].mtime_ns == 0


PNG = b"\x89PNG\r\n\x1a\n"


def read_stdin(data: bytes, most: int = 1 << 30) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", FROM_STDIN, str(most)]
    return subprocess.run(command, input=data, capture_output=True, check=False)


def test_standard_input() -> None:
    data = PNG + os.urandom(3 << 20)
    done = read_stdin(data)
    assert done.stdout.decode().split() == [str(len(data)), "-", hashlib.sha256(data).hexdigest()]


def test_standard_input_that_is_too_much() -> None:
    assert (
        b"UnsupportedError: standard input is larger than" in read_stdin(PNG + bytes(1 << 20), 1 << 20).stderr
    )


def endless() -> bytes:
    """Feed bytes without an end; return what was said when the reader had enough."""
    command = [sys.executable, "-c", FROM_STDIN, str(1 << 30)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        assert reader.stderr is not None
        sent = 0
        try:
            while sent < 64 << 20:
                sent += reader.stdin.write(bytes(1 << 20))
        except BrokenPipeError:
            pass
        said = reader.stderr.read()
        with suppress(BrokenPipeError):
            reader.stdin.close()
    assert sent < 32 << 20
    return said


def test_an_endless_pipe_of_no_picture_is_read_no_further_than_its_beginning() -> None:
    assert b"UnreadableError: standard input is not a picture" in endless()


def test_a_targa_file_without_its_extension_shows_at_its_end() -> None:
    data = bytes([0, 0, 2, *[0] * 9, 64, 0, 64, 0, 24, 0]) + bytes(64 * 64 * 3) + bytes(8) + TGA_MARK
    assert read_stdin(data).stdout.startswith(str(len(data)).encode())


def test_a_file_that_begins_like_no_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.png"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # takes no room on the disk
    tracemalloc.start()
    with pytest.raises(UnreadableError, match="not a picture"):
        source.read_input(task(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_file_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG + bytes(10_000))
    monkeypatch.setattr(source, "most_bytes", lambda: 10_000)
    with pytest.raises(UnsupportedError, match="too large for the memory"):
        source.read_input(task(tmp_path / "a.png"))


def test_a_file_larger_than_any_picture(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    with path.open("wb") as file:
        file.truncate(source.MOST_BYTES + 1)  # takes no room on the disk
    with pytest.raises(UnsupportedError, match=r"film\.png is larger than 4 GiB"):
        source.read_input(task(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnsupportedError, match="no plain file"):
        source.read_input(task(tmp_path / "pipe.png"))
