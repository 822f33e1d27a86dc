"""The hyper-parameters of a DRSformer, and how they are read off the tensors of a checkpoint.

A checkpoint carries no description of itself, but every hyper-parameter shows in a name or a shape. They are
read from the one tensor that tells each, then the whole list of names and shapes that such a network has is
compared with what is there: only a file that fits to the last tensor is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from drsformer_cli.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]
Levels = tuple[int, int, int, int]
Variant = Literal["mefc", "plain"]

#: Encoder levels from fine to coarse, as checkpoints name them.
LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
#: Sides of the network's input must be multiples of this: three halvings.
MULTIPLE = 8
#: How many differing names a refusal lists.
SHOWN = 3
#: Larger than any DRSformer that could be run; bounds what a hostile file can make us build.
MOST_BLOCKS, MOST_CHANNELS = 64, 1024


@dataclass(frozen=True)
class DRSformerConfig:
    """Hyper-parameters of one DRSformer.

    Attributes:
        dim: channels at full resolution (d); the levels below have 2d, 4d and 8d.
        blocks: sparse transformer blocks at each of the four levels; the decoder mirrors the first three.
        heads: attention heads at each level; each divides its level's channels.
        hidden: hidden width h of the feed-forward at d, 2d, 4d and 8d channels.
        mefc: whether a mixture-of-experts compensator stands before and after the U.
        bias: whether the convolutions of the blocks, the reductions and the output carry a bias.
        norm_bias: LayerNorm with mean and bias, or the bias-free kind.

    Raises:
        ValueError: if the numbers do not make a network.
    """

    dim: int = 48
    blocks: Levels = (4, 6, 6, 8)
    heads: Levels = (1, 2, 4, 8)
    hidden: Levels = (127, 255, 510, 1021)
    mefc: bool = True
    bias: bool = False
    norm_bias: bool = True

    def __post_init__(self) -> None:
        for name in ("blocks", "heads", "hidden"):
            values = getattr(self, name)
            if len(values) != 4 or min(values) < 1:
                raise ValueError(f"{name} must be four positive numbers, not {values}")
        if not 2 <= self.dim <= MOST_CHANNELS or self.dim % 2:
            raise ValueError(f"dim must be even and between 2 and {MOST_CHANNELS}, not {self.dim}")
        if max(self.blocks) > MOST_BLOCKS or max(self.hidden) > 8 * 8 * MOST_CHANNELS:
            raise ValueError("more blocks or a wider feed-forward than any DRSformer has")
        for level, heads in enumerate(self.heads):
            channels = self.channels(level)
            # top-k needs at least one entry to keep: floor(C / 2) >= 1
            if channels % heads or channels // heads < 2:
                raise ValueError(f"{heads} heads do not divide the {channels} channels of level {level + 1}")

    @classmethod
    def create(cls, dim: int, *, expansion: float = 2.66, **rest: Any) -> DRSformerConfig:
        """Make a configuration from the paper's own numbers: hidden width h = int(channels * expansion)."""
        hidden = tuple(int(dim * 2**level * expansion) for level in range(4))
        return cls(dim=dim, hidden=hidden, **rest)  # type: ignore[arg-type]

    @property
    def variant(self) -> Variant:
        """`mefc` (with the compensators) or `plain`."""
        return "mefc" if self.mefc else "plain"

    def channels(self, level: int) -> int:
        """Channels of the encoder at `level` 0 (finest) to 3."""
        return self.dim << level

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, fit for JSON."""
        return asdict(self)

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> DRSformerConfig:
        """Read the hyper-parameters off a checkpoint's tensor shapes and check that every tensor fits.

        Args:
            shapes: name to shape of every tensor of the checkpoint.

        Raises:
            CheckpointError: if the tensors are not those of a DRSformer. It names the nearest variant and the
                first few names or shapes that differ.
        """
        config = cls._read(shapes)
        expected = config.shapes()
        if expected != dict(shapes):
            raise CheckpointError(_difference(config, expected, shapes))
        return config

    @classmethod
    def _read(cls, shapes: Shapes) -> DRSformerConfig:
        try:
            return cls(
                dim=shapes["patch_embed.proj.weight"][0],
                blocks=_per_level(lambda name: _count_blocks(shapes, name)),
                heads=_per_level(lambda name: shapes[f"{name}.0.attn.temperature"][0]),
                hidden=_per_level(lambda name: shapes[f"{name}.0.ffn.project_out.weight"][1] // 2),
                mefc=any(name.startswith(("encoder_level0.", "refinement.")) for name in shapes),
                bias="encoder_level1.0.attn.qkv.bias" in shapes,
                norm_bias="encoder_level1.0.norm1.body.bias" in shapes,
            )
        except (KeyError, IndexError, ValueError):
            published = cls(mefc="encoder_level0.layers.0.ca_fc.0.weight" in shapes)
            raise CheckpointError(_difference(published, published.shapes(), shapes)) from None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's name and shape in a network of this configuration, without allocating any."""
        import torch

        from drsformer_cli.model.drsformer import DRSformer

        with torch.device("meta"):
            network = DRSformer(self)
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _per_level(read: Callable[[str], int]) -> Levels:
    first, second, third, fourth = (read(name) for name in LEVELS)
    return first, second, third, fourth


def _count_blocks(shapes: Shapes, level: str) -> int:
    pattern = re.compile(rf"{level}\.(\d+)\.")
    return len({match[1] for match in map(pattern.match, shapes) if match})


def _difference(config: DRSformerConfig, expected: Shapes, found: Shapes) -> str:
    """Say in one sentence how `found` differs from the nearest network that would do."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    differing = [
        f"{name} is {_times(found[name])} instead of {_times(expected[name])}"
        for name in expected
        if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    parts = []
    for word, names in (("missing", missing), ("not expected", extra), ("", differing)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            parts.append(f"{word + ': ' if word else ''}{', '.join(names[:SHOWN])}{more}")
    return (
        f"not a DRSformer checkpoint; the nearest is the {config.variant!r} variant with dim {config.dim}, "
        f"but {'; '.join(parts)}"
    )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
