"""Run the network over a picture of any size, exactly, in little memory: window by window, sums before maps.

What the network computes of a whole picture are sums: the products and norms of its attention, the mean that
gates its experts. So every part goes over the features in windows that the caches hold: a first pass gathers
its sums, where it has any; a second applies them, and writes the features in place. Only the features
themselves stand in memory at full size, at the finest level twice `dim` channels in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drsformer_cli.machine import give_back, keep_memory
from drsformer_cli.model.drsformer import DRSformer, TransformerBlock
from drsformer_cli.restore.experts import Compensator
from drsformer_cli.restore.folded import Attention, carried, slide
from drsformer_cli.restore.kernels import Convolution, as_image, as_pixels
from drsformer_cli.restore.lanes import FeedForward
from drsformer_cli.restore.plan import lane_of, window_of
from drsformer_cli.restore.windows import Scratch, Size, Window, lasting, rewrite, windows

#: Bytes of features from which on memory is given back between levels: of less it costs more than it spares.
LARGE = 48 << 20

Place = Callable[[Tensor, Window, Tensor], None]


class Block:
    """STB: one pass over the features for the attention's statistics, one for all the rest."""

    def __init__(self, module: TransformerBlock, dtype: torch.dtype, scratch: Scratch) -> None:
        self.module, self.dtype, self.scratch, self.lane = module, dtype, scratch, 0
        self.attention = Attention(module.attn, module.norm1, dtype, scratch)

    def in_lanes(self, lane: int) -> FeedForward:
        """Return the feed-forward in lanes of that width; the last is kept, for pictures come in series."""
        if lane != self.lane:
            module = self.module
            self.feed_forward = FeedForward(module.ffn, module.norm2, self.dtype, self.scratch, lane)
            self.lane = lane
        return self.feed_forward

    def run(self, x: Tensor, size: Size, lane: int) -> None:
        """Replace features (H, W, C) in place, in windows of `size` and lanes of `lane` channels."""
        project, feed_forward = self.attention.look(x, size), self.in_lanes(lane)

        def change(old: Tensor, here: Window, slot: str) -> Tensor:
            inner = here.trim(old, Attention.MARGIN)
            total = self.scratch.take(slot, inner.shape, inner)
            torch.add(inner, self.attention(old, project, here), out=total)
            return feed_forward.onto(total, here)

        rewrite(x, size, Attention.MARGIN + FeedForward.MARGIN, change)


