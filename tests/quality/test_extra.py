"""Scores of others' packages: used where they are, refused with what to install where they are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drsformer_cli.errors import DownloadError, SetupError, UsageError
from drsformer_cli.quality import extra
from drsformer_cli.quality.judge import Pair, Settings, judge
from tests.quality.conftest import noisy, picture, write


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget what was loaded for another test."""
    extra.find.cache_clear()
    yield
    extra.find.cache_clear()


def test_brisque_tells_noise_from_a_photograph() -> None:
    pytest.importorskip("brisque", reason="the extra brisque is not installed")
    from PIL import Image

    path = Path(__file__).parents[2] / "examples" / "coffee.png"
    clean = np.asarray(Image.open(path).convert("RGB"))
    extra.check("brisque", truth=False)
    assert extra.score("brisque", clean, None) + 20 < extra.score("brisque", noisy(clean, 1, 60), None)


def test_lpips_with_weights_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure's own network is fetched when it is first used; here another one stands in its place."""
    try:
        import torchmetrics  # noqa: F401
        import torchvision
    except (ImportError, RuntimeError) as error:  # it may be there, and of another build than torch
        pytest.skip(f"the extra lpips is not installed: {error}")
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("DERAIN_OFFLINE", "1")
    clean = picture(1, (80, 80))
    with pytest.raises(DownloadError, match="DERAIN_OFFLINE forbids"):
        extra.score("lpips", clean, clean)
    torch.manual_seed(0)
    place = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    place.parent.mkdir(parents=True)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), place)
    assert extra.score("lpips", clean, clean) == pytest.approx(0, abs=1e-6)
    little, much = (extra.score("lpips", noisy(clean, 1, amount), clean) for amount in (8, 80))
    assert 0 < little < much


def test_a_torchvision_of_another_build_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("torchmetrics", "torchvision"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delenv("DERAIN_OFFLINE", raising=False)
    with pytest.raises(SetupError, match="does not go with the torch that is here"):
        extra.score("lpips", picture(1), picture(1))


def test_lpips_needs_a_truth() -> None:
    with pytest.raises(UsageError, match="give --gt"):
        extra.check("lpips", truth=False)


def test_a_package_can_bring_a_score_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scores.py").write_text(
        "def redness(restored, clean):\n    return restored[..., 0].mean()\n"
    )
    metadata = tmp_path / "my_scores-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-scores\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{extra.GROUP}]\nredness = my_scores:redness\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    extra.check("redness", truth=False)
    path = write(tmp_path / "a.png", picture(1))
    row = judge(Pair("a", path), Settings(scores=("redness",)))
    assert (row.status, row.psnr) == ("scored", None)
    assert row.others == {"redness": pytest.approx(picture(1)[..., 0].mean())}


def test_what_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda _: None)
    for name, advice in (
        ("niqe", "pip install pyiqa, whose licence"),
        ("brisque", r"drsformer-cli\[brisque\]"),
    ):
        with pytest.raises(SetupError, match=advice):
            extra.check(name, truth=False)
    with pytest.raises(UsageError, match="is not known"):
        extra.check("wow", truth=True)
