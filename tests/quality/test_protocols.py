"""PSNR and SSIM against values of the papers' own scripts, and against scikit-image."""

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
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from drsformer_cli import psnr, ssim
from drsformer_cli.errors import UsageError
from drsformer_cli.quality.protocols import PROTOCOLS, Protocol, luma, scores

SIZES = ((48, 64), (181, 260), (400, 600), (640, 640))
SIDES = {"rain200": 11, "did-ddn": 11, "rgb": 7}
protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


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


def noise(shape: tuple[int, ...], seed: int, dtype: type = np.uint8) -> np.ndarray:
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape, dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def misses(row: dict[str, str], clean: np.ndarray, restored: np.ndarray) -> tuple[float, float]:
    both = scores(clean, restored, protocol=row["protocol"])  # type: ignore[arg-type]
    return abs(both.psnr - float(row["psnr_db"])), abs(both.ssim - float(row["ssim"]))


def check(missed: list[tuple[float, float]], *, inexact: int) -> None:
    """Hold all values to the papers' figures.

    A few colours fall on an exact half before rounding, where the last bit of the arithmetic decides; that
    may be so in `inexact` pairs.
    """
    assert max(decibels for decibels, _ in missed) < 1e-5
    assert max(similarity for _, similarity in missed) < 1e-6
    assert sum(decibels > 1e-9 or similarity > 1e-9 for decibels, similarity in missed) <= inexact


def test_synthetic_pairs(golden: Path) -> None:
    golden_rows = rows(golden, synthetic_ones=True)
    assert len(golden_rows) == 8
    check([misses(row, *synthetic(int(row["pair"][-1]))) for row in golden_rows], inexact=1)


def test_pairs_of_the_papers(golden: Path, shared_data: Path) -> None:
    missed = []
    for row in rows(golden, synthetic_ones=False):
        folder, _, name = row["pair"].split("/")
        clean, restored = (
            np.asarray(Image.open(shared_data / "pairs" / where / f"{name}.png").convert("RGB"))
            for where in (f"{folder}/clean", row["pair"].rpartition("/")[0])
        )
        missed.append(misses(row, clean, restored))
    assert len(missed) == 36
    check(missed, inexact=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_rgb_is_what_scikit_image_says(dtype: type) -> None:
    a = noise((61, 83, 3), 1, dtype)
    b = (a * 0.9 + noise(a.shape, 2, dtype) * 0.1).astype(dtype)
    peak = 1 if dtype is np.float64 else np.iinfo(dtype).max
    expected = peak_signal_noise_ratio(a, b, data_range=peak)
    assert psnr(a, b, protocol="rgb") == pytest.approx(expected, abs=1e-9)
    expected = structural_similarity(a, b, data_range=peak, channel_axis=2)
    assert ssim(a, b, protocol="rgb") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(11, 11), (11, 300), (64, 64), (700, 90), (350, 1100)])
def test_ssim_of_luma_is_what_scikit_image_says(size: tuple[int, int]) -> None:
    a, b = noise((*size, 3), 3), noise((*size, 3), 4)
    planes = [luma(each, rounded=True) for each in (a, b)]
    expected = structural_similarity(
        *planes, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


sizes = st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))
pictures = arrays(np.uint8, sizes)


@given(pictures, st.sampled_from(PROTOCOLS))
def test_a_picture_equals_itself(picture: np.ndarray, protocol: Protocol) -> None:
    assert psnr(picture, picture, protocol=protocol) == math.inf
    if min(picture.shape[:2]) >= SIDES[protocol]:
        assert ssim(picture, picture, protocol=protocol) == 1


@given(pictures, st.integers(0, 2**32 - 1), st.sampled_from(PROTOCOLS))
def test_order_makes_no_difference(picture: np.ndarray, seed: int, protocol: Protocol) -> None:
    other = noise(picture.shape, seed)
    assert psnr(picture, other, protocol=protocol) == psnr(other, picture, protocol=protocol)
    if min(picture.shape[:2]) >= SIDES[protocol]:
        there, back = (ssim(*pair, protocol=protocol) for pair in ((picture, other), (other, picture)))
        assert there == back
        assert -1 <= there <= 1


