"""What a training needs to go on, as it stands in its folder: written as a whole, and read with mistrust.

The file lies where anybody may have copied, cut or altered it. A training that went on from half of it, or
from other numbers than it left, would spend hours on nothing, so all of it is checked before it is used.
"""

from __future__ import annotations

import io
import math
import stat
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from drsformer_cli.errors import CheckpointError
from drsformer_cli.media.files import write_atomically
from drsformer_cli.weights.checkpoint import check_archive

#: Most letters of a recipe as `repr` writes it, and bytes of a checkpoint beside its tensors.
_RECIPE, _REST = 20_000, 1 << 30


@dataclass(frozen=True)
class State:
    """A training after `step` steps and `minutes` at work; `recipe` is the `repr` of its recipe.

    `network` and `average` are tensors by name; `optimizer` is AdamW's own state.
    """

    recipe: str
    step: int
    minutes: float
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]


def write_state(path: Path, state: State) -> None:
    """Write it, whole or not at all. Raises StorageError and OutputError."""
    buffer = io.BytesIO()
    torch.save({field.name: getattr(state, field.name) for field in fields(state)}, buffer)
    write_atomically(path, buffer.getvalue(), replace=True)


def read_state(path: Path, network: nn.Module) -> State:
    """Read a state, its tensors on the CPU, to go on with `network`.

    Whether it is of the same recipe is not looked at; `check_fit` looks whether its tensors fit.

    Raises:
        CheckpointError: if it is damaged, or no checkpoint of a training.
    """
    # of another recipe it may be larger: that is told better when it has been read
    most = 16 * sum(tensor.numel() * tensor.element_size() for tensor in network.parameters()) + _REST
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:  # reading a pipe would wait for ever
            raise damaged(path)
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    try:
        check_archive(data, str(path), len(data))  # what torch has written is not compressed
        state = State(**torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
        _check(state)
    except Exception as error:  # a damaged or hostile file can raise anything, and none of it helps the user
        raise damaged(path) from error
    return state


def check_fit(path: Path, state: State, network: nn.Module) -> None:
    """Check that the tensors of a state are those of a network.

    Raises:
        CheckpointError: if they are not.
    """
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = [{name: tensor.shape for name, tensor in each.items()} for each in (state.network, state.average)]
    averages = {
        number: [each[name].shape for name in ("exp_avg", "exp_avg_sq")]
        for number, each in state.optimizer["state"].items()
    }
    wanted = {number: [each.shape, each.shape] for number, each in enumerate(network.parameters())}
    fit = all(wanted.get(number) == each for number, each in averages.items())  # what never learned has none
    if found != [shapes, shapes] or not fit:
        raise damaged(path)


def damaged(path: Path) -> CheckpointError:
    """Return what is said of a checkpoint that cannot be gone on from."""
    return CheckpointError(f"{path} is damaged; remove it to start anew, or name another folder")


def _check(state: State) -> None:
    """Raise ValueError or TypeError for what no training has written."""
    if not isinstance(state.recipe, str) or len(state.recipe) > _RECIPE:
        raise TypeError("a recipe that is none")
    if type(state.step) is not int or not 0 <= state.step < 1 << 62:
        raise ValueError("a number of steps that is none")
    if type(state.minutes) not in (int, float) or not 0 <= state.minutes < math.inf:
        raise ValueError("minutes that are none")
    if not isinstance(state.optimizer, dict):
        raise TypeError("an optimizer that is none")
    averages = state.optimizer["state"].values()
    for tensors in (state.network, state.average, *averages):
        if not all(isinstance(name, str) for name in tensors):
            raise TypeError("a name that is none")
        for tensor in tensors.values():
            if tensor.layout != torch.strided or tensor.dtype != torch.float32:
                raise TypeError("a tensor of another kind")
            if not bool(tensor.isfinite().all()):
                raise ValueError("values that are no numbers")
    for each in averages:
        if set(each) != {"step", "exp_avg", "exp_avg_sq"} or each["step"].numel() != 1:
            raise ValueError("an optimizer of another kind")
        if float(each["step"]) < 0 or bool((each["exp_avg_sq"] < 0).any()):
            raise ValueError("values that no optimizer has")
