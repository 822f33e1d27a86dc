"""Losses: nothing for equal pictures, more for worse ones, and what each is made for."""

from __future__ import annotations

import pytest
import torch

from drsformer_cli.training.losses import LOSSES, difference


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fourier", [0.0, 0.1])
def test_a_worse_picture_costs_more_and_can_be_mended(loss: str, fourier: float) -> None:
    wanted = torch.rand(2, 3, 16, 16)
    costs = [float(difference(wanted + error, wanted, loss, fourier)) for error in (0.0, 0.01, 0.1)]
    assert costs == sorted(costs)
    assert costs[0] < costs[1]
    restored = (wanted + 0.1).requires_grad_()
    difference(restored, wanted, loss, fourier).backward()
    assert restored.grad is not None
    assert restored.grad.isfinite().all()
    assert restored.grad.mean() > 0


def test_l1_is_the_mean_error() -> None:
    assert float(difference(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), "l1", 0)) == 1


def test_decibels_count_alike_wherever_they_are_won() -> None:
    wanted = torch.zeros(1, 3, 16, 16)

    def won(error: float) -> float:
        near, far = (difference(wanted + e, wanted, "psnr", 0) for e in (error / 2, error))
        return float(far - near)

    assert won(0.4) == pytest.approx(won(0.1), rel=0.02)
    # but not among errors that no one sees
    assert won(0.0005) < 0.1 * won(0.1)


def test_the_spectrum_sees_a_pattern_that_the_mean_error_does_not() -> None:
    wanted = torch.zeros(1, 3, 16, 16)
    seeded = torch.Generator().manual_seed(1)
    flat, noise = (
        torch.full_like(wanted, 0.1),
        0.1 * torch.rand(wanted.shape, generator=seeded).sub(0.5).sign(),
    )
    assert difference(flat, wanted, "l1", 0) == pytest.approx(difference(noise, wanted, "l1", 0))
    assert difference(noise, wanted, "l1", 1) > 1.3 * difference(flat, wanted, "l1", 1)
