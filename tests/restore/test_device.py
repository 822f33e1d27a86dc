"""The device and its precision, and threads that keep to the container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from drsformer_cli.restore.device import choose_precision, memory_limit, native_bf16


def test_the_limit_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_limit(torch.device("cpu")) <= psutil.virtual_memory().total


THREADS = """
import sys, torch
import os
import subprocess
import sys
from pathlib import Path
from drsformer_cli import machine
from drsformer_cli.restore import device
torch.set_num_threads(4)
machine._groups = lambda controller: [Path(sys.argv[1])]
os.sched_getaffinity = lambda _: range(8)
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