class Banded:
    """The network organised for inference.

    Args:
        network: its parameters are taken, in fp32 or double, on the device to run on.
        dtype: of the arithmetic: that of the parameters, or bf16 or fp16; features, sums and softmax
            stay in fp32 at least.
        window: height and width in pixels of what is done at once, at every level, at least 16; None: what
            suits the device.
        lane: channels of a lane of the feed-forward, about; None: what suits the device and the window.
    """

    def __init__(
        self,
        network: DRSformer,
        dtype: torch.dtype = torch.float32,
        *,
        window: Size | None = None,
        lane: int | None = None,
    ) -> None:
        self.config, self.dtype, self.lane = network.config, dtype, lane
        on_cpu = network.output.weight.device.type == "cpu"
        self.window, self.on_cpu = window or window_of(network.config, on_cpu=on_cpu), on_cpu
        if on_cpu:
            keep_memory()
        self.scratch, self.tidy = Scratch(), False
        with torch.no_grad():
            self._fold(network)

    def _fold(self, network: DRSformer) -> None:
        def conv(
            module: nn.Module,
            part: slice = slice(None),
            *,
            bias: bool = True,
            dtype: torch.dtype = self.dtype,
        ) -> Convolution:
            weight, shift = cast(Tensor, module.weight), cast("Tensor | None", module.bias)
            return Convolution(
                weight[:, part].to(dtype), shift.to(dtype) if bias and shift is not None else None
            )

        def level(blocks: nn.Sequential) -> list[Block]:
            return [Block(cast(TransformerBlock, block), self.dtype, self.scratch) for block in blocks]

        def joined(module: nn.Conv2d) -> tuple[Convolution, Convolution]:
            half = module.in_channels // 2
            return conv(module, slice(half)), conv(module, slice(half, None), bias=False)

        net = network
        # Where a picture comes in and goes out, a rounded weight tints all of it: these two stay exact.
        self.embed = conv(cast(nn.Module, net.patch_embed.proj), dtype=carried(self.dtype))
        self.output = conv(net.output, dtype=carried(self.dtype))
        self.encoders = [level(part) for part in (net.encoder_level1, net.encoder_level2, net.encoder_level3)]
        self.downs = [conv(part.body[0]) for part in (net.down1_2, net.down2_3, net.down3_4)]
        self.latent = level(net.latent)
        self.ups = [conv(part.body[0]) for part in (net.up2_1, net.up3_2, net.up4_3)]
        self.reduce = [joined(part) for part in (net.reduce_chan_level2, net.reduce_chan_level3)]
        self.decoders = [level(part) for part in (net.decoder_level1, net.decoder_level2, net.decoder_level3)]
        compensators = (net.encoder_level0, net.refinement) if net.config.mefc else ()
        self.compensators = [Compensator(part, self.dtype, self.scratch) for part in compensators]
        # The lanes of large pictures are made at load, so that no picture pays for them.
        lane = self.lane or lane_of(self.window[0] * self.window[1], on_cpu=self.on_cpu)
        for blocks in (*self.encoders, self.latent, *self.decoders):
            for block in blocks:
                block.in_lanes(lane)

    @torch.no_grad()
    def __call__(self, rainy: Tensor) -> Tensor:
        """Restore (H, W, 3) in [0, 1], H and W multiples of 8, to the same shape and dtype, not clamped."""
        features = rainy[..., 0].numel() * 2 * self.config.dim * carried(self.dtype).itemsize
        self.tidy = self.on_cpu and features >= LARGE
        restored = lasting(rainy.shape, rainy, carried(self.dtype))
        with torch.inference_mode():
            self._restore(rainy, restored)
        return restored.add_(rainy).to(rainy.dtype)

    def _restore(self, rainy: Tensor, residual: Tensor) -> None:
        height, width, _ = rainy.shape
        dim = self.config.dim
        features = lasting((height, width, 2 * dim), residual)
        # The first encoder works where the last decoder will look for what it skips.
        encoded = features[..., dim:]
        self._convolve(self.embed, rainy, encoded, keep)
        for compensator in self.compensators[:1]:
            compensator.run(encoded, self.window)
        self._convolve(self.ups[0], self._descend(encoded, 0), features[..., :dim], shuffle)
        self._run(self.decoders[0], features)
        for compensator in self.compensators[1:]:
            compensator.run(features, self.window)
        self._convolve(self.output, features, residual, keep)

    def _descend(self, x: Tensor, level: int) -> Tensor:
        """Run the encoder of `level` on `x` and all that is deeper; return what comes up from there."""
        self._run(self.encoders[level], x)
        height, width, channels = x.shape
        lower = lasting((height // 2, width // 2, 2 * channels), x)
        self._convolve(self.downs[level], x, lower, unshuffle)
        if level == 2:
            self._run(self.latent, lower)
        else:
            self._join(level + 1, self._descend(lower, level + 1), lower)
            self._run(self.decoders[level + 1], lower)
        return lower

    def _join(self, level: int, deeper: Tensor, skipped: Tensor) -> None:
        """Put the 1x1 convolution of concat(up(deeper), skipped) in the place of `skipped`."""
        of_deeper, of_skipped = self.reduce[level - 1]

        def place(up: Tensor, here: Window, out: Tensor) -> None:
            there = here.doubled().of(out)
            larger = up.new_empty((*there.shape[:2], up.shape[-1] // 4))
            shuffle(up, here.alone(), larger)
            total = of_deeper(larger.to(of_deeper.dtype)).to(out.dtype)
            of_skipped.onto(total, there.to(of_skipped.dtype))
            there.copy_(total)

        self._convolve(self.ups[level], deeper, skipped, place)

    def _convolve(self, conv: Convolution, x: Tensor, out: Tensor, place: Place) -> None:
        """Convolve `x` window by window, each put into `out` by `place`."""
        for here in windows(x.shape[0], x.shape[1], self.window):
            result = slide(conv, here.of(x, conv.reach).to(conv.dtype), here)
            place(here.crop(result, conv.reach), here, out)

    def _run(self, blocks: list[Block], x: Tensor) -> None:
        pixels = min(x.shape[0], self.window[0]) * min(x.shape[1], self.window[1])
        lane = self.lane or lane_of(pixels, on_cpu=self.on_cpu)
        for block in blocks:
            block.run(x, self.window, lane)
        if self.tidy:
            give_back()


def keep(x: Tensor, here: Window, out: Tensor) -> None:
    """Write a window where it stands."""
    here.of(out).copy_(x)


def unshuffle(x: Tensor, here: Window, out: Tensor) -> None:
    """Write (H, W, C) to (H / 2, W / 2, 4 C), as torch's pixel_unshuffle orders channels."""
    height, width, channels = x.shape
    pixels = x.reshape(height // 2, 2, width // 2, 2, channels)
    there = here.halved().of(out).view(height // 2, width // 2, channels, 4)
    for place in range(4):  # one copy of all runs several times slower
        there[..., place].copy_(pixels[:, place // 2, :, place % 2])


def shuffle(x: Tensor, here: Window, out: Tensor) -> None:
    """Write (H, W, 4 C) to (2 H, 2 W, C), as torch's pixel_shuffle orders channels."""
    here.doubled().of(out).copy_(as_pixels(F.pixel_shuffle(as_image(x), 2)))
