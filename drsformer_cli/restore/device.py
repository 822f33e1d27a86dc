"""The device and precision a restoration runs on: chosen, checked, and never changed silently."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

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


def choose_precision(name: str, device: torch.device) -> str:
    """Turn `auto`, `fp32`, `bf16` or `fp16` into a precision that the device can compute in.

    `auto` is fp32: the others change the picture a little, so they are taken only when asked for.

    Raises:
        UsageError: for another word.
        DeviceError: if the device has no arithmetic of that kind.
    """
    if name == "auto":
        return "fp32"
    if name not in PRECISIONS:
        raise UsageError(f"unknown precision {name!r}; use auto, fp32, bf16 or fp16")
    if name not in precisions(device):
        raise DeviceError(
            f"{device} cannot compute in {name}; use --precision {' or '.join(precisions(device))}"
        )
    return name


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
    return min([int(psutil.virtual_memory().total), *_container_limits()])


def _container_limits(
    root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Memory limits of this process's control groups and all above them, of version 2 and 1."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # no control groups here
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                limits += _limit(folder / name)
    return limits


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return []  # this level sets none
    return [int(text)] if text.isdecimal() else []  # else "max"
