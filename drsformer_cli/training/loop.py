"""The training loop: seeded, resumable, and ended cleanly by a number of steps or of minutes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from drsformer_cli import __version__
from drsformer_cli.errors import CheckpointError, StorageError, UsageError
from drsformer_cli.media.files import write_atomically
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.training.checkpoint import State, check_fit, read_state, write_state
from drsformer_cli.training.data import gather
from drsformer_cli.training.log import Log
from drsformer_cli.training.losses import difference
from drsformer_cli.training.rain import add_rain
from drsformer_cli.training.recipe import Recipe, differences
from drsformer_cli.training.schedule import Clock, learning_rate
from drsformer_cli.training.validation import VALIDATION_SIDE, validate


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
        photographs: a folder of clean photographs, or one with pairs in `rainy` and `clean`.
        folder: where the checkpoint, the log and the model go.
        device: where to train.
        minutes: wall-clock budget; the schedule is stretched or shortened to it. None: by steps alone.
            While the process is stopped or the machine asleep, no time is counted.
        start: the tensors to begin with, of the recipe's network; random ones if none are given.
        bf16: whether the network computes in bfloat16 where that is enough, which GPUs do faster. Its
            parameters stay in fp32.

    Raises:
        UsageError: if the folder's checkpoint belongs to another recipe or its model to no checkpoint, or
            there are too few photographs.
        UnreadableError: if a photograph cannot be read.
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
        start: Mapping[str, Tensor] | None = None,
        bf16: bool = False,
    ) -> None:
        self.recipe, self.minutes, self.bf16 = recipe, minutes, bf16
        self.device, self.log = torch.device(device), Log(folder)
        schedule = recipe.schedule
        largest = max(max(side for _, side, _ in schedule.patches), VALIDATION_SIDE)
        self.material = gather(photographs, schedule.held_out, largest, device=self.device)
        torch.manual_seed(schedule.seed)
        self.network = DRSformer(recipe.network).to(self.device).to_channels_last()
        self.average = DRSformer(recipe.network).to(self.device).to_channels_last()
        if start is not None:
            self.network.load_state_dict(dict(start))
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
        """Train to the end of the schedule and return the model's file.

        Raises:
            CheckpointError: if the loss ceases to be a number.
            StorageError: if the checkpoint, the log or the model cannot be written.
        """
        schedule, clock, losses = self.recipe.schedule, Clock(self.minutes_done), []
        while (share := self.share) < 1:
            side, count = next((s, n) for start, s, n in reversed(schedule.patches) if start <= share)
            rate = learning_rate(share, schedule)
            losses.append(self._learn(side, count, rate))
            self.step += 1
            self.minutes_done = clock.tick()
            if not math.isfinite(losses[-1]):
                raise CheckpointError(
                    f"the loss is no number at step {self.step}; run again with a lower learning rate, "
                    "in a new folder"
                )
            scores = None
            if self.step % schedule.validate_every == 0 or self.share >= 1:
                scores = validate(self.average, self.material, self.recipe.rain, self.device)
                self._save({"learning_rate": rate, "loss": sum(losses) / len(losses), **scores})
                losses = losses[-1:]
                clock.pause()
            report(Progress(self.step, self.share, self.minutes_done, losses[-1], rate, scores))
        return self._export()

    @property
    def share(self) -> float:
        """How much of the schedule is done, 0..1."""
        by_steps = self.step / self.recipe.schedule.steps
        return min(1.0, by_steps if self.minutes is None else max(by_steps, self.minutes_done / self.minutes))

    def _learn(self, side: int, count: int, rate: float) -> float:
        schedule = self.recipe.schedule
        rainy, wanted = self._batch(side, count)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            restored = self.network(rainy.contiguous(memory_format=torch.channels_last))
        loss = difference(restored.float(), wanted, schedule.loss, schedule.fourier)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip)
        self.optimizer.step()
        # The average forgets faster at first, so that it never lags behind a young network.
        keep = min(schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
                average.lerp_(current, 1 - keep)
        return float(loss.detach())

    def _batch(self, side: int, count: int) -> tuple[Tensor, Tensor]:
        """Make a step's rainy patches and what should become of them, (count, 3, side, side) each."""
        seed, material = self.recipe.schedule.seed, self.material
        # Each step has randomness of its own, so that a resumed training sees what an unbroken one sees.
        rng = np.random.default_rng((seed, self.step))
        generator = torch.Generator(self.device).manual_seed(seed * 1_000_003 + self.step)
        paired = 0
        if material.pairs is not None:
            paired = int(rng.binomial(count, self.recipe.schedule.pairs))
        parts = []
        if material.pairs is not None and paired:
            both = material.pairs.batch(side, paired, rng)
            parts.append((both[:, :3], both[:, 3:]))
        if paired < count:
            clean = material.photographs.batch(side, count - paired, rng)
            parts.append(add_rain(clean, self.recipe.rain, generator))
        return torch.cat([rainy for rainy, _ in parts]), torch.cat([wanted for _, wanted in parts])

    def _save(self, row: dict[str, float]) -> None:
        state = State(
            repr(self.recipe),
            self.step,
            self.minutes_done,
            self.network.state_dict(),
            self.average.state_dict(),
            self.optimizer.state_dict(),
        )
        write_state(self.checkpoint, state)
        self.saved = self.step
        self.log.add({"step": self.step, "minutes": round(self.minutes_done, 2), **row})

    def longer(self) -> str:
        """Tell how a training goes on beyond its end."""
        return f"to go on from the finished model, give --from {self.model} and another -o"

    def _resume(self) -> None:
        state = read_state(self.checkpoint, self.network)
        if state.recipe != repr(self.recipe):
            other = ", ".join(differences(state.recipe, repr(self.recipe)))
            longer = f"; {self.longer()}" if self.model.exists() else ""
            raise UsageError(
                f"{self.checkpoint} belongs to another recipe ({other}): give the same, or another -o{longer}"
            )
        check_fit(self.checkpoint, state, self.network)
        self.network.load_state_dict(state.network)
        self.average.load_state_dict(state.average)
        own = self.optimizer.state_dict()["param_groups"]  # what decides them is in the recipe
        self.optimizer.load_state_dict({"state": state.optimizer["state"], "param_groups": own})
        self.step = self.saved = state.step
        self.minutes_done = float(state.minutes)

    def _export(self) -> Path:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.average.state_dict().items()}
        rain = asdict(self.recipe.rain)
        rain = {**rain.pop("shares"), **rain}
        metadata = {
            "made_by": f"derain {__version__}",
            "steps": str(self.step),
            "minutes": f"{self.minutes_done:.1f}",
            "rain": ", ".join(f"{name} {share:g}" for name, share in rain.items()),
            "ensemble": "flips",  # level rain, as in a picture on its side, it has hardly seen
            "schedule": ", ".join(f"{key} {value}" for key, value in asdict(self.recipe.schedule).items()),
        }
        write_atomically(self.model, save(tensors, metadata), replace=True)
        return self.model
