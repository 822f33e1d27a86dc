"""Disks of any size, made of memory: the system mounts them for who is root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """A file system of its own at `path`, `kib` kibibytes large and with room for so many `files`."""

    def __init__(self, path: Path, kib: int, files: int = 0) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._mount(f"size={kib}k,nr_inodes={files},mode=777")

    def _mount(self, words: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", words, "tmpfs", str(self.path)]
        subprocess.run(command, check=True, capture_output=True)

    def resize(self, kib: int) -> None:
        """Make room."""
        self._mount(f"remount,size={kib}k,nr_inodes=0")

    def lock(self) -> None:
        """Let nobody write any more."""
        self._mount("remount,ro")

    def unlock(self) -> None:
        self._mount("remount,rw")

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True, capture_output=True)


def require() -> None:
    """Skip where no disk can be mounted."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root mounts disks, and on Linux")


@contextmanager
def disk(path: Path, kib: int, files: int = 0) -> Iterator[Disk]:
    """Mount a disk for as long as the block lasts; skips where that is not allowed."""
    require()
    try:
        mounted = Disk(path, kib, files)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    try:
        yield mounted
    finally:
        mounted.close()
