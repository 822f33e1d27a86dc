"""What a pair of files comes to when something is wrong with it: a row that says what, and of which file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from drsformer_cli.errors import SetupError, UsageError
from drsformer_cli.quality import extra
from drsformer_cli.quality import judge as module
from drsformer_cli.quality.judge import Pair, Row, Settings, judge
from tests.quality.conftest import noisy, picture, write


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    clean = picture(1)
    write(tmp_path / "out.png", noisy(clean, 2, 5))
    write(tmp_path / "rainy.png", noisy(clean, 1, 30))
    return Pair("1", tmp_path / "out.png", write(tmp_path / "clean.png", clean), tmp_path / "rainy.png")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "{0}: there is not enough memory for this picture."),
        (PermissionError(13, "Permission denied", "elsewhere.png"), "elsewhere.png: Permission denied."),
        (OSError("the disk is gone"), "{0}: the disk is gone."),
        (ZeroDivisionError("by zero"), "{0}: unexpected ZeroDivisionError: by zero."),
        (UsageError("it is grey"), "{0}: it is grey."),
        (UsageError("{1} is grey"), "{1} is grey"),
        (UsageError("{2} is grey"), "{2} is grey"),
    ],
)
def test_whatever_fails_names_the_file(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    files = [str(path) for path in (pair.restored, pair.clean, pair.rainy)]
    if isinstance(error, UsageError):
        error = UsageError(str(error).format(*files))

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, "scores", fail)
    assert judge(pair, Settings()) == Row(pair, "failed", reason.format(*files))


def test_a_score_that_cannot_be_had_at_all_is_no_fault_of_the_picture(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SetupError("no package")

    monkeypatch.setattr(extra, "score", fail)
    with pytest.raises(SetupError, match="no package"):
        judge(pair, Settings(scores=("niqe",)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_not_waited_for(pair: Pair, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    row = judge(Pair("1", tmp_path / "pipe.png", pair.clean), Settings())
    assert row.reason == f"{tmp_path / 'pipe.png'} is no plain file, and is left alone."


def test_an_empty_file_is_called_empty(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    row = judge(Pair("1", tmp_path / "empty.png", pair.clean), Settings())
    assert (row.status, row.reason) == ("failed", f"{tmp_path / 'empty.png'} is empty.")


def test_scores_without_a_value_are_left_out_and_noted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []

    def score(name: str, restored: np.ndarray, clean: np.ndarray | None) -> float:
        assert np.array_equal(restored, noisy(picture(1), 2, 5))
        assert clean is None or np.array_equal(clean, picture(1))
        seen.append((name, clean is None))
        return {"niqe": 4.5, "brisque": float("nan")}[name]

    monkeypatch.setattr(extra, "score", score)
    row = judge(pair, Settings(scores=("niqe", "brisque")))
    assert (dict(row.others), row.notes) == ({"niqe": 4.5}, ("no value by brisque",))
    assert seen == [("niqe", False), ("brisque", False)]
    row = judge(Pair("1", pair.restored), Settings(scores=("niqe", "brisque")))
    assert (row.status, dict(row.others), row.psnr, row.ssim) == ("scored", {"niqe": 4.5}, None, None)
    row = judge(Pair("1", pair.restored), Settings(scores=("brisque",)))
    assert row.status == "failed"
    assert row.reason == f"{pair.restored} has no value by brisque: is it of one colour?"
    assert judge(pair, Settings(scores=("brisque",))).status == "scored"


def test_a_remark_is_made_once(tmp_path: Path) -> None:
    clean = picture(1)
    both = write(tmp_path / "alpha.png", np.dstack([clean, clean[..., 0]]))
    assert judge(Pair("1", both, both, both), Settings()).notes == ("alpha is left out of account",)


def test_a_picture_of_floating_point_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = {"real": picture(1) / 255.0, "whole": picture(1)}
    for name in frames:
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "_read", lambda path, notes: frames[path.name])
    row = judge(Pair("1", tmp_path / "real", tmp_path / "whole"), Settings("rgb"))
    assert row.notes == ("floating point compared with 8 bits",)


def test_a_restored_picture_alone_has_its_size_and_no_preview(pair: Pair) -> None:
    row = judge(Pair("1", pair.restored), Settings())
    assert (row.status, row.height, row.width, row.preview, row.gain) == ("scored", 24, 32, None, None)
    row = judge(pair, Settings(preview=50_000))
    assert row.pair is pair
    assert row.preview is not None
    assert all((row.preview.restored, row.preview.clean, row.preview.rainy, row.preview.error))


def test_a_rainy_one_of_two_halves_beside_a_clean_one_of_two(pair: Pair, tmp_path: Path) -> None:
    clean, rain = picture(1), noisy(picture(1), 1, 30)
    both = write(tmp_path / "both.png", np.hstack([clean, rain]))
    expected = judge(pair, Settings())
    for rainy in (None, pair.rainy, both):
        row = judge(Pair("1", pair.restored, both, rainy), Settings(side_by_side="clean-rainy"))
        assert (row.psnr, row.rainy_psnr) == (expected.psnr, expected.rainy_psnr)
    odd = write(tmp_path / "odd.png", picture(1, (24, 40)))
    row = judge(Pair("1", pair.restored, both, odd), Settings(side_by_side="clean-rainy"))
    assert (row.status, str(odd) in row.reason) == ("sizes", True)


def test_a_rainy_one_without_rain_has_no_gain(pair: Pair) -> None:
    row = judge(Pair("1", pair.restored, pair.clean, pair.clean), Settings())
    assert (row.rainy_psnr, row.gain) == (float("inf"), None)
