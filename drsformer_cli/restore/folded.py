"""The network's parts as the engine runs them: the same parameters, rearranged once at load, exactly.

Features are (H, W, C), see `kernels`. What is folded: the affine part of each norm into the 1x1 convolution
behind it; the attention's four maps, its heads and its output convolution into one C x C matrix a picture;
each expert's last 1x1 convolution and its weight into the convolution that joins the experts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from drsformer_cli.model import drsformer as model
from drsformer_cli.restore.kernels import Convolution
from drsformer_cli.restore.windows import Scratch, Size, Window, rewrite, windows


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
        self.module, self.norm, self.dtype = module, Norm(norm, dtype, scratch), dtype
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
            pixels = here.blank(seen, self.MARGIN).reshape(-1, 2, heads, channels // heads).to(x.dtype)
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


class Pair:
    """Two lanes in, a lane of hidden channels out, and what the last 1x1 convolution makes of it."""

    def __init__(self, first: Convolution, second: Convolution, out: Convolution) -> None:
        self.first, self.second, self.out = first, second, out

    def hidden(self, x: Tensor, y: Tensor, here: Window, straddling: Tensor | None = None) -> Tensor:
        """Join the lanes `x` and `y`; `straddling` is what the last channel gets beside them."""
        rows = here.pad(self.first.reach)
        both = self.first(x, rows)
        if straddling is not None:
            both[..., -1:] += straddling
        self.second.onto(both, y, rows)
        return here.rest(both, self.first.reach)


class Half:
    """One half of the feed-forward's hidden channels, h of them, dealt out over lanes like cards.

    Output j of the second convolutions sees channels 2j and 2j + 1 of concat(a3, a5), the two scales of this
    half. With an even number L of lanes, lane l holding channels l, l + L, l + 2L, ..., neighbours stand at
    one place of neighbouring lanes: a pair is two lanes, its convolution the sum of two depthwise ones.
    Where h is odd, the pairs of a5 begin at its channel 1: then the last lane's partner is lane 0 moved up
    by a place, and one output straddles: its first input is the last of a3, its second the first of a5.
    """

    def __init__(
        self, module: model.FeedForward, norm: model.LayerNorm, half: int, dtype: torch.dtype, lane: int
    ) -> None:
        self.module, self.dtype, h = module, dtype, module.hidden
        self.mine = slice(half * h, (half + 1) * h)
        self.second = (module.dwconv3x3_1, module.dwconv5x5_1)[half]
        self.reach = self.second.kernel_size[0] // 2
        lanes = 2 * -(-h // (2 * lane))
        places = torch.arange(-(-h // lanes)) * lanes
        # h stands for no channel: `deal` gives zeros there.
        cards = [torch.where(places + lane < h, places + lane, h) for lane in range(lanes)]
        weight, bias = fold_norm(module.project_in, norm)
        self.enter = [
            pointwise(deal(weight[self.mine], c), None if bias is None else deal(bias[self.mine], c), dtype)
            for c in cards
        ]
        self.scales = [
            [self._branch(conv, c) for c in cards] for conv in (module.dwconv3x3, module.dwconv5x5)
        ]
        #: By lane: the pairs that it completes, each with the scale (0 or 1) they are of.
        self.joins: list[list[tuple[int, Pair]]] = [[] for _ in cards]
        for scale, start in ((0, 1), (1, 2 if h % 2 else 1)):
            for second in range(start, lanes, 2):
                self.joins[second].append((scale, self._pair(scale, cards[second - 1], cards[second])))
        if h % 2:
            moved = torch.cat((cards[0][1:], torch.tensor([h])))
            self.closing = self._pair(1, cards[-1], moved)
            self.straddle = depthwise(self.second.weight.flatten(0, 1)[h : h + 1], None, dtype)
            self.straddled = (h - 1) % lanes + 1

    def _branch(self, conv: nn.Conv2d, cards: Tensor) -> Convolution:
        bias = None if conv.bias is None else deal(conv.bias[self.mine], cards)
        return depthwise(deal(conv.weight[self.mine, 0], cards), bias, self.dtype, relu=True)

    def _pair(self, scale: int, first: Tensor, second: Tensor) -> Pair:
        h, conv = self.module.hidden, self.second
        inputs = conv.weight.flatten(0, 1)[scale * h : (scale + 1) * h]
        outputs = torch.where(first < h, (first + scale * h) // 2, h)
        bias = None if conv.bias is None else deal(conv.bias, outputs)
        columns = self.module.project_out.weight[:, self.mine, 0, 0].t()
        return Pair(
            depthwise(deal(inputs, first), bias, self.dtype),
            depthwise(deal(inputs, second), None, self.dtype, relu=True),
            pointwise(deal(columns, outputs).t(), None, self.dtype),
        )

    def shares(self, x: Tensor, here: Window) -> Iterator[tuple[Convolution, Tensor]]:
        """What this half adds, lane by lane: a 1x1 convolution, and what it is to be applied to.

        Args:
            x: a window with MARGIN pixels more on its cut sides, normalised.
            here: the window.
        """
        odd = self.module.hidden % 2 == 1
        x = here.trim(x, FeedForward.MARGIN - self.reach - 2)
        before: list[Tensor] = []
        moved = straddling = None
        for lane, (enter, scale3, scale5) in enumerate(zip(self.enter, *self.scales, strict=True)):
            hidden = enter(x)
            now = [slide(scale3, here.trim(hidden, 1), here), slide(scale5, hidden, here)]
            if odd and lane == 0:
                moved = now[1].roll(-1, -1)
                straddling = self.straddle(now[1][..., :1].contiguous(), here.pad(self.reach))
            for scale, pair in self.joins[lane]:
                over = straddling if odd and scale == 0 and lane == self.straddled else None
                yield pair.out, pair.hidden(before[scale], now[scale], here, over)
            before = now
        if moved is not None:
            yield self.closing.out, self.closing.hidden(before[1], moved, here)


def deal(values: Tensor, cards: Tensor) -> Tensor:
    """Take rows of `values`; a row of zeros where the number is that of no row."""
    zero = values.new_zeros((1, *values.shape[1:]))
    return torch.cat((values, zero))[cards.clamp(max=len(values)).to(values.device)]


class FeedForward:
    """MSFN without its wide intermediates: 2h channels never stand side by side."""

    MARGIN = 4  # two 5x5 convolutions

    def __init__(
        self,
        module: model.FeedForward,
        norm: model.LayerNorm,
        dtype: torch.dtype,
        scratch: Scratch,
        lane: int,
    ) -> None:
        self.norm, self.bias = Norm(norm, dtype, scratch), module.project_out.bias
        self.halves = [Half(module, norm, half, dtype, lane) for half in (0, 1)]

    def onto(self, total: Tensor, here: Window) -> Tensor:
        """Return a window with its feed-forward added, from `total` with MARGIN pixels more."""
        x, total = self.norm(total), here.trim(total, self.MARGIN)
        if self.bias is not None:
            total += self.bias
        # A sum in half precision would lose what is small beside the features: it is made on its own.
        share = total if total.dtype == x.dtype else None
        for half in self.halves:
            for out, hidden in half.shares(x, here):
                if share is None:
                    share = out(hidden)
                else:
                    out.onto(share, hidden)
        return total if share is total else total.add_(cast(Tensor, share))


class Block:
    """STB: one pass over the features for the attention's statistics, one for all the rest."""

    def __init__(self, module: model.TransformerBlock, dtype: torch.dtype, scratch: Scratch) -> None:
        self.module, self.dtype, self.scratch, self.lane = module, dtype, scratch, 0
        self.attention = Attention(module.attn, module.norm1, dtype, scratch)

    def in_lanes(self, lane: int) -> FeedForward:
        """Return the feed-forward in lanes of that width; the last is kept, for pictures come in series."""
        if lane != self.lane:
            module = self.module
            self.feed_forward = FeedForward(module.ffn, module.norm2, self.dtype, self.scratch, lane)
            self.lane = lane
        return self.feed_forward

    def run(self, x: Tensor, size: Size, lane: int) -> None:
        """Replace features (H, W, C) in place, in windows of `size` and lanes of `lane` channels."""
        project, feed_forward = self.attention.look(x, size), self.in_lanes(lane)

        def change(old: Tensor, here: Window, slot: str) -> Tensor:
            inner = here.trim(old, Attention.MARGIN)
            total = self.scratch.take(slot, inner.shape, inner)
            torch.add(inner, self.attention(old, project, here), out=total)
            return feed_forward.onto(total, here)

        rewrite(x, size, Attention.MARGIN + FeedForward.MARGIN, change)


