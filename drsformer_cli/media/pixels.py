"""From stored samples to upright RGB frames and back: grey, alpha, orientation and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from drsformer_cli.media.picture import Array, Layer

#: How files are refused for their pixels, in whichever format they come.
IS_BILEVEL = (
    "has one bit a pixel, with nothing between black and white to restore; convert it to greyscale first."
)
IS_CMYK = "is a CMYK picture; convert it to RGB first."

_INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def turn(stored: Array, orientation: int) -> Array:
    """Turn stored samples (h, w, ...) upright by an EXIF orientation from 1 to 8."""
    if orientation == 2:
        return stored[:, ::-1]
    if orientation == 3:
        return stored[::-1, ::-1]
    if orientation == 4:
        return stored[::-1]
    if orientation == 5:
        return np.swapaxes(stored, 0, 1)
    if orientation == 6:
        return np.rot90(stored, -1)
    if orientation == 7:
        return np.swapaxes(stored[::-1, ::-1], 0, 1)
    if orientation == 8:
        return np.rot90(stored, 1)
    return stored


def turn_back(upright: Array, orientation: int) -> Array:
    """Undo `turn`."""
    return turn(upright, _INVERSE.get(orientation, 1))


def split(stored: Array, orientation: int = 1) -> tuple[Array, Layer]:
    """Split (h, w) or (h, w, 1..4) samples into an upright (H, W, 3) frame and what was taken off it."""
    planes = stored[..., np.newaxis] if stored.ndim == 2 else stored
    channels = planes.shape[2]
    alpha = np.ascontiguousarray(planes[..., -1]) if channels in (2, 4) else None
    grey = channels <= 2
    colour = np.repeat(planes[..., :1], 3, axis=2) if grey else planes[..., :3]
    return np.ascontiguousarray(turn(colour, orientation)), Layer(grey, alpha, orientation)


def join(frame: Array, layer: Layer) -> Array:
    """Undo `split`: an upright (H, W, 3) frame becomes (h, w) grey or (h, w, 2..4) samples as stored."""
    colour = turn_back(frame, layer.orientation)
    planes = mean(colour)[..., np.newaxis] if layer.grey else colour
    if layer.alpha is not None:
        planes = np.concatenate([planes, layer.alpha[..., np.newaxis]], axis=2)
    return np.ascontiguousarray(planes[..., 0] if planes.shape[2] == 1 else planes)


def mean(colour: Array) -> Array:
    """Mean of the three channels, rounded, in the same dtype; exact where the three are equal."""
    if colour.dtype.kind == "f":
        levels = colour.sum(axis=2, dtype=np.float64) / 3
    else:
        levels = (colour.sum(axis=2, dtype=np.uint32) + 1) // 3
    return np.asarray(levels.astype(colour.dtype))


def to_depth(samples: Array, dtype: type[np.unsignedinteger]) -> Array:
    """Scale and round samples to uint8 or uint16; a copy only where the dtype differs."""
    if samples.dtype == dtype:
        return samples
    top = np.iinfo(dtype).max
    if samples.dtype.kind == "f":
        return np.rint(np.clip(samples, 0.0, 1.0).astype(np.float64) * top).astype(dtype)
    if samples.dtype == np.uint8:
        return np.asarray(samples.astype(dtype) * dtype(257))
    # 65535 = 255 * 257, so adding half of 257 before the division rounds to nearest
    return ((samples.astype(np.uint32) + 128) // 257).astype(dtype)


def recast(layer: Layer, dtype: type[np.unsignedinteger]) -> Layer:
    """The same layer with its alpha in another depth."""
    return layer if layer.alpha is None else replace(layer, alpha=to_depth(layer.alpha, dtype))


def opaque(alpha: Array | None) -> bool:
    """Whether an alpha plane lets nothing through from behind."""
    if alpha is None:
        return True
    top = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    return bool((alpha == top).all())


def split_all(
    stored: Sequence[Array], orientation: int = 1, *, grey: bool = False
) -> tuple[list[Array], list[Layer]]:
    """`split` over the (h, w, 3 or 4) frames of an animation, which becomes grey again when `grey` is set."""
    pairs = [split(each, orientation) for each in stored]
    return [frame for frame, _ in pairs], [replace(layer, grey=grey) for _, layer in pairs]


def is_grey(frames: Sequence[Array]) -> bool:
    """Whether red, green and blue are equal all over."""
    return all(bool((frame[..., :1] == frame[..., 1:3]).all()) for frame in frames)
