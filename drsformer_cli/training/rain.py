"""Rain, made in batches on any device: from clean pictures to rainy ones.

A layer of rain is sparse noise convolved with a streak. Each picture of a batch gets several layers, each
with its own angle, length, width, density and brightness, drawn from the ranges of its *kind*:

- `lines`: sharp drawn lines, dense and overlapping, added on and clipped (the kind of Rain100H and Rain200H);
- `light`: fewer, tapered streaks of uneven brightness, added on and clipped (Rain100L, Rain200L);
- `noise`: motion-blurred noise that covers everything, screened on (Rain1400, DID-Data);
- `clean`: no rain at all, so that a network learns to leave such pictures alone.

What a camera adds after the rain (blur, noise, JPEG) is added to a share of the pictures. Every random number
comes from one generator, so a seed gives the same rain again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

Range = tuple[float, float]

#: Margin of the canvas that rain is drawn on, so that streaks do not wrap round into the picture.
MARGIN = 64


@dataclass(frozen=True)
class Kind:
    """Ranges of one kind of rain; lengths and widths in pixels, angles in degrees from the vertical."""

    layers: tuple[int, int]
    length: Range
    width: Range
    angle: float  # standard deviation of a picture's main angle
    spread: Range  # standard deviation of its layers' angles about that
    cover: Range  # share of the picture under one layer's streaks
    strength: Range  # brightness of a streak, 1 is white
    taper: Range  # 0: as bright at the ends as in the middle; 1: fading out
    uneven: Range  # 0: all streaks of a layer equally bright; 1: from black to full
    screen: bool = False


KINDS: Mapping[str, Kind] = {
    "lines": Kind((2, 6), (10, 70), (0.8, 2.6), 18, (1, 14), (0.05, 0.5), (0.08, 0.40), (0, 0.3), (0, 0.4)),
    "light": Kind((1, 4), (8, 60), (0.8, 3.0), 22, (0, 6), (0.004, 0.10), (0.08, 0.5), (0.2, 1), (0.4, 1)),
    "noise": Kind((1, 2), (5, 28), (0.6, 1.8), 18, (0, 3), (0, 0), (0.02, 0.22), (0.3, 1), (1, 1), True),
}
MOST_LAYERS = max(kind.layers[1] for kind in KINDS.values())


@dataclass(frozen=True)
class RainMix:
    """How often each kind is drawn, and how often a camera's faults follow; shares in 0..1."""

    shares: Mapping[str, float] = field(
        default_factory=lambda: {"lines": 0.42, "light": 0.25, "noise": 0.2, "clean": 0.13}
    )
    blur: float = 0.05
    sensor_noise: float = 0.1
    jpeg: float = 0.25

    def __post_init__(self) -> None:
        unknown = set(self.shares) - {*KINDS, "clean"}
        if unknown or min(self.shares.values()) < 0 or not sum(self.shares.values()) > 0:
            raise ValueError(
                f"shares must be positive numbers for {', '.join(KINDS)} and clean: {self.shares}"
            )


def add_rain(clean: Tensor, mix: RainMix, generator: torch.Generator) -> Tensor:
    """Rain on a batch of clean pictures.

    Args:
        clean: (B, 3, H, W) float32 in [0, 1].
        mix: what rain, and how often.
        generator: the source of all randomness, on the CPU whatever the pictures' device.

    Returns:
        The rainy pictures, same shape, in [0, 1], in whole levels of 1/255 as a file would hold them.
    """
    names = list(mix.shares)
    weights = torch.tensor([mix.shares[name] for name in names])
    drawn = torch.multinomial(weights, clean.shape[0], replacement=True, generator=generator)
    rainy = clean.clone()
    for index, name in enumerate(names):
        chosen = (drawn == index).nonzero()[:, 0].to(clean.device)
        if name != "clean" and len(chosen):
            rainy[chosen] = rain_of_kind(clean[chosen], KINDS[name], generator)
    rainy = camera(rainy, mix, generator)
    return (rainy * 255).round_().div_(255)


def rain_of_kind(clean: Tensor, kind: Kind, generator: torch.Generator) -> Tensor:
    """Rain of one kind on (B, 3, H, W) in [0, 1]."""
    streaks = layers(kind, clean.shape[0], clean.shape[2], clean.shape[3], generator, clean.device)
    rain = streaks.sum(dim=1, keepdim=True)
    if kind.screen:
        return 1 - (1 - clean) * (1 - rain.clamp(0, 1))
    return (clean + rain).clamp(0, 1)


