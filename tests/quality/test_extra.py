"""Scores of others' packages: used where they are, refused with what to install where they are not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drsformer_cli.errors import DownloadError, SetupError, UsageError
from drsformer_cli.quality import extra
from drsformer_cli.quality.evaluate import evaluate
from drsformer_cli.quality.judge import Pair, Settings, judge
from drsformer_cli.quality.summary import Evaluation
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


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """Install a package that brings a score."""
    (folder / f"scores_{name}.py").write_text(code)
    metadata = folder / f"scores_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scores-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{extra.GROUP}]\n{name} = scores_{name}:score\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_a_score_of_which_more_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def score(restored, clean):\n    return restored.mean()\n"
    plug_in(tmp_path, monkeypatch, "bright", code + "score.higher_is_better = True\n")
    plug_in(tmp_path, monkeypatch, "dark", code)
    for name, worst in (("bright", "a"), ("dark", "b")):
        evaluation = Evaluation("x", Settings(scores=(name,)))
        for at, level in (("a", 10), ("b", 200)):
            path = write(tmp_path / f"{at}.png", np.full((20, 20, 3), level, np.uint8))
            evaluation.take(judge(Pair(at, path), evaluation.settings))
        assert [row.pair.name for row in evaluation.worst(1)] == [worst]


def test_a_score_takes_no_others_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "psnr", "def score(restored, clean):\n    return 99\n")
    with pytest.raises(UsageError, match="needs another name"):
        extra.check("psnr", truth=True)


def test_a_package_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "broken", "import nothing_of_this_name\n")
    with pytest.raises(SetupError, match="scores_broken:score cannot be loaded"):
        extra.better("broken")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_is_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    plug_in(tmp_path, monkeypatch, "odd", f"def score(restored, clean):\n    return float('{value}')\n")
    path = write(tmp_path / "a.png", picture(1))
    row = judge(Pair("a", path), Settings(scores=("odd",)))
    assert row.status == "failed"
    assert row.reason.startswith(f"{path} has no value by odd")
    row = judge(Pair("a", path, path), Settings(scores=("odd",)))
    assert (row.status, row.others, row.notes) == ("scored", {}, ("no value by odd",))


def test_weights_are_fetched_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "weights"
    found: list[str] = []
    monkeypatch.setattr(extra, "_alexnet", lambda: place)
    monkeypatch.setattr(extra, "find", found.append)
    extra.prepare("lpips")
    place.write_bytes(b"")
    extra.prepare("lpips")
    extra.prepare("brisque")
    assert found == ["lpips"]
    monkeypatch.undo()


def test_leaving_early_does_not_wait_for_what_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time\ndef score(restored, clean):\n    time.sleep(restored.mean() / 4)\n    return 1\n"
    plug_in(tmp_path, monkeypatch, "slow", code)
    pairs = [
        Pair(str(level), write(tmp_path / f"{level}.png", np.full((20, 20, 3), level, np.uint8)))
        for level in (0, 240, 240)
    ]
    rows = evaluate(pairs, Settings(scores=("slow",)), workers=2)
    assert next(rows).status == "scored"
    begun = time.monotonic()
    rows.close()
    assert time.monotonic() - begun < 30


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


def stand_in(monkeypatch: pytest.MonkeyPatch, **modules: object) -> None:
    """Let modules of this name be found, whether or not they are installed."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(extra, "find_spec", lambda name: sys.modules.get(name))


def test_niqe_gets_one_picture_between_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[tuple[int, ...], float, float]] = []

    def metric(batch: Any) -> float:
        seen.append((tuple(batch.shape), float(batch.min()), float(batch.max())))
        return float(batch[0, 2, 1, 0])

    stand_in(monkeypatch, pyiqa=SimpleNamespace(create_metric={"niqe": metric}.__getitem__))
    clean = picture(1)
    clean[0, 0], clean[0, 1], clean[1, 0, 2] = 0, 255, 51
    assert extra.score("niqe", clean, None) == pytest.approx(0.2)
    assert seen == [((1, 3, 24, 32), 0.0, 1.0)]


def lpips_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Any) -> None:
    """Let another network stand where torchmetrics' is."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("DERAIN_OFFLINE", raising=False)
    module = SimpleNamespace(LearnedPerceptualImagePatchSimilarity=make)
    stand_in(
        monkeypatch,
        **{"torchmetrics": object(), "torchvision": object(), "torchmetrics.image.lpip": module},
    )


class Distance:
    """Adds up what it has seen until it is told to forget, as torchmetrics' measures do."""

    total = 0.0

    def eval(self) -> Distance:
        return self

    def reset(self) -> None:
        self.total = 0.0

    def __call__(self, one: Any, other: Any) -> Any:
        self.total += (one - other).abs().mean()
        return self.total


def test_lpips_compares_pair_by_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    def make(**options: object) -> Distance:
        asked.append(options)
        return Distance()

    lpips_of(monkeypatch, tmp_path, make)
    black, grey = np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 51, np.uint8)
    for _ in range(2):
        assert extra.score("lpips", black, grey) == pytest.approx(0.2)
    assert asked == [{"net_type": "alex", "normalize": True}]
    with pytest.raises(UsageError, match="compares with a clean picture"):
        extra.score("lpips", black, None)


def test_lpips_is_fetched_once_before_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_: object) -> Distance:
        raise OSError("no route")

    lpips_of(monkeypatch, tmp_path, refuse)
    place = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    with pytest.raises(DownloadError, match=r"which cannot be fetched \(no route\): put it at ") as caught:
        extra.prepare("lpips")
    assert str(place) in str(caught.value)
    place.parent.mkdir(parents=True)
    place.touch()
    extra.prepare("lpips")  # it is there
    extra.prepare("niqe")
