"""A deeper network that begins as the one there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from drsformer_cli.errors import UsageError
from drsformer_cli.model.config import DRSformerConfig, Levels
from drsformer_cli.model.drsformer import DRSformer


def deepen(
    tensors: Mapping[str, Tensor], config: DRSformerConfig, blocks: Levels, *, seed: int
) -> dict[str, Tensor]:
    """Add blocks after those that each level has, which change nothing until they are trained.

    A block adds to what passes it the result of its last convolutions (paper, eq. 1): with those at zero it
    adds nothing, and learns from the first step on. The rest of it is drawn at random, as in a new network.

    Args:
        tensors: of a network of `config`.
        config: the network's hyper-parameters.
        blocks: how many blocks each level is to have, at least as many as now.
        seed: of what is drawn at random.

    Raises:
        UsageError: if a level would lose blocks.
    """
    if any(new < old for new, old in zip(blocks, config.blocks, strict=True)):
        now, wanted = (",".join(map(str, levels)) for levels in (config.blocks, blocks))
        raise UsageError(f"a model with {now} blocks cannot be given {wanted}: no level can have fewer")
    torch.manual_seed(seed)
    deeper = DRSformer(replace(config, blocks=blocks)).state_dict()
    for name, tensor in deeper.items():
        if name in tensors:
            deeper[name] = tensors[name]
        elif name.rpartition(".")[0].endswith("project_out"):
            deeper[name] = torch.zeros_like(tensor)
    return deeper
