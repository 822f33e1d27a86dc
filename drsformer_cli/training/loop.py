"""The training loop: seeded, resumable, and ended cleanly by a number of steps or of minutes."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from drsformer_cli import __version__
from drsformer_cli.errors import CheckpointError, StorageError, UsageError
from drsformer_cli.media.files import write_atomically
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.quality.protocols import psnr
from drsformer_cli.training.data import Photographs, split
from drsformer_cli.training.rain import RainMix, add_rain
from drsformer_cli.training.recipe import Recipe, Schedule

#: Side of the crops that validation looks at.
VALIDATION_SIDE = 192


@dataclass(frozen=True)
class Progress:
    """Where a training stands; `scores` (dB of luma, by kind of rain) only right after a validation."""

    step: int
    share: float  # of the schedule, 0..1
    minutes: float
    loss: float
    learning_rate: float
    scores: dict[str, float] | None = None


class Training:
    """One training, from its first step or from a checkpoint in its folder.

    Args:
        recipe: what to train, on what rain, and how.
        photographs: a folder of clean photographs.
        folder: where the checkpoint, the log and the model go.
        device: where to train.
        minutes: wall-clock budget; the schedule is stretched or shortened to it. None: by steps alone.

    Raises:
        UsageError: if the folder's checkpoint belongs to another recipe or its model to no checkpoint, or
            there are too few photographs.
        CheckpointError: if the checkpoint is damaged.
        StorageError: if the folder cannot be made.
    """

    def __init__(
        self,
        recipe: Recipe,
        photographs: Path,
        folder: Path,
        *,
        device: str = "cpu",
        minutes: float | None = None,
    ) -> None:
        self.recipe, self.folder, self.device, self.minutes = recipe, folder, torch.device(device), minutes
        schedule = recipe.schedule
        largest = max(max(side for _, side, _ in schedule.patches), VALIDATION_SIDE)
        train, held_out = split(photographs, schedule.held_out, largest)
        self.photographs, self.held_out = Photographs(train), Photographs(held_out)
        torch.manual_seed(schedule.seed)
        self.network, self.average = (
            DRSformer(recipe.network).to(self.device).to_channels_last() for _ in range(2)
        )
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.step, self.saved, self.minutes_done = 0, 0, 0.0
        self.checkpoint, self.model = folder / "checkpoint.pt", folder / "model.safetensors"
        if self.checkpoint.exists():
            self._resume()
        elif self.model.exists():
            raise UsageError(f"{self.model} is there already, without its checkpoint; name another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{folder} cannot be made a folder for the training: {error.strerror}"
            ) from error

    def run(self, report: Callable[[Progress], None]) -> Path:
        """Train to the end of the schedule and return the model's file."""
        schedule, started = self.recipe.schedule, time.monotonic() - 60 * self.minutes_done
        while (share := self.share) < 1:
            side, count = next((s, n) for start, s, n in reversed(schedule.patches) if start <= share)
            rate = learning_rate(share, schedule)
            loss = self._learn(side, count, rate)
            self.step += 1
            self.minutes_done = (time.monotonic() - started) / 60
            if not math.isfinite(loss):
                raise CheckpointError(
                    f"the loss is no number at step {self.step}; run again with a lower learning_rate, "
                    "in a new folder"
                )
            scores = None
            if self.step % schedule.validate_every == 0 or self.share >= 1:
                scores = validate(self.average, self.held_out, self.recipe.rain, self.device)
                self._save(scores)
            report(Progress(self.step, self.share, self.minutes_done, loss, rate, scores))
        return self._export()

    @property
    def share(self) -> float:
        """How much of the schedule is done, 0..1."""
        by_steps = self.step / self.recipe.schedule.steps
        return min(1.0, by_steps if self.minutes is None else max(by_steps, self.minutes_done / self.minutes))

    def _learn(self, side: int, count: int, rate: float) -> float:
        schedule = self.recipe.schedule
        # Each step has randomness of its own, so that a resumed training sees what an unbroken one sees.
        rng = np.random.default_rng((schedule.seed, self.step))
        generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + self.step)
        clean = self.photographs.batch(side, count, rng).to(self.device)
        rainy = add_rain(clean, self.recipe.rain, generator).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.l1_loss(self.network(rainy), clean)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip)
        self.optimizer.step()
        # The average forgets faster at first, so that it never lags behind a young network.
        keep = min(schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
                average.lerp_(current, 1 - keep)
        return float(loss.detach())

    def _save(self, scores: dict[str, float]) -> None:
        state = {
            "recipe": repr(self.recipe),
            "step": self.step,
            "minutes": self.minutes_done,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint, buffer.getvalue(), replace=True)
        self.saved = self.step
        log = self.folder / "log.csv"
        new = not log.exists()
        with log.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "minutes", *scores])
            writer.writerow([self.step, f"{self.minutes_done:.2f}", *(f"{s:.3f}" for s in scores.values())])

    def _resume(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self._take_up(state)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
            raise CheckpointError(
                f"{self.checkpoint} is damaged; remove it to start anew, or name another folder"
            ) from error

    def _take_up(self, state: dict[str, Any]) -> None:
        if state["recipe"] != repr(self.recipe):
            raise UsageError(
                f"{self.checkpoint} belongs to another recipe; name another folder, or the same recipe"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = self.saved = state["step"]
        self.minutes_done = state["minutes"]

    def _export(self) -> Path:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.average.state_dict().items()}
        shares = ", ".join(f"{name} {share:g}" for name, share in self.recipe.rain.shares.items())
        metadata = {
            "made_by": f"derain {__version__}",
            "steps": str(self.step),
            "minutes": f"{self.minutes_done:.1f}",
            "rain": shares,
            "ensemble": "flips",  # its rain falls: level rain, as in a picture on its side, it has not seen
            "schedule": ", ".join(f"{key} {value}" for key, value in asdict(self.recipe.schedule).items()),
        }
        write_atomically(self.model, save(tensors, metadata), replace=True)
        return self.model


def learning_rate(share: float, schedule: Schedule) -> float:
    """Learning rate at a share of the schedule: a linear warm-up, then a cosine down to the final rate."""
    if share < schedule.warmup:
        return float(schedule.learning_rate * max(share / schedule.warmup, 0.01))
    cosine = (1 + math.cos(math.pi * (share - schedule.warmup) / (1 - schedule.warmup))) / 2
    low, high = schedule.final_learning_rate, schedule.learning_rate
    return float(low + (high - low) * cosine)


@torch.inference_mode()
def validate(
    network: nn.Module, held_out: Photographs, mix: RainMix, device: torch.device
) -> dict[str, float]:
    """Mean PSNR of luma (dB, `rain200`) by kind of rain, on the same seeded crops and rain each time."""
    scores = {}
    for kind in mix.shares:
        only = RainMix({kind: 1.0}, blur=0, sensor_noise=0, jpeg=0)
        generator = torch.Generator().manual_seed(7)
        values = []
        for clean in held_out.crops(VALIDATION_SIDE):
            rainy = add_rain(clean, only, generator).to(device, memory_format=torch.channels_last)
            # What is left alone to the last level has no finite PSNR: count it as the best a file can show.
            values.append(min(psnr(to_uint8(network(rainy)), to_uint8(clean)), 60.0))
        scores[kind] = sum(values) / len(values)
    return scores


def to_uint8(picture: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(1, 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    return (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
