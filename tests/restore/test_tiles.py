"""Tiles cover every pixel and blend without a seam."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.restore.tiles import ramp, restore_tiled, starts

lengths = st.integers(1, 500)
tiles = st.integers(8, 200)


@given(lengths, tiles, st.integers(0, 50))
def test_tiles_cover_everything_and_overlap(length: int, tile: int, overlap: int) -> None:
    overlap = min(overlap, tile // 2)
    places = starts(length, tile, overlap)
    assert places[0] == 0
    assert places[-1] + tile >= length
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(places))
    if tile < length:
        assert places[-1] + tile == length


@given(tiles, st.integers(0, 50))
def test_the_ramp_is_symmetric_and_positive(tile: int, overlap: int) -> None:
    weights = ramp(tile, overlap)
    assert torch.equal(weights, weights.flip(0))
    assert weights.min() > 0
    assert weights.max() <= 1


@given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 40), st.integers(0, 20))
def test_what_works_pixel_by_pixel_shows_no_tiles(height: int, width: int, tile: int, overlap: int) -> None:
    picture = torch.rand(height, width, 3)
    size = (min(tile, height), min(tile, width))
    result = restore_tiled(picture, lambda part: part * 0.5, size, min(overlap, min(size) // 2))
    torch.testing.assert_close(result, picture * 0.5)


def test_two_answers_fade_into_each_other() -> None:
    answers = iter((0.0, 1.0))
    result = restore_tiled(
        torch.zeros(16, 56, 3), lambda part: torch.full_like(part, next(answers)), (16, 32), 8
    )
    row = result[0, :, 0]
    assert (row[:24] == 0).all()
    assert (row[32:] == 1).all()
    assert (row.diff() >= 0).all()
    assert row.diff().max() < 0.2
