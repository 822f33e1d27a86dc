"""Clean photographs, packed in memory, and the patches cut from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from drsformer_cli.errors import InputError, UsageError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

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


def read_rgb(file: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8 RGB.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{file} cannot be read as a picture: {error}") from error


def split(folder: Path, held_out: int, side: int) -> tuple[list[Path], list[Path]]:
    """List a folder's photographs, those to train on and the last `held_out` ones by name.

    Raises:
        UsageError: if there are too few, or one is smaller than a patch of `side`.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in EXTENSIONS)
    if len(files) <= held_out:
        raise UsageError(f"{folder} holds {len(files)} pictures; more than {held_out} are needed to train")
    for file in files:
        with Image.open(file) as image:
            if min(image.size) < side:
                raise UsageError(f"{file} is smaller than the largest patch, {side} x {side}: take it out")
    return files[:-held_out], files[-held_out:]
