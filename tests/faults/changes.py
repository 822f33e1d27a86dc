"""What can happen to a file that somebody is about to read, or is reading."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path


def _vanish(path: Path, _: Path) -> None:
    path.unlink()


def _grow(path: Path, _: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x" * 5000)


def _shrink(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _replace(path: Path, other: Path) -> None:
    shutil.copy(other, path.with_name("new")).replace(path)


def _rewrite(path: Path, other: Path) -> None:
    """Write a file as a program does that takes its time."""
    data = other.read_bytes()
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        time.sleep(0.005)
        file.write(data[len(data) // 2 :])


#: Each does its thing to a file; the second is one that takes its place where that is asked for.
CHANGES = {
    "vanishes": _vanish,
    "grows": _grow,
    "shrinks": _shrink,
    "is replaced": _replace,
    "is rewritten": _rewrite,
}
