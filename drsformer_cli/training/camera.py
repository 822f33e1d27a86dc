"""What a camera and its file do to a picture: exposure, blur, noise and JPEG, in batches on any device.

Exposure, blur and noise belong to the scene: rainy picture and clean one share them, so that a network learns
to take away rain and nothing else. JPEG comes last; see `add_rain` for who gets it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Evenly drawn numbers, on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def share(of: float, count: int, generator: torch.Generator) -> Tensor:
    """Choose each of `count` pictures with probability `of`; (count, 1, 1, 1) of bool."""
    return (uniform(0, 1, (count,), generator) < of).view(-1, 1, 1, 1)


def expose(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Night, dusk, mist or strong contrast: gamma, gain and lift drawn for each of (B, 3, H, W) in [0, 1]."""
    shape = (pictures.shape[0], 1, 1, 1)
    gamma = torch.exp2(uniform(-0.5, 1.2, shape, generator))
    gain = uniform(0.4, 1.1, shape, generator)
    lift = uniform(0.0, 0.25, shape, generator)
    colour = uniform(0.0, 1.0, shape, generator).sqrt()
    grey = pictures.mean(dim=1, keepdim=True)
    pictures = (grey + (pictures - grey) * colour).clamp(0, 1)
    return (pictures**gamma * gain * (1 - lift) + lift).clamp(0, 1)


def gaussian_blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, H, W) with a Gaussian of `sigma` (B,) pixels, mirrored at the borders."""
    b, c, h, w = pictures.shape
    taps = torch.arange(-2, 3, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-(taps**2) / (2 * sigma.view(-1, 1) ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(c, dim=0)
    flat = F.pad(pictures, (2, 2, 2, 2), mode="reflect").reshape(1, b * c, h + 4, w + 4)
    flat = F.conv2d(flat, kernel.view(b * c, 1, 5, 1), groups=b * c)
    return F.conv2d(flat, kernel.view(b * c, 1, 1, 5), groups=b * c).view(b, c, h, w)


#: The example quantisation tables of ITU-T T.81, annex K, for luma and chroma.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99, 99, 99, 99, 99, 99, 99, 99),) * 4,
)
#: RGB to Y, Cb, Cr of JFIF (full-range BT.601).
TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """What JPEG (4:4:4, baseline tables) does to (B, 3, H, W) in [0, 1]; `quality` (B,) in 1..100.

    Sides must be multiples of 8. Only the loss is made, not the file.
    """
    device = pictures.device
    colour = torch.tensor(TO_YCBCR, device=device)
    rows = torch.arange(8, device=device)
    basis = torch.cos((2 * rows.view(1, 8) + 1) * rows.view(8, 1) * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    tables = torch.tensor((LUMA_TABLE, CHROMA_TABLE, CHROMA_TABLE), device=device, dtype=torch.float32)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1) / 100
    steps = (tables * scale).round().clamp(1, 255)[:, :, None, None]

    b, c, h, w = pictures.shape
    planes = torch.einsum("pc,bchw->bphw", colour, pictures * 255)
    planes[:, 0] -= 128
    blocks = planes.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    coefficients = ((basis @ blocks @ basis.T) / steps).round() * steps
    blocks = basis.T @ coefficients @ basis
    planes = blocks.transpose(3, 4).reshape(b, c, h, w)
    planes[:, 0] += 128
    return (torch.einsum("pc,bchw->bphw", torch.linalg.inv(colour), planes) / 255).clamp(0, 1)
