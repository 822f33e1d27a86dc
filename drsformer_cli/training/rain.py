"""Synthetic rain: from clean pictures to rainy ones, in batches on any device.

A layer of rain is sparse noise convolved with a streak. Each picture of a batch gets several layers, each
with its own angle, length, width, density and brightness, drawn from the ranges of its *kind*:

- `lines`: drawn lines of even brightness, sparse to torrential, of several directions, added on and clipped
  (the kind of Rain100H and Rain200H);
- `torrent`: the heavy end of the same, so that it is seen often enough: it is by far the hardest;
- `downpour`: long, wide and faint streaks, many over each other, mostly thicker here than there: what is left
  when single streaks cannot be told any more (the heavy half of Rain200H);
- `light`: fewer, tapered streaks of uneven brightness and one direction (Rain100L, Rain200L, Rain12);
- `noise`: motion-blurred noise that covers everything, mostly screened on (Rain1400, DID-Data, Rain800);
- `drops`: soft short drops, near and far, that cover what is behind them, as in frames of a film;
- `clean`: no rain at all, so that a network learns to leave such pictures alone.

A share of the rainy pictures also gets a veil of mist. Every random number comes from one generator, so a
seed gives the same rain again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from drsformer_cli.training.camera import expose, gaussian_blur, jpeg, share, uniform

Range = tuple[float, float]

#: The canvas that rain is drawn on is larger than the picture by a multiple of this, and by no less than the
#: longest streak, so that none wraps round into the picture.
MARGIN = 64


@dataclass(frozen=True)
class Kind:
    """Ranges of one kind of rain; lengths and widths in pixels, angles in degrees from the vertical."""

    layers: tuple[int, int]
    length: Range
    width: Range
    soft: Range  # half the width of a streak's blurred edge; a drawn line with anti-aliasing has 0.5
    angle: Range  # a picture's main angle, either side
    spread: Range  # standard deviation of its layers' angles about that
    overlap: Range  # streaks that lie over one pixel, in the mean, all layers together; not for noise
    strength: Range  # brightness of a streak, 1 is white; for noise its spread
    most: float  # brightness that rain adds in the mean of a picture, at most; not for noise
    taper: Range  # 0: as bright at the ends as in the middle; 1: fading out
    uneven: Range  # 0: all streaks of a layer equally bright; 1: from black to full
    blend: tuple[float, float, float]  # how often rain is added, screened, or covers what is behind it
    gusts: float = 0.0  # how often it rains more in one part of the picture than in another; not for noise
    dense: bool = False  # noise everywhere, not single streaks


KINDS: Mapping[str, Kind] = {
    "lines": Kind(
        layers=(2, 8), length=(8, 60), width=(1, 3.2), soft=(0.5, 0.7), angle=(0, 35), spread=(0, 14),
        overlap=(0.15, 3.5), strength=(0.06, 0.45), most=0.4, taper=(0, 0.25), uneven=(0, 0.6),
        blend=(0.85, 0.1, 0.05), gusts=0.25,
    ),
    "torrent": Kind(
        layers=(3, 8), length=(8, 50), width=(1, 3.2), soft=(0.5, 0.7), angle=(0, 30), spread=(2, 16),
        overlap=(0.5, 3), strength=(0.18, 0.6), most=0.45, taper=(0, 0.25), uneven=(0, 0.6),
        blend=(0.9, 0.1, 0.0), gusts=0.25,
    ),
    "downpour": Kind(
        layers=(2, 7), length=(25, 125), width=(1.2, 4), soft=(0.5, 0.7), angle=(0, 28), spread=(1, 15),
        overlap=(0.9, 4), strength=(0.09, 0.3), most=0.45, taper=(0, 0.25), uneven=(0, 0.6),
        blend=(0.9, 0.1, 0.0), gusts=0.7,
    ),
    "light": Kind(
        layers=(1, 4), length=(8, 60), width=(0.7, 3.5), soft=(0.5, 1.2), angle=(0, 45), spread=(0, 4),
        overlap=(0.02, 0.5), strength=(0.08, 0.6), most=0.15, taper=(0.2, 1), uneven=(0.3, 1),
        blend=(0.7, 0.2, 0.1), gusts=0.25,
    ),
    "noise": Kind(
        layers=(1, 2), length=(5, 45), width=(0.6, 2.5), soft=(0.5, 0.8), angle=(0, 50), spread=(0, 2),
        overlap=(1, 1), strength=(0.015, 0.2), most=0.4, taper=(0.2, 1), uneven=(1, 1),
        blend=(0.25, 0.75, 0.0), dense=True,
    ),
    "drops": Kind(
        layers=(1, 5), length=(3, 40), width=(1, 6), soft=(0.6, 2.0), angle=(0, 30), spread=(0, 5),
        overlap=(0.02, 0.6), strength=(0.1, 0.7), most=0.2, taper=(0, 0.6), uneven=(0.2, 1),
        blend=(0.1, 0.3, 0.6), gusts=0.25,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class RainMix:
    """How often each kind is drawn, by the others, and how often the rest follows, 0..1."""

    # Equal ones where none are told; the bundled model's stand in its recipe alone.
    shares: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys((*KINDS, "clean"), 1.0))
    veil: float = 0.12  # mist, in rainy pictures only
    exposure: float = 0.2  # night, grey days, strong contrast
    blur: float = 0.08
    sensor_noise: float = 0.1
    jpeg: float = 0.2
    turned: float = 0.1  # rain that falls sideways, as in a picture on its side

    def __post_init__(self) -> None:
        unknown = set(self.shares) - {*KINDS, "clean"}
        if unknown or min(self.shares.values()) < 0 or not sum(self.shares.values()) > 0:
            raise ValueError(
                f"shares must be positive numbers for {', '.join(KINDS)} and clean: {self.shares}"
            )
        for item in fields(self):
            if item.name != "shares" and not 0 <= getattr(self, item.name) <= 1:
                raise ValueError(f"{item.name} must be a share, 0 to 1, not {getattr(self, item.name)!r}")

    def only(self, kind: str) -> RainMix:
        """Return the mix of one kind alone, upright, and without faults of the camera."""
        return RainMix({kind: 1.0}, veil=0, exposure=0, blur=0, sensor_noise=0, jpeg=0, turned=0)


def add_rain(clean: Tensor, mix: RainMix, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rain on a batch of clean pictures.

    Args:
        clean: (B, 3, H, W) float32 in [0, 1]; H and W multiples of 8, as JPEG's blocks are. Only squares
            are turned.
        mix: what rain, and how often.
        generator: the source of all randomness, on the pictures' device.

    Returns:
        The rainy pictures and what a network should make of them, both of the same shape, in [0, 1]. Rainy
        ones are in whole levels of 1/255, as a file would hold them. What exposure, blur and noise change is
        changed in both. Half of those with JPEG's losses have them in both, half in the rainy one alone.
    """
    count, device = clean.shape[0], clean.device
    names = list(mix.shares)
    weights = torch.tensor([mix.shares[name] for name in names], device=device)
    drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
    wanted = torch.where(share(mix.exposure, count, generator), expose(clean, generator), clean)
    rainy = wanted.clone()
    for index, name in enumerate(names):
        chosen = (drawn == index).nonzero()[:, 0]
        if name != "clean" and len(chosen):
            rainy[chosen] = rain_of_kind(wanted[chosen], KINDS[name], mix.veil, generator)
    rainy, wanted = camera(rainy, wanted, mix, generator)
    sideways = share(mix.turned, count, generator)
    if clean.shape[2] == clean.shape[3]:
        rainy, wanted = (torch.where(sideways, x.transpose(2, 3), x) for x in (rainy, wanted))
    return (rainy * 255).round_().div_(255), wanted


