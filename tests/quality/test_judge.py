"""What comes out for one pair of files, whatever they hold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drsformer_cli import psnr, ssim
from drsformer_cli.quality.judge import Pair, Row, Settings, SideBySide, judge
from drsformer_cli.quality.preview import make_preview
from tests.quality.conftest import noisy, picture, write


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    clean = picture(1)
    write(tmp_path / "rainy.png", noisy(clean, 1, 30))
    write(tmp_path / "out.png", noisy(clean, 2, 5))
    return Pair("1", tmp_path / "out.png", write(tmp_path / "clean.png", clean), tmp_path / "rainy.png")


def judged(restored: Path, clean: Path | None, **settings: object) -> Row:
    return judge(Pair("1", restored, clean), Settings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["rain200", "did-ddn", "rgb"])
def test_scores_are_those_of_the_functions(pair: Pair, protocol: str) -> None:
    row = judge(pair, Settings(protocol))  # type: ignore[arg-type]
    clean = picture(1)
    assert (row.status, row.height, row.width) == ("scored", 24, 32)
    assert row.psnr == psnr(noisy(clean, 2, 5), clean, protocol=protocol)  # type: ignore[arg-type]
    assert row.ssim == ssim(noisy(clean, 2, 5), clean, protocol=protocol)  # type: ignore[arg-type]
    assert row.rainy_psnr == psnr(noisy(clean, 1, 30), clean, protocol=protocol)  # type: ignore[arg-type]
    assert row.gain == pytest.approx(row.psnr - row.rainy_psnr)


def test_equal_pictures(pair: Pair) -> None:
    row = judge(Pair("1", pair.clean, pair.clean, pair.rainy), Settings())  # type: ignore[arg-type]
    assert (row.psnr, row.ssim, row.gain) == (math.inf, 1, math.inf)


def test_sizes_that_differ_are_told_and_never_changed(pair: Pair, tmp_path: Path) -> None:
    row = judged(write(tmp_path / "other.png", picture(1, (24, 31))), pair.clean)
    assert (row.status, row.psnr) == ("sizes", None)
    assert row.reason == f"{tmp_path / 'other.png'} has 31 x 24 pixels, {pair.clean} 32 x 24."
    small = write(tmp_path / "small.png", picture(1, (12, 16)))
    assert str(small) in judge(Pair("1", pair.restored, pair.clean, small), Settings()).reason


def test_a_window_that_does_not_fit_names_the_file(tmp_path: Path) -> None:
    for size, protocol, window in (((10, 40), "rain200", 11), ((1, 1), "did-ddn", 11), ((6, 6), "rgb", 7)):
        path = write(tmp_path / "tiny.png", picture(1, size))
        row = judged(path, path, protocol=protocol)
        assert row.status == "failed"
        assert row.reason.startswith(f"{path}: SSIM's window of {window} x {window}")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut"])
def test_files_that_are_no_pictures_say_so(pair: Pair, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    for row in (judged(tmp_path / "bad.png", pair.clean), judged(pair.restored, tmp_path / "bad.png")):
        assert row.status == "failed"
        assert "bad.png" in row.reason


def test_a_file_that_went_away(pair: Pair, tmp_path: Path) -> None:
    row = judged(tmp_path / "gone.png", pair.clean)
    assert (row.status, "gone.png: No such file" in row.reason) == ("failed", True)


def test_grey_alpha_and_depth(tmp_path: Path) -> None:
    clean = picture(2)
    grey = write(tmp_path / "grey.png", clean[..., 0])
    colours = write(tmp_path / "colours.png", np.repeat(clean[..., :1], 3, axis=2))
    assert judged(grey, colours).psnr == math.inf
    alpha = write(tmp_path / "alpha.png", np.dstack([clean, clean[..., 0]]))
    row = judged(alpha, write(tmp_path / "clean.png", clean))
    assert (row.psnr, row.notes) == (math.inf, ("alpha is left out of account",))
    Image.fromarray(clean[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    row = judged(tmp_path / "deep.png", colours)
    assert (row.psnr, row.notes) == (math.inf, ("16 bits compared with 8 bits",))


def test_pictures_are_compared_upright(tmp_path: Path) -> None:
    clean = picture(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(clean))).save(tmp_path / "turned.png", exif=exif)
    assert judged(tmp_path / "turned.png", write(tmp_path / "clean.png", clean)).psnr == math.inf


def test_several_frames_are_refused(tmp_path: Path, pair: Pair) -> None:
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    assert "film.gif has 3 frames" in judged(tmp_path / "film.gif", pair.clean).reason


@pytest.mark.parametrize("order", ["rainy-clean", "clean-rainy"])
def test_halves(pair: Pair, tmp_path: Path, order: SideBySide) -> None:
    rainy, clean = noisy(picture(1), 1, 30), picture(1)
    halves = [rainy, clean] if order == "rainy-clean" else [clean, rainy]
    both = write(tmp_path / "both.png", np.hstack(halves))
    expected = judge(pair, Settings())
    row = judged(pair.restored, both, side_by_side=order)
    assert (row.psnr, row.ssim, row.rainy_psnr) == (expected.psnr, expected.ssim, expected.rainy_psnr)
    row = judged(both, both, side_by_side=order)  # a restored picture of both halves: its rainy one counts
    assert row.psnr == expected.rainy_psnr
    odd = write(tmp_path / "odd.png", picture(1, (24, 33)))
    assert "odd.png is 33 pixels wide" in judged(pair.restored, odd, side_by_side=order).reason


@given(st.integers(0, 60_000), st.tuples(st.integers(1, 300), st.integers(1, 300)), st.booleans())
def test_previews_keep_to_their_budget(budget: int, size: tuple[int, int], rainy: bool) -> None:
    clean = picture(1, size)
    restored = noisy(clean, 1, 90)
    preview = make_preview(restored, clean, restored if rainy else None, budget)
    if preview is None:
        assert budget < 12_000
        return
    assert preview.size <= budget
    assert bool(preview.rainy) == rainy
    assert max(preview.height, preview.width) <= max(size)


def test_the_error_map_is_bright_where_the_error_is() -> None:
    clean = picture(1, (200, 200))
    restored = clean.copy()
    restored[50:100, 50:100] ^= 64
    preview = make_preview(restored, clean, None, 100_000)
    assert preview is not None
    from io import BytesIO

    error = np.asarray(Image.open(BytesIO(preview.error)).convert("L")).astype(float)
    assert error.shape == (100, 100)
    assert error[27:48, 27:48].mean() > 150
    assert error[60:].mean() < 10
