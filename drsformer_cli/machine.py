"""What this machine gives, or the container that the program runs in: processors and memory."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

#: glibc's numbers for what its allocator may be told (malloc.h), and what it is told here, in bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
KEPT_AT_MOST = 1 << 30


def processors() -> int:
    """Return how many processors may be used: of the machine, by this process, in its container.

    A container's share of a processor counts as a whole one.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    shares = [share for group in _groups("cpu") for share in _processors_of(group)]
    return max(1, min([count, *(math.ceil(share) for share in shares)]))


def memory() -> int:
    """Return how many bytes may be used, in all: of the machine, its container, or this process, the fewest.

    It is a limit, not what is free at the moment.
    """
    limits = [limit for group in _groups("memory") for limit in _memory_of(group)]
    limits += _memory_of_process()
    return min([int(psutil.virtual_memory().total), *limits])


def limit_after(plan: Mapping[str, Any], own: int) -> int:
    """Return the memory limit in bytes of an earlier plan; `own` if that is less, or the plan tells none."""
    limit = plan.get("limit")
    return min(limit, own) if isinstance(limit, int) and limit > 0 else own


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Take back the real-time priority that a library gives itself and its caller in this block.

    SVT-AV1 does so where it may, as root on Linux: nothing else on that processor would run beside it.
    """
    if not hasattr(os, "sched_getscheduler"):  # Linux and some Unixes alone
        yield
        return
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.sched_setscheduler(int(thread.name), policy, param)


def keep_memory() -> None:
    """Tell glibc's allocator to keep what is freed for the next tensor instead of giving it back.

    Every convolution makes a tensor of some megabytes, every plane of a picture is as large. Fetched from the
    system each time, each of their pages is cleared and mapped anew, which costs more than much of the
    arithmetic. Only what has 32 MB and more, whole pictures' features, still comes and goes. Elsewhere
    than on Linux with glibc nothing is done.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        for what, size in (
            (_MMAP_THRESHOLD, 32 << 20),
            (_TRIM_THRESHOLD, KEPT_AT_MOST),
            (_TOP_PAD, 16 << 20),
        ):
            mallopt(what, size)


def give_back() -> None:
    """Give the system back what `keep_memory` kept, before tensors of other sizes come.

    Holes of one size seldom serve another, so they would add up from one level of the network to the next.
    """
    malloc_trim = _glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _glibc(function: str) -> Any:
    """Return a function of glibc; None on other systems and with other C libraries."""
    return getattr(ctypes.CDLL(None), function, None) if sys.platform.startswith("linux") else None


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


def _memory_of_process() -> list[int]:
    """Bytes that this process may use; none if nothing (`ulimit -v`) limits its addresses.

    Libraries take addresses that they never use: those it has by now are left out, to whole 64 MiB, so that
    the same command finds the same limit.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return []
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return []
    taken = psutil.Process().memory_info()
    return [max(0, most - taken.vms + taken.rss) >> 26 << 26]


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
