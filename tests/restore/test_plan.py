"""Plans: whole where it fits, even tiles where not, the same every time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import InputError, MemoryLimitError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.restore.plan import HOST, LEAST_TILE, USABLE, Needs, make_plan, padded

NEEDS = Needs(DRSformerConfig(), 33_655_424)
sides = st.integers(1, 9000)


@given(sides, sides, st.integers(4, 64))
def test_a_plan_fits_its_limit(height: int, width: int, gigabytes: int) -> None:
    plan = make_plan(height, width, NEEDS, limit=gigabytes << 30)
    assert plan.memory <= (gigabytes << 30) * USABLE
    assert all(side % 8 == 0 for side in plan.tile)
    assert plan.whole == (plan.tile == padded(height, width))
    assert plan == make_plan(height, width, NEEDS, limit=gigabytes << 30)


@given(sides, sides, st.integers(8, 100).map(lambda n: 8 * n), st.integers(0, 32))
def test_a_tile_that_is_named_is_not_exceeded(height: int, width: int, tile: int, overlap: int) -> None:
    plan = make_plan(height, width, NEEDS, limit=1 << 40, tile=tile, overlap=overlap)
    assert max(plan.tile) <= tile
    assert plan.whole == (max(padded(height, width)) <= tile)


@given(st.integers(4000, 7000), st.integers(4000, 7000))
def test_more_memory_never_means_smaller_tiles(height: int, width: int) -> None:
    plans = [make_plan(height, width, NEEDS, limit=gigabytes << 30) for gigabytes in (4, 5, 6, 8, 128)]
    assert not plans[0].whole
    areas = [plan.tile[0] * plan.tile[1] for plan in plans]
    assert areas == sorted(areas)
    assert plans[-1].whole


def test_a_wide_overlap_never_fills_a_tile() -> None:
    plan = make_plan(4000, 4000, NEEDS, limit=4 << 30, overlap=100)
    assert min(plan.tile) >= 200


def test_too_little_memory_is_said_with_how_much_it_takes() -> None:
    least = (NEEDS.loaded() + NEEDS.peak(LEAST_TILE, LEAST_TILE)) / USABLE
    with pytest.raises(MemoryLimitError, match=f"{least / 1e9:.1f} GB"):
        make_plan(1000, 1000, NEEDS, limit=int(least * 0.98))
    # enough for a tile, not for this picture: that is its own fault, and no other's
    with pytest.raises(InputError, match="1000 x 1000 pixels need"):
        make_plan(1000, 1000, NEEDS, limit=int(least * 1.02))
    assert make_plan(48, 48, NEEDS, limit=int(least * 1.02)).whole
    assert not make_plan(1000, 1000, NEEDS, limit=int(least * 1.02 + HOST * 1e6 / USABLE)).whole


def test_a_picture_that_fills_the_limit_itself_is_named_not_the_machine() -> None:
    with pytest.raises(InputError, match=r"20000 x 10000 pixels need a memory limit of \d+\.\d GB"):
        make_plan(10_000, 20_000, NEEDS, limit=4 << 30)
    # on a GPU the picture lies elsewhere
    assert not make_plan(10_000, 20_000, replace(NEEDS, device="cuda"), limit=4 << 30).whole


PEAK = r"""
import re, sys, numpy as np, torch
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.restorer import Restorer
torch.set_num_threads(1)
def peak():  # of this program alone; getrusage counts what its parent had, too
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
dim, mefc, precision, height, width = sys.argv[1:]
config = DRSformerConfig.create(int(dim), blocks=(1, 1, 1, 1), mefc=mefc == "mefc")
model = Restorer(DRSformer(config), device=torch.device("cpu"), precision=precision)
plan = model.describe(int(height), int(width))
model(np.zeros((int(height), int(width), 3), np.uint8))
print(peak(), plan["memory"], plan["whole"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads peak memory as Linux gives it")
@pytest.mark.parametrize(
    "words",
    [
        ("16", "plain", "fp32", "384", "384"),
        ("24", "mefc", "bf16", "512", "640"),
        pytest.param(("24", "mefc", "fp32", "512", "640"), marks=pytest.mark.slow),
        pytest.param(("24", "mefc", "bf16", "768", "896"), marks=pytest.mark.slow),
        *(
            pytest.param(("48", "mefc", precision, *size), marks=pytest.mark.slow)
            for precision in ("fp32", "bf16")
            for size in (("256", "256"), ("512", "512"), ("768", "1024"), ("1024", "1024"), ("1200", "1600"))
        ),
    ],
)
def test_the_forecast_is_what_a_picture_takes(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", PEAK, *words]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    taken, planned, whole = result.stdout.split()
    assert whole == "True"
    assert 0.8 < int(planned) / int(taken) < 1.2, (planned, taken)
