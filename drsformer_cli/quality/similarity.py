"""SSIM (Wang et al., 2004) of two planes, strip by strip.

Means, squares and products of a strip of rows stay in the processor's caches, and memory does not grow with
the picture. Four windowed means are enough: of x, y, x y and x x + y y, for only the sum of the two variances
is needed. The order of the planes makes no difference at all, and equal planes give 1 exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.media.guard import opencv

Plane = NDArray[np.float64]
#: Pixels of a strip, about: some ten buffers of 8 bytes a pixel are at work.
_STRIP = 1 << 15


@dataclass(frozen=True)
class Window:
    """How a neighbourhood is weighted: `side` x `side`, a Gaussian or (sigma 0) all alike.

    `unbiased`: variances are divided by one less than the pixels of the window.
    """

    side: int
    sigma: float
    unbiased: bool

    @property
    def reach(self) -> int:
        """Return the pixels it takes in on each side of its middle."""
        return self.side // 2

    def means(self, plane: Plane) -> Plane:
        """Return the weighted means where the whole window fits, (H - side + 1, W - side + 1)."""
        cv2 = opencv()
        if self.sigma:
            kernel = cv2.getGaussianKernel(self.side, self.sigma, cv2.CV_64F)
            whole = cv2.sepFilter2D(plane, cv2.CV_64F, kernel, kernel)
        else:
            whole = cv2.blur(plane, (self.side, self.side))
        r = self.reach
        inner: Plane = whole[r : plane.shape[0] - r, r : plane.shape[1] - r]
        return inner


GAUSSIAN = Window(11, 1.5, unbiased=False)
UNIFORM = Window(7, 0.0, unbiased=True)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def similarity(x: Plane, y: Plane, window: Window) -> float:
    """Mean SSIM of two (H, W) planes in 0..255, over all places where the window fits."""
    height, width = (side - 2 * window.reach for side in x.shape)
    rows = max(2 * window.side, _STRIP // x.shape[1])
    total = 0.0
    for top in range(0, height, rows):
        strip = slice(top, min(top + rows, height) + 2 * window.reach)
        total += _sum(x[strip], y[strip], window)
    return float(total / (height * width))


def _sum(x: Plane, y: Plane, window: Window) -> float:
    """Sum of SSIM over a strip. Works in as few buffers as it can."""
    products = x * y
    squares = x * x
    squares += y * y
    mean_x, mean_y = window.means(x), window.means(y)
    covariance, variances = window.means(products), window.means(squares)
    both = mean_x * mean_y
    mean_x *= mean_x
    mean_y *= mean_y
    mean_x += mean_y
    covariance -= both
    variances -= mean_x
    covariance *= 2
    both *= 2
    if window.unbiased:
        pixels = window.side**2
        covariance *= pixels / (pixels - 1)
        variances *= pixels / (pixels - 1)
    both += C1
    mean_x += C1
    covariance += C2
    variances += C2
    both *= covariance
    mean_x *= variances
    both /= mean_x
    return float(both.sum())
