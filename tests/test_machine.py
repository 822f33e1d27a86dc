"""Limits of a container, as the system writes them down."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from drsformer_cli import machine


def test_the_least_of_machine_process_and_container_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_groups", lambda controller: [tmp_path])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert machine.processors() == 8
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert machine.processors() == 3
    (tmp_path / "memory.max").write_text("4096\n")
    assert machine.memory() == 4096


def test_a_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    taken = psutil.Process().memory_info()
    unused = taken.vms - taken.rss
    monkeypatch.setattr(resource, "getrlimit", lambda _: (unused + (1 << 30), resource.RLIM_INFINITY))
    assert abs(machine.memory() - (1 << 30)) <= 1 << 27
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))
    assert machine.memory() == 0


def test_limits_of_all_groups_above_count(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "slice" / "job").mkdir(parents=True)
    (root / "slice" / "memory.max").write_text("4000000000\n")
    (root / "slice" / "job" / "memory.max").write_text("max\n")
    groups.write_text("0::/slice/job\n")
    limits = [machine._memory_of(group) for group in machine._groups("memory", root, groups)]
    assert limits == [[], [4000000000], []]


def test_version_1_groups(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "memory" / "docker" / "abc").mkdir(parents=True)
    (root / "memory" / "docker" / "abc" / "memory.limit_in_bytes").write_text("2000000000\n")
    (root / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    groups.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    limits = [machine._memory_of(group) for group in machine._groups("memory", root, groups)]
    assert limits == [[2000000000], [], [9223372036854771712]]


def test_no_groups(tmp_path: Path) -> None:
    assert machine._groups("memory", tmp_path, tmp_path / "none") == []


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"cpu.max": "150000 100000"}, [1.5]),
        ({"cpu.max": "max 100000"}, []),
        ({"cpu.cfs_quota_us": "400000", "cpu.cfs_period_us": "100000"}, [4.0]),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, []),
        ({}, []),
    ],
)
def test_processors_of_a_group(tmp_path: Path, files: dict[str, str], processors: list[float]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert machine._processors_of(tmp_path) == processors


FAULTS = """
import resource
import numpy as np
from drsformer_cli import machine
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 21)  # 16 MB, 4096 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
machine.keep_memory()
machine.keep_memory()
faults()
kept = faults()
machine.give_back()
print(kept, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an allocator that takes no advice")
def test_kept_memory_is_not_mapped_anew_until_it_was_given_back() -> None:
    """Twenty arrays of 16 MB in turn lie in the same pages; given back, these are mapped once more."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, mapped_again = map(int, done.stdout.split())
    assert kept < 100 < mapped_again
