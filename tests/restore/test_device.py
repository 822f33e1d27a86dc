"""Limits of a container, as the system writes them down."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from drsformer_cli.restore import device
from drsformer_cli.restore.device import memory_limit


def test_the_limit_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_limit(torch.device("cpu")) <= psutil.virtual_memory().total


def test_limits_of_all_groups_above_count(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "slice" / "job").mkdir(parents=True)
    (root / "slice" / "memory.max").write_text("4000000000\n")
    (root / "slice" / "job" / "memory.max").write_text("max\n")
    groups.write_text("0::/slice/job\n")
    assert device._container_limits(root, groups) == [4000000000]


def test_version_1_groups(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "memory" / "docker" / "abc").mkdir(parents=True)
    (root / "memory" / "docker" / "abc" / "memory.limit_in_bytes").write_text("2000000000\n")
    (root / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    groups.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    assert min(device._container_limits(root, groups)) == 2000000000


def test_no_groups(tmp_path: Path) -> None:
    assert device._container_limits(tmp_path, tmp_path / "none") == []
