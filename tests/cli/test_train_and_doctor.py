"""`derain train` and `derain doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.cli import doctor, train
from drsformer_cli.training.loop import Progress
from tests.cli.conftest import Command, run_process, write_picture

RECIPE = """
[network]
dim = 8
blocks = [1, 1, 1, 1]
heads = [1, 1, 1, 1]
expansion = 1.0
mefc = false
[rain]
lines = 1.0
[schedule]
steps = 4
warmup = 0.0
learning_rate = 1e-3
final_learning_rate = 1e-6
weight_decay = 0.0
clip = 1.0
ema = 0.9
seed = 1
patches = [[0.0, 16, 1]]
held_out = 1
validate_every = 2
"""


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for index in range(2):
        write_picture(tmp_path / "photographs" / f"{index}.png", index, (200, 200))
    return tmp_path / "photographs"


def test_a_trained_model_restores_pictures(
    derain: Command, photographs: Path, tmp_path: Path, photos: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    words = ["train", photographs, "-o", tmp_path / "run", "--config", recipe, "--device", "cpu"]
    trained = derain(*words)
    assert trained.status == 0, trained.err
    assert "step 4" in trained.err
    assert "held-out photographs, dB: lines" in trained.err
    assert "training on 1 photographs, 4 steps in all, on cpu" in trained.err
    assert "step 4, 100.0%" in trained.err
    assert "finished before: 4 steps are done" in derain(*words).err
    again = derain(*words, "-q")
    assert (again.status, again.err, again.out) == (0, "", "")
    model = tmp_path / "run" / "model.safetensors"
    restored = derain(photos, "-o", tmp_path / "out", "-m", model, "--device", "cpu")
    assert restored.status == 0, restored.err


@pytest.mark.parametrize(("step", "word"), [(1, "starts anew"), (3, "goes on from step 2")])
def test_an_interrupted_training_says_how_to_go_on(
    derain: Command,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    word: str,
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "_report", interrupt)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    words = ["-o", tmp_path / "run", "--config", tmp_path / "recipe.toml", "--device", "cpu"]
    outcome = derain("train", photographs, *words)
    assert outcome.status == 130
    assert f"interrupted at step {step}; the same command {word}" in outcome.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere is not a folder"),
        ([".", "--minutes", "-1"], "--minutes must be positive"),
        ([".", "--config", "none.toml"], "the recipe none.toml cannot be read"),
        ([".", "--device", "tpu"], "--device tpu is not known"),
        (["."], "needs at least 9"),
    ],
)
def test_wrong_words_for_a_training(
    derain: Command, words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = derain("train", *words)
    assert outcome.status == 2
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


def test_doctor_finds_nothing_broken(derain: Command) -> None:
    outcome = derain("doctor", "--json")
    findings = [json.loads(line) for line in outcome.out.splitlines()]
    assert outcome.status == 0, [finding for finding in findings if finding["state"] == "broken"]
    topics = {finding["topic"]: finding for finding in findings}
    assert {
        "derain",
        "python",
        "torch",
        "device cpu",
        "model compact",
        "model cache",
        "ffmpeg",
    } <= topics.keys()
    assert "fp32" in topics["device cpu"]["found"]
    words = derain("doctor")
    assert words.status == 0
    assert "device cpu" in words.out


def test_doctor_says_what_is_broken_and_what_to_do(derain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("no-such-library",))
    outcome = derain("doctor")
    assert outcome.status == 3
    assert "pip install no-such-library" in " ".join(outcome.out.split())


def test_doctor_runs_in_a_process_of_its_own_offline(tmp_path: Path) -> None:
    outcome = run_process("doctor", DERAIN_OFFLINE="1", DERAIN_CACHE=str(tmp_path / "cache"))
    assert outcome.status == 0, outcome.out
    assert "DERAIN_OFFLINE=1" in outcome.out
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_the_pattern_through_the_command_line(golden: Path, tmp_path: Path, variant: str) -> None:
    """What the authors' script writes for the pattern, from a full-size checkpoint in the published form."""
    import torch

    from tests.networks import full_size_tensors

    tensors = full_size_tensors(golden, variant)
    tensors["output.weight"] *= 0.02
    torch.save({"params": tensors}, tmp_path / "full.pth")
    out = tmp_path / "out.png"
    outcome = run_process(
        golden / "pattern.png", "-o", out, "-m", tmp_path / "full.pth", "--device", "cpu", cwd=tmp_path
    )
    assert outcome.status == 0, outcome.err
    expected = np.asarray(Image.open(golden / f"pattern_{variant}.png").convert("RGB")).astype(int)
    difference = np.abs(np.asarray(Image.open(out)).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999
