"""Networks for the tests: the golden full-size ones, made from their names alone, and small ones."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer

#: Golden outputs of the full-size networks: the seed of their input, and its height and width.
FULL_INPUTS = {"output_64x64": (1, (64, 64)), "output_48x80": (2, (48, 80))}


def tiny_case(golden: Path, name: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Return a tiny golden network's parameters, an input (1, 3, 40, 56), and the authors' answer to it."""
    tensors = torch.load(golden / f"tiny_{name}.pth", weights_only=True)["params"]
    data = np.load(golden / f"tiny_{name}.npz")
    rainy, expected = (
        torch.from_numpy(data[key]).reshape(1, 3, 40, 56) for key in ("input_40x56", "output_40x56")
    )
    return tensors, rainy, expected


def full_case(golden: Path, variant: str, name: str) -> tuple[Tensor, Tensor]:
    """Return an input of the full-size networks, (1, 3, H, W) in fp32, and the authors' answer to it."""
    seed, size = FULL_INPUTS[name]
    rainy = np.random.RandomState(seed).random_sample((1, 3, *size)).astype(np.float32)
    expected = np.load(golden / f"full_{variant}.npz")[name].reshape(1, 3, *size)
    return torch.from_numpy(rainy), torch.from_numpy(expected)


def full_size_tensors(golden: Path, variant: str) -> dict[str, Tensor]:
    """Parameters of the published sizes: each tensor's values follow from its name."""
    shapes = json.loads((golden / f"parameters_{variant}.json").read_text())
    return {name: _values(name, tuple(shape)) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...]) -> Tensor:
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    last = name.rpartition(".")[2]
    if last in ("attn1", "attn2", "attn3", "attn4"):
        z = 0.2 + 0.05 * z
    elif last == "temperature" or (".norm" in name and last == "weight"):
        z = 1 + 0.1 * z
    elif len(shape) == 1:
        z = 0.1 * z
    else:
        z = z / math.sqrt(math.prod(shape[1:]))
    return torch.from_numpy(z.astype(np.float32))


def small_network(seed: int = 0, **changes: object) -> DRSformer:
    """Return a network that runs in milliseconds, with random parameters."""
    torch.manual_seed(seed)
    values: dict[str, object] = {"blocks": (1, 1, 1, 1), "heads": (1, 1, 2, 2), "mefc": False, **changes}
    network = DRSformer(DRSformerConfig.create(8, **values))  # type: ignore[arg-type]
    return network.requires_grad_(False).eval()
