"""How far a restored picture is from what it should be, as a network is told while it learns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LOSSES = ("l1", "charbonnier", "psnr")

#: Mean square error (50 dB) from which on the loss `psnr` cares little: what is nearly clean may stay so.
PSNR_FLOOR = 1e-5


def difference(restored: Tensor, wanted: Tensor, loss: str, fourier: float) -> Tensor:
    """Return the difference of two batches, (B, 3, H, W) in [0, 1], as one number to be made small.

    Args:
        restored: what the network made.
        wanted: what it should have made.
        loss: `l1`, the mean error; `charbonnier`, the same, but smooth about zero; `psnr`, which counts each
            picture's error in decibels, so that faint rain weighs as much as dense rain.
        fourier: weight of the mean error of the spectrum's parts, added to any of these.
    """
    if loss == "psnr":
        squares = (restored - wanted).square().mean(dim=(1, 2, 3))
        value = 0.01 * (squares + PSNR_FLOOR).log().mean()
    elif loss == "charbonnier":
        value = ((restored - wanted).square() + 1e-6).sqrt().mean()
    else:
        value = F.l1_loss(restored, wanted)
    if fourier:
        spectrum = torch.fft.rfft2(restored - wanted, norm="ortho")
        value = value + fourier * torch.view_as_real(spectrum).abs().mean()
    return value
