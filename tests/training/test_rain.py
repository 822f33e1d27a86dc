"""Synthetic rain: seeded, in range, and of the kind that was asked for."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drsformer_cli.training.rain import KINDS, RainMix, add_rain, convolve, gaussian_blur, jpeg, streak_kernel

NO_FAULTS = {"blur": 0.0, "sensor_noise": 0.0, "jpeg": 0.0}


def only(kind: str) -> RainMix:
    return RainMix({kind: 1.0}, **NO_FAULTS)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 3), st.integers(1, 6).map(lambda n: 8 * n), st.integers(1, 6).map(lambda n: 8 * n))
def test_rain_keeps_shape_and_range_and_whole_levels(count: int, height: int, width: int) -> None:
    clean = torch.rand(count, 3, height, width)
    rainy = add_rain(clean, RainMix(), generator())
    assert rainy.shape == clean.shape
    assert 0 <= rainy.min() <= rainy.max() <= 1
    assert torch.equal((rainy * 255).round() / 255, rainy)


def test_a_seed_gives_the_same_rain_again() -> None:
    clean = torch.rand(4, 3, 32, 32)
    assert torch.equal(add_rain(clean, RainMix(), generator(5)), add_rain(clean, RainMix(), generator(5)))
    assert not torch.equal(add_rain(clean, RainMix(), generator(5)), add_rain(clean, RainMix(), generator(6)))


@pytest.mark.parametrize("kind", KINDS)
def test_rain_brightens_and_never_darkens(kind: str) -> None:
    clean = torch.full((16, 3, 64, 64), 51 / 255)
    added = add_rain(clean, only(kind), generator()) - clean
    assert added.min() > -1e-6
    assert added.mean() > 0.005
    # rain has no colour of its own
    assert torch.allclose(added[:, 0], added[:, 1])


def test_no_rain_is_no_change() -> None:
    clean = (torch.rand(2, 3, 16, 16) * 255).round() / 255
    assert torch.equal(add_rain(clean, only("clean"), generator()), clean)


def test_shares_decide_how_often_a_kind_comes() -> None:
    mix = RainMix({"lines": 0.25, "clean": 0.75}, **NO_FAULTS)
    clean = torch.full((400, 3, 8, 8), 102 / 255)
    untouched = (add_rain(clean, mix, generator()) == clean).flatten(1).all(dim=1).float().mean()
    # a few rainy patches are hit by no streak
    assert 0.68 < untouched < 0.9


def test_lines_are_denser_than_light_rain() -> None:
    clean = torch.zeros(24, 3, 96, 96)
    covered = {kind: (add_rain(clean, only(kind), generator()) > 0.02).float().mean() for kind in KINDS}
    assert covered["light"] < covered["lines"] < covered["noise"]


def test_streaks_lie_along_their_angle() -> None:
    angle = torch.tensor(math.radians(20)).view(1, 1, 1, 1)
    one = torch.ones(1, 1, 1, 1)
    streak = torch.fft.fftshift(streak_kernel((96, 96), angle, 40 * one, one, 0 * one), dim=(2, 3))[0, 0]
    y, x = np.nonzero(streak.numpy() > 0.5)
    slope = math.degrees(math.atan(np.polyfit(y, x, 1)[0]))
    assert abs(slope - 20) < 1.5
    assert abs(y.max() - y.min() - 40 * math.cos(math.radians(20))) < 3


def test_convolution_moves_an_impulse() -> None:
    a, b = torch.zeros(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    a[..., 2, 3] = 1
    torch.testing.assert_close(convolve(a, b), b.roll((2, 3), dims=(2, 3)))


def test_blur_keeps_the_mean_and_softens() -> None:
    pictures = torch.rand(2, 3, 32, 32)
    soft = gaussian_blur(pictures, torch.tensor([0.3, 0.9]))
    assert abs(soft.mean() - pictures.mean()) < 0.01
    assert soft[1].std() < soft[0].std() < pictures[0].std() + 0.01


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_loses_what_a_jpeg_file_loses(quality: int) -> None:
    y, x = np.mgrid[:64, :64]
    picture = np.stack([128 + 90 * np.sin(x / 3 + c) * np.cos(y / (4 + c)) for c in range(3)], axis=-1)
    picture = picture.astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file)).astype(float)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    ours = jpeg(tensor, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
    loss = [np.sqrt(np.mean((result - picture) ** 2)) for result in (ours, expected)]
    assert loss[0] == pytest.approx(loss[1], rel=0.15)
    # Beside its roundings to whole levels, a file holds what is computed here.
    assert np.abs(ours - expected).mean() < 1.3


@pytest.mark.parametrize("shares", [{}, {"hail": 1.0}, {"lines": -1.0}, {"lines": 0.0}])
def test_shares_that_make_no_sense_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"shares|arg"):
        RainMix(shares)
