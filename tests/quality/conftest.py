"""Small pictures in folders, as an evaluation finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (24, 32)


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a smooth picture, (height, width, 3) uint8, another one for each seed."""
    y, x = np.mgrid[: size[0], : size[1]]
    planes = [127 + 60 * np.sin(x / (5 + seed % 7) + k) + 50 * np.cos(y / (4 + k)) for k in range(3)]
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def noisy(clean: np.ndarray, seed: int, amount: int) -> np.ndarray:
    """Return a picture with noise of up to `amount` levels."""
    noise = np.random.default_rng(seed).integers(-amount, amount + 1, clean.shape)
    return np.clip(clean.astype(int) + noise, 0, 255).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels as a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder with five pictures each in clean/, out/ and rainy/; the first is restored exactly."""
    for index in range(5):
        name = f"{index}.png" if index < 4 else "deep/<b>&'4.png"
        clean = picture(index)
        write(tmp_path / "clean" / name, clean)
        write(tmp_path / "out" / name, noisy(clean, index, 3 * index))
        write(tmp_path / "rainy" / name, noisy(clean, index + 50, 40))
    return tmp_path
