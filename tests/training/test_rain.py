"""Synthetic rain: seeded, in range, and of the kind that was asked for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.training.rain import KINDS, RainMix, add_rain, convolve, gusts, layers, streak_kernel


def only(kind: str, **faults: float) -> RainMix:
    return replace(RainMix().only(kind), **faults)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 3), st.integers(1, 6).map(lambda n: 8 * n), st.integers(1, 6).map(lambda n: 8 * n))
def test_rain_keeps_shape_and_range_and_whole_levels(count: int, height: int, width: int) -> None:
    clean = torch.rand(count, 3, height, width)
    rainy, wanted = add_rain(clean, RainMix(), generator())
    assert rainy.shape == wanted.shape == clean.shape
    assert 0 <= rainy.min() <= rainy.max() <= 1
    assert 0 <= wanted.min() <= wanted.max() <= 1
    assert torch.equal((rainy * 255).round() / 255, rainy)


def test_a_seed_gives_the_same_rain_again() -> None:
    clean = torch.rand(4, 3, 32, 32)
    first, again, other = (add_rain(clean, RainMix(), generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("kind", KINDS)
def test_rain_alone_leaves_what_is_wanted_as_it_was(kind: str) -> None:
    clean = torch.full((16, 3, 64, 64), 51 / 255)
    rainy, wanted = add_rain(clean, only(kind), generator())
    assert torch.equal(wanted, clean)
    added = rainy - clean
    # drops may be darker than white; on a dark picture all rain is bright
    assert added.min() > -1e-6
    assert added.mean() > 0.003


@pytest.mark.parametrize("kind", ["lines", "light", "noise"])
def test_rain_that_is_added_or_screened_has_no_colour(kind: str) -> None:
    ways = {name: replace(KINDS[name], blend=(0.5, 0.5, 0.0)) for name in KINDS}
    clean = torch.full((16, 3, 64, 64), 51 / 255)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drsformer_cli.training.rain.KINDS", ways)
        rainy, _ = add_rain(clean, only(kind), generator())
    assert torch.allclose(rainy[:, 0], rainy[:, 1])


def test_no_rain_is_no_change() -> None:
    clean = (torch.rand(2, 3, 16, 16) * 255).round() / 255
    rainy, wanted = add_rain(clean, only("clean"), generator())
    assert torch.equal(rainy, clean)
    assert torch.equal(wanted, clean)


@pytest.mark.parametrize("fault", ["exposure", "blur", "sensor_noise"])
def test_what_is_no_rain_is_wanted_too(fault: str) -> None:
    clean = (torch.rand(4, 3, 32, 32) * 255).round() / 255
    rainy, wanted = add_rain(clean, only("clean", **{fault: 1.0}), generator())
    assert (rainy - clean).abs().mean() > 0.001
    assert (rainy - wanted).abs().max() <= 0.5 / 255 + 1e-6


def test_half_of_the_losses_of_jpeg_are_wanted_too() -> None:
    clean = (torch.rand(64, 3, 16, 16) * 255).round() / 255
    rainy, wanted = add_rain(clean, only("clean", jpeg=1.0), generator())
    lost = (rainy - clean).abs().mean(dim=(1, 2, 3)) > 0.001
    kept = (rainy - wanted).abs().mean(dim=(1, 2, 3)) < 0.001
    assert lost.all()
    assert 0.3 < kept.float().mean() < 0.7


def test_a_veil_lies_over_rainy_pictures_only() -> None:
    clean = torch.full((8, 3, 64, 64), 26 / 255)
    for kind, misty in (("light", True), ("clean", False)):
        rainy, wanted = add_rain(clean, only(kind, veil=1.0), generator())
        bare, _ = add_rain(clean, only(kind), generator())
        assert torch.equal(wanted, clean)
        assert bool((rainy.amin(dim=(1, 2, 3)) > bare.amin(dim=(1, 2, 3)) + 0.01).any()) == misty


def test_turned_rain_lies_level_and_its_picture_with_it() -> None:
    clean = torch.rand(1, 3, 96, 96)
    upright = add_rain(clean, only("lines"), generator(3))
    turned = add_rain(clean, only("lines", turned=1.0), generator(3))
    for one, other in zip(upright, turned, strict=True):
        assert torch.equal(one.transpose(2, 3), other)
    oblong = torch.rand(1, 3, 16, 32)
    assert torch.equal(add_rain(oblong, only("clean", turned=1.0), generator())[1], oblong)


def test_shares_decide_how_often_a_kind_comes() -> None:
    mix = RainMix({"lines": 0.25, "clean": 0.75}, 0, 0, 0, 0, 0, 0)
    clean = torch.full((400, 3, 8, 8), 102 / 255)
    untouched = (add_rain(clean, mix, generator())[0] == clean).flatten(1).all(dim=1).float().mean()
    # a few rainy patches are hit by no streak
    assert 0.68 < untouched < 0.9


def test_lines_are_denser_than_light_rain_and_noise_covers_all() -> None:
    covered = {
        name: float((layers(kind, 24, 96, 96, generator()) > 0.005).float().mean())
        for name, kind in KINDS.items()
    }
    assert covered["light"] < covered["lines"] < covered["noise"]
    assert covered["drops"] < covered["lines"]


def test_rain_comes_from_hardly_any_to_torrents() -> None:
    clean = torch.full((64, 3, 64, 64), 51 / 255)
    added = 255 * (add_rain(clean, only("lines"), generator())[0] - clean).mean(dim=(1, 2, 3))
    assert added.min() < 8
    assert added.max() > 60


def test_gusts_rain_more_here_than_there() -> None:
    even, gusty = (
        layers(replace(KINDS["downpour"], gusts=often), 24, 128, 128, generator()) for often in (0.0, 1.0)
    )
    quarters = [layer.unflatten(2, (4, 32)).mean(dim=(1, 3, 4)) for layer in (even, gusty)]
    unlike = [(part.std(dim=1) / part.mean(dim=1)).mean() for part in quarters]
    assert unlike[1] > 2 * unlike[0]
    assert gusty.mean() < even.mean()


@given(st.floats(0.01, 1), st.integers(0, 2**31))
def test_gusts_are_shares_of_the_rain_in_as_many_pictures_as_are_told(often: float, seed: int) -> None:
    falls = gusts(replace(KINDS["light"], gusts=often), (40, 24), 64, generator(seed))
    assert falls.shape == (64, 1, 40, 24)
    assert 0 <= falls.min() <= falls.max() <= 1
    gusty = (falls.amin(dim=(1, 2, 3)) < 1).float().mean()
    assert abs(gusty - often) < 0.3


def test_long_streaks_do_not_wrap_round() -> None:
    one_streak = replace(
        KINDS["downpour"], layers=(1, 1), length=(125, 125), angle=(0, 0), spread=(0, 0), gusts=0,
        overlap=(0.05, 0.05), uneven=(0, 0),
    )  # fmt: skip
    for seed in range(8):
        falling = layers(one_streak, 1, 128, 128, generator(seed))[0, 0] > 0.01
        # an upright streak of 125 pixels meets one edge or both, but never leaves its middle free
        broken = falling[0] & falling[-1] & ~falling[60:68].any(dim=0)
        assert not broken.any(), seed


def test_streaks_lie_along_their_angle() -> None:
    angle = torch.tensor(math.radians(20)).view(1, 1, 1, 1)
    one = torch.ones(1, 1, 1, 1)
    kernel = streak_kernel((96, 96), angle, 40 * one, one, 0.5 * one, 0 * one)
    streak = torch.fft.fftshift(kernel, dim=(2, 3))[0, 0]
    y, x = np.nonzero(streak.numpy() > 0.5)
    slope = math.degrees(math.atan(np.polyfit(y, x, 1)[0]))
    assert abs(slope - 20) < 1.5
    assert abs(y.max() - y.min() - 40 * math.cos(math.radians(20))) < 3


def test_a_soft_streak_is_wider_and_no_brighter() -> None:
    upright, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    sharp, soft = (
        streak_kernel((64, 64), upright, 20 * one, 3 * one, s * one, 0 * one)[0, 0] for s in (0.5, 2.0)
    )
    assert (soft[0] > 0).sum() > (sharp[0] > 0).sum()
    assert soft.max() <= sharp.max() == 1


def test_convolution_moves_an_impulse() -> None:
    a, b = torch.zeros(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    a[..., 2, 3] = 1
    torch.testing.assert_close(convolve(a, b), b.roll((2, 3), dims=(2, 3)))


@pytest.mark.parametrize("shares", [{}, {"hail": 1.0}, {"lines": -1.0}, {"lines": 0.0}])
def test_shares_that_make_no_sense_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"shares|arg"):
        RainMix(shares)
