"""Convolutions as the engine runs them: weights laid out once, ReLU and sums fused where oneDNN does both.

Pictures and features are (H, W, C), contiguous: the memory of a channels-last (1, C, H, W) tensor, so that a
run of rows is a contiguous piece of memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_onednn: Any = torch.ops.mkldnn


def onednn_serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN's fused convolutions are there for tensors of this kind."""
    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(_onednn._is_mkldnn_bf16_supported())  # what oneDNN itself asks
    )


def as_image(x: Tensor) -> Tensor:
    """View (H, W, C) as the channels-last (1, C, H, W) that it is in memory."""
    height, width, channels = x.shape
    rows, columns, steps = x.stride()
    return x.as_strided((1, channels, height, width), (height * rows, steps, rows, columns))


def as_pixels(image: Tensor) -> Tensor:
    """View a (1, C, H, W) image as (H, W, C)."""
    return image[0].permute(1, 2, 0)


class Convolution:
    """One convolution, stride 1, with its ReLU.

    Args:
        weight: (O, I / groups, k, k), k odd.
        bias: (O,) or None.
        groups: 1, or the number of channels for a depthwise one.
        dilation: between the kernel's taps.
        relu: whether negative results become 0.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        groups: int = 1,
        dilation: int = 1,
        relu: bool = False,
    ) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias, self.groups, self.dilation, self.relu = bias, groups, dilation, relu
        self.dtype = weight.dtype
        #: How far beyond a pixel it looks, in pixels.
        self.reach = weight.shape[-1] // 2 * dilation
        self.fused = onednn_serves(weight.device, weight.dtype)
        if self.fused:
            around, size = [self.reach] * 2, [1, weight.shape[1] * groups, 128, 128]
            self.weight = _onednn._reorder_convolution_weight(
                self.weight, around, [1, 1], [dilation] * 2, groups, size
            )

    def __call__(self, x: Tensor, rows: int | None = None) -> Tensor:
        """Convolve (H, W, I) to (H', W, O), zeros around.

        Args:
            x: the features.
            rows: rows of zeros above and below; `reach` of them keep H as it is.
        """
        image = as_image(x)
        around = [self.reach if rows is None else rows, self.reach]
        if self.fused:
            act = "relu" if self.relu else "none"
            out = _onednn._convolution_pointwise.default(
                image, self.weight, self.bias, around, [1, 1], [self.dilation] * 2, self.groups, act, [], ""
            )
        else:
            out = F.conv2d(
                image, self.weight, self.bias, padding=around, dilation=self.dilation, groups=self.groups
            )
            out = out.relu_() if self.relu else out
        return as_pixels(out)

    def onto(self, total: Tensor, x: Tensor, rows: int | None = None) -> None:
        """Add the convolution of (H, W, I) to `total`, (H', W, O) and contiguous, in place; then the ReLU."""
        if not self.fused or total.dtype != self.dtype:
            relu, self.relu = self.relu, False
            total += self(x, rows)
            self.relu = relu
            if relu:
                total.relu_()
            return
        image, there = as_image(x), as_image(total)
        around = [self.reach if rows is None else rows, self.reach]
        act = "relu" if self.relu else None
        _onednn._convolution_pointwise_.binary(
            there, image, self.weight, self.bias, around, [1, 1], [self.dilation] * 2, self.groups,
            "add", 1.0, act, [], None,
        )  # fmt: skip