class Compensator:
    """MEFC, a step at a time. The experts' weights, statistics of a whole picture, are folded in for each."""

    def __init__(self, module: model.Compensator, dtype: torch.dtype, scratch: Scratch) -> None:
        self.gate, experts = (part for part in module.layers)
        self.dtype, self.scratch = dtype, scratch
        first = cast(nn.Conv2d, cast(model.Experts, experts).preprocess.op[0])
        self.preprocess = pointwise(first.weight.flatten(1), None, dtype, relu=True)
        steps = cast(model.Experts, experts)._ops
        self.steps = [ExpertStep(cast(model.ExpertStep, step), dtype, scratch) for step in steps]

    def run(self, x: Tensor, size: Size) -> None:
        """Replace features (H, W, C) in place, in windows of `size`."""
        total = exact(x.new_zeros(x.shape[-1]))
        for here in windows(x.shape[0], x.shape[1], size):
            total += here.of(x).sum((0, 1))
        gate = cast(model.Gate, self.gate)
        mean = (total / (x.shape[0] * x.shape[1])).to(next(gate.parameters()).dtype)
        rewrite(x, size, 0, lambda old, *_: self.preprocess(old.to(self.dtype)))
        for step, shares in zip(self.steps, gate.from_mean(mean[None])[0], strict=True):
            step.run(x, shares, size)


