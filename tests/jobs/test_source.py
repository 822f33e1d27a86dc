"""An input is read once, whole, and never waits or fills the memory where no picture can be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path, PurePath

import pytest

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.jobs import source
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source

FROM_STDIN = """
import sys
from pathlib import Path, PurePath
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.source import read_input
from drsformer_cli.media.discover import Source
stdin = Source(None, PurePath("stdin"), None, True)
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
    data, identity = source.read_input(task(path))
    assert data == b"rainy"
    assert identity.path == "../a.png"
    assert (identity.size, identity.mtime_ns) == (5, path.stat().st_mtime_ns)
    assert identity.sha256 == hashlib.sha256(b"rainy").hexdigest()


def test_standard_input() -> None:
    data = os.urandom(3 << 20)
    done = subprocess.run([sys.executable, "-c", FROM_STDIN], input=data, capture_output=True, check=True)
    assert done.stdout.decode().split() == [str(3 << 20), "-", hashlib.sha256(data).hexdigest()]


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
