"""Training: it learns, it resumes to the same end, it stops on time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from drsformer_cli.errors import CheckpointError, StorageError, UnreadableError, UsageError
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.training import loop
from drsformer_cli.training.data import Photographs, split
from drsformer_cli.training.loop import Progress, Training, learning_rate
from drsformer_cli.training.recipe import Recipe, read_recipe


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four soft colour patterns, large enough for validation."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[:200, :240]
    for i in range(4):
        planes = [128 + 80 * np.sin(x / (9 + i + c)) * np.cos(y / (11 + 2 * i)) for c in range(3)]
        Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def short_recipe(**changes: object) -> Recipe:
    recipe = read_recipe()
    values: dict[str, object] = {
        "steps": 12,
        "warmup": 0.1,
        "patches": ((0.0, 16, 2), (0.5, 24, 1)),
        "held_out": 1,
        "validate_every": 4,
    }
    schedule = replace(recipe.schedule, **{**values, **changes})  # type: ignore[arg-type]
    network = replace(recipe.network, dim=8, blocks=(1, 1, 1, 1), hidden=(8, 16, 16, 16))
    return replace(recipe, network=network, schedule=schedule)


class StoppedError(Exception):
    pass


def test_a_resumed_training_ends_where_an_unbroken_one_does(photographs: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    whole = Training(short_recipe(), photographs, tmp_path / "whole").run(seen.append)
    assert [progress.step for progress in seen] == list(range(1, 13))
    assert [progress.step for progress in seen if progress.scores] == [4, 8, 12]

    def stop_at_six(progress: Progress) -> None:
        if progress.step == 6:
            raise StoppedError

    with pytest.raises(StoppedError):
        Training(short_recipe(), photographs, tmp_path / "broken").run(stop_at_six)
    second = Training(short_recipe(), photographs, tmp_path / "broken")
    assert second.step == 4
    resumed = second.run(lambda progress: None)
    first, last = load_file(whole), load_file(resumed)
    assert first.keys() == last.keys()
    for name in first:
        torch.testing.assert_close(first[name], last[name], rtol=0, atol=1e-6)
    DRSformer.from_state_dict(last)
    rows = (tmp_path / "broken" / "log.csv").read_text().splitlines()
    assert rows[0] == "step,minutes,lines,light,noise,clean"
    assert [row.split(",")[0] for row in rows[1:]] == ["4", "8", "12"]


def test_it_learns(photographs: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = short_recipe(steps=60, validate_every=60, learning_rate=3e-3, patches=((0.0, 32, 4),))
    Training(recipe, photographs, tmp_path).run(lambda progress: losses.append(progress.loss))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_minutes_end_the_schedule(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 6))  # each look at the clock is six seconds later
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    rates: list[float] = []
    recipe = short_recipe(steps=1000, validate_every=1000)
    training = Training(recipe, photographs, tmp_path, minutes=1.0)
    training.run(lambda progress: rates.append(progress.learning_rate))
    assert training.step == 10
    assert rates[-1] < 0.1 * max(rates)


def test_another_recipe_does_not_go_on_from_a_checkpoint(photographs: Path, tmp_path: Path) -> None:
    Training(short_recipe(steps=1), photographs, tmp_path).run(lambda progress: None)
    with pytest.raises(UsageError, match="another recipe"):
        Training(short_recipe(steps=2), photographs, tmp_path)


def test_the_rate_warms_up_and_falls() -> None:
    schedule = read_recipe().schedule
    rates = [learning_rate(share / 1000, schedule) for share in range(1001)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(schedule.learning_rate)
    assert abs(top / 1000 - schedule.warmup) < 0.01
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(schedule.final_learning_rate)


def test_patches_are_seeded_and_in_range(photographs: Path) -> None:
    pictures = Photographs(sorted(photographs.glob("*.png")))
    first = pictures.batch(64, 6, np.random.default_rng(3))
    assert first.shape == (6, 3, 64, 64)
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first, pictures.batch(64, 6, np.random.default_rng(3)))
    assert not torch.equal(first, pictures.batch(64, 6, np.random.default_rng(4)))


def test_photographs_that_cannot_serve_are_named(photographs: Path, tmp_path: Path) -> None:
    train, held_out = split(photographs, 1, 192)
    assert [file.name for file in (*train, *held_out)] == ["0.png", "1.png", "2.png", "3.png"]
    with pytest.raises(UsageError, match="at least 5"):
        split(photographs, 4, 192)
    with pytest.raises(UsageError, match="holds 0 pictures of 256 x 256"):
        split(photographs, 1, 256)
    (tmp_path / "._hidden.png").write_bytes(b"not a picture")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="holds 0 pictures"):
        split(tmp_path, 1, 8)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    for look in (lambda: split(tmp_path, 1, 8), lambda: Photographs([tmp_path / "broken.png"])):
        with pytest.raises(UnreadableError, match=r"broken\.png"):
            look()


def test_large_photographs_are_held_small(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1600), (1, 2, 3)).save(tmp_path / "large.png")
    assert Photographs([tmp_path / "large.png"]).pictures[0].shape == (768, 1440, 3)


def test_a_damaged_checkpoint_and_a_model_without_one_stop_it(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged beyond repair")
    with pytest.raises(CheckpointError, match="is damaged"):
        Training(short_recipe(), photographs, tmp_path)
    (tmp_path / "checkpoint.pt").rename(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="is there already"):
        Training(short_recipe(), photographs, tmp_path)
    with pytest.raises(StorageError, match="cannot be made a folder"):
        Training(short_recipe(), photographs, tmp_path / "model.safetensors")
