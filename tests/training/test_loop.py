"""Training: it learns, it resumes to the same end, it stops on time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from drsformer_cli.errors import CheckpointError, StorageError, UsageError
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.training import schedule
from drsformer_cli.training.loop import Progress, Training
from drsformer_cli.training.recipe import Recipe, read_recipe


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four soft colour patterns, large enough for validation."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[:256, :264]
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
        "seed": 5,
        "ema": 0.999,
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
    assert rows[0] == "step,minutes,learning_rate,loss,lines,torrent,downpour,light,noise,drops,clean"
    assert [row.split(",")[0] for row in rows[1:]] == ["4", "8", "12"]
    assert "lines" in (tmp_path / "broken" / "log.svg").read_text()


def test_it_learns(photographs: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = short_recipe(steps=60, validate_every=60, learning_rate=3e-3, patches=((0.0, 32, 4),))
    Training(recipe, photographs, tmp_path).run(lambda progress: losses.append(progress.loss))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_minutes_end_the_schedule(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 7))  # each look at the clock is seven seconds later
    monkeypatch.setattr(schedule.time, "monotonic", lambda: next(clock))
    rates: list[float] = []
    recipe = short_recipe(steps=1000, validate_every=1000)
    training = Training(recipe, photographs, tmp_path, minutes=1.0)
    training.run(lambda progress: rates.append(progress.learning_rate))
    assert training.step == 9
    assert rates[-1] < 0.2 * max(rates)


def test_another_recipe_does_not_go_on_from_a_checkpoint(photographs: Path, tmp_path: Path) -> None:
    Training(short_recipe(steps=1), photographs, tmp_path).run(lambda progress: None)
    with pytest.raises(UsageError, match="another recipe"):
        Training(short_recipe(steps=2), photographs, tmp_path)


def test_a_damaged_checkpoint_and_a_model_without_one_stop_it(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged beyond repair")
    with pytest.raises(CheckpointError, match="is damaged"):
        Training(short_recipe(), photographs, tmp_path)
    (tmp_path / "checkpoint.pt").rename(tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="is there already"):
        Training(short_recipe(), photographs, tmp_path)
    with pytest.raises(StorageError, match="cannot be made a folder"):
        Training(short_recipe(), photographs, tmp_path / "model.safetensors")


def hurt_states(path: Path) -> Iterator[dict[str, Any]]:
    """What stands where it should not, one thing at a time."""
    for name, value in (
        *(("step", -1), ("step", 1.5), ("step", "x"), ("minutes", float("nan")), ("minutes", None)),
        *(("recipe", None), ("recipe", "Recipe(" * 9000), ("network", []), ("average", {})),
        *(("optimizer", 7), ("optimizer", torch.zeros(2))),
    ):
        yield {**torch.load(path, weights_only=True), name: value}
    for table in ("network", "average"):
        state = torch.load(path, weights_only=True)
        name = next(iter(state[table]))
        for value in (None, torch.zeros(3), torch.full_like(state[table][name], torch.nan)):
            yield {**state, table: {**state[table], name: value}}
        del state[table][name]
        yield state
    state = torch.load(path, weights_only=True)
    averages = state["optimizer"]["state"]
    for value in (
        {},
        {"step": torch.zeros(1)},
        {**averages[0], "exp_avg_sq": -averages[0]["exp_avg_sq"] - 1},
    ):
        yield {**state, "optimizer": {"state": {**averages, 0: value}}}
    yield {**state, "optimizer": {"state": {**averages, 0: averages[max(averages)]}}}


def test_a_checkpoint_that_lies_stops_it(photographs: Path, tmp_path: Path) -> None:
    """Found: some went on from values that no training has, or ended with an unexpected error."""
    recipe, path = short_recipe(steps=1), tmp_path / "checkpoint.pt"
    Training(recipe, photographs, tmp_path).run(lambda progress: None)
    sound = path.read_bytes()
    for state in list(hurt_states(path)):
        torch.save(state, path)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged; remove it"):
            Training(recipe, photographs, tmp_path)
    path.write_bytes(sound)
    assert Training(recipe, photographs, tmp_path).step == 1


def test_a_flipped_bit_in_a_checkpoint_is_seen(photographs: Path, tmp_path: Path) -> None:
    """Found: torch does not look at the checksums, and the training went on with another weight."""
    recipe, path = short_recipe(steps=1), tmp_path / "checkpoint.pt"
    Training(recipe, photographs, tmp_path).run(lambda progress: None)
    tensors = torch.load(path, weights_only=True)["network"].values()
    flat = next(tensor for tensor in tensors if tensor.ndim == 1 and len(tensor) > 3)
    data = bytearray(path.read_bytes())
    data[data.index(flat.numpy().tobytes()) + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        Training(recipe, photographs, tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.timeout(60)
def test_a_checkpoint_that_is_a_pipe(photographs: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="is damaged"):
        Training(short_recipe(), photographs, tmp_path)


def test_it_begins_with_the_tensors_that_are_given(photographs: Path, tmp_path: Path) -> None:
    recipe = short_recipe(steps=2, validate_every=2)
    first = load_file(Training(recipe, photographs, tmp_path / "first").run(lambda progress: None))
    # From a rate of zero nothing is learned: what comes out is what went in.
    still = short_recipe(steps=1, learning_rate=0.0, final_learning_rate=0.0)
    second = Training(still, photographs, tmp_path / "second", start=first)
    last = load_file(second.run(lambda progress: None))
    for name in first:
        torch.testing.assert_close(first[name], last[name], rtol=0, atol=0)


def test_pairs_are_learned_from(photographs: Path, tmp_path: Path) -> None:
    for file in photographs.glob("*.png"):
        picture = Image.open(file)
        for name, change in (("clean", 0), ("rainy", 40)):
            (tmp_path / "pairs" / name).mkdir(parents=True, exist_ok=True)
            picture.point(lambda level, change=change: level + change).save(
                tmp_path / "pairs" / name / file.name
            )
    losses: list[float] = []
    scores: list[dict[str, float]] = []

    def note(progress: Progress) -> None:
        losses.append(progress.loss)
        scores.extend([progress.scores] if progress.scores else [])

    recipe = short_recipe(
        steps=60, validate_every=30, learning_rate=3e-3, patches=((0.0, 32, 4),), pairs=1.0, loss="l1"
    )
    training = Training(recipe, tmp_path / "pairs", tmp_path / "run")
    assert training.material.pairs is not None
    assert len(training.material.pairs) == 3
    training.run(note)
    assert np.mean(losses[:3]) > 0.1
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])
    assert scores[-1]["pairs"] > scores[0]["pairs"]


def test_half_precision_learns_too_and_keeps_whole_parameters(photographs: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    recipe = short_recipe(steps=40, validate_every=40, learning_rate=3e-3, patches=((0.0, 32, 4),))
    training = Training(recipe, photographs, tmp_path, bf16=True)
    model = training.run(lambda progress: losses.append(progress.loss))
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert {tensor.dtype for tensor in load_file(model).values()} == {torch.float32}
