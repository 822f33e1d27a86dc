"""Windows: every pixel once, even sizes, margins that fit, and rewriting in place."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from drsformer_cli.restore.windows import Scratch, Window, rewrite, split, windows

LEAST_WINDOW = 16  # no window is smaller than half of this: every margin fits into its neighbour
lengths, sides = st.integers(1, 300), st.integers(LEAST_WINDOW, 120)


@given(lengths, sides)
def test_pieces_are_even_and_of_about_one_size(length: int, side: int) -> None:
    edges = split(length, side)
    pieces = [end - start for start, end in pairwise(edges)]
    assert (edges[0], edges[-1]) == (0, length)
    assert max(pieces) <= side + 1
    assert max(pieces) - min(pieces) <= 3
    assert min(pieces) >= min(length, LEAST_WINDOW // 2)
    assert all(edge % 2 == 0 for edge in edges[:-1])


@given(lengths, lengths, sides, sides)
def test_every_pixel_is_in_one_window(height: int, width: int, tall: int, wide: int) -> None:
    seen = torch.zeros(height, width, 1, dtype=torch.int)
    for here in windows(height, width, (tall, wide)):
        here.of(seen).add_(1)
        cut = (here.above, here.below, here.before, here.after)
        assert cut == (here.top > 0, here.bottom < height, here.left > 0, here.right < width)
    assert bool((seen == 1).all())


@given(lengths, lengths, sides, sides, st.integers(0, LEAST_WINDOW // 2))
def test_margins_are_there_on_cut_sides_alone(
    height: int, width: int, tall: int, wide: int, margin: int
) -> None:
    x = torch.arange(height * width).reshape(height, width, 1)
    for here in windows(height, width, (tall, wide)):
        with_margin = here.of(x, margin)
        assert with_margin.shape[0] == here.bottom - here.top + margin * (here.above + here.below)
        assert with_margin.shape[1] == here.right - here.left + margin * (here.before + here.after)
        assert here.crop(here.trim(with_margin, margin), margin).equal(here.of(x))


def test_a_window_in_a_picture_of_twice_the_size_and_alone() -> None:
    here = Window(8, 24, 2, 10, True, False, True, True)
    assert here.doubled() == Window(16, 48, 4, 20, True, False, True, True)
    assert here.alone() == Window(0, 16, 0, 8, True, False, True, True)


def test_blank_clears_the_margins_columns() -> None:
    x = torch.ones(2, 6, 1)
    assert Window(0, 2, 2, 6, False, False, True, True).blank(x, 1)[0, :, 0].tolist() == [0, 1, 1, 1, 1, 0]
    assert Window(0, 2, 0, 6, False, False, False, False).blank(x.fill_(1), 1).all()


@pytest.mark.parametrize("reach", [1, 2, 3])
@given(lengths=st.tuples(*[st.integers(1, 90)] * 2), size=st.tuples(*[st.integers(16, 40)] * 2))
def test_rewriting_in_place_reads_only_what_was_there_before(
    reach: int, lengths: tuple[int, int], size: tuple[int, int]
) -> None:
    """A sum over neighbours would see it if a window were written while another still needs it."""
    x = torch.arange(float(lengths[0] * lengths[1])).reshape(*lengths, 1)
    expected = neighbours(x, reach)

    scratch = Scratch()

    def change(old: Tensor, here: Window, slot: str) -> Tensor:
        result = here.trim(neighbours(old, reach), reach)
        return scratch.take(slot, result.shape, result).copy_(result)

    rewrite(x, size, reach, change)
    assert x.equal(expected)


def test_scratch_is_taken_once_by_name_and_dtype() -> None:
    scratch, like = Scratch(), torch.empty(0)
    large = scratch.take("a", (4, 5), like)
    small = scratch.take("a", (2, 3), like)
    assert (large.shape, small.shape, small.dtype) == ((4, 5), (2, 3), torch.float32)
    assert small.data_ptr() == large.data_ptr()
    others = [scratch.take("b", (2,), like), scratch.take("a", (2,), like, torch.bfloat16)]
    assert large.data_ptr() not in [other.data_ptr() for other in others]
    assert others[1].dtype == torch.bfloat16
    assert scratch.take("a", (50,), like).shape == (50,)


def neighbours(x: Tensor, reach: int) -> Tensor:
    """Sum over (2 reach + 1) squared pixels, zeros around."""
    side = 2 * reach + 1
    return F.conv2d(x.permute(2, 0, 1)[None], torch.ones(1, 1, side, side), padding=reach)[0].permute(1, 2, 0)
