"""The papers' measures, digit for digit.

- `rain200`, for Rain200L, Rain200H and SPA-Data: luma, rounded to whole levels as MATLAB's `rgb2ycbcr` does
  for pictures of 8 bits.
- `did-ddn`, for DID-Data and DDN-Data: luma, not rounded; SSIM after shrinking to about 256 pixels a side.
- `rgb`, used elsewhere: red, green and blue, as scikit-image's functions compute it with their own defaults.

Luma is the Y of ITU-R BT.601 in studio range: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 for R, G, B in
0..255. Deeper pictures are compared as they are, on that scale: a 16-bit sample v counts as v / 257, one in
floating point as v * 255; a picture of 8 bits that is stored with more has the very values it has in 8. The
peak is 255 in all three (for pictures in [0, 1] with a peak of 1, as some scripts have it, PSNR is the same).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import UsageError
from drsformer_cli.media.guard import opencv
from drsformer_cli.quality.similarity import GAUSSIAN, UNIFORM, Plane, similarity

Protocol = Literal["rain200", "did-ddn", "rgb"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
#: Thousandths of the weights of red, green and blue: whole numbers, so that sums of levels are exact.
_WEIGHTS = np.array([[65481.0, 128553.0, 24966.0]])
#: What one level out of 255 is in samples of each kind.
_LEVEL = {np.dtype(np.uint8): 1.0, np.dtype(np.uint16): 257.0}
#: Luma is made of so many pixels at a time: what is in between stays in the processor's caches.
_BLOCK = 1 << 15


class Scores(NamedTuple):
    """PSNR in dB, infinite where nothing differs, and SSIM, at most 1."""

    psnr: float
    ssim: float


def psnr(a: NDArray[Any], b: NDArray[Any], *, protocol: Protocol = "rain200") -> float:
    """Peak signal-to-noise ratio in dB; infinite where no difference is left (in luma, or in RGB).

    Args:
        a: (H, W, 3) RGB or (H, W) grey; uint8, uint16 or floating point in [0, 1].
        b: the same size; the order of the two makes no difference.
        protocol: `rain200` compares luma in whole levels, `did-ddn` luma, `rgb` red, green and blue.

    Raises:
        UsageError: for other shapes, dtypes or values, two sizes, or an unknown protocol.
    """
    return _psnr(*_planes(a, b, protocol))


def ssim(a: NDArray[Any], b: NDArray[Any], *, protocol: Protocol = "rain200") -> float:
    """Structural similarity, at most 1; arguments and errors as in `psnr`.

    `rain200` and `did-ddn` have a Gaussian window of 11 x 11 (sigma 1.5), `rgb` a uniform one of 7 x 7; only
    places where the whole window fits count. A picture smaller than the window raises UsageError, too.
    """
    return _ssim(*_planes(a, b, protocol), protocol)


def scores(a: NDArray[Any], b: NDArray[Any], *, protocol: Protocol = "rain200") -> Scores:
    """Both measures at once, for what either of them costs less; as `psnr` and `ssim`."""
    planes = _planes(a, b, protocol)
    return Scores(_psnr(*planes), _ssim(*planes, protocol))


def luma(rgb: NDArray[Any], *, rounded: bool) -> Plane:
    """Luma of (H, W, 3) RGB (uint8, uint16 or floating point in [0, 1]), 16..235; `rounded`: halves go up."""
    height, width = rgb.shape[:2]
    transform = opencv().transform
    # 255 levels times 1000, or a peak of 1 times 1000; division by this very number keeps whole levels exact
    unit = 255_000.0 * _LEVEL[rgb.dtype] if rgb.dtype in _LEVEL else 1000.0
    y = np.empty((height, width))
    for rows in _blocks(height, width):
        block = transform(rgb[rows].astype(np.float64), _WEIGHTS).reshape(-1, width)
        np.divide(block, unit, out=y[rows])
        y[rows] += 16.0
        if rounded:
            y[rows] += 0.5
            np.floor(y[rows], out=y[rows])
    return y


def _blocks(height: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _planes(a: NDArray[Any], b: NDArray[Any], protocol: Protocol) -> tuple[list[Plane], list[Plane]]:
    """What of two pictures is compared: (H, W) each, 0..255."""
    if protocol not in PROTOCOLS:
        raise UsageError(f"unknown protocol {protocol!r}; use 'rain200', 'did-ddn' or 'rgb'")
    first, second = _checked(a), _checked(b)
    if first.shape != second.shape:
        raise UsageError(f"pictures of one size are compared, not {_size(first)} with {_size(second)} pixels")
    if protocol == "rgb":
        return _channels(first), _channels(second)
    rounded = protocol == "rain200"
    return [luma(first, rounded=rounded)], [luma(second, rounded=rounded)]


def _checked(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as (H, W, 3)."""
    rgb = np.repeat(picture[..., np.newaxis], 3, axis=2) if picture.ndim == 2 else picture
    known = rgb.dtype in _LEVEL or rgb.dtype.kind == "f"
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size or not known:
        raise UsageError(
            "(H, W, 3) RGB or (H, W) grey in uint8, uint16 or floating point is compared, "
            f"not {picture.shape} {picture.dtype}"
        )
    if rgb.dtype.kind == "f" and not (rgb.min() >= 0 and rgb.max() <= 1):  # this refuses NaN, too
        raise UsageError("pictures in floating point are compared in [0, 1]; this one goes beyond")
    return rgb


def _channels(rgb: NDArray[Any]) -> list[Plane]:
    planes = [rgb[..., channel].astype(np.float64) for channel in range(3)]
    for plane in planes:
        if rgb.dtype.kind == "f":
            plane *= 255.0
        elif _LEVEL[rgb.dtype] != 1.0:
            plane /= _LEVEL[rgb.dtype]
    return planes


def _psnr(first: list[Plane], second: list[Plane]) -> float:
    total = 0.0
    for x, y in zip(first, second, strict=True):
        for rows in _blocks(*x.shape):
            difference = (x[rows] - y[rows]).ravel()
            total += float(difference @ difference)
    error = total / (len(first) * first[0].size)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _ssim(first: list[Plane], second: list[Plane], protocol: Protocol) -> float:
    window = UNIFORM if protocol == "rgb" else GAUSSIAN
    if min(first[0].shape) < window.side:
        raise UsageError(
            f"SSIM's window of {window.side} x {window.side} pixels does not fit into {_size(first[0])}"
        )
    if protocol == "did-ddn":
        first, second = ([_shrunk(plane) for plane in planes] for planes in (first, second))
    values = [similarity(x, y, window) for x, y in zip(first, second, strict=True)]
    return sum(values) / len(values)


def _shrunk(plane: Plane) -> Plane:
    """Take means of f x f pixels, f apart, where the shorter side has about 256 f; mirrored at the border."""
    factor = max(1, math.floor(min(plane.shape) / 256 + 0.5))
    if factor == 1:
        return plane
    cv2 = opencv()
    anchor = (factor - 1) // 2  # MATLAB's middle of a window of even side is the pixel before
    means = cv2.blur(plane, (factor, factor), anchor=(anchor, anchor), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(means[::factor, ::factor])


def _size(plane: NDArray[Any]) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]}"
