"""How a picture of a size is restored within a memory limit: whole, or in tiles, settled before it starts."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from drsformer_cli.errors import InputError, MemoryLimitError, UsageError
from drsformer_cli.model.config import MULTIPLE, DRSformerConfig

if TYPE_CHECKING:
    from drsformer_cli.model.drsformer import DRSformer

#: What can be done about a limit, which may have been set in any of three places.
RAISE = "raise --memory, the container's limit, or `ulimit -v`"
#: Share of the limit that a plan may fill; the rest is for the libraries, other pictures and the system.
USABLE = 0.8
#: What the program takes before the first model, in bytes.
RESIDENT = 330_000_000
#: Bytes a pixel of the picture itself takes on the host: stored and as float32, before and after.
HOST = 36
#: No tile is smaller: below, the network sees too little.
LEAST_TILE = 64
#: Pixels that neighbouring tiles share unless told.
OVERLAP = 32
#: Height and width of a window on a CPU for lanes of LANE channels, each 6 MB in fp32.
WINDOW = (96, 256)
#: Channels of a lane of the feed-forward: enough to keep a CPU's vector units busy.
LANE = 64
#: Channels times pixels that a lane of a small window has at least.
LEAST_LANE_PIXELS = 1 << 20
#: On a GPU a window is a band as large as is useful, and a lane as wide as there is.
GPU_WINDOW, GPU_LANE = 1024, 1 << 16
#: Pixels around a window that its work covers, too.
MARGIN = 5
#: Copies of a window's features that live at a time, without and with experts, and lanes.
COPIES, EXPERT_COPIES, LANES = 4, 8, 8
#: What holes between tensors on the heap add to the features kept, measured.
HOLES = 1.25


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


@dataclass(frozen=True)
class Needs:
    """What a network on a device needs in memory, the picture apart.

    Attributes:
        config: the network's.
        parameters: how many numbers it holds.
        half: whether it computes in bf16 or fp16.
        device: `cpu`, `cuda` or `mps`. The limit of all but `cuda` holds the pictures themselves, too.
    """

    config: DRSformerConfig
    parameters: int
    half: bool = False
    device: str = "cpu"

    @classmethod
    def of(cls, network: DRSformer, precision: str, device: str) -> Needs:
        """Read them off a network."""
        count = sum(parameter.numel() for parameter in network.parameters())
        return cls(network.config, count, precision != "fp32", device)

    def loaded(self) -> int:
        """Bytes before the first picture: the parameters as they were read, and as they are computed with."""
        return RESIDENT + self.parameters * (4 + self._bytes)

    @property
    def _bytes(self) -> int:
        return 2 if self.half else 4

    def peak(self, height: int, width: int) -> int:
        """Bytes at most for the network's own tensors while a picture is done whole.

        Of full size there are only the features: 2d channels of fp32 at the finest level, and at each deeper
        one half of what is above it. The rest is a window's: its features and their copies, a few lanes, and
        the results of a row of windows that wait until their neighbours have read what they stand on.
        """
        dim, work = self.config.dim, self._bytes
        on_cpu = self.device == "cpu"
        window = window_of(self.config, on_cpu=on_cpu)
        kept = HOLES * 4 * dim * height * width * (2 + 1 / 2 + 1 / 4 + 1 / 8)
        high, wide = min(height, window[0] + 2 * MARGIN), min(width, window[1] + 2 * MARGIN)
        lane = min(LANE if on_cpu else GPU_LANE, -(-self.config.hidden[1] // 2))
        copies = EXPERT_COPIES if self.config.mefc else COPIES
        here = high * wide * (4 * 2 * dim * copies + work * lane * LANES)
        waiting = 4 * 2 * dim * min(height, high) * width if width > wide or height > high else 0
        return int(kept + here + waiting)


def make_plan(
    height: int, width: int, needs: Needs, *, limit: int, tile: int | None = None, overlap: int = OVERLAP
) -> Plan:
    """Settle how a picture is done.

    Args:
        height: of the picture in pixels, at least 1.
        width: likewise.
        needs: the network's.
        limit: bytes that the process may use in all.
        tile: longest side of a tile; None: whole if it fits the limit, else as large as fits.
        overlap: pixels that neighbouring tiles share.

    Raises:
        MemoryLimitError: if the limit is too small for a tile of any picture.
        InputError: if it is too small for this picture, which needs memory of its own.
    """
    full = padded(height, width)
    base = needs.loaded() + (HOST * full[0] * full[1] if needs.device != "cuda" else 0)
    usable = int(limit * USABLE)
    whole = Plan(full, 0, True, base + needs.peak(*full))
    if tile is None:
        if whole.memory <= usable:
            return whole
        least = padded(max(LEAST_TILE, 2 * overlap), 1)[0]
        smallest = needs.peak(least, least)
        if needs.loaded() + smallest > usable:
            need = f"{(needs.loaded() + smallest) / USABLE / 1e9:.1f} GB"
            raise MemoryLimitError(f"even the smallest tile needs a memory limit of {need}; {RAISE}")
        if base + smallest > usable:
            need = f"{(base + smallest) / USABLE / 1e9:.1f} GB"
            raise InputError(f"{width} x {height} pixels need a memory limit of {need}; {RAISE}")
        tile = largest_tile(needs, usable - base, max(full))
    if max(full) <= tile:
        return whole
    size = (even_side(full[0], tile, overlap), even_side(full[1], tile, overlap))
    return Plan(size, overlap, False, base + needs.peak(*size))


def largest_tile(needs: Needs, budget: int, longest: int) -> int:
    """Find the largest side up to `longest` of a square tile whose peak fits `budget` bytes."""
    sides = range(LEAST_TILE, longest + 1, MULTIPLE)
    return sides[max(0, bisect_right(sides, budget, key=lambda side: needs.peak(side, side)) - 1)]


def window_of(config: DRSformerConfig, *, on_cpu: bool) -> tuple[int, int]:
    """Return the window that suits a network: larger than WINDOW where its lanes are narrower than LANE."""
    if not on_cpu:
        return GPU_WINDOW, GPU_WINDOW
    lane, (height, width) = min(LANE, -(-min(config.hidden) // 2)), WINDOW
    while height * width < 4 * WINDOW[0] * WINDOW[1] and 2 * lane <= LANE:
        height, width, lane = width, 2 * height, 2 * lane
    return height, width


def lane_of(pixels: int, *, on_cpu: bool) -> int:
    """Return the width of lanes for windows of so many pixels: wider ones where a small picture has few."""
    if not on_cpu:
        return GPU_LANE
    return max(LANE, 1 << ((LEAST_LANE_PIXELS // pixels).bit_length() - 1))


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
