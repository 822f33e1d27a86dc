"""How far the engine is from what the machine could do at best, and where the rest of the time goes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.sides import PRECISIONS, Side
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.restore.kernels import Convolution

#: Steps of a compensator; sums of k x k over its depthwise kernels 3, 5 and 7.
STEPS, KERNELS = 4, 9 + 25 + 49
#: Channels in and out, and the side in pixels, of the 1x1 convolutions tried for the machine's best rate.
TRIED = ((96, 128, 128), (192, 256, 96), (256, 256, 128), (384, 384, 96), (512, 512, 64), (1024, 1024, 48))


@dataclass(frozen=True)
class Work:
    """Multiply-adds a pixel of the picture: `matrix` mixes channels, `depthwise` only pixels of one."""

    matrix: float
    depthwise: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.matrix + other.matrix, self.depthwise + other.depthwise)

    def __mul__(self, factor: float) -> Work:
        return Work(self.matrix * factor, self.depthwise * factor)

    @property
    def total(self) -> float:
        """Both."""
        return self.matrix + self.depthwise


def work_of_block(c: int, hidden: int, heads: int) -> Work:
    """A transformer block at c channels.

    Attention: qkv (3 c c), its 3x3 depthwise (27 c), the heads' products (c c / heads), and one matrix that
    holds the four maps and the output convolution (c c). Feed-forward: in (2 h c), both scales of 2h channels
    (9 + 25 each), the paired ones (two inputs to each of h outputs, 3x3 and 5x5), out (2 h c).
    """
    attention = Work(3 * c * c + c * c / heads + c * c, 27 * c)
    return attention + Work(4 * hidden * c, 2 * hidden * (9 + 25) + 2 * hidden * (9 + 25))


def work_of_compensator(c: int) -> Work:
    """A compensator at c channels.

    First a 1x1 (c c). In each step the last 1x1 of each of 8 experts is one with its part of the joining one
    (8 c c), four separable experts have one more before it (4 c c; the 1x1 depthwise ones are folded away),
    three of these have two depthwise, three dilated experts one, and the average one of 3x3.
    """
    return Work(c * c) + Work(12 * c * c, 3 * KERNELS * c + 9 * c) * STEPS


def multiply_adds(config: DRSformerConfig) -> Work:
    """Multiply-adds a pixel that are left after folding, of the whole network.

    A level is a quarter of the pixels of the one above. Encoders are mirrored by decoders, but for the latent
    level; the finest decoder has 2d channels at full resolution.
    """
    d = config.dim
    work = Work(9 * 3 * d) + Work(9 * 2 * d * 3)  # patch_embed, output
    for level in range(4):
        c, pixels = config.channels(level), 4.0**-level
        block = work_of_block(c, config.hidden[level], config.heads[level])
        twice = 2 if level in (1, 2) else 1
        work += block * (config.blocks[level] * twice * pixels)
        if level < 3:
            work += Work(9 * c * c / 2) * pixels  # down: c to c / 2, before the pixels are unshuffled
        if level:
            work += Work(9 * c * 2 * c) * pixels  # up: c to 2c, before the pixels are shuffled
        if level in (1, 2):
            work += Work(2 * c * c) * pixels  # reduction
    work += work_of_block(2 * d, config.hidden[1], config.heads[0]) * config.blocks[0]
    if config.mefc:
        work += work_of_compensator(d) + work_of_compensator(2 * d)
    return work


def matrix_rate(dtype: torch.dtype) -> float:
    """Multiply-adds a second of the best 1x1 convolution with its weight laid out beforehand."""
    best = 0.0
    for inputs, outputs, side in TRIED:
        conv = Convolution((torch.rand(outputs, inputs, 1, 1) - 0.5).to(dtype))
        x = torch.rand(side, side, inputs).to(dtype)
        end = time.perf_counter() + 0.7
        while time.perf_counter() < end:
            start = time.perf_counter()
            conv(x)
            best = max(best, side * side * inputs * outputs / (time.perf_counter() - start))
    return best


def kind_of(conv: Convolution) -> str:
    """What kind a convolution is for the table."""
    return "depthwise" if conv.groups > 1 else "1x1" if conv.reach == 0 else "3x3"


@contextmanager
def labelled() -> Iterator[None]:
    """Let the profiler know each convolution by its kind."""
    call, onto = Convolution.__call__, Convolution.onto

    def labelled_call(self: Convolution, *words: Any) -> Tensor:
        with record_function(kind_of(self)):
            return call(self, *words)

    def labelled_onto(self: Convolution, total: Tensor, *words: Any) -> None:
        # Without a fused sum it calls the convolution, which has a label of its own.
        if not self.fused or total.dtype != self.dtype:
            return onto(self, total, *words)
        with record_function(kind_of(self)):
            return onto(self, total, *words)

    Convolution.__call__, Convolution.onto = labelled_call, labelled_onto  # type: ignore[method-assign]
    try:
        yield
    finally:
        Convolution.__call__, Convolution.onto = call, onto  # type: ignore[method-assign]


def shares(side: Side) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by kind of convolution and in all the rest, and the rest's own by operator; profiled once."""
    run = side.load()
    run()
    with labelled(), profile(activities=[ProfilerActivity.CPU]) as seen, record_function("everything"):
        run()
    totals = {event.key: event.cpu_time_total / 1e6 for event in seen.key_averages()}
    kinds = {kind: totals.get(kind, 0.0) for kind in ("1x1", "3x3", "depthwise")}
    kinds["other"] = totals["everything"] - sum(kinds.values())
    rest: Counter[str] = Counter()
    for event in seen.key_averages():
        if event.key.startswith("aten::") and "conv" not in event.key:
            rest[event.key.removeprefix("aten::")] += event.self_cpu_time_total / 1e6
    return kinds, dict(rest.most_common(8))


def report(side: Side, seconds: float) -> str:
    """Say in words and a table how far a side of the engine is from the ceiling.

    Args:
        side: which one.
        seconds: its measured time for the picture.
    """
    from drsformer_cli.model.drsformer import DRSformer

    torch.set_num_threads(side.threads)
    precision = side.side.partition("-")[2]
    work = multiply_adds(DRSformer.from_state_dict(side.tensors()).config)
    pixels, rate = side.size[0] * side.size[1], matrix_rate(PRECISIONS[precision])
    kinds, rest = shares(side)
    everything = sum(kinds.values())
    lines = [
        f"{side.side}: {work.total * pixels / 1e9:.1f} G multiply-adds after folding "
        f"({work.matrix * pixels / 1e9:.1f} between channels, "
        f"{work.depthwise * pixels / 1e9:.1f} depthwise); "
        f"the machine's best rate is {rate / 1e9:.0f} G/s: {work.total * pixels / rate:.3f} s for all, "
        f"{work.matrix * pixels / rate:.3f} s for those between channels. Measured {seconds:.3f} s: "
        f"{work.total * pixels / rate / seconds:.2f} of the ceiling.",
        "",
        "| where it goes | seconds | share |",
        "|---|---|---|",
        *(f"| {kind} | {value:.3f} | {value / everything:.0%} |" for kind, value in kinds.items()),
        "",
        "Of the rest, by operator: " + ", ".join(f"{name} {value:.3f} s" for name, value in rest.items()),
    ]
    return "\n".join(lines)
