"""Reading an input's bytes, once, with what identifies them for the manifest."""

from __future__ import annotations

import hashlib
import os
import stat
from io import FileIO
from pathlib import Path

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.jobs.manifest import Input
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.resume import input_path

MOST_BYTES = 4 << 30  # 500 megapixels of 16-bit RGBA; what is larger is a film or a disk image
BLOCK = 1 << 20


def read_input(task: Task) -> tuple[bytes, Input]:
    """Return an input's bytes and what identifies them.

    Raises UnsupportedError for what is no plain file or larger than any picture, and OSError.
    """
    if task.source.path is None:
        # unbuffered: a buffered stream that waits for input in a thread cannot be left at exit
        with FileIO(0, "rb", closefd=False) as stdin:
            data, mtime_ns = _read_stream(stdin, task.name), 0
    else:
        data, mtime_ns = _read_file(task.source.path, task.name)
    return data, Input(input_path(task), len(data), mtime_ns, hashlib.sha256(data).hexdigest())


def _read_stream(stream: FileIO, name: str) -> bytes:
    data = bytearray()
    while block := stream.read(BLOCK):
        data += block
        _check_size(len(data), name)
    return bytes(data)


def _read_file(path: Path, name: str) -> tuple[bytes, int]:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise UnsupportedError(f"{name} is no plain file, and is left alone.")
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        _check_size(status.st_size, name)
        return file.read(), status.st_mtime_ns


def _check_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise UnsupportedError(
            f"{name} is larger than {MOST_BYTES >> 30} GiB: no picture of that size is read."
        )
