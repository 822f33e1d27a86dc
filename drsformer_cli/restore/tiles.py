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
        picture: (1, 3, H, W) float32 on the host.
        restore: maps (1, 3, h, w) to the same shape on the host.
        tile: (h, w), no larger than the picture.
        overlap: pixels over which tiles fade into each other, below both sides.

    Returns:
        (1, 3, H, W) float32 on the host.
    """
    total = torch.zeros_like(picture)
    weight = torch.zeros(picture.shape[-2:])
    window = ramp(tile[0], overlap).view(-1, 1) * ramp(tile[1], overlap)
    for y in starts(picture.shape[-2], tile[0], overlap):
        for x in starts(picture.shape[-1], tile[1], overlap):
            here = (..., slice(y, y + tile[0]), slice(x, x + tile[1]))
            total[here] += restore(picture[here]) * window
            weight[here] += window
    return total.div_(weight)
