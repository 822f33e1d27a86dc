"""Clean photographs, packed in memory, and the patches cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


class Photographs:
    """Clean photographs in memory as uint8, from which seeded batches of patches are cut.

    Args:
        files: the photographs.

    Raises:
        UnreadableError: naming the first file that is no picture.
    """

    def __init__(self, files: list[Path]) -> None:
        self.pictures = [read_rgb(file) for file in files]

    def crops(self, side: int) -> Iterator[Tensor]:
        """Yield the middle of each photograph, (1, 3, side, side) in [0, 1]."""
        for picture in self.pictures:
            y, x = ((length - side) // 2 for length in picture.shape[:2])
            yield to_tensor(picture[y : y + side, x : x + side])

    def batch(self, side: int, count: int, rng: np.random.Generator) -> Tensor:
        """Cut `count` patches, (count, 3, side, side) in [0, 1], scaled, mirrored and turned."""
        return torch.stack([self._patch(side, rng) for _ in range(count)])

    def _patch(self, side: int, rng: np.random.Generator) -> Tensor:
        picture = self.pictures[rng.integers(len(self.pictures))]
        most = max(1.0, min(MOST_SHRINK, min(picture.shape[:2]) / side))
        size = min(round(side * rng.uniform(1.0, most)), *picture.shape[:2])
        y, x = (int(rng.integers(length - size + 1)) for length in picture.shape[:2])
        patch = (
            torch.from_numpy(picture[y : y + size, x : x + size].copy()).permute(2, 0, 1)[None].float() / 255
        )
        if size != side:
            shape = (side, side)
            patch = F.interpolate(patch, shape, mode="bilinear", antialias=True, align_corners=False)
        if rng.integers(2):
            patch = patch.flip(-1)
        return torch.rot90(patch[0], int(rng.integers(4)), (1, 2))


def to_tensor(picture: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 to (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{file} cannot be read as a picture; take it out: {error}") from error


def split(folder: Path, held_out: int, side: int) -> tuple[list[Path], list[Path]]:
    """List a folder's photographs, those to train on and the last `held_out` ones by name.

    Hidden files are passed over, and so are pictures with a side below `side` pixels.

    Raises:
        UsageError: if too few are left.
        UnreadableError: naming the first file that is no picture.
    """
    files = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file():
            with _opened(file) as image:
                if min(image.size) >= side:
                    files.append(file)
    if len(files) <= held_out:
        raise UsageError(
            f"{folder} holds {len(files)} pictures of {side} x {side} pixels or more; training "
            f"needs at least {held_out + 1}, and better hundreds"
        )
    return files[:-held_out], files[-held_out:]
