"""The words about who works where: `--device`, `--workers`, `--shard`, `--engine` and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from drsformer_cli.cli import completion
from drsformer_cli.cli.options import parse_device
from drsformer_cli.errors import UsageError


class EngineName(str, Enum):
    """The engines that spread the work."""

    LOCAL = "local"
    RAY = "ray"


DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        autocompletion=completion.DEVICES,
        help="auto, cpu, cuda, cuda:N, mps, or several: cuda:0,cuda:1.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Do only part I of N; N runs share the work, e.g. of a job array."
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", min=1, help="Processes with a model each.  [default: one a device]"
    ),
]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Where workers live: on this machine, or on a Ray cluster.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="ADDRESS", help="Of the cluster, e.g. auto.  [default: Ray is started here]"
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        metavar="X",
        min=0,
        help="On a Ray cluster, e.g. 0.5.  [default: 1 if it has any]",
    ),
]


MegapixelsOption = Annotated[
    float | None,
    typer.Option(
        "--max-megapixels",
        metavar="N",
        min=0.001,
        max=100_000,
        help="Refuse pictures that announce more, over all frames.  [default: 500]",
    ),
]


@dataclass(frozen=True)
class Work:
    """Checked words; `workers`, `gpus_per_worker` and `max_pixels` are None where they were not said."""

    engine: EngineName = EngineName.LOCAL
    devices: tuple[str, ...] = ("auto",)
    workers: int | None = None
    ray_address: str | None = None
    gpus_per_worker: float | None = None
    max_pixels: int | None = None

    @classmethod
    def check(
        cls,
        *,
        engine: EngineName,
        device: str,
        workers: int | None,
        ray_address: str | None,
        gpus_per_worker: float | None,
        max_megapixels: float | None = None,
    ) -> Work:
        """Raise UsageError for words that make no sense together."""
        devices = parse_devices(device)
        if engine is not EngineName.RAY:
            if ray_address is not None:
                raise UsageError("--ray-address makes no sense without --engine ray.")
            if gpus_per_worker is not None:
                raise UsageError("--gpus-per-worker makes no sense without --engine ray.")
        elif devices not in (("auto",), ("cpu",), ("cuda",)):
            raise UsageError(
                f"--device {device} makes no sense with --engine ray, which deals out the devices: "
                "give auto, cpu or cuda."
            )
        if workers is not None and workers < len(devices):
            raise UsageError(f"--workers {workers} is less than the devices named: leave some of them out.")
        max_pixels = None if max_megapixels is None else round(max_megapixels * 1e6)
        return cls(engine, devices, workers, ray_address, gpus_per_worker, max_pixels)

    @property
    def alone(self) -> bool:
        """Tell whether the process that was started does everything itself."""
        return self.engine is EngineName.LOCAL and len(self.devices) < 2 and (self.workers or 1) == 1


def parse_devices(text: str) -> tuple[str, ...]:
    """Return the name of one device, or those of several GPUs, as in cuda:0,cuda:1. Raises UsageError."""
    devices = tuple(parse_device(name.strip()) for name in text.split(","))
    if len(devices) > 1 and not all(name.startswith("cuda:") for name in devices):
        raise UsageError(f"--device {text}: only GPUs go together, by their numbers, as in cuda:0,cuda:1.")
    if len({*devices}) < len(devices):
        raise UsageError(f"--device {text} names a device twice: --workers says how many share it.")
    return devices
