"""Reading an input's bytes, once, with what identifies them for the manifest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from io import FileIO
from pathlib import Path

import psutil

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input
from drsformer_cli.jobs.resume import input_path
from drsformer_cli.media.remote import look, read
from drsformer_cli.media.sniff import TGA_MARK, sniff

MOST_BYTES = 4 << 30  # 500 megapixels of 16-bit RGBA; what is larger is a film or a disk image
BLOCK = 1 << 20
FRESH_NS = 2_000_000_000  # the coarsest clock of a file system: what changes again within it looks the same
HEAD = 4096  # tells of what kind a picture is


def read_input(task: Task) -> tuple[bytes, Input]:
    """Return an input's bytes and what identifies them.

    What begins like no picture is not read any further. Raises UnreadableError for that, UnsupportedError for
    what is no plain file, or larger than any picture or the memory there is, and OSError.
    """
    if task.source.url is not None:
        data, mtime_ns = read_url(task.source.url)
    elif task.source.path is None:
        # unbuffered: a buffered stream that waits for input in a thread cannot be left at exit
        with FileIO(0, "rb", closefd=False) as stdin:
            data, mtime_ns = _read_stream(stdin, task.name), 0
    else:
        data, mtime_ns = read_file(task.source.path, task.name)
    return data, Input(input_path(task), len(data), mtime_ns, hashlib.sha256(data).hexdigest())


def read_url(url: str) -> tuple[bytes, int]:
    """Return an object's bytes and its time of change in ns. Raises as `read_input`, and StorageError."""
    seen = look(url)
    if seen is None or seen.folder:
        raise FileNotFoundError(errno.ENOENT, "No such object", url)
    _check_size(seen.size, most_bytes(), url)
    return read(url), seen.mtime_ns


def _read_stream(stream: FileIO, name: str) -> bytes:
    most = most_bytes()
    data, known = bytearray(), False
    while block := stream.read(BLOCK):
        data += block
        _check_size(len(data), most, name)
        if not known and len(data) >= HEAD:
            # its end, where some pictures have their mark, is still to come
            sniff(bytes(data[:HEAD]) + TGA_MARK, name)
            known = True
    return bytes(data)


def read_file(path: Path, name: str) -> tuple[bytes, int]:
    """Return a file's bytes and its time of change in ns; `name` is for messages. Raises as `read_input`.

    The time is 0, and vouches for nothing, where the file may change again without getting another one.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise UnsupportedError(f"{name} is no plain file, and is left alone.")
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        most = most_bytes()
        _check_size(status.st_size, most, name)
        if status.st_size > HEAD:
            head = file.read(HEAD)
            file.seek(-len(TGA_MARK), os.SEEK_END)
            sniff(head + file.read(len(TGA_MARK)), name)
            file.seek(0)
        data = file.read(most + 1)  # it may be growing
        _check_size(len(data), most, name)
        now = os.fstat(file.fileno())
        if (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
            raise UnreadableError(
                f"{name} was changed while it was read: run it again when nothing writes to it any more."
            )
        settled = time.time_ns() - status.st_mtime_ns > FRESH_NS
        return data, status.st_mtime_ns if settled else 0


def most_bytes() -> int:
    """Return the size of the largest input that is read now: there must be room for a copy of it."""
    return min(MOST_BYTES, psutil.virtual_memory().available // 3)


def _check_size(size: int, most: int, name: str) -> None:
    if size > MOST_BYTES:
        raise UnsupportedError(
            f"{name} is larger than {MOST_BYTES >> 30} GiB: no picture of that size is read."
        )
    if size > most:
        raise UnsupportedError(f"{name} is too large for the memory that is free; close other programs.")
