"""Limits of a container, as the system writes them down."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from drsformer_cli.restore import device
from drsformer_cli.restore.device import choose_precision, memory_limit, native_bf16


def test_the_limit_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_limit(torch.device("cpu")) <= psutil.virtual_memory().total


def test_limits_of_all_groups_above_count(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "slice" / "job").mkdir(parents=True)
    (root / "slice" / "memory.max").write_text("4000000000\n")
    (root / "slice" / "job" / "memory.max").write_text("max\n")
    groups.write_text("0::/slice/job\n")
    limits = [device._memory_of(group) for group in device._groups("memory", root, groups)]
    assert limits == [[], [4000000000], []]


def test_version_1_groups(tmp_path: Path) -> None:
    root, groups = tmp_path / "cgroup", tmp_path / "self"
    (root / "memory" / "docker" / "abc").mkdir(parents=True)
    (root / "memory" / "docker" / "abc" / "memory.limit_in_bytes").write_text("2000000000\n")
    (root / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    groups.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n")
    limits = [device._memory_of(group) for group in device._groups("memory", root, groups)]
    assert limits == [[2000000000], [], [9223372036854771712]]


def test_no_groups(tmp_path: Path) -> None:
    assert device._groups("memory", tmp_path, tmp_path / "none") == []


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
    assert device._processors_of(tmp_path) == processors


THREADS = """
import sys, torch
import os
import subprocess
import sys
from pathlib import Path
from drsformer_cli.restore import device
torch.set_num_threads(4)
device._groups = lambda controller: [Path(sys.argv[1])]
device.limit_threads()
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(("named", "expected"), [(None, "2"), ("3", "4")])
def test_threads_keep_to_the_container_unless_they_are_named(
    tmp_path: Path, named: str | None, expected: str
) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000")
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": named} if named else {}
    run = subprocess.run(
        [sys.executable, "-c", THREADS, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == expected


def test_auto_is_fast_only_for_models_measured_so_and_where_it_is_native() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == "fp32"
    assert choose_precision("auto", cpu, "cuda:bf16") == "fp32"
    assert choose_precision("auto", cpu, "cpu:bf16") == ("bf16" if native_bf16(cpu) else "fp32")
    assert choose_precision("fp32", cpu, "cpu:bf16") == "fp32"
