"""What the benchmarks count, against what torch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ceiling import multiply_adds
from benchmarks.tiles import seams
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer
from tests.literal import LiteralDRSformer


@pytest.mark.parametrize("config", [DRSformerConfig(mefc=False), DRSformerConfig.create(16, mefc=True)])
def test_multiply_adds_after_folding(config: DRSformerConfig) -> None:
    """As many as the literal network's, less what is folded away."""
    with torch.device("meta"):
        literal = LiteralDRSformer(DRSformer(config).state_dict())
        with FlopCounterMode(display=False) as counter:
            literal(torch.empty(1, 3, 64, 64))
    plain = counter.get_total_flops() / 2 / 64**2
    d = config.dim
    # Four maps times the values; the one matrix that takes their place stands for the output convolution.
    folded = 4 * (2 * d) ** 2 / config.heads[0] * config.blocks[0]
    for level, twice in enumerate((1, 2, 2, 1)):
        c = config.channels(level)
        folded += 4 * c * c / config.heads[level] * config.blocks[level] * twice / 4**level
    if config.mefc:
        gates = 2 * 2 * 64 * 32 + 64 * d + 64 * 2 * d
        # Seven last convolutions a step and two 1x1 depthwise ones; the average is counted as one of 3x3.
        folded += sum(4 * (7 * c * c + 2 * c - 9 * c) for c in (d, 2 * d)) + (gates - 64 * 32 * 2) / 64**2
    assert multiply_adds(config).total == pytest.approx(plain - folded, rel=1e-9)


def test_a_seam_is_seen() -> None:
    """A step at a border between tiles counts there; a smooth slope counts the same everywhere."""
    slope = torch.linspace(0, 1, 96).expand(96, 96)[..., None].repeat(1, 1, 3).numpy()
    step = slope.copy()
    step[:, 48:] += 0.5
    assert seams(slope, [], [48]) == pytest.approx(1, rel=1e-4)
    assert seams(step, [], [48]) > 10
