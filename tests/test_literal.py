"""The oracle of the other tests against outputs of the authors' own network, in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.literal import LiteralDRSformer
from tests.model.test_drsformer import FULL_INPUTS, full_input, tiny
from tests.networks import full_size_tensors


@pytest.mark.parametrize("name", ["mefc", "plain", "biasfree"])
def test_tiny_networks_equal_the_golden_outputs(golden: Path, name: str) -> None:
    data = np.load(golden / f"tiny_{name}.npz")
    rainy = torch.from_numpy(data["input_40x56"]).reshape(1, 3, 40, 56)
    expected = torch.from_numpy(data["output_40x56"]).reshape(1, 3, 40, 56)
    tensors = tiny(golden, name)
    double = LiteralDRSformer({key: value.double() for key, value in tensors.items()})
    assert (double(rainy.double()) - expected).abs().max() < 1e-10
    single = (LiteralDRSformer(tensors)(rainy) - expected).abs()
    assert single.quantile(0.999) < 2e-5


@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_full_size_networks_equal_the_golden_outputs(golden: Path, variant: str) -> None:
    data = np.load(golden / f"full_{variant}.npz")
    tensors = full_size_tensors(golden, variant)
    double = LiteralDRSformer({key: value.double() for key, value in tensors.items()})
    for name in FULL_INPUTS:
        expected = torch.from_numpy(data[name]).reshape(1, 3, *FULL_INPUTS[name][1])
        assert (double(full_input(name).double()) - expected).abs().max() < 1e-9


def test_similarities_can_be_watched(golden: Path) -> None:
    network, seen = LiteralDRSformer(tiny(golden, "plain")), []
    network.watch = lambda similarity: seen.append(tuple(similarity.shape))
    network(torch.rand(1, 3, 16, 24))
    blocks, heads = network.config.blocks, network.config.heads
    assert len(seen) == 2 * sum(blocks) - blocks[3]
    assert seen[0] == (1, heads[0], 16 // heads[0], 16 // heads[0])
