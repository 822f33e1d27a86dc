"""Pictures to train on, packed in memory, and the patches cut from them.

A folder of clean photographs gives patches that are rained on. A folder with `rainy` and `clean` in it gives
patches of real pairs, and patches of its clean pictures to rain on, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from drsformer_cli.errors import UnreadableError, UsageError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

#: Short side that larger photographs are scaled down to, so that thousands of them fit in memory.
LARGEST = 768
#: A patch is cut up to this much larger than it is used, and scaled down: other scales, and less JPEG loss.
MOST_SHRINK = 2.0
#: Pairs are not scaled, which would change their rain: of larger ones the middle is taken, of this side.
LARGEST_PAIR = 1024

Pair = tuple[Path, Path]
Found = TypeVar("Found", Path, Pair)


class Pictures:
    """Pictures in memory as uint8, from which seeded batches of patches are cut.

    Args:
        pictures: each (H, W, C) uint8; C is 3, or 6 for pairs, the rainy one first.
        shrink: how much larger than it is used a patch may be cut.
        device: where they are kept and cut.
    """

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        *,
        shrink: float = MOST_SHRINK,
        device: torch.device | str = "cpu",
    ) -> None:
        self.pictures = [torch.from_numpy(picture.copy()).to(device) for picture in pictures]
        self.shrink = shrink

    def __len__(self) -> int:
        return len(self.pictures)

    def crops(self, side: int) -> Iterator[Tensor]:
        """Yield the middle of each picture, (1, C, side, side) in [0, 1]."""
        for picture in self.pictures:
            y, x = ((length - side) // 2 for length in picture.shape[:2])
            yield _to_float(picture[y : y + side, x : x + side])

    def batch(self, side: int, count: int, rng: np.random.Generator) -> Tensor:
        """Cut `count` patches, (count, C, side, side) in [0, 1], scaled and mirrored."""
        return torch.stack([self._patch(side, rng) for _ in range(count)])

    def _patch(self, side: int, rng: np.random.Generator) -> Tensor:
        picture = self.pictures[rng.integers(len(self.pictures))]
        height, width = picture.shape[:2]
        most = max(1.0, min(self.shrink, min(height, width) / side))
        size = min(round(side * rng.uniform(1.0, most)), height, width)
        y, x = (int(rng.integers(length - size + 1)) for length in (height, width))
        patch = _to_float(picture[y : y + size, x : x + size])
        if size != side:
            shape = (side, side)
            patch = F.interpolate(patch, shape, mode="bilinear", antialias=True, align_corners=False)
        # Upright, since rain falls: trunks and walls must be told from streaks. Turning comes after raining.
        return patch[0].flip(-1) if rng.integers(2) else patch[0]


def _to_float(picture: Tensor) -> Tensor:
    return picture.permute(2, 0, 1)[None].float() / 255


@dataclass
class Material:
    """What a training learns from, and what it is judged by; pairs are None where a folder has none."""

    photographs: Pictures
    held_out: Pictures
    pairs: Pictures | None = None
    held_out_pairs: Pictures | None = None


def gather(folder: Path, held_out: int, side: int, *, device: torch.device | str = "cpu") -> Material:
    """Read a folder of clean photographs, or one of pairs in `rainy` and `clean`, with all folders below.

    Hidden files are passed over, and so are pictures with a side below `side` pixels. The last `held_out` by
    name are kept back for judging. Two files are a pair if their paths below `rainy` and `clean` are equal
    but for the extension.

    Raises:
        UsageError: if too few are left, or a rainy picture has no clean one or one of another size.
        UnreadableError: naming the first file that is no picture.
    """
    if not ((folder / "rainy").is_dir() and (folder / "clean").is_dir()):
        files = [file for file in list_pictures(folder) if _least_side(file) >= side]
        files = _enough(files, folder, held_out, side)
        pictures = [read_rgb(file) for file in files]
        return Material(
            Pictures(pictures[:-held_out], device=device), Pictures(pictures[-held_out:], device=device)
        )
    couples = [pair for pair in find_pairs(folder) if _least_side(pair[0]) >= side]
    both = [read_pair(pair) for pair in _enough(couples, folder, held_out, side)]
    clean = [pair[..., 3:] for pair in both]
    return Material(
        Pictures(clean[:-held_out], device=device),
        Pictures(clean[-held_out:], device=device),
        Pictures(both[:-held_out], shrink=1, device=device),
        Pictures(both[-held_out:], shrink=1, device=device),
    )


def find_pairs(folder: Path) -> list[Pair]:
    """List the pairs in `folder/rainy` and `folder/clean`, by name.

    Raises:
        UsageError: naming a rainy picture that has no clean one.
    """
    root = folder / "clean"
    clean = {file.relative_to(root).with_suffix(""): file for file in list_pictures(root)}
    pairs = []
    for rainy in list_pictures(folder / "rainy"):
        name = rainy.relative_to(folder / "rainy").with_suffix("")
        if name not in clean:
            raise UsageError(f"{rainy} has no clean picture {root / name}.*; add it, or take it out")
        pairs.append((rainy, clean[name]))
    return pairs


def read_pair(pair: Pair) -> NDArray[np.uint8]:
    """Read a rainy and a clean picture as one (H, W, 6) uint8, at most `LARGEST_PAIR` pixels a side.

    Raises:
        UnreadableError: if one cannot be read.
        UsageError: if they differ in size.
    """
    pictures = []
    for file in pair:
        with _opened(file) as image:
            left, top = (max(0, (length - LARGEST_PAIR) // 2) for length in image.size)
            right, bottom = (min(length, LARGEST_PAIR) for length in image.size)
            pictures.append((image.size, image.convert("RGB").crop((left, top, left + right, top + bottom))))
    if pictures[0][0] != pictures[1][0]:
        sizes = " and ".join(f"{width} x {height}" for (width, height), _ in pictures)
        raise UsageError(f"{pair[0]} and {pair[1]} are no pair: {sizes} pixels")
    return np.concatenate([np.asarray(picture) for _, picture in pictures], axis=2)


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 RGB, scaled down to a short side of `LARGEST` if it is larger.

    Raises:
        UnreadableError: if it cannot be read.
    """
    with _opened(file) as image:
        shrink = LARGEST / min(image.size)
        picture = image.convert("RGB")
    if shrink < 1:
        width, height = picture.size
        picture = picture.resize((round(width * shrink), round(height * shrink)), Image.Resampling.BOX)
    return np.asarray(picture)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as image:
            yield image
    except Exception as error:  # a hostile file can raise anything in a library
        raise UnreadableError(f"{file} cannot be read as a picture; take it out: {error}") from error


def list_pictures(folder: Path) -> list[Path]:
    """List the picture files in a folder and below, by name."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file()
    ]


def _least_side(file: Path) -> int:
    with _opened(file) as image:
        return min(image.size)


def _enough(found: list[Found], folder: Path, held_out: int, side: int) -> list[Found]:
    if len(found) <= held_out:
        raise UsageError(
            f"{folder} holds {len(found)} pictures of {side} x {side} pixels or more; training "
            f"needs at least {held_out + 1} (held_out of the recipe, and one to learn from), better hundreds"
        )
    return found
