"""A loaded model on a device: rainy picture in, clean picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drsformer_cli import weights
from drsformer_cli.errors import MemoryLimitError, UsageError
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.device import PRECISIONS, choose_device, choose_precision, memory_limit
from drsformer_cli.restore.plan import LEAST_TILE, OVERLAP, Plan, make_plan, padded
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
        ensemble: mean over the eight flips and turns; eight times the work.
        strength: 0..1, how much of the restoration is taken; the rest is the input.

    Raises:
        UsageError: for arguments that make no sense.
        WeightsError: if the model is unknown or not here; CheckpointError if it is unsound.
        DeviceError: if the device or precision named is not to be had.
    """
    path = weights.resolve(str(model))
    chosen = choose_device(device)
    network = DRSformer.from_state_dict(weights.load_tensors(path))
    return Restorer(
        network,
        device=chosen,
        precision=choose_precision(precision, chosen),
        tile=tile,
        overlap=overlap,
        memory=memory,
        ensemble=ensemble,
        strength=strength,
        model=weights.fingerprint(path),
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
        strength: float = 1.0,
        model: str = "",
    ) -> None:
        self.overlap = OVERLAP if overlap is None else overlap
        self.tile = check_tile(tile, self.overlap)
        if not 0 <= strength <= 1:
            raise UsageError(f"strength must be between 0 and 1, not {strength}")
        if memory is not None and memory <= 0:
            raise UsageError(f"the memory budget must be positive, not {memory} bytes")
        self.device, self.precision, self.ensemble, self.strength = device, precision, ensemble, strength
        # A budget is only ever a smaller limit: no wish makes a machine larger.
        self.limit = min(memory_limit(device), memory or memory_limit(device))
        self.config = network.config
        self.network = network.to(device=device, dtype=torch.float32).eval()
        for module in self.network.modules():
            if isinstance(module, torch.nn.Conv2d):  # the layout depthwise convolutions run fastest in
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
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
            MemoryLimitError: if not even the smallest tile fits.
        """
        side = {"auto": None, "off": max(padded(height, width))}.get(str(self.tile), self.tile)
        assert side is None or isinstance(side, int)
        return make_plan(height, width, self.config, limit=self.limit, tile=side, overlap=self.overlap)

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Describe the resolved plan for a size as plain values."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else None
        plan = self.plan(height, width).to_dict()
        return {**plan, "precision": self.precision, "device": str(self.device), "threads": threads}

    def __call__(self, rainy: Picture) -> Picture:
        """Restore one picture.

        Args:
            rainy: (H, W, 3) RGB, uint8, uint16, or float32 in [0, 1]; H and W at least 1.

        Returns:
            The restored picture, same shape and dtype, clamped to the range.

        Raises:
            UsageError: for another shape or dtype.
            MemoryLimitError: if not even the smallest tile fits.
        """
        if rainy.ndim != 3 or rainy.shape[2] != 3 or 0 in rainy.shape or rainy.dtype not in WHITE:
            raise UsageError(
                f"a picture must be (H, W, 3) uint8, uint16 or float32, not {rainy.shape} {rainy.dtype}"
            )
        white, (height, width) = WHITE[rainy.dtype], rainy.shape[:2]
        bottom, right = padded(height, width)
        # Reflected as often as it takes for very small pictures; a side of one pixel is repeated.
        wide = np.pad(rainy, ((0, bottom - height), (0, right - width), (0, 0)), mode="reflect")
        picture = torch.from_numpy(wide.astype(np.float32) / np.float32(white)).permute(2, 0, 1)[None]
        restored = self._restore(picture, self.plan(height, width))
        restored = picture.lerp(restored.clamp_(0, 1), self.strength)[0, :, :height, :width]
        values = restored.permute(1, 2, 0).numpy()
        if rainy.dtype == np.float32:
            return np.ascontiguousarray(values)
        return np.rint(values * np.float32(white)).astype(rainy.dtype)

    def _restore(self, picture: Tensor, plan: Plan) -> Tensor:
        """(1, 3, H, W) on the host to the same; tiles are halved for as long as memory runs out."""
        tile, whole = plan.tile, plan.whole
        while True:
            try:
                if whole:
                    return self._through(picture)
                return restore_tiled(picture, self._through, tile, min(self.overlap, min(tile) // 2))
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, so that the failed attempt's tensors are let go before the next.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if max(tile) <= LEAST_TILE:
                raise MemoryLimitError(f"a tile of {tile[0]} x {tile[1]} pixels does not fit in memory")
            tile, whole = (halve(tile[0]), halve(tile[1])), False

    def _through(self, picture: Tensor) -> Tensor:
        """(1, 3, H, W) through the network, once or as the mean over the eight flips and turns."""
        if not self.ensemble:
            return self._forward(picture)
        total = torch.zeros_like(picture)
        for turns in range(4):
            for flip in (False, True):
                seen = torch.rot90(picture.flip(-1) if flip else picture, turns, (-2, -1))
                back = torch.rot90(self._forward(seen), -turns, (-2, -1))
                total += back.flip(-1) if flip else back
        return total.div_(8)

    @torch.no_grad()
    def _forward(self, picture: Tensor) -> Tensor:
        there = picture.to(self.device).contiguous(memory_format=torch.channels_last)
        if self.precision != "fp32":
            with torch.autocast(self.device.type, PRECISIONS[self.precision]):
                result: Tensor = self.network(there).float()
            if torch.isfinite(result).all():
                return result.cpu()
        # Also where half precision overflowed: better slow than wrong.
        result = self.network(there)
        return result.cpu()


def check_tile(tile: str | int, overlap: int) -> str | int:
    """Return `auto`, `off` or a side that fits the overlap.

    Raises:
        UsageError: for anything else.
    """
    if overlap < 0:
        raise UsageError(f"the overlap must not be negative, not {overlap}")
    if tile in ("auto", "off"):
        return tile
    side = int(tile) if str(tile).isdigit() else 0
    if side < LEAST_TILE or side % 8:
        raise UsageError(f"tile must be auto, off, or a multiple of 8 from {LEAST_TILE} up, not {tile!r}")
    if overlap * 2 > side:
        raise UsageError(f"an overlap of {overlap} is more than half a tile of {side}; take a smaller one")
    return side


def halve(side: int) -> int:
    """Half a tile's side, in multiples of 8, and not below the least tile."""
    return side if side <= LEAST_TILE else max(LEAST_TILE, padded(side // 2, 1)[0])


def out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that memory ran out, on the host or on a device."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        word in str(error).lower() for word in words
    )