def camera(rainy: Tensor, wanted: Tensor, mix: RainMix, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Add blur, noise and JPEG to a share of rainy pictures, and of what is wanted of them."""
    count, device = rainy.shape[0], rainy.device
    chosen = share(mix.blur, count, generator)
    sigma = uniform(0.3, 1.2, (count,), generator)
    rainy, wanted = (torch.where(chosen, gaussian_blur(x, sigma), x) for x in (rainy, wanted))
    chosen = share(mix.sensor_noise, count, generator)
    grain = torch.randn(rainy.shape, generator=generator, device=device)
    grain = grain * uniform(0.002, 0.02, (count, 1, 1, 1), generator) * chosen
    rainy, wanted = (rainy + grain).clamp(0, 1), (wanted + grain).clamp(0, 1)
    chosen, both = share(mix.jpeg, count, generator), share(0.5, count, generator)
    quality = uniform(50, 98, (count,), generator)
    if not chosen.any():
        return rainy, wanted
    return (
        torch.where(chosen, jpeg(rainy, quality), rainy),
        torch.where(chosen & both, jpeg(wanted, quality), wanted),
    )


def rain_of_kind(clean: Tensor, kind: Kind, veil: float, generator: torch.Generator) -> Tensor:
    """Rain of one kind on (B, 3, H, W) in [0, 1]; `veil` is the share of pictures that get mist, too."""
    b, _, h, w = clean.shape
    device = clean.device
    rain = layers(kind, b, h, w, generator)
    grey = uniform(0.6, 1.0, (b, 1, 1, 1), generator)
    air = (grey + 0.03 * torch.randn(b, 3, 1, 1, generator=generator, device=device)).clamp(0, 1)
    weights = torch.tensor(kind.blend, device=device)
    way = torch.multinomial(weights, b, replacement=True, generator=generator).view(-1, 1, 1, 1)
    cover = rain.clamp(0, 1)
    rainy = torch.where(way == 0, clean + rain, clean + (torch.where(way == 1, 1.0, air) - clean) * cover)
    thickness = uniform(0, 0.3, (b, 1, 4, 4), generator) * share(veil, b, generator)
    mist = F.interpolate(thickness, (h, w), mode="bicubic", align_corners=True).clamp(0, 1)
    return (rainy + (air - rainy) * mist).clamp(0, 1)


def layers(kind: Kind, b: int, h: int, w: int, generator: torch.Generator) -> Tensor:
    """Rain of one kind on black, (B, 1, H, W), at least 0 and not bounded above."""
    margin, device = MARGIN * math.ceil(kind.length[1] / MARGIN), generator.device
    canvas = (h + margin, w + margin)
    count = kind.layers[1]
    shape = (b, count)

    def draw(low_high: Range, *size: int) -> Tensor:
        return uniform(*low_high, size or (*shape, 1, 1), generator)

    def spread_evenly(low_high: Range) -> Tensor:  # as many between 0.1 and 0.2 as between 0.2 and 0.4
        return torch.exp(draw((math.log(low_high[0]), math.log(low_high[1])), b, 1, 1, 1))

    side = torch.randint(2, (b, 1, 1, 1), generator=generator, device=device) * 2 - 1
    aside = draw(kind.spread, b, 1, 1, 1) * torch.randn(*shape, 1, 1, generator=generator, device=device)
    angle = torch.deg2rad(draw(kind.angle, b, 1, 1, 1) * side + aside)
    length, width = draw(kind.length), draw(kind.width)
    # Layers of a picture resemble one another.
    length, width = (0.5 * x + 0.5 * x[:, :1] for x in (length, width))
    streak = streak_kernel(canvas, angle, length, width, draw(kind.soft), draw(kind.taper))
    used = torch.randint(kind.layers[0], count + 1, (b, 1, 1, 1), generator=generator, device=device)
    on = torch.arange(count, device=device).view(1, -1, 1, 1) < used
    strength = spread_evenly(kind.strength)
    if kind.dense:
        grains = torch.randn(*shape, *canvas, generator=generator, device=device)
        drops = convolve(grains, streak) * on
        drops = drops.sum(dim=1, keepdim=True)
        drops = drops / drops.std(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        # A mean in terms of the spread; what falls below black is cut. Stretched contrast makes streaks.
        rain = strength * (draw((-0.5, 2.5), b, 1, 1, 1) + drops).clamp_min(0)
    else:
        overlap = spread_evenly(kind.overlap)
        strength = torch.minimum(strength, kind.most / overlap)
        bright = 1 - draw(kind.uneven) * torch.rand(*shape, *canvas, generator=generator, device=device)
        noise = torch.rand(*shape, *canvas, generator=generator, device=device)
        density = overlap / used / (length * width) * gusts(kind, canvas, b, generator)
        drops = convolve((noise < density) * bright, streak)
        level = strength * draw((0.5, 1.0)) * on
        rain = (drops.clamp_min(0) * level).sum(dim=1, keepdim=True)
    half = margin // 2
    return rain[..., half : half + h, half : half + w]


def gusts(kind: Kind, canvas: tuple[int, int], b: int, generator: torch.Generator) -> Tensor:
    """Draw how much of the rain falls where, 0..1, broadcasting to (B, 1, H, W); without gusts all of it."""
    if not kind.gusts:
        return torch.ones((b, 1, 1, 1), device=generator.device)
    coarse = uniform(0, 1, (b, 1, 4, 4), generator) * uniform(0, 1, (b, 1, 1, 1), generator)
    cloud = 1 - F.interpolate(coarse, canvas, mode="bicubic", align_corners=True).clamp(0, 1)
    # Streaks that begin, or end, at one height: drawn rain often leaves an edge of a picture free.
    down = torch.linspace(0, 1, canvas[0], device=generator.device).view(1, 1, -1, 1)
    edge, least = uniform(0, 0.45, (b, 1, 1, 1), generator), uniform(0, 1, (b, 1, 1, 1), generator)
    down = torch.where(share(0.5, b, generator), down, 1 - down)
    cloud = cloud * torch.where(share(0.5, b, generator) & (down < edge), least, 1.0)
    return torch.where(share(kind.gusts, b, generator), cloud, 1.0)


def streak_kernel(
    canvas: tuple[int, int], angle: Tensor, length: Tensor, width: Tensor, soft: Tensor, taper: Tensor
) -> Tensor:
    """One streak about the origin of each canvas, which wraps round; brightest value at most 1.

    Args:
        canvas: (H, W).
        angle: radians from the vertical; this and the rest broadcast to (B, L, H, W).
        length: pixels between the ends.
        width: pixels across.
        soft: half the width of the blurred edge, in pixels.
        taper: 0 evenly bright, 1 fading to its ends.
    """
    device = angle.device
    y, x = (torch.fft.fftfreq(n, 1 / n, device=device) for n in canvas)
    along = y.view(-1, 1) * torch.cos(angle) + x * torch.sin(angle)
    across = x * torch.cos(angle) - y.view(-1, 1) * torch.sin(angle)
    ends = ((length / 2 + soft - along.abs()) / (2 * soft)).clamp(0, 1)
    sides = ((width / 2 + soft - across.abs()) / (2 * soft)).clamp(0, 1)
    fade = torch.cos((along / length).clamp(-0.5, 0.5) * math.pi)
    kernel: Tensor = ends * sides * (1 - taper + taper * fade)
    return kernel


def convolve(a: Tensor, b: Tensor) -> Tensor:
    """Circular convolution of the last two dimensions."""
    size = (a.shape[-2], a.shape[-1])
    result: Tensor = torch.fft.irfft2(torch.fft.rfft2(a.float()) * torch.fft.rfft2(b.float()), s=size)
    return result
