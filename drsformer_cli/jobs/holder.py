"""Who holds a lock: written into the lock file by the one who has it, for whoever finds it taken."""

from __future__ import annotations

import os
import platform
import re
import stat
from contextlib import suppress
from pathlib import Path

import filelock
from packaging.version import Version

from drsformer_cli.errors import OutputError, StorageError

#: Whether the file that is locked gets emptied: releases before this one do that, and it needs Python 3.11.
EMPTIES = Version(filelock.__version__) < Version("4.2.4")
_SIGNED = re.compile(rb"process (\d{1,20}) on ([^\r\n]{1,255})\n")


def sign(lock: Path) -> None:
    """Write this process and machine into a lock file that is held.

    Where that cannot be done, as on a full disk, nobody learns it; the lock holds all the same. A file that
    somebody else has filled is left as it is.
    """
    with suppress(OSError):
        before = _read(lock)
        if lock.is_symlink() or before is None or (before and not _SIGNED.fullmatch(before)):
            return
        lock.write_bytes(f"process {os.getpid()} on {platform.node()}\n".encode("utf-8", "replace"))


def spare(lock: Path, error: type[OutputError | StorageError]) -> None:
    """See to it that locking empties no file of the user's that has a lock's name. Raises `error`."""
    if not EMPTIES:
        return
    try:
        data = _read(lock)
    except OSError:  # there is none, or whoever holds it lets nobody read it: locking it tells
        return
    if data is None or (data and not _SIGNED.fullmatch(data)):
        raise error(f"{lock} is no lock of derain's, and would be emptied: move it away.")


def is_ours(lock: Path) -> bool:
    """Tell whether a lock file is empty or signed, so that it can go; False for what cannot be read."""
    try:
        data = _read(lock)
    except OSError:
        return False
    return data is not None and (not data or bool(_SIGNED.fullmatch(data)))


def holder(lock: Path) -> str:
    """Return who holds a lock, such as " (process 4711 on nas)"; "" where that is not to be read."""
    try:
        signed = _SIGNED.fullmatch(_read(lock) or b"")
    except OSError:
        return ""
    return f" (process {signed[1].decode()} on {signed[2].decode('utf-8', 'replace')})" if signed else ""


def _read(lock: Path) -> bytes | None:
    """Return what stands in a lock file, None where it is no plain file. Raises OSError."""
    if not stat.S_ISREG(lock.stat().st_mode):  # reading a pipe would wait for ever
        return None
    with lock.open("rb") as file:
        return file.read(512)
