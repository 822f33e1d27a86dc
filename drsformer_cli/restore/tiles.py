"""A picture in overlapping tiles of one size, blended smoothly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Restore = Callable[[Tensor], Tensor]


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles that cover `length`, evenly spaced, sharing at least `overlap` pixels."""
    if tile >= length:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def ramp(tile: int, overlap: int) -> Tensor:
    """Weight of each of a tile's `tile` pixels along one side: rising over the overlap, 1 inside, falling."""
    edge = (torch.arange(tile) + 1.0) / (overlap + 1)
    return torch.minimum(edge, edge.flip(0)).clamp(max=1.0)


def restore_tiled(picture: Tensor, restore: Restore, tile: tuple[int, int], overlap: int) -> Tensor:
    """Restore a picture tile by tile; every pixel is the weighted mean of the tiles that hold it.

    Args:
        picture: (H, W, 3) on the host, of any dtype.
        restore: maps (h, w, 3) of it to the same shape in float32, on any device.
        tile: (h, w), no larger than the picture.
        overlap: pixels over which tiles fade into each other, below both sides.

    Returns:
        (H, W, 3) float32 on the host.
    """
    total = torch.zeros(picture.shape)
    weight = torch.zeros((*picture.shape[:2], 1))
    window = (ramp(tile[0], overlap).view(-1, 1) * ramp(tile[1], overlap)).unsqueeze(-1)
    for y in starts(picture.shape[0], tile[0], overlap):
        for x in starts(picture.shape[1], tile[1], overlap):
            here = slice(y, y + tile[0]), slice(x, x + tile[1])
            total[here] += restore(picture[here]).cpu() * window
            weight[here] += window
    return total.div_(weight)
