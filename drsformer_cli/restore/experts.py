"""The compensators as the engine runs them.

Each expert's last 1x1 convolution and its weight in a picture are folded into the one that joins the experts.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from drsformer_cli.model import drsformer as model
from drsformer_cli.restore.folded import depthwise, exact, pointwise, slide
from drsformer_cli.restore.windows import Scratch, Size, Window, rewrite, windows


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
