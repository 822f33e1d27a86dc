"""Finished files only: written under a hidden name in the same folder, and put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import time
import zlib
from pathlib import Path

from drsformer_cli.errors import DerainError, OutputError, StorageError

#: How the names of the notes begin that stand beside results.
NOTES = ".derain-manifest"
_PARTIAL = re.compile(r"^\.derain-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}\.part$")
_OLD = 3600  # seconds without a write after which a temporary file counts as left behind, whoever owns it
_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EACCES,
    errno.EINVAL,
}


def write_atomically(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a file that is either there as a whole or not at all, even after a power cut.

    replace: whether a file already at `path` may be replaced. Raises OutputError when it may not and one is
    there, or when the name or the folder cannot be had; StorageError when the disk is full.
    The temporary file is removed whatever happens.
    """
    if not replace and os.path.lexists(path):
        raise _in_the_way(path)
    temporary = path.parent / partial_name(secrets.token_hex(8))
    try:
        try:
            _write(temporary, data)
            _put_in_place(temporary, path, replace)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise _explain(path, error) from error
    sync_folder(path.parent)


def place_finished(finished: Path, path: Path, *, replace: bool) -> None:
    """Give a finished file of the same disk its name, in one step and for good.

    Raises OutputError when a file is in the way that may not be replaced, StorageError when the disk is full.
    """
    try:
        with finished.open("rb+") as file:
            os.fsync(file.fileno())
        _put_in_place(finished, path, replace)
        with contextlib.suppress(FileNotFoundError):  # it has two names where it could not be renamed at once
            finished.unlink()
    except OSError as error:
        raise _explain(path, error) from error
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder with all above it. Raises OutputError, and StorageError when the disk is full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in _FULL:
            raise _full(folder) from error
        raise OutputError(f"the folder {folder} cannot be made ({error.strerror or error}).") from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hex; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def partial_name(token: str) -> str:
    """Return the hidden name of a temporary file of this process; `token` is 16 digits of hex."""
    return f".derain-{_machine()}-{os.getpid()}-{token}.part"


def stage(temporary: Path, data: bytes) -> None:
    """Write a finished file under the temporary name it has until `publish`; remove it on any error.

    Raises OutputError, and StorageError when the disk is full.
    """
    try:
        _write(temporary, data)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _explain(temporary, error) from error
        raise


def publish(temporary: Path, path: Path, *, replace: bool) -> None:
    """Give a staged file its name in one step, or remove it; `sync_folder` makes the name last.

    Raises as `write_atomically`.
    """
    try:
        try:
            if not replace and os.path.lexists(path):
                raise _in_the_way(path)
            _put_in_place(temporary, path, replace)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise _explain(path, error) from error


def sweep_partials(folder: Path) -> int:
    """Remove temporary files that killed runs left in a folder; returns how many.

    Those of processes that are alive, and those of other machines that share the folder, stay until nothing
    has been written to them for an hour.
    """
    removed = 0
    for partial in folder.glob(".derain-*.part"):
        if _is_left_behind(partial):
            # another run may sweep the same folder at the same time
            with contextlib.suppress(OSError):
                partial.unlink()
                removed += 1
    return removed


def _write(temporary: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(temporary: Path, path: Path, replace: bool) -> None:
    if replace:
        temporary.replace(path)
        return
    if os.name == "nt":
        temporary.rename(path)  # on Windows this refuses to replace
        return
    try:
        os.link(temporary, path)  # unlike a rename, this fails when the name is taken meanwhile
    except FileExistsError:
        raise _in_the_way(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # no hard links here; a name taken within these few microseconds would be replaced
        if os.path.lexists(path):
            raise _in_the_way(path) from None
        temporary.replace(path)


def _in_the_way(path: Path) -> OutputError:
    return OutputError(f"{path} already exists; choose another place, or allow replacing with --overwrite.")


def _full(path: Path) -> StorageError:
    return StorageError(f"the disk is full: {path} could not be written; make room and run again.")


def unwritable(path: Path, error: OSError) -> StorageError:
    """Return the error for a file that a whole run needs, and that cannot be written."""
    if error.errno in _FULL:
        return _full(path)
    return StorageError(f"{path} cannot be written: {error.strerror or error}.")


def _explain(path: Path, error: OSError) -> DerainError:
    if error.errno in _FULL:
        return _full(path)
    if error.errno in _CLOSED and error.filename2 is None:  # not about the step from one name to the other
        return OutputError(f"the folder {path.parent} cannot be written ({error.strerror}).")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(f"the name {path.name} is too long for its folder.")
    if error.errno == errno.ENOENT:
        return OutputError(f"the folder {path.parent} does not exist.")
    if isinstance(error, FileExistsError):
        return _in_the_way(path)
    return OutputError(f"{path} could not be written ({error.strerror or error}).")


def sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse this, and the file is there anyway
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _machine() -> str:
    """What tells this machine from others that write to the same folder."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_left_behind(partial: Path) -> bool:
    match = _PARTIAL.match(partial.name)
    if match is None:
        return False
    try:
        age = time.time() - partial.stat().st_mtime
    except OSError:
        return False
    return age > _OLD or (match[1] == _machine() and not _is_alive(int(match[2])))


def _is_alive(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process)
