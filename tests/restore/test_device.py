"""The device and its precision, and threads that keep to the container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from drsformer_cli.errors import DeviceError, UsageError
from drsformer_cli.restore.device import (
    choose_device,
    choose_precision,
    memory_limit,
    native_bf16,
    precisions,
)


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


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, *, apple: bool = False, bf16: bool = True) -> None:
    """Let torch say that there are so many GPUs, of 8 GiB each."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bf16)
    memory = SimpleNamespace(total_memory=8 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: memory)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


@pytest.mark.parametrize(
    ("name", "count", "apple", "expected"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 0, True, "mps"),
        ("auto", 2, True, "cuda:0"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
    ],
)
def test_the_device_that_is_named_or_the_best(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, apple: bool, expected: str
) -> None:
    gpus(monkeypatch, count, apple=apple)
    assert str(choose_device(name)) == expected


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("cuda", 0, "there is no cuda here, no CUDA device that this torch can use"),
        ("cuda:2", 2, r"there is no cuda:2 here, only 2 CUDA device\(s\)"),
        ("mps", 0, "there is no mps device here"),
    ],
)
def test_a_device_that_is_not_there_is_never_another(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int, words: str
) -> None:
    gpus(monkeypatch, count)
    with pytest.raises(DeviceError, match=words):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x", ""])
def test_devices_that_nobody_knows(name: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_what_a_device_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, apple, cpu = torch.device("cuda", 0), torch.device("mps"), torch.device("cpu")
    gpus(monkeypatch, 1)
    assert [precisions(each) for each in (cpu, cuda, apple)] == [
        ["fp32", "bf16"],
        ["fp32", "bf16", "fp16"],
        ["fp32", "bf16", "fp16"],
    ]
    assert (native_bf16(cuda), native_bf16(apple)) == (True, False)
    assert choose_precision("auto", cuda, "cuda:bf16") == "bf16"
    assert memory_limit(cuda) == 8 << 30
    gpus(monkeypatch, 1, bf16=False)
    assert precisions(cuda) == ["fp32", "fp16"]
    assert choose_precision("auto", cuda, "cuda:bf16") == "fp32"
    with pytest.raises(DeviceError, match="cuda:0 cannot compute in bf16; use --precision fp32 or fp16"):
        choose_precision("bf16", cuda)
    with pytest.raises(UsageError, match="unknown precision 'int8'"):
        choose_precision("int8", cpu)
