"""Plans: whole where it fits, even tiles where not, the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from drsformer_cli.errors import InputError, MemoryLimitError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.restore.plan import HOST, LEAST_TILE, RESIDENT, USABLE, make_plan, padded, peak_bytes

CONFIG = DRSformerConfig()
sides = st.integers(1, 9000)


@given(sides, sides, st.integers(4, 64))
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
    for gigabytes in (4, 8, 16, 64):
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
    # enough for a tile, not for this picture: that is its own fault, and no other's
    with pytest.raises(InputError, match="1000 x 1000 pixels need"):
        make_plan(1000, 1000, CONFIG, limit=int(least * 1.02))
    assert make_plan(48, 48, CONFIG, limit=int(least * 1.02)).whole
    assert not make_plan(1000, 1000, CONFIG, limit=int(least * 1.02 + HOST * 1e6 / USABLE)).whole


def test_a_picture_that_fills_the_limit_itself_is_named_not_the_machine() -> None:
    with pytest.raises(InputError, match=r"20000 x 10000 pixels need a memory limit of \d+\.\d GB"):
        make_plan(10_000, 20_000, CONFIG, limit=4 << 30)
    # on a GPU the picture lies elsewhere
    assert not make_plan(10_000, 20_000, CONFIG, limit=4 << 30, on_host=False).whole


PEAK = r"""
import re, sys, numpy as np, torch
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.restorer import Restorer
torch.set_num_threads(1)
def peak():  # of this program alone; getrusage counts what its parent had, too
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
values = dict(blocks=(1,) * 4, heads=(1,) * 4, expansion=float(sys.argv[2]), mefc=sys.argv[3] == "mefc")
model = Restorer(DRSformer(DRSformerConfig.create(int(sys.argv[1]), **values)), device=torch.device("cpu"))
picture = np.zeros((384, 384, 3), np.uint8)
model(picture[:32, :32])
before = peak()
planned = model.describe(384, 384)["memory"]
model(picture)
print(peak() - before, planned)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads peak memory as Linux gives it")
@pytest.mark.parametrize("words", [("16", "2.0", "plain"), ("16", "1.0", "mefc"), ("16", "2.66", "mefc")])
def test_the_estimate_is_what_a_picture_takes(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", PEAK, *words]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    taken, planned = map(int, result.stdout.split())
    assert 0.5 * (planned - RESIDENT) < taken < 1.15 * (planned - RESIDENT)
