"""A loaded model on a device: rainy picture in, clean picture out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drsformer_cli import machine, weights
from drsformer_cli.errors import CheckpointError, InputError, MemoryLimitError, UsageError
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.banded import Banded
from drsformer_cli.restore.device import (
    PRECISIONS,
    choose_device,
    choose_precision,
    limit_threads,
    memory_limit,
)
from drsformer_cli.restore.plan import LEAST_TILE, OVERLAP, Needs, Plan, check_tile, make_plan, padded
from drsformer_cli.restore.tiles import restore_tiled

#: Largest value of each dtype a picture may have; floats are in [0, 1].
WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}
Picture = NDArray[Any]
#: Makes what maps (H, W, 3) float32 in [0, 1] to the same out of a network.
Organise = Callable[[DRSformer, torch.dtype], Callable[[Tensor], Tensor]]


def load(
    model: str | Path = "compact",
    *,
    device: str = "auto",
    precision: str = "auto",
    tile: str | int = "auto",
    overlap: int | None = None,
    memory: int | None = None,
    ensemble: bool = False,
    strength: float = 1.0,
) -> Restorer:
    """Load a model, ready to restore pictures. Nothing is ever downloaded here.

    Args:
        model: a name of the catalogue (`compact` is bundled), or a path to a .pth or .safetensors file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        tile: `auto` (whole as long as memory allows), `off` (whole, always), or a tile's side in pixels.
        overlap: pixels that neighbouring tiles share; 32 unless told.
        memory: budget in bytes; the machine's, container's or GPU's own memory unless told.
        ensemble: mean over the eight flips and turns, eight times the work; over the four flips alone for a
            model whose file says that it knows falling rain only (`ensemble: flips` in its metadata).
        strength: 0..1, how much of the restoration is taken; the rest is the input.

    Raises:
        UsageError: for arguments that make no sense.
        WeightsError: if the model is unknown or not here; CheckpointError if it is unsound.
        DeviceError: if the device or precision named is not to be had.
    """
    path = weights.resolve(str(model))
    chosen = choose_device(device)
    limit_threads()
    checkpoint = weights.read(path)
    network = DRSformer.from_state_dict(checkpoint.tensors)
    return Restorer(
        network,
        device=chosen,
        precision=choose_precision(precision, chosen, checkpoint.metadata.get("measured", "")),
        tile=tile,
        overlap=overlap,
        memory=memory,
        ensemble=ensemble,
        turns=checkpoint.metadata.get("ensemble") != "flips",
        strength=strength,
        model=checkpoint.sha256,
    )


class Restorer:
    """A network on a device with settings; call it with pictures.

    Attributes:
        settings: all that decides the result besides the picture's size, as plain values.
    """

    def __init__(
        self,
        network: DRSformer,
        *,
        device: torch.device,
        precision: str = "fp32",
        tile: str | int = "auto",
        overlap: int | None = None,
        memory: int | None = None,
        ensemble: bool = False,
        turns: bool = True,
        strength: float = 1.0,
        model: str = "",
        organise: Organise = Banded,
    ) -> None:
        self.overlap = OVERLAP if overlap is None else overlap
        self.tile = check_tile(tile, self.overlap)
        if not 0 <= strength <= 1:
            raise UsageError(f"strength must be between 0 and 1, not {strength}")
        if memory is not None and memory <= 0:
            raise UsageError(f"the memory budget must be positive, not {memory} bytes")
        self.device, self.precision, self.strength = device, precision, strength
        # A picture on its side shows rain that flies level: a view only for a network that has seen such.
        self.views = [
            (flip, turn) for flip in (False, True) for turn in (0, 1, 2, 3) if turns or turn % 2 == 0
        ]
        self.views = self.views if ensemble else self.views[:1]
        # A budget is only ever a smaller limit: no wish makes a machine larger.
        self.limit = min(memory_limit(device), memory or memory_limit(device))
        self.network = network.to(device=device, dtype=torch.float32).eval()
        self.needs = Needs.of(network, precision, device.type)
        self._organise, self._engines = organise, {precision: organise(self.network, PRECISIONS[precision])}
        self.settings: dict[str, Any] = {
            "model": model,
            "device": device.type,
            "precision": precision,
            "tile": self.tile,
            "overlap": self.overlap,
            "memory": memory,
            "ensemble": ensemble,
            "strength": strength,
        }

    def plan(self, height: int, width: int) -> Plan:
        """Settle how a picture of this size is done; it depends on the size and on limits alone.

        Raises:
            MemoryLimitError: if the limit is too small for a tile of any picture.
            InputError: if it is too small for this picture.
        """
        side = self.tile if isinstance(self.tile, int) else None
        if self.tile == "off":
            side = max(padded(height, width))
        return make_plan(height, width, self.needs, limit=self.limit, tile=side, overlap=self.overlap)

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Describe the resolved plan for a size as plain values."""
        return self._words(self.plan(height, width))

    def _words(self, plan: Plan) -> dict[str, Any]:
        threads = torch.get_num_threads() if self.device.type == "cpu" else None
        return {
            **plan.to_dict(),
            "precision": self.precision,
            "device": str(self.device),
            "threads": threads,
            "limit": self.limit,
        }

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Rest all further plans on what an earlier one rested on, so that a resumed run keeps its ways.

        Args:
            plan: as `describe` gave it; its memory limit is taken over, unless there is less now, and on a
                CPU its number of threads, unless there are fewer or OMP_NUM_THREADS says how many.
        """
        self.limit = machine.limit_after(plan, self.limit)
        threads = plan.get("threads")
        free = self.device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ
        if free and isinstance(threads, int) and 0 < threads < torch.get_num_threads():
            torch.set_num_threads(threads)

    def __call__(self, rainy: Picture) -> Picture:
        """Restore one picture; what `restore` says, without the plan."""
        return self.restore(rainy)[0]

    def restore(self, rainy: Picture) -> tuple[Picture, dict[str, Any]]:
        """Restore one picture and tell how it was done.

        Args:
            rainy: (H, W, 3) RGB, uint8, uint16, or float32 in [0, 1]; H and W at least 1.

        Returns:
            The restored picture, same shape and dtype, clamped to the range; and the plan that was carried
            out, as `describe` gives it. It has smaller tiles than planned if memory ran out all the same.

        Raises:
            UsageError: for anything but such an array, for floats that are no numbers or beyond [0, 1].
            CheckpointError: if the network's answer is no picture.
            MemoryLimitError: if there is too little memory for a tile of any picture.
            InputError: if there is too little for this picture, or for all of it at once with tile `off`.
        """
        check_picture(rainy)
        height, width = rainy.shape[:2]
        bottom, right = padded(height, width)
        if (bottom, right) != (height, width):
            # Reflected as often as it takes for very small pictures; a side of one pixel is repeated.
            around = ((0, bottom - height), (0, right - width), (0, 0))
            pixels = torch.from_numpy(np.pad(rainy, around, mode="reflect"))
        else:
            pixels = torch.from_numpy(np.require(rainy, requirements=("C", "W")))  # torch warns of others
        restored, plan = self._restore(pixels, self.plan(height, width))
        if not restored.sum().isfinite():
            raise CheckpointError("the model gives no numbers for this picture; take another model")
        restored.clamp_(0, 1)
        if self.strength < 1:
            restored = in_unit_range(pixels.to(restored.device)).lerp_(restored, self.strength)
        return as_pixels(restored[:height, :width], rainy.dtype), self._words(plan)

    def _restore(self, pixels: Tensor, plan: Plan) -> tuple[Tensor, Plan]:
        """(H, W, 3) on the host to float32 in [0, 1]; tiles are halved for as long as memory runs out."""
        while True:
            try:
                if plan.whole:
                    return self._through(pixels), plan
                return restore_tiled(pixels, self._through, plan.tile, plan.overlap), plan
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, so that the failed attempt's tensors are let go before the next.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            size = f"{plan.tile[1]} x {plan.tile[0]} pixels at once do not fit in memory"
            if self.tile == "off":
                raise InputError(f"{size}; leave out --tile off")
            if max(plan.tile) <= LEAST_TILE:
                if max(pixels.shape[:2]) > LEAST_TILE:  # a smaller picture may fit
                    raise InputError(f"{size}; close other programs, or make the picture smaller")
                raise MemoryLimitError(f"{size}; close other programs")
            tile = (halve(plan.tile[0]), halve(plan.tile[1]))
            plan = Plan(tile, min(self.overlap, min(tile) // 2), False, plan.memory)

    def _through(self, pixels: Tensor) -> Tensor:
        """(H, W, 3) on the host through the network, on its device, as the mean over the views of it."""
        picture = in_unit_range(self._upload(pixels))
        if len(self.views) == 1:
            return self._forward(picture)
        total = torch.zeros_like(picture)
        for flip, turn in self.views:
            seen = torch.rot90(picture.flip(1) if flip else picture, turn)
            back = torch.rot90(self._forward(seen.contiguous()), -turn)
            total += back.flip(1) if flip else back
        return total.div_(len(self.views))

    def _upload(self, pixels: Tensor) -> Tensor:
        """Bring pixels to the device as they are stored: a byte crosses the bus faster than a float."""
        if self.device.type != "cuda":
            return pixels.to(self.device)
        return pixels.contiguous().pin_memory().to(self.device, non_blocking=True)

    def _forward(self, picture: Tensor) -> Tensor:
        """(H, W, 3) float32 on the device to the same."""
        # Full precision means full: a GPU's convolutions would else take TF32, with the mantissa of fp16.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            result = self._engines[self.precision](picture)
            if self.precision != "fp32" and not result.sum().isfinite():
                # Half precision overflowed: better slow than wrong.
                if "fp32" not in self._engines:
                    self._engines["fp32"] = self._organise(self.network, torch.float32)
                result = self._engines["fp32"](picture)
        return result


def check_picture(rainy: Picture) -> None:
    """Raise UsageError for anything but what `Restorer.restore` takes."""
    if not isinstance(rainy, np.ndarray):
        raise UsageError(f"a picture must be a NumPy array, not a {type(rainy).__name__}")
    if rainy.ndim != 3 or rainy.shape[2] != 3 or 0 in rainy.shape or rainy.dtype not in WHITE:
        raise UsageError(
            f"a picture must be (H, W, 3) uint8, uint16 or float32, not {rainy.shape} {rainy.dtype}"
        )
    if rainy.dtype == np.float32:
        least, most = float(rainy.min()), float(rainy.max())  # NaN if there is one anywhere
        if not np.isfinite(least + most):
            raise UsageError("a picture must hold numbers only, and this one has NaN or infinity in it")
        if least < 0 or most > 1:
            raise UsageError(
                f"a float32 picture must be in [0, 1], and this one goes from {least:g} to {most:g}: "
                "divide it by its white, or clip it"
            )


def in_unit_range(pixels: Tensor) -> Tensor:
    """Turn stored values of any picture into new float32 in [0, 1]."""
    white = WHITE[np.dtype(str(pixels.dtype).removeprefix("torch."))]
    return pixels.to(torch.float32, copy=True).div_(white)


def as_pixels(picture: Tensor, dtype: np.dtype[Any]) -> Picture:
    """Turn float32 in [0, 1] on any device into an array of a picture's stored values."""
    if dtype == np.float32:
        return np.ascontiguousarray(picture.cpu().numpy())
    values = (picture * WHITE[dtype]).round_()
    # A byte crosses the bus faster than a float; torch has little arithmetic for 16 bits without sign.
    stored = values.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    return stored.cpu().numpy().astype(dtype, copy=False)


def halve(side: int) -> int:
    """Half a tile's side, in multiples of 8, and not below the least tile."""
    return side if side <= LEAST_TILE else max(LEAST_TILE, padded(side // 2, 1)[0])


def out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory ran out, on the host or on a device."""
    words = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "failed to allocate",
        "alloc_failed",
    )
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        word in str(error).lower() for word in words
    )
