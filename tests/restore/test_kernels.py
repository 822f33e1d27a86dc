"""Convolutions: oneDNN's fused ones and torch's plain ones agree, alone and summed onto something."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from drsformer_cli.restore import kernels
from drsformer_cli.restore.kernels import Convolution, onednn_serves

KINDS = {  # inputs, outputs, kernel, groups, dilation
    "pointwise": (12, 20, 1, 1, 1),
    "square": (7, 6, 3, 1, 1),
    "depthwise": (18, 18, 5, 18, 1),
    "dilated": (16, 16, 7, 16, 2),
    "one channel": (1, 1, 3, 1, 1),
}
#: Largest difference, of the largest value: sums of a few dozen products.
NEAR = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def parts(kind: str, bias: bool) -> tuple[Tensor, Tensor | None, dict[str, int], Tensor]:
    """Weight, bias, keywords and an input (H, W, I) of a convolution."""
    inputs, outputs, kernel, groups, dilation = KINDS[kind]
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((outputs, inputs // groups, kernel, kernel), generator=generator)
    shift = torch.randn(outputs, generator=generator) if bias else None
    x = torch.randn((22, 17, inputs), generator=generator)
    return weight, shift, {"groups": groups, "dilation": dilation}, x


def expected(kind: str, bias: bool, rows: int | None = None) -> Tensor:
    """Return (H', W, O) in double precision, before any ReLU."""
    weight, shift, keywords, x = parts(kind, bias)
    reach = weight.shape[-1] // 2 * keywords["dilation"]
    padding = [reach if rows is None else rows, reach]
    image, shift = x.double().permute(2, 0, 1)[None], None if shift is None else shift.double()
    return F.conv2d(image, weight.double(), shift, padding=padding, **keywords)[0].permute(1, 2, 0)


def make(kind: str, bias: bool, dtype: torch.dtype, *, fused: bool, relu: bool) -> tuple[Convolution, Tensor]:
    """Return a convolution of one of both ways, and its input."""
    weight, shift, keywords, x = parts(kind, bias)
    shift = None if shift is None else shift.to(dtype)
    if not fused:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "onednn_serves", lambda device, dtype: False)
            conv = Convolution(weight.to(dtype), shift, relu=relu, **keywords)
    else:
        if not onednn_serves(weight.device, dtype):
            pytest.skip("no oneDNN for this here")
        conv = Convolution(weight.to(dtype), shift, relu=relu, **keywords)
    assert conv.fused == fused
    return conv, x.to(dtype)


def check(result: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    assert result.shape == wanted.shape
    assert (result.double() - wanted).abs().max() / wanted.abs().max() < NEAR[dtype]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("kind", KINDS)
def test_a_convolution_is_torchs(kind: str, dtype: torch.dtype, fused: bool, bias: bool, relu: bool) -> None:
    conv, x = make(kind, bias, dtype, fused=fused, relu=relu)
    for rows in (None, 0):
        wanted = expected(kind, bias, rows)
        result = conv(x, rows)
        check(result, wanted.relu() if relu else wanted, dtype)
        assert result.dtype == dtype
        assert result.is_contiguous() or not fused


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("dtype", NEAR)
@pytest.mark.parametrize("kind", KINDS)
def test_a_convolution_onto_a_sum(kind: str, dtype: torch.dtype, fused: bool, relu: bool) -> None:
    """The sum in the same dtype, where oneDNN adds, and in fp32, where torch does; the ReLU comes last."""
    conv, x = make(kind, True, dtype, fused=fused, relu=relu)
    for kept in {dtype, torch.float32}:
        for rows in (None, 0):
            before = torch.randn(expected(kind, True, rows).shape, generator=torch.Generator().manual_seed(1))
            total = before.to(kept, copy=True)
            conv.onto(total, x, rows)
            wanted = before.double() + expected(kind, True, rows)
            check(total, wanted.relu() if relu else wanted, dtype)
    assert conv.relu == relu


@pytest.mark.parametrize("dtype", NEAR)
def test_rows_of_a_larger_picture_are_taken_as_they_lie(dtype: torch.dtype) -> None:
    """A run of rows is no copy, one of columns is strided; both are convolved like copies of them."""
    conv, x = make("depthwise", True, dtype, fused=onednn_serves(torch.device("cpu"), dtype), relu=True)
    for part in (x[3:15], x[:, 2:11], x[2:9, 4:12]):
        assert conv(part).equal(conv(part.contiguous()))
        total, other = (torch.ones((*part.shape[:2], 18), dtype=dtype) for _ in range(2))
        conv.onto(total, part)
        conv.onto(other, part.contiguous())
        assert total.equal(other)


def test_double_precision_is_torchs_own() -> None:
    assert not onednn_serves(torch.device("cpu"), torch.float64)
    weight, shift, keywords, x = parts("dilated", True)
    assert shift is not None
    conv = Convolution(weight.double(), shift.double(), **keywords)
    assert not conv.fused
    assert (conv(x.double()) - expected("dilated", True)).abs().max() < 1e-12


def test_one_convolution_serves_every_size() -> None:
    """The weight is laid out for one size and used for all."""
    conv, x = make("square", False, torch.float32, fused=True, relu=False)
    plain, _ = make("square", False, torch.float32, fused=False, relu=False)
    for height, width in ((1, 1), (1, 40), (64, 3), (200, 150)):
        image = torch.rand(height, width, x.shape[-1])
        torch.testing.assert_close(conv(image), plain(image), rtol=1e-4, atol=1e-5)
