"""PSNR against values of the papers' own scripts."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from drsformer_cli import psnr
from drsformer_cli.errors import UsageError

SIZES = ((48, 64), (181, 260), (400, 600), (640, 640))


def synthetic(k: int) -> tuple[np.ndarray, np.ndarray]:
    h, w = SIZES[k]
    y, x = np.mgrid[:h, :w]
    base = (127 + 80 * np.sin(x / 17 + k) + 40 * np.cos(y / 11)).astype(int)[..., None]
    clean = np.clip(np.random.RandomState(10 + k).randint(0, 256, (h, w, 3)) // 4 + base - 32, 0, 255)
    noise = np.random.RandomState(20 + k).randint(-25, 26, (h, w, 3))
    return clean.astype(np.uint8), np.clip(clean + noise, 0, 255).astype(np.uint8)


def rows(golden: Path, *, synthetic_ones: bool) -> list[dict[str, str]]:
    with (golden / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["pair"].startswith("synthetic") == synthetic_ones]


def test_synthetic_pairs(golden: Path) -> None:
    for row in rows(golden, synthetic_ones=True):
        clean, restored = synthetic(int(row["pair"][-1]))
        assert abs(psnr(clean, restored, protocol=row["protocol"]) - float(row["psnr_db"])) < 1e-5  # type: ignore[arg-type]


def test_pairs_of_the_papers(golden: Path, shared_data: Path) -> None:
    differences = []
    for row in rows(golden, synthetic_ones=False):
        folder, _, name = row["pair"].split("/")
        clean, restored = (
            np.asarray(Image.open(shared_data / "pairs" / where / f"{name}.png").convert("RGB"))
            for where in (f"{folder}/clean", row["pair"].rpartition("/")[0])
        )
        differences.append(abs(psnr(clean, restored, protocol=row["protocol"]) - float(row["psnr_db"])))  # type: ignore[arg-type]
    # A few colours fall on an exact half before rounding, where the last bit of the arithmetic decides.
    assert max(differences) < 1e-5
    assert sum(difference > 1e-9 for difference in differences) <= 1


pictures = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(pictures)
def test_a_picture_equals_itself(picture: np.ndarray) -> None:
    assert psnr(picture, picture) == math.inf


@given(pictures, st.integers(0, 2**32 - 1))
def test_order_makes_no_difference(picture: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).integers(0, 256, picture.shape, np.uint8)
    assert psnr(picture, other) == psnr(other, picture)
    assert psnr(picture, other, protocol="did-ddn") == psnr(other, picture, protocol="did-ddn")


def test_what_cannot_be_compared_is_refused() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="unknown protocol"):
        psnr(picture, picture, protocol="rgb")  # type: ignore[arg-type]
    for other in (picture[:3], picture[..., 0], picture.astype(np.float32)):
        with pytest.raises(UsageError, match="uint8"):
            psnr(picture, other)
