"""Small pictures for the report, and where a restored picture is wrong; held within a number of bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.media.guard import opencv
from drsformer_cli.media.pixels import to_depth

#: Longer side of a preview in pixels, where there are bytes enough for it.
SIDE = 720
#: Less than this cannot show anything.
LEAST_SIDE = 48
QUALITY, LOW_QUALITY = 78, 30
#: How often other sizes are tried, the share of the budget that a try aims at, and with which to be content.
TRIES, AIM, ENOUGH = 7, 0.93, 0.7
#: What photographs take about, to begin with.
BYTES_A_PIXEL = 0.25
#: Levels of difference that the error map can tell: what is more has its last colour.
ERROR_RANGE = 64


@dataclass(frozen=True)
class Preview:
    """Small copies of a pair as WebP files, all of (height, width) pixels but for `error`, half as large.

    Empty where there is no such picture. `error` is the largest difference of the three channels, in colours.
    """

    height: int
    width: int
    restored: bytes
    clean: bytes = b""
    rainy: bytes = b""
    error: bytes = b""

    @property
    def size(self) -> int:
        """Return the bytes of all of them."""
        return len(self.restored) + len(self.clean) + len(self.rainy) + len(self.error)


def make_preview(
    restored: NDArray[Any],
    clean: NDArray[Any] | None,
    rainy: NDArray[Any] | None,
    budget: int,
) -> Preview | None:
    """Return previews of (H, W, 3) pictures of one size that take no more than `budget` bytes.

    None where so few bytes cannot show anything.
    """
    height, width = restored.shape[:2]
    error = None if clean is None else _difference(_eight_bits(restored), _eight_bits(clean))
    layers = {"restored": restored, "clean": clean, "rainy": rainy}
    pictures = {name: _eight_bits(layer) for name, layer in layers.items() if layer is not None}
    most = min(float(SIDE), max(height, width))
    guess = (budget / (BYTES_A_PIXEL * (len(pictures) + 0.25)) / (height * width)) ** 0.5
    side = min(most, max(LEAST_SIDE, guess * max(height, width)))
    fitting = None
    for _ in range(TRIES):
        preview = _encode(pictures, error, side, QUALITY)
        if preview.size > budget:
            most = 0.97 * side
        else:
            fitting = preview
            if side >= 0.97 * most or preview.size > ENOUGH * budget:
                break
        # bytes grow about as the number of pixels does
        side = min(side * (AIM * budget / preview.size) ** 0.5, most)
        if side < LEAST_SIDE:
            break
    if fitting is None:
        preview = _encode(pictures, error, min(most, float(LEAST_SIDE)), LOW_QUALITY)
        fitting = preview if preview.size <= budget else None
    return fitting


def _eight_bits(picture: NDArray[Any]) -> NDArray[np.uint8]:
    return to_depth(picture, np.uint8)


def _difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    worst: NDArray[np.uint8] = opencv().absdiff(a, b).max(axis=2)
    return worst


def _encode(
    pictures: dict[str, NDArray[np.uint8]], error: NDArray[np.uint8] | None, side: float, quality: int
) -> Preview:
    height, width = next(iter(pictures.values())).shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    files = {name: _webp(_small(picture, size)[..., ::-1], quality) for name, picture in pictures.items()}
    preview = Preview(size[1], size[0], **files)
    if error is None:
        return preview
    half = max(1, size[0] // 2), max(1, size[1] // 2)
    levels = _small(error, half).astype(np.uint16) * 255 // ERROR_RANGE
    cv2 = opencv()
    colours = cv2.applyColorMap(np.minimum(levels, 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return replace(preview, error=_webp(colours, quality))


def _small(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink by means of areas, which leaves no pattern of its own."""
    cv2 = opencv()
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    small: NDArray[np.uint8] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return small


def _webp(bgr: NDArray[np.uint8], quality: int) -> bytes:
    cv2 = opencv()
    _, data = cv2.imencode(".webp", np.ascontiguousarray(bgr), [cv2.IMWRITE_WEBP_QUALITY, quality])
    return bytes(data)
