"""Plans: whole where it fits, even tiles where not, the same every time."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drsformer_cli.errors import MemoryLimitError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.restore.plan import LEAST_TILE, RESIDENT, USABLE, make_plan, padded, peak_bytes

CONFIG = DRSformerConfig()
sides = st.integers(1, 9000)


@given(sides, sides, st.integers(1, 64))
def test_a_plan_fits_its_limit(height: int, width: int, gigabytes: int) -> None:
    plan = make_plan(height, width, CONFIG, limit=gigabytes << 30)
    assert plan.memory <= (gigabytes << 30) * USABLE
    assert all(side % 8 == 0 for side in plan.tile)
    assert plan.whole == (plan.tile == padded(height, width))
    assert plan == make_plan(height, width, CONFIG, limit=gigabytes << 30)


@given(sides, sides, st.integers(8, 100).map(lambda n: 8 * n), st.integers(0, 32))
def test_a_tile_that_is_named_is_not_exceeded(height: int, width: int, tile: int, overlap: int) -> None:
    plan = make_plan(height, width, CONFIG, limit=1 << 40, tile=tile, overlap=overlap)
    assert max(plan.tile) <= tile
    assert plan.whole == (max(padded(height, width)) <= tile)


@given(sides, sides)
def test_more_memory_never_means_smaller_tiles(height: int, width: int) -> None:
    areas = []
    for gigabytes in (1, 2, 4, 8, 64):
        plan = make_plan(height, width, CONFIG, limit=gigabytes << 30)
        areas.append(plan.tile[0] * plan.tile[1] if not plan.whole else 10**12)
    assume(areas[0] < 10**12)
    assert areas[-1] >= areas[0]


def test_a_wide_overlap_never_fills_a_tile() -> None:
    plan = make_plan(4000, 4000, CONFIG, limit=4 << 30, overlap=100)
    assert min(plan.tile) >= 200


def test_too_little_memory_is_said_with_how_much_it_takes() -> None:
    least = (RESIDENT + peak_bytes(LEAST_TILE, LEAST_TILE, CONFIG)) / USABLE
    with pytest.raises(MemoryLimitError, match=f"{least / 1e9:.1f} GB"):
        make_plan(1000, 1000, CONFIG, limit=int(least * 0.98))
    assert not make_plan(1000, 1000, CONFIG, limit=int(least * 1.02)).whole
