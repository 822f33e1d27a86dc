"""The oracle of the other tests against outputs of the authors' own network, in double precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.literal import LiteralDRSformer
from tests.networks import FULL_INPUTS, full_case, full_size_tensors, tiny_case


@pytest.mark.parametrize("name", ["mefc", "plain", "biasfree"])
def test_tiny_networks_equal_the_golden_outputs(golden: Path, name: str) -> None:
    tensors, rainy, expected = tiny_case(golden, name)
    double = LiteralDRSformer({key: value.double() for key, value in tensors.items()})
    assert (double(rainy.double()) - expected).abs().max() < 1e-10
    single = (LiteralDRSformer(tensors)(rainy) - expected).abs()
    assert single.quantile(0.999) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_full_size_networks_equal_the_golden_outputs(golden: Path, variant: str) -> None:
    tensors = full_size_tensors(golden, variant)
    double = LiteralDRSformer({key: value.double() for key, value in tensors.items()})
    for name in FULL_INPUTS:
        rainy, expected = full_case(golden, variant, name)
        assert (double(rainy.double()) - expected).abs().max() < 1e-9


def test_similarities_can_be_watched(golden: Path) -> None:
    network, seen = LiteralDRSformer(tiny_case(golden, "plain")[0]), []
    network.watch = lambda similarity: seen.append(tuple(similarity.shape))
    network(torch.rand(1, 3, 16, 24))
    blocks, heads = network.config.blocks, network.config.heads
    assert len(seen) == 2 * sum(blocks) - blocks[3]
    assert seen[0] == (1, heads[0], 16 // heads[0], 16 // heads[0])
