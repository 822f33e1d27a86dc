"""Norms and attention as the engine runs them: the same parameters, rearranged once at load, exactly.

Features are (H, W, C), see `kernels`. What is folded: the affine part of each norm into the 1x1 convolution
behind it; the attention's four maps, its heads and its output convolution into one C x C matrix a picture.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from drsformer_cli.model import drsformer as model
from drsformer_cli.restore.kernels import Convolution
from drsformer_cli.restore.windows import Scratch, Size, Window, windows


def carried(dtype: torch.dtype) -> torch.dtype:
    """The dtype that features are kept and summed in beside arithmetic in `dtype`: never a half one."""
    return torch.promote_types(dtype, torch.float32)


def exact(x: Tensor) -> Tensor:
    """Return `x` in double precision, in which all folding and all sums are done; Apple's GPUs have fp32."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def slide(conv: Convolution, x: Tensor, here: Window) -> Tensor:
    """Convolve a window with its margin; it uses up as many rows of the margin as it reaches."""
    return here.rest(conv(x, here.pad(conv.reach)), conv.reach)


def fold_norm(conv: nn.Conv2d, norm: model.LayerNorm) -> tuple[Tensor, Tensor | None]:
    """Weight (O, C) and bias (O,) of a 1x1 convolution behind a norm's affine part."""
    weight = exact(conv.weight).flatten(1)
    scale, shift = cast(Tensor, norm.body.weight), cast("Tensor | None", norm.body.bias)
    bias = None if conv.bias is None else exact(conv.bias)
    if shift is not None:
        moved = weight @ exact(shift)
        bias = moved if bias is None else bias + moved
    return weight * exact(scale), bias


def pointwise(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, *, relu: bool = False) -> Convolution:
    """A 1x1 convolution from (O, C) and (O,)."""
    bias = None if bias is None else bias.to(dtype)
    return Convolution(weight.to(dtype)[:, :, None, None], bias, relu=relu)


def depthwise(
    weight: Tensor, bias: Tensor | None, dtype: torch.dtype, *, relu: bool = False, dilation: int = 1
) -> Convolution:
    """A depthwise convolution from (C, k, k) and (C,)."""
    bias = None if bias is None else bias.to(dtype)
    return Convolution(weight.to(dtype)[:, None], bias, groups=weight.shape[0], relu=relu, dilation=dilation)


class Norm:
    """What remains of a LayerNorm when its weight and bias are folded into the convolution behind it."""

    def __init__(self, module: model.LayerNorm, dtype: torch.dtype, scratch: Scratch) -> None:
        self.centred, self.dtype, self.scratch = module.body.bias is not None, dtype, scratch

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise (H, W, C) over C. The result stands until the next one is made."""
        # Plain reductions run two to three times faster than torch's layer_norm does on so few channels.
        normed, squares = (self.scratch.take(name, x.shape, x) for name in ("normed", "squares"))
        torch.sub(x, x.mean(-1, keepdim=True), out=normed)
        torch.mul(normed, normed, out=squares)
        scale = squares.mean(-1, keepdim=True).add_(1e-5).rsqrt_()
        torch.mul(normed if self.centred else x, scale, out=normed)
        if self.dtype == x.dtype:
            return normed
        return self.scratch.take("normed", x.shape, x, self.dtype).copy_(normed)


class Attention:
    """TKSA. Its statistics are gathered window by window; the map they give is then applied likewise."""

    MARGIN = 1

    def __init__(
        self, module: model.SparseAttention, norm: model.LayerNorm, dtype: torch.dtype, scratch: Scratch
    ) -> None:
        self.module, self.norm, self.dtype, self.scratch = module, Norm(norm, dtype, scratch), dtype, scratch
        self.project = exact(module.project_out.weight).view(
            -1, module.heads, len(module.project_out.weight) // module.heads
        )
        #: What was seen last, normalised, if it was all of a picture: it is asked for again at once.
        self.all_normed: Tensor | None = None
        weight, bias = fold_norm(module.qkv, norm)
        around, shift = module.qkv_dwconv.weight[:, 0], module.qkv_dwconv.bias
        both, value = slice(2 * len(weight) // 3), slice(2 * len(weight) // 3, None)
        self.both, self.value = (
            (
                pointwise(weight[part], None if bias is None else bias[part], dtype),
                depthwise(around[part], None if shift is None else shift[part], dtype),
            )
            for part in (both, value)
        )

    def look(self, x: Tensor, size: Size) -> Convolution:
        """Gather the statistics of all of `x`, (H, W, C), and fold their map into one 1x1 convolution."""
        heads, channels = self.module.heads, x.shape[-1]
        product = exact(x.new_zeros((heads, channels // heads, channels // heads)))
        squares = exact(x.new_zeros((2, channels)))
        point, around = self.both
        for here in windows(x.shape[0], x.shape[1], size):
            normed = self.norm(here.of(x, self.MARGIN))
            self.all_normed = normed if normed.shape == x.shape else None
            seen = slide(around, point(normed), here)
            seen = here.blank(seen, self.MARGIN)
            if seen.dtype != x.dtype:
                seen = self.scratch.take("seen", seen.shape, seen, x.dtype).copy_(seen)
            pixels = seen.reshape(-1, 2, heads, channels // heads)
            q, k = pixels.unbind(1)
            product += q.permute(1, 2, 0) @ k.transpose(0, 1)
            squares += pixels.mul_(pixels).sum(0).view(2, channels)
        return self._fold(product, squares)

    def _fold(self, product: Tensor, squares: Tensor) -> Convolution:
        """Fold the heads' (h, C, C) products and the channels' (2, h C) sums of squares, of q and of k."""
        project = self.module.project_out
        q, k = squares.sqrt().clamp_(min=1e-12).view(2, *product.shape[:2])
        similarity = product / (q[:, :, None] * k[:, None]) * self.module.temperature
        mixed = exact(self.module.mix(similarity.to(project.weight.dtype)[None])[0])
        folded = torch.einsum("ohc,hcd->ohd", self.project, mixed).flatten(1)
        return pointwise(folded, project.bias, self.dtype)

    def __call__(self, x: Tensor, project: Convolution, here: Window) -> Tensor:
        """Attend over `x`, a window with its margin, of which MARGIN rows are used up."""
        point, around = self.value
        normed = self.norm(x) if self.all_normed is None else self.all_normed
        return project(slide(around, point(normed), here))