@given(sizes, st.integers(0, 2**32 - 1), st.sampled_from(PROTOCOLS))
def test_turned_and_mirrored_pictures_score_alike(
    shape: tuple[int, int, int], seed: int, protocol: Protocol
) -> None:
    a, b = noise(shape, seed), noise(shape, seed + 1)
    for change in (np.flipud, np.fliplr, np.rot90):
        changed = [np.ascontiguousarray(change(each)) for each in (a, b)]
        assert psnr(*changed, protocol=protocol) == pytest.approx(psnr(a, b, protocol=protocol), rel=1e-12)
        if min(shape[:2]) >= SIDES[protocol]:
            expected = ssim(a, b, protocol=protocol)
            assert ssim(*changed, protocol=protocol) == pytest.approx(expected, abs=1e-12)


@given(pictures, st.integers(0, 2**32 - 1), st.sampled_from(PROTOCOLS))
def test_depth_does_not_matter(picture: np.ndarray, seed: int, protocol: Protocol) -> None:
    """Samples of 8 bits score the same in 16 bits or floating point, also against each other."""
    other = noise(picture.shape, seed)
    deep, real = (picture.astype(np.uint16) * 257, picture / 255.0)
    expected = psnr(picture, other, protocol=protocol)
    assert psnr(deep, other, protocol=protocol) == pytest.approx(expected, rel=1e-12)
    if protocol != "rain200":  # a half may fall to the other side there when it is not exact any more
        assert psnr(real, other, protocol=protocol) == pytest.approx(expected, rel=1e-9)
    if min(picture.shape[:2]) >= SIDES[protocol]:
        similarity = ssim(picture, other, protocol=protocol)
        assert ssim(deep, other, protocol=protocol) == pytest.approx(similarity, abs=1e-12)


@protocols
def test_sixteen_bits_are_compared_in_full(protocol: Protocol) -> None:
    a = noise((40, 40, 3), 5, np.uint16) // 2
    b = a + 200  # less than one level of 255
    assert 40 < psnr(a, b, protocol=protocol) < math.inf


@protocols
def test_grey_is_three_equal_channels(protocol: Protocol) -> None:
    a, b = noise((30, 40), 6), noise((30, 40), 7)
    colours = [np.repeat(each[..., None], 3, axis=2) for each in (a, b)]
    assert scores(a, b, protocol=protocol) == scores(*colours, protocol=protocol)


@pytest.mark.parametrize(("side", "factor"), [(383, 1), (384, 2), (639, 2), (640, 3), (895, 3), (896, 4)])
def test_did_ddn_shrinks_by_whole_numbers(side: int, factor: int) -> None:
    """Halves are rounded up: 640 pixels are 2.5 times 256, and shrink by 3."""
    a, b = noise((side, side + 5, 3), 8), noise((side, side + 5, 3), 9)
    planes = []
    for each in (a, b):
        y, before = luma(each, rounded=False), (factor - 1) // 2
        padded = np.pad(y, (before, factor - 1 - before), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (factor, factor))
        planes.append(windows.mean(axis=(2, 3))[::factor, ::factor])
    expected = structural_similarity(
        *planes, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(a, b, protocol="did-ddn") == pytest.approx(expected, abs=1e-9)


@given(sizes, st.sampled_from(PROTOCOLS))
def test_sizes_from_one_pixel(shape: tuple[int, int, int], protocol: Protocol) -> None:
    a, b = noise(shape, 10), noise(shape, 11)
    assert math.isfinite(psnr(a, b, protocol=protocol)) or np.array_equal(a, b)
    if min(shape[:2]) < SIDES[protocol]:
        with pytest.raises(UsageError, match=rf"{SIDES[protocol]} x .* does not fit into {shape[1]} x"):
            ssim(a, b, protocol=protocol)


def test_what_cannot_be_compared_is_refused() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UsageError, match="unknown protocol"):
        psnr(picture, picture, protocol="bgr")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"one size .* 16 x 16 with 16 x 12"):
        ssim(picture, picture[:12])
    for other in (picture[:0], np.zeros((16, 16, 4), np.uint8), picture.astype(np.int32), picture > 0):
        with pytest.raises(UsageError, match="is compared"):
            psnr(picture, other)
    for value in (255.0, -0.1, math.nan):
        with pytest.raises(UsageError, match=r"in \[0, 1\]"):
            psnr(picture, np.full(picture.shape, value))


def test_the_protocol_is_that_of_rain200_unless_told() -> None:
    a, b = noise((30, 40, 3), 12), noise((30, 40, 3), 13)
    expected = scores(a, b, protocol="rain200")
    assert scores(a, b) == expected == (psnr(a, b), ssim(a, b))
