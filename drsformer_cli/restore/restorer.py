"""A loaded model on a device: rainy picture in, clean picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drsformer_cli import weights
from drsformer_cli.errors import CheckpointError, InputError, MemoryLimitError, UsageError
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.device import PRECISIONS, choose_device, choose_precision, memory_limit
from drsformer_cli.restore.plan import LEAST_TILE, OVERLAP, Plan, check_tile, make_plan, padded
from drsformer_cli.restore.tiles import restore_tiled

#: Largest value of each dtype a picture may have; floats are in [0, 1].
WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}
Picture = NDArray[Any]


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
    checkpoint = weights.read(path)
    network = DRSformer.from_state_dict(checkpoint.tensors)
    return Restorer(
        network,
        device=chosen,
        precision=choose_precision(precision, chosen),
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
        self.config = network.config
        self.network = network.to(device=device, dtype=torch.float32).eval().to_channels_last()
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
        on_host = self.device.type != "cuda"
        return make_plan(
            height, width, self.config, limit=self.limit, tile=side, overlap=self.overlap, on_host=on_host
        )

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
        }

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
            UsageError: for anything but such an array, and for values that are no numbers.
            CheckpointError: if the network's answer is no picture.
            MemoryLimitError: if there is too little memory for a tile of any picture.
            InputError: if there is too little for this picture, or for all of it at once with tile `off`.
        """
        if not isinstance(rainy, np.ndarray):
            raise UsageError(f"a picture must be a NumPy array, not a {type(rainy).__name__}")
        if rainy.ndim != 3 or rainy.shape[2] != 3 or 0 in rainy.shape or rainy.dtype not in WHITE:
            raise UsageError(
                f"a picture must be (H, W, 3) uint8, uint16 or float32, not {rainy.shape} {rainy.dtype}"
            )
        if rainy.dtype == np.float32 and not np.isfinite(rainy).all():
            raise UsageError("a picture must hold numbers only, and this one has NaN or infinity in it")
        white, (height, width) = WHITE[rainy.dtype], rainy.shape[:2]
        bottom, right = padded(height, width)
        # Reflected as often as it takes for very small pictures; a side of one pixel is repeated.
        wide = np.pad(rainy, ((0, bottom - height), (0, right - width), (0, 0)), mode="reflect")
        picture = torch.from_numpy(np.divide(wide, white, dtype=np.float32)).permute(2, 0, 1)[None]
        restored, plan = self._restore(picture, self.plan(height, width))
        if not torch.isfinite(restored).all():
            raise CheckpointError("the model gives no numbers for this picture; take another model")
        restored.clamp_(0, 1)
        if self.strength < 1:
            restored = picture.lerp_(restored, self.strength)
        values = restored[0, :, :height, :width].permute(1, 2, 0).numpy()
        if rainy.dtype == np.float32:
            return np.ascontiguousarray(values), self._words(plan)
        np.rint(np.multiply(values, white, out=values), out=values)
        return values.astype(rainy.dtype), self._words(plan)

    def _restore(self, picture: Tensor, plan: Plan) -> tuple[Tensor, Plan]:
        """(1, 3, H, W) on the host to the same; tiles are halved for as long as memory runs out."""
        while True:
            try:
                if plan.whole:
                    return self._through(picture), plan
                return restore_tiled(picture, self._through, plan.tile, plan.overlap), plan
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
                raise MemoryLimitError(f"{size}; free some")
            tile = (halve(plan.tile[0]), halve(plan.tile[1]))
            plan = Plan(tile, min(self.overlap, min(tile) // 2), False, plan.memory)

    def _through(self, picture: Tensor) -> Tensor:
        """(1, 3, H, W) through the network, as the mean over the views there are of it."""
        if len(self.views) == 1:
            return self._forward(picture)
        total = torch.zeros_like(picture)
        for flip, turn in self.views:
            seen = torch.rot90(picture.flip(-1) if flip else picture, turn, (-2, -1))
            back = torch.rot90(self._forward(seen), -turn, (-2, -1))
            total += back.flip(-1) if flip else back
        return total.div_(len(self.views))

    @torch.no_grad()
    def _forward(self, picture: Tensor) -> Tensor:
        there = picture.to(self.device).contiguous(memory_format=torch.channels_last)
        if self.precision != "fp32":
            with torch.autocast(self.device.type, PRECISIONS[self.precision]):
                result: Tensor = self.network(there).float()
            if torch.isfinite(result).all():
                return result.cpu()
        # Also where half precision overflowed: better slow than wrong. Full means full: a GPU's convolutions
        # would else take TF32, which has the mantissa of fp16.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            result = self.network(there)
        return result.cpu()


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
