"""The limit on pixels, and its option."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from tests.cli.conftest import Command, write_picture


@pytest.mark.parametrize("workers", [1, 2])
def test_the_limit_can_be_moved(derain: Command, tiny: Path, tmp_path: Path, workers: int) -> None:
    write_picture(tmp_path / "in" / "a.png", 1, (30, 40))  # 1200 pixels
    words = [tmp_path / "in", "-o", tmp_path / "out", "-m", tiny, "--device", "cpu", "--workers", workers]
    refused = derain(*words, "--max-megapixels", "0.0011")
    assert refused.status == 1
    assert "announces 40 x 30 pixels, more than the 1,100 allowed" in refused.err
    assert "cut it into smaller pictures first, or, if you trust it, allow more with --max-" in refused.err
    assert not (tmp_path / "out" / "a.png").exists()
    assert derain(*words, "--max-megapixels", "0.0012").status == 0
    assert (tmp_path / "out" / "a.png").exists()


def test_what_has_no_such_option_does_not_name_it(derain: Command, tmp_path: Path) -> None:
    whole = write_picture(tmp_path / "small.png").read_bytes()
    size = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    data = whole[:12] + size + struct.pack(">I", zlib.crc32(size)) + whole[33:]
    for folder in ("clean", "pred"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(data)
    outcome = derain("eval", "--gt", tmp_path / "clean", "--pred", tmp_path / "pred")
    assert outcome.status == 1
    assert "40000 x 40000 pixels" in outcome.err
    assert "--max-megapixels" not in outcome.err


@pytest.mark.parametrize("value", ["0", "-1", "nan", "1e9", "x"])
def test_a_limit_that_makes_no_sense(derain: Command, tmp_path: Path, value: str) -> None:
    outcome = derain(write_picture(tmp_path / "a.png"), f"--max-megapixels={value}")
    assert outcome.status == 2
    assert "--max-megapixels" in outcome.err