def layers(kind: Kind, b: int, h: int, w: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Layers of streaks, (B, MOST_LAYERS, H, W), brightness at least 0; unused layers are black."""
    canvas = (h + MARGIN, w + MARGIN)
    shape = (b, MOST_LAYERS)

    def draw(low_high: Range, *size: int) -> Tensor:
        low, high = low_high
        return low + (high - low) * torch.rand(size or (*shape, 1, 1), generator=generator).to(device)

    main = kind.angle * torch.randn(b, 1, 1, 1, generator=generator).to(device)
    aside = draw(kind.spread, b, 1, 1, 1) * torch.randn(*shape, 1, 1, generator=generator).to(device)
    length, width = draw(kind.length), draw(kind.width)
    streak = streak_kernel(canvas, torch.deg2rad(main + aside), length, width, draw(kind.taper))
    uneven, strength = draw(kind.uneven), draw(kind.strength)
    if kind.screen:
        grains = torch.randn(*shape, *canvas, generator=generator).to(device)
        drops = convolve(grains, streak)
        drops = drops / drops.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        # Rain of this kind covers everything: a mean and a spread, cut at black.
        drops = (0.5 + draw((0.4, 1.2)) + draw((0.6, 1.0)) * drops).clamp_min(0) / 2
    else:
        # One drop in `length * width` pixels covers everything once.
        density = -torch.log1p(-draw(kind.cover)) / (length * width)
        noise = torch.rand(*shape, *canvas, generator=generator).to(device)
        bright = 1 - uneven * torch.rand(*shape, *canvas, generator=generator).to(device)
        drops = convolve((noise < density) * bright, streak).clamp(0, 1)
    used = torch.randint(kind.layers[0], kind.layers[1] + 1, (b, 1, 1, 1), generator=generator).to(device)
    index = torch.arange(MOST_LAYERS, device=device).view(1, -1, 1, 1)
    half = MARGIN // 2
    return (drops * strength * (index < used))[..., half : half + h, half : half + w]


def streak_kernel(
    canvas: tuple[int, int], angle: Tensor, length: Tensor, width: Tensor, taper: Tensor
) -> Tensor:
    """One streak about the origin of each canvas, which wraps round; brightest value 1.

    Args:
        canvas: (H, W).
        angle: radians from the vertical; this and the rest broadcast to (B, L, H, W).
        length: pixels between the ends.
        width: pixels across.
        taper: 0 evenly bright, 1 fading to its ends.
    """
    device = angle.device
    y, x = (torch.fft.fftfreq(n, 1 / n, device=device) for n in canvas)
    along = y.view(-1, 1) * torch.cos(angle) + x * torch.sin(angle)
    across = x * torch.cos(angle) - y.view(-1, 1) * torch.sin(angle)
    # Edges are half a pixel soft on each side, as a drawn line with anti-aliasing has them.
    ends = (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    sides = (width / 2 + 0.5 - across.abs()).clamp(0, 1)
    fade = torch.cos((along / length).clamp(-0.5, 0.5) * math.pi)
    kernel: Tensor = ends * sides * (1 - taper + taper * fade)
    return kernel


def convolve(a: Tensor, b: Tensor) -> Tensor:
    """Circular convolution of the last two dimensions."""
    size = (a.shape[-2], a.shape[-1])
    result: Tensor = torch.fft.irfft2(torch.fft.rfft2(a.float()) * torch.fft.rfft2(b.float()), s=size)
    return result


def camera(pictures: Tensor, mix: RainMix, generator: torch.Generator) -> Tensor:
    """What a camera and its file add after the rain, each to its share of (B, 3, H, W) in [0, 1]."""

    def share(of: float) -> Tensor:
        chosen = torch.rand(pictures.shape[0], generator=generator) < of
        return chosen.view(-1, 1, 1, 1).to(pictures.device)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(pictures.shape[0], generator=generator)).to(pictures.device)

    pictures = torch.where(share(mix.blur), gaussian_blur(pictures, draw(0.3, 0.9)), pictures)
    grain = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    grain = pictures + grain * draw(0.002, 0.015).view(-1, 1, 1, 1)
    pictures = torch.where(share(mix.sensor_noise), grain, pictures).clamp(0, 1)
    return torch.where(share(mix.jpeg), jpeg(pictures, draw(60, 98)), pictures)


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
