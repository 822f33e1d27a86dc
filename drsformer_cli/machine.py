"""What this machine gives, or the container that the program runs in: processors and memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil


def processors() -> int:
    """Return how many processors may be used: of the machine, by this process, in its container.

    A container's share of a processor counts as a whole one.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    shares = [share for group in _groups("cpu") for share in _processors_of(group)]
    return max(1, min([count, *(math.ceil(share) for share in shares)]))


def memory() -> int:
    """Return how many bytes may be used, in all: of the machine, or of its container if that has fewer.

    It is a limit, not what is free at the moment.
    """
    limits = [limit for group in _groups("memory") for limit in _memory_of(group)]
    return min([int(psutil.virtual_memory().total), *limits])


def _groups(
    controller: str, root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")
) -> list[Path]:
    """Folders of this process's control groups for `controller` and of all above them, of version 2 and 1."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # no control groups here
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        group = base / path.lstrip("/")
        found += [folder for folder in (group, *group.parents) if folder.is_relative_to(base)]
    return found


def _memory_of(group: Path) -> list[int]:
    """Bytes that a control group may use; none if it sets no limit."""
    texts = [_read(group / name) for name in ("memory.max", "memory.limit_in_bytes")]
    return [int(text) for text in texts if text.isdecimal()]


def _processors_of(group: Path) -> list[float]:
    """Processors' worth of time that a control group may use; none if it sets no limit."""
    old = f"{_read(group / 'cpu.cfs_quota_us')} {_read(group / 'cpu.cfs_period_us')}"
    pairs = [text.split() for text in (_read(group / "cpu.max"), old)]
    return [int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and all(map(str.isdecimal, pair))]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""  # this level sets none
