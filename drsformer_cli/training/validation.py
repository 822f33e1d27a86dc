"""Judging a network while it learns, on pictures that it does not learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from drsformer_cli.quality.protocols import psnr
from drsformer_cli.training.data import Material
from drsformer_cli.training.rain import RainMix, add_rain

#: Side of the crops that are looked at.
VALIDATION_SIDE = 256
#: What is left alone to the last level has no finite PSNR: it counts as the best a file can show. In dB.
BEST = 60.0


@torch.inference_mode()
def validate(network: nn.Module, material: Material, mix: RainMix, device: torch.device) -> dict[str, float]:
    """Mean PSNR of luma (dB, `rain200`) on the middles of the pictures held out.

    Returns:
        By kind of rain in `mix`, the same seeded rain each time; and as `pairs` on real pairs, if there are.
    """
    scores = {}
    if material.held_out_pairs is not None:
        couples = [pair.to(device) for pair in material.held_out_pairs.crops(VALIDATION_SIDE)]
        scores["pairs"] = _mean(network, [(pair[:, :3], pair[:, 3:]) for pair in couples])
    for kind in mix.shares:
        # On the CPU, whose random numbers are the same everywhere.
        generator = torch.Generator().manual_seed(7)
        crops = [crop.cpu() for crop in material.held_out.crops(VALIDATION_SIDE)]
        rained = [(add_rain(clean, mix.only(kind), generator)[0].to(device), clean) for clean in crops]
        scores[kind] = _mean(network, rained)
    return scores


def _mean(network: nn.Module, couples: list[tuple[Tensor, Tensor]]) -> float:
    values = []
    for rainy, clean in couples:
        restored = network(rainy.contiguous(memory_format=torch.channels_last))
        values.append(min(psnr(to_uint8(restored), to_uint8(clean)), BEST))
    return sum(values) / len(values)


def to_uint8(picture: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) in [0, 1] to (H, W, 3) uint8."""
    levels: NDArray[Any] = (picture[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return levels
