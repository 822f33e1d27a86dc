"""The bundled model: small, cheap, and worth using."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

import drsformer_cli as derain
from drsformer_cli import weights
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer

#: Folder of pairs, gain in dB that the model must reach, pictures of the default tier.
PAIRS = (("rain200h", 6.0, 3), ("rain200l", 2.0, 3), ("did18", 1.5, 3))
SELF = 34.0


def multiply_adds(config: DRSformerConfig) -> int:
    with torch.device("meta"):
        network, picture = DRSformer(config), torch.empty(1, 3, 256, 256)
    with FlopCounterMode(display=False) as counter:
        network(picture)
    return counter.get_total_flops() // 2


def test_it_is_small_and_cheap() -> None:
    path = weights.resolve("compact")
    assert path.stat().st_size <= 10_000_000
    assert 10 * multiply_adds(weights.read(path).config) <= multiply_adds(DRSformerConfig())


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def gains(folder: Path, most: int | None) -> list[float]:
    model = derain.load("compact", device="cpu")
    files = sorted((folder / "rainy").iterdir())
    chosen = files[:: max(1, len(files) // most)][:most] if most else files
    result = []
    for file in chosen:
        rainy, clean = read(file), read(folder / "clean" / file.name)
        result.append(derain.psnr(model(rainy), clean) - derain.psnr(rainy, clean))
    return result


def selves(folder: Path, most: int | None) -> list[float]:
    model = derain.load("compact", device="cpu")
    pictures = [read(file) for file in sorted(folder.iterdir())[:most]]
    return [derain.psnr(model(picture), picture) for picture in pictures]


@pytest.mark.parametrize(("name", "least", "most"), PAIRS)
def test_it_gains_on_rain(shared_data: Path, name: str, least: float, most: int) -> None:
    assert np.mean(gains(shared_data / "pairs" / name, most)) >= least


def test_the_ensemble_does_no_harm(shared_data: Path) -> None:
    folder = shared_data / "pairs" / "rain200l"
    rainy, clean = read(folder / "rainy" / "3.png"), read(folder / "clean" / "3.png")
    one, mean = (derain.load("compact", device="cpu", ensemble=wanted)(rainy) for wanted in (False, True))
    assert derain.psnr(mean, clean) > derain.psnr(one, clean)


def test_it_leaves_clean_pictures_alone(shared_data: Path) -> None:
    assert np.mean(selves(shared_data / "kodak", 3)) >= SELF


@pytest.mark.slow
def test_on_every_picture(shared_data: Path) -> None:
    for name, least, _ in PAIRS:
        assert np.mean(gains(shared_data / "pairs" / name, None)) >= least, name
    assert np.mean(selves(shared_data / "kodak", None)) >= SELF
