"""A deeper network begins as the one it grew from, and learns with what was added."""

from __future__ import annotations

import pytest
import torch

from drsformer_cli.errors import UsageError
from drsformer_cli.model.config import DRSformerConfig, Levels
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.training.growth import deepen

SMALL = DRSformerConfig.create(8, blocks=(1, 1, 2, 1), heads=(1, 2, 2, 2), mefc=True, bias=True)


@pytest.fixture(scope="module")
def small() -> DRSformer:
    torch.manual_seed(0)
    return DRSformer(SMALL).double()


@pytest.mark.parametrize("blocks", [(1, 1, 2, 1), (1, 1, 2, 2), (2, 3, 2, 1)])
def test_the_same_pictures_and_the_old_tensors(small: DRSformer, blocks: Levels) -> None:
    grown = deepen(small.state_dict(), SMALL, blocks, seed=1)
    for name, tensor in small.state_dict().items():
        assert torch.equal(grown[name], tensor)
    network = DRSformer.from_state_dict({name: tensor.double() for name, tensor in grown.items()})
    assert network.config.blocks == blocks
    rainy = torch.rand(1, 3, 16, 24, dtype=torch.double)
    with torch.no_grad():
        assert torch.allclose(network(rainy), small(rainy), rtol=0, atol=1e-14)


def test_what_was_added_learns(small: DRSformer) -> None:
    grown = deepen(small.state_dict(), SMALL, (1, 1, 2, 2), seed=1)
    network = DRSformer.from_state_dict({name: tensor.double() for name, tensor in grown.items()})
    before = {name: tensor.clone() for name, tensor in network.requires_grad_(True).state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    rainy = torch.rand(1, 3, 16, 16, dtype=torch.double)
    for _ in range(2):  # the first step moves the zeros, the second what stands before them
        optimizer.zero_grad()
        (network(rainy) - 0.5).square().mean().backward()
        optimizer.step()
    added = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("latent.1.")}
    still = [name for name in added if torch.equal(added[name], before[name])]
    assert added
    assert not still


def test_the_seed_decides(small: DRSformer) -> None:
    one, same, other = (deepen(small.state_dict(), SMALL, (1, 2, 2, 1), seed=seed) for seed in (1, 1, 2))
    name = "encoder_level2.1.attn.qkv.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


def test_no_level_loses_blocks(small: DRSformer) -> None:
    with pytest.raises(
        UsageError, match="with 1,1,2,1 blocks cannot be given 2,1,1,1: no level can have fewer"
    ):
        deepen(small.state_dict(), SMALL, (2, 1, 1, 1), seed=1)
