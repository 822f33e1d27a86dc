"""The papers' measures, digit for digit.

Two protocols are in use. `rain200` (Rain200L, Rain200H, SPA-Data) rounds luma to whole levels, as MATLAB's
`rgb2ycbcr` does for uint8 pictures; `did-ddn` (DID-Data, DDN-Data) does not. Both take the Y of ITU-R BT.601
in studio range: Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 for R, G, B in 0..255.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import UsageError

Protocol = Literal["rain200", "did-ddn"]


def luma(rgb: NDArray[np.uint8], *, rounded: bool) -> NDArray[np.float64]:
    """Luma of (H, W, 3) uint8 RGB, 16..235; `rounded` to whole levels, halves up."""
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    y = 16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0
    return np.floor(y + 0.5) if rounded else y


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], *, protocol: Protocol = "rain200") -> float:
    """Peak signal-to-noise ratio of luma in dB, peak 255; infinite for equal pictures.

    Args:
        a: (H, W, 3) uint8 RGB.
        b: the same shape; the order of the two makes no difference.
        protocol: `rain200` rounds luma to whole levels, `did-ddn` does not.

    Raises:
        UsageError: for other shapes or dtypes, or an unknown protocol.
    """
    if protocol not in ("rain200", "did-ddn"):
        raise UsageError(f"unknown protocol {protocol!r}; use 'rain200' or 'did-ddn'")
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3 or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise UsageError(
            f"PSNR compares two (H, W, 3) uint8 pictures, not {a.shape} {a.dtype} and {b.shape} {b.dtype}"
        )
    rounded = protocol == "rain200"
    error = float(np.mean((luma(a, rounded=rounded) - luma(b, rounded=rounded)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
