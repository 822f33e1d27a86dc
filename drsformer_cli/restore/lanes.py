"""The feed-forward as the engine runs it: in lanes of few channels, so that its wide middle never exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from drsformer_cli.model import drsformer as model
from drsformer_cli.restore.folded import Norm, depthwise, fold_norm, pointwise, slide
from drsformer_cli.restore.kernels import Convolution
from drsformer_cli.restore.windows import Scratch, Window


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
