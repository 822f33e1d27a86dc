"""The sheet of samples: seeded, whole, and beside what it is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.errors import UsageError
from drsformer_cli.training.data import Pictures
from drsformer_cli.training.rain import RainMix
from drsformer_cli.training.samples import COLUMNS, SIDE, WORDS, write_sheet


@pytest.fixture
def photographs() -> Pictures:
    generator = np.random.default_rng(1)
    return Pictures([generator.integers(0, 120, (200, 220, 3), dtype=np.uint8) for _ in range(3)])


def test_a_sheet_shows_each_kind_and_the_mix(photographs: Pictures, tmp_path: Path) -> None:
    mix = RainMix({"light": 0.5, "clean": 0.5})
    write_sheet(tmp_path / "a.png", photographs, mix, seed=1)
    write_sheet(tmp_path / "b.png", photographs, mix, seed=1)
    write_sheet(tmp_path / "c.png", photographs, mix, seed=2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (COLUMNS * SIDE, 3 * (WORDS + SIDE))
        second = np.asarray(sheet)[SIDE + 2 * WORDS : 2 * (SIDE + WORDS), :SIDE]
    assert np.array_equal(second, photographs.pictures[0][4:196, 14:206].numpy())


def test_a_sheet_shows_what_it_is_compared_with(photographs: Pictures, tmp_path: Path) -> None:
    rainy = tmp_path / "rainy"
    rainy.mkdir()
    with pytest.raises(UsageError, match=f"holds no picture of {SIDE} x {SIDE}"):
        write_sheet(tmp_path / "a.png", photographs, RainMix().only("clean"), seed=1, beside=rainy)
    Image.new("RGB", (300, 250), (1, 2, 3)).save(rainy / "one.png")
    Image.new("RGB", (20, 20)).save(rainy / "small.png")
    write_sheet(tmp_path / "a.png", photographs, RainMix().only("clean"), seed=1, beside=rainy)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.height == 3 * (WORDS + SIDE)
        assert sheet.getpixel((SIDE // 2, sheet.height - SIDE // 2)) == (1, 2, 3)
