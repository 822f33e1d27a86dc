"""How a picture of a size is restored within a memory limit: whole, or in tiles, settled before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from drsformer_cli.errors import InputError, MemoryLimitError, UsageError
from drsformer_cli.model.config import MULTIPLE, DRSformerConfig

#: Share of the limit that a plan may fill; the rest is for the picture itself, the libraries and the system.
USABLE = 0.75
#: What the program takes before the first picture, in bytes.
RESIDENT = 450_000_000
#: Bytes a pixel of the picture itself, before and after, on the host.
HOST = 32
#: No tile is smaller: below, the network sees too little.
LEAST_TILE = 64
#: Pixels that neighbouring tiles share unless told.
OVERLAP = 32


@dataclass(frozen=True)
class Plan:
    """How one picture is done; equal plans give equal results.

    Attributes:
        tile: (height, width) of a tile in pixels; of the whole padded picture if it is done whole.
        overlap: pixels that neighbouring tiles share at least; 0 if the picture is done whole.
        whole: whether the picture goes through the network at once.
        memory: estimated peak in bytes.
    """

    tile: tuple[int, int]
    overlap: int
    whole: bool
    memory: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, fit for JSON."""
        return asdict(self)


def padded(height: int, width: int) -> tuple[int, int]:
    """Round both sides up to what the network takes."""
    return -(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE


def make_plan(
    height: int,
    width: int,
    config: DRSformerConfig,
    *,
    limit: int,
    tile: int | None = None,
    overlap: int = OVERLAP,
    on_host: bool = True,
) -> Plan:
    """Settle how a picture is done.

    Args:
        height: of the picture in pixels, at least 1.
        width: likewise.
        config: the network's.
        limit: bytes that the process may use in all.
        tile: longest side of a tile; None: whole if it fits the limit, else as large as fits.
        overlap: pixels that neighbouring tiles share.
        on_host: whether the limit holds the pictures themselves, too, as a CPU's does and a GPU's does not.

    Raises:
        MemoryLimitError: if the limit is too small for a tile of any picture.
        InputError: if it is too small for this picture, which needs memory of its own.
    """
    full = padded(height, width)
    base = RESIDENT + HOST * full[0] * full[1] * on_host
    usable = int(limit * USABLE)
    whole = Plan(full, 0, True, base + peak_bytes(*full, config))
    if tile is None:
        if whole.memory <= usable:
            return whole
        least = padded(max(LEAST_TILE, 2 * overlap), 1)[0]
        smallest = peak_bytes(least, least, config)
        if RESIDENT + smallest > usable:
            need = f"{(RESIDENT + smallest) / USABLE / 1e9:.1f} GB"
            raise MemoryLimitError(f"even the smallest tile needs a memory limit of {need}; raise --memory")
        if base + smallest > usable:
            need = f"{(base + smallest) / USABLE / 1e9:.1f} GB"
            raise InputError(f"{width} x {height} pixels need a memory limit of {need}; raise --memory")
        tile = largest_tile(config, usable - base)
    if max(full) <= tile:
        return whole
    size = (even_side(full[0], tile, overlap), even_side(full[1], tile, overlap))
    return Plan(size, overlap, False, base + peak_bytes(*size, config))


def peak_bytes(height: int, width: int, config: DRSformerConfig) -> int:
    """Estimate the peak of the network's own tensors in fp32, without what is there before.

    The widest place is the feed-forward of the finest decoder (2h channels before its branches, both
    branches, and their halves brought together; beside it the picture's features), or the compensator's
    eight experts there. The factors are measured ones, with a little to spare.
    """
    feed_forward = 13 * config.hidden[1] + 14 * config.dim
    experts = 72 * config.dim if config.mefc else 0
    return 4 * height * width * max(feed_forward, experts)


def largest_tile(config: DRSformerConfig, budget: int) -> int:
    """Find the largest side of a square tile whose peak fits `budget` bytes."""
    return int((budget / peak_bytes(1, 1, config)) ** 0.5) // MULTIPLE * MULTIPLE


def even_side(length: int, tile: int, overlap: int) -> int:
    """Side of the tiles that cover `length` in as few as `tile` allows, all of one size."""
    if length <= tile:
        return length
    count = -(-(length - overlap) // (tile - overlap))
    return padded(-(-(length - overlap) // count) + overlap, 1)[0]


def check_tile(tile: str | int, overlap: int) -> str | int:
    """Return `auto`, `off` or a side in pixels that fits the overlap.

    Raises:
        UsageError: for anything else.
    """
    if overlap < 0 or overlap != int(overlap):
        raise UsageError(f"the overlap must be a number of pixels from 0 up, not {overlap}")
    if tile in ("auto", "off"):
        return tile
    side = int(tile) if str(tile).isascii() and str(tile).isdecimal() else 0
    if side < LEAST_TILE or side % MULTIPLE:
        raise UsageError(
            f"tile must be auto, off, or a multiple of {MULTIPLE} from {LEAST_TILE} up, not {tile}"
        )
    if overlap * 2 > side:
        raise UsageError(f"an overlap of {overlap} is more than half a tile of {side}; take a smaller one")
    return side
