"""The network against outputs of the authors' own, in double and in single precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from drsformer_cli.errors import CheckpointError
from drsformer_cli.model.drsformer import DRSformer
from tests.networks import FULL_INPUTS, full_case, full_size_tensors, small_network, tiny_case


@pytest.mark.parametrize("name", ["mefc", "plain", "biasfree"])
def test_tiny_networks_equal_the_golden_outputs(golden: Path, name: str) -> None:
    tensors, rainy, expected = tiny_case(golden, name)
    double = DRSformer.from_state_dict({key: value.double() for key, value in tensors.items()})
    assert (double(rainy.double()) - expected).abs().max() < 1e-10
    single = (DRSformer.from_state_dict(tensors)(rainy) - expected).abs()
    assert single.quantile(0.999) < 2e-5


@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_full_size_networks_equal_the_golden_outputs(golden: Path, variant: str) -> None:
    tensors = full_size_tensors(golden, variant)
    single = DRSformer.from_state_dict(tensors)
    double = DRSformer.from_state_dict({key: value.double() for key, value in tensors.items()})
    for name in FULL_INPUTS:
        rainy, expected = full_case(golden, variant, name)
        assert (double(rainy.double()) - expected).abs().max() < 1e-9
        assert (single(rainy) - expected).abs().quantile(0.999) < 2e-5


def test_parameters_are_the_published_ones(golden: Path) -> None:
    for variant, count in (("mefc", 33_655_424), ("plain", 32_610_304)):
        network = DRSformer.from_state_dict(full_size_tensors(golden, variant))
        assert sum(tensor.numel() for tensor in network.state_dict().values()) == count


def test_the_pairs_of_the_feed_forward_are_those_of_one_grouped_convolution() -> None:
    for expansion in (2.0, 2.66):  # even and odd hidden widths: 16, 21
        block = small_network(expansion=expansion).encoder_level1[0].ffn.double()
        x = torch.randn(2, 8, 10, 14, dtype=torch.double)
        wide = block.project_in(x)
        a3, b3 = block.dwconv3x3(wide).relu().chunk(2, dim=1)
        a5, b5 = block.dwconv5x5(wide).relu().chunk(2, dim=1)
        x3 = block.dwconv3x3_1(torch.cat((a3, a5), dim=1)).relu()
        x5 = block.dwconv5x5_1(torch.cat((b3, b5), dim=1)).relu()
        expected = block.project_out(torch.cat((x3, x5), dim=1))
        torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_each_row_of_attention_keeps_its_largest_entries() -> None:
    attention = small_network().latent[0].attn
    similarity = torch.randn(1, 2, 32, 32, dtype=torch.double)
    scalars = (attention.attn1, attention.attn2, attention.attn3, attention.attn4)
    expected = torch.zeros_like(similarity)
    for scalar, k in zip(scalars, (16, 21, 24, 25), strict=True):
        threshold = similarity.topk(k, dim=-1).values[..., -1:]
        expected += scalar * similarity.masked_fill(similarity < threshold, float("-inf")).softmax(dim=-1)
    torch.testing.assert_close(attention.mix(similarity), expected)


def test_other_shapes_are_refused() -> None:
    network = small_network()
    for shape in ((3, 8, 8), (1, 1, 8, 8), (1, 3, 12, 8), (1, 3, 8, 9)):
        with pytest.raises(ValueError, match="multiples of 8"):
            network(torch.zeros(shape))


def test_tensors_of_mixed_or_whole_number_dtypes_are_refused() -> None:
    tensors = small_network().state_dict()
    mixed = {**tensors, "output.weight": tensors["output.weight"].double()}
    with pytest.raises(CheckpointError, match="float32, float64"):
        DRSformer.from_state_dict(mixed)
    with pytest.raises(CheckpointError, match="int64"):
        DRSformer.from_state_dict({name: tensor.long() for name, tensor in tensors.items()})
    with pytest.raises(
        CheckpointError, match=r"^params is no tensor \(it is a dict\): give the dict of the network's own"
    ):
        DRSformer.from_state_dict({"params": dict(tensors)})  # type: ignore[dict-item]
