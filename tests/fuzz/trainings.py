"""What becomes of a training whose checkpoint was hurt: gone on from as a whole, or refused in a sentence."""

from __future__ import annotations

import copy
import io
import random
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from drsformer_cli.errors import CheckpointError, UsageError
from drsformer_cli.training.loop import Training
from tests.fuzz.mutate import NUMBERS
from tests.training.test_loop import short_recipe

#: What may stand where something else belongs.
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 1.5, float("nan"), float("inf"), 10**30, "", "x", "\x1b[2J", "Recipe(" * 3000, [], {}),
    *([[]], {"a": 1}, {7: {}}, torch.zeros(0), torch.zeros(3), torch.full((1,), float("nan"))),
    *(torch.zeros(2, dtype=torch.int64), torch.zeros(1).expand(1 << 40), torch.eye(3).to_sparse()),
    *NUMBERS,
)
STEPS = 2


@lru_cache(maxsize=1)
def photographs() -> Path:
    """A folder of two photographs, which stays as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="derain-photographs-"))
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@lru_cache(maxsize=1)
def sound() -> bytes:
    """The checkpoint of a training of two steps."""
    recipe = short_recipe(steps=STEPS, validate_every=STEPS, patches=((0.0, 8, 1),))
    with tempfile.TemporaryDirectory() as folder:
        Training(recipe, photographs(), Path(folder)).run(lambda _: None)
        return (Path(folder) / "checkpoint.pt").read_bytes()


def go_on(_: str, data: bytes) -> str:
    """Go on from a checkpoint, for a step beyond it."""
    recipe = short_recipe(steps=STEPS, validate_every=STEPS, patches=((0.0, 8, 1),))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "checkpoint.pt"
        path.write_bytes(data)
        try:
            training = Training(recipe, photographs(), Path(name))
        except (CheckpointError, UsageError) as error:
            text = str(error)
            return (
                "refused" if text.startswith(str(path)) and len(text) < 20_000 else f"words: {text[:300]!r}"
            )
        step, minutes = training.step, training.minutes_done
        if not (type(step) is int and step >= 0 and 0 <= minutes < float("inf")):
            return f"senseless: {step} steps, {minutes} minutes"
        loss = training._learn(8, 1, 1e-4)
        return "whole" if 0 <= abs(loss) < float("inf") else f"senseless: a loss of {loss}"


def lie(rng: random.Random) -> bytes:
    """A checkpoint as torch writes it, with another value somewhere, one missing, or too many."""
    state = copy.deepcopy(torch.load(io.BytesIO(sound()), weights_only=True))
    for _ in range(rng.choice((1, 1, 2))):
        holder: Any = state
        while True:
            key = rng.choice(list(holder))
            if not isinstance(holder[key], dict) or not holder[key] or rng.random() < 0.2:
                break
            holder = holder[key]
        how = rng.randrange(4)
        if how == 0:
            del holder[key]
        elif how == 1:
            holder[rng.choice(("zusatz", "", 7, None))] = rng.choice(VALUES)
        else:
            holder[key] = rng.choice(VALUES)
        if not holder:
            break
    buffer = io.BytesIO()
    torch.save(rng.choice((state, state, state, [state], None)) if rng.random() < 0.1 else state, buffer)
    return buffer.getvalue() if rng.random() < 0.9 else packed(buffer.getvalue())


def packed(data: bytes) -> bytes:
    """The same archive, compressed: as small as a bomb, and as large when it is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return buffer.getvalue()
