"""The device and precision a restoration runs on: chosen, checked, and never changed silently."""

from __future__ import annotations

import os

import torch

from drsformer_cli import machine
from drsformer_cli.errors import DeviceError, UsageError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:N` or `mps` into a device that is there.

    Raises:
        UsageError: for another word.
        DeviceError: if the device named is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"only {count} CUDA device(s)" if count else "no CUDA device that this torch can use"
            raise DeviceError(f"there is no {name} here, {have}; use --device auto, or see derain doctor")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("there is no mps device here; use --device auto, or see derain doctor")
    return torch.device(device.type)


def choose_precision(name: str, device: torch.device, measured: str = "") -> str:
    """Turn `auto`, `fp32`, `bf16` or `fp16` into a precision that the device can compute in.

    `auto` is the faster one only for a model that was measured to give the same pictures in it, within 50 dB
    PSNR of fp32, and only on devices that compute in it natively; else it is fp32.

    Args:
        name: one of these words.
        device: to compute on.
        measured: what a model's file says of that: `cpu:bf16` if it was measured on CPUs in bf16.

    Raises:
        UsageError: for another word.
        DeviceError: if the device has no arithmetic of that kind.
    """
    if name == "auto":
        return "bf16" if f"{device.type}:bf16" in measured.split() and native_bf16(device) else "fp32"
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; use auto, fp32, bf16 or fp16")
    if name not in precisions(device):
        raise DeviceError(
            f"{device} cannot compute in {name}; use --precision {' or '.join(precisions(device))}"
        )
    return name


def native_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 as such, and so faster than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Instructions of x86 processors; torch names no others.
    tests = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(test() for test in tests if test is not None)


def precisions(device: torch.device) -> list[str]:
    """Precisions that a device computes in, best first."""
    if device.type == "cpu":
        return ["fp32", "bf16"]
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return ["fp32", "fp16"]
    return ["fp32", "bf16", "fp16"]


def memory_limit(device: torch.device) -> int:
    """Total memory in bytes that a process may use on a device: of the machine, its container, or its GPU.

    It is a limit, not what is free at the moment, so that the same picture gets the same plan every time.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine.memory()


def limit_threads() -> None:
    """Take no more threads than the container has processors, unless OMP_NUM_THREADS says how many."""
    if "OMP_NUM_THREADS" in os.environ:
        return
    most = machine.processors()
    if most < torch.get_num_threads():
        torch.set_num_threads(most)
