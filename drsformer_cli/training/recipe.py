"""The recipe of a training: what is in its TOML file, checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from drsformer_cli.errors import UsageError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.training.losses import LOSSES
from drsformer_cli.training.rain import RainMix

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_MOST = 1 << 40  # of any number: beyond it sums and seeds no longer fit where they go
_LARGEST = 1 << 20  # bytes of a file


@dataclass(frozen=True)
class Schedule:
    """Numbers of the training loop; shares are of the whole schedule, 0..1."""

    steps: int
    warmup: float
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    clip: float
    ema: float
    seed: int
    patches: tuple[tuple[float, int, int], ...]
    held_out: int
    validate_every: int
    loss: str = "l1"
    fourier: float = 0.0
    pairs: float = 0.8  # of the patches, where a folder has pairs; the rest is rained on

    def __post_init__(self) -> None:
        for item in fields(self):
            value, kinds = getattr(self, item.name), (int, float) if item.type == "float" else int
            if item.type in ("int", "float") and (isinstance(value, bool) or not isinstance(value, kinds)):
                raise ValueError(f"{item.name} must be a number, not {value!r}")
            if item.type in ("int", "float") and not -_MOST <= value <= _MOST:  # this refuses NaN, too
                raise ValueError(f"{item.name} must be a number that can be worked with, not {value}")
        if min(self.learning_rate, self.final_learning_rate, self.weight_decay, self.clip, self.seed) < 0:
            raise ValueError("learning rates, weight_decay, clip and seed must not be negative")
        if self.loss not in LOSSES or self.fourier < 0 or not 0 <= self.pairs <= 1:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, fourier not negative, pairs a share")
        if not 0 <= self.warmup < 1:
            raise ValueError("warmup must be a share of the schedule, at least 0 and below 1")
        if self.steps < 1 or self.held_out < 1 or self.validate_every < 1 or not 0 <= self.ema < 1:
            raise ValueError(
                "steps, held_out and validate_every must be at least 1, ema at least 0 and below 1"
            )
        if not self.patches or self.patches[0][0] != 0 or list(self.patches) != sorted(self.patches):
            raise ValueError("patches must start at share 0 and rise")
        if any(
            side not in range(8, 4096, 8) or batch not in range(1, 4096) for _, side, batch in self.patches
        ):
            raise ValueError("a patch's side must be a multiple of 8, and a batch at least 1")


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides its photographs and its length."""

    network: DRSformerConfig
    rain: RainMix
    schedule: Schedule


def read_recipe(path: Path | None = None) -> Recipe:
    """Read a recipe from a TOML file; the bundled model's if no file is named.

    What a file leaves out is as in the bundled recipe: a whole table, or a value of `network` and `schedule`.
    Kinds of rain that its table `rain` leaves out are not made.

    Raises:
        UsageError: if the file cannot be read or a value makes no sense.
    """
    name = str(path) if path else "the bundled recipe"
    try:
        values = _bundled()
        for table, content in _read(path, name).items() if path else ():
            if table not in values:
                raise ValueError(f"there is no table [{table}], only {', '.join(values)}")
            values[table] = content if table == "rain" else {**values[table], **content}
        return _build(values)
    except OSError as error:
        raise UsageError(f"the recipe {name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the recipe {name} cannot be read: {error}") from error
    except RecursionError as error:
        raise UsageError(f"the recipe {name} is not usable: it nests too deep") from error
    except (tomllib.TOMLDecodeError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(f"the recipe {name} is not usable: {error}") from error


def differences(before: str, now: str) -> list[str]:
    """Say what differs between two recipes, as `repr` writes them: "steps 6 -> 8" and so on."""
    old, new = _values(before), _values(now)
    return [
        f"{name} {old.get(name)} -> {new.get(name)}" for name in old | new if old.get(name) != new.get(name)
    ]


def _values(text: str) -> dict[str, str]:
    """Return the values in the text of a recipe by their names, as text."""
    values = {}
    for part in re.split(r", (?='?\w+'?[=:])", text):
        found = re.fullmatch(r"(?:.*[({])?'?(\w+)'?[=:] ?(.*)", part)
        if found is not None:
            values[found[1]] = found[2] if "(" in found[2] else found[2].rstrip(")}")
    return values


def _read(path: Path, name: str) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise UsageError(f"the recipe {name} is not usable: it is larger than any recipe")
    return tomllib.loads(data.decode("utf-8"))


def _bundled() -> dict[str, Any]:
    source = resources.files("drsformer_cli.training") / "compact.toml"
    return tomllib.loads(source.read_text(encoding="utf-8"))


def _build(values: Mapping[str, Any]) -> Recipe:
    network: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values["network"].items()
    }
    numbers = [network[key] for key in ("dim", "blocks", "heads")]
    if not all(type(each) is int for one in numbers for each in (one if isinstance(one, tuple) else (one,))):
        raise ValueError("dim, blocks and heads must be whole numbers")
    faults = {item.name for item in fields(RainMix)} - {"shares"}
    rain = {key: value for key, value in values["rain"].items() if key in faults}
    shares = {key: value for key, value in values["rain"].items() if key not in faults}
    schedule = dict(values["schedule"])
    schedule["patches"] = tuple(tuple(row) for row in schedule["patches"])
    return Recipe(DRSformerConfig.create(**network), RainMix(shares, **rain), Schedule(**schedule))