class ExpertStep:
    """One step: every expert but for its last 1x1 convolution; all of these go into one sum."""

    MARGIN = 6  # two 7x7 convolutions, or one with dilation 2

    def __init__(self, module: model.ExpertStep, dtype: torch.dtype, scratch: Scratch) -> None:
        self.dtype, self.scratch = dtype, scratch
        joining = cast(Tensor, module._out[0].weight)
        joint = exact(joining).flatten(1).chunk(model.EXPERTS, dim=1)
        layers = [list(cast(model.Expert, expert).op) for expert in list(module._ops)[:-1]]
        weights = [[part.weight for part in row if isinstance(part, nn.Conv2d)] for row in layers]
        #: (C, C) for each expert: its own last 1x1 convolution and its part of the joining one.
        self.last = [join @ exact(row[-1]).flatten(1) for join, row in zip(joint, weights, strict=False)]
        # A 1x1 depthwise convolution scales each channel: folded into the convolutions behind.
        scale, middle, again, _ = weights[0]
        self.scaled = pointwise(exact(middle).flatten(1) * exact(scale).flatten(), None, dtype, relu=True)
        self.last[0] = self.last[0] * exact(again).flatten()
        self.separable = [
            (
                depthwise(around[:, 0], None, dtype),
                pointwise(point.flatten(1), None, dtype, relu=True),
                depthwise(again[:, 0], None, dtype),
            )
            for around, point, again, _ in weights[1:4]
        ]
        self.dilated = [depthwise(around[:, 0], None, dtype, dilation=2) for around, _ in weights[4:]]
        self.average = depthwise(joining.new_full((len(joining), 3, 3), 1 / 9), None, dtype)
        self.last.append(joint[-1])

    def run(self, x: Tensor, shares: Tensor, size: Size) -> None:
        """Replace features (H, W, C) in place; `shares` are the experts' (EXPERTS,) weights."""
        last = [
            pointwise(weight * share, None, self.dtype)
            for weight, share in zip(self.last, exact(shares), strict=True)
        ]

        def change(old: Tensor, here: Window, slot: str) -> Tensor:
            features = here.trim(old, self.MARGIN)
            old = self.scratch.take("normed", old.shape, old, self.dtype).copy_(old)
            inner = here.trim(old, self.MARGIN)
            total = last[0](self.scaled(inner))
            for (around, point, again), project in zip(self.separable, last[1:4], strict=True):
                near = here.trim(old, self.MARGIN - 2 * around.reach)
                project.onto(total, slide(again, point(slide(around, near, here)), here))
            for around, project in zip(self.dilated, last[4:7], strict=True):
                project.onto(total, slide(around, here.trim(old, self.MARGIN - around.reach), here))
            pooled = slide(self.average, here.trim(old, self.MARGIN - 1), here)
            last[7].onto(total, of_those_there(pooled, here))
            result = self.scratch.take(slot, features.shape, features)
            return torch.add(features, total.relu_(), out=result).relu_()

        rewrite(x, size, self.MARGIN, change)


def of_those_there(pooled: Tensor, here: Window) -> Tensor:
    """Turn a sum of 3 x 3 pixels over 9 into their mean where the picture ends and only some are there."""
    edges = (pooled[:1], pooled[-1:], pooled[:, :1], pooled[:, -1:])
    for edge, cut in zip(edges, (here.above, here.below, here.before, here.after), strict=True):
        if not cut:
            edge *= 3 / 2
    return pooled
