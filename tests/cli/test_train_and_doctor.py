"""`derain train` and `derain doctor`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.cli import doctor, train
from drsformer_cli.training.loop import Progress
from drsformer_cli.weights import read
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
        write_picture(tmp_path / "photographs" / f"{index}.png", index, (256, 256))
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
    assert "training on 1 photograph, 4 steps in all, on cpu" in trained.err
    assert "step 4, 100.0%" in trained.err
    assert (tmp_path / "run" / "log.csv").read_text().startswith("step,minutes,learning_rate,loss,lines\n2,")
    assert (tmp_path / "run" / "log.svg").read_text().startswith("<svg")
    assert "finished before: 4 steps are done" in derain(*words).err
    again = derain(*words, "-q")
    assert (again.status, again.err, again.out) == (0, "", "")
    model = tmp_path / "run" / "model.safetensors"
    restored = derain(photos, "-o", tmp_path / "out", "-m", model, "--device", "cpu")
    assert restored.status == 0, restored.err


def test_a_model_is_tuned_to_pairs(derain: Command, tmp_path: Path, tiny: Path) -> None:
    """From a checkpoint of another network than the recipe's, which the result is then a model of, too."""
    for index in range(2):
        for name in ("rainy", "clean"):
            write_picture(tmp_path / "pairs" / name / f"{index}.png", index, (256, 256))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    words = ["train", tmp_path / "pairs", "-o", tmp_path / "run", "--config", recipe, "--device", "cpu"]
    tuned = derain(*words, "--from", tiny, "--learning-rate", "1e-5", "--steps", 2, "--precision", "bf16")
    assert tuned.status == 0, tuned.err
    assert (
        "training on 1 pair, 2 steps in all, on cpu in bf16\nso few pairs are learned by heart: " in tuned.err
    )
    assert "dB: pairs" in tuned.err
    before, after = read(tiny), read(tmp_path / "run" / "model.safetensors")
    assert after.config == before.config
    moved = [(after.tensors[name] - before.tensors[name].float()).abs().max() for name in before.tensors]
    assert 0 < max(moved) < 1e-3
    refused = derain(*words, "--from", tiny)
    assert refused.status == 2
    assert "belongs to another recipe (steps 2 -> " in refused.err
    assert (
        f"to go on from the finished model, give --from {tmp_path / 'run' / 'model.safetensors'}"
        in refused.err
    )
    missing = derain(*words, "--from", "no-such-model")
    assert missing.status == 3
    assert "no-such-model" in missing.err


def test_a_model_is_made_deeper(derain: Command, photographs: Path, tmp_path: Path, tiny: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    words = ["train", photographs, "--config", recipe, "--device", "cpu", "--steps", 2]
    before = read(tiny)
    blocks = ",".join(str(count + 1) for count in before.config.blocks)
    deeper = derain(*words, "--from", tiny, "--blocks", blocks, "-o", tmp_path / "deeper")
    assert deeper.status == 0, deeper.err
    after = read(tmp_path / "deeper" / "model.safetensors")
    assert after.config == replace(before.config, blocks=tuple(count + 1 for count in before.config.blocks))
    anew = derain(*words, "--blocks", "1,2,1,1", "-o", tmp_path / "anew")
    assert anew.status == 0, anew.err
    assert read(tmp_path / "anew" / "model.safetensors").config.blocks == (1, 2, 1, 1)
    shallower = derain(*words, "--from", tmp_path / "deeper" / "model.safetensors", "--blocks", "1,1,1,1")
    assert shallower.status == 2
    assert (
        f"--blocks and --from {tmp_path / 'deeper' / 'model.safetensors'} do not go together: "
        in shallower.err
    )


def test_more_is_said_when_asked(derain: Command, photographs: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    words = [
        "train",
        photographs,
        "-o",
        tmp_path / "run",
        "--config",
        recipe,
        "--device",
        "cpu",
        "--steps",
        3,
    ]
    assert "contradict" in derain(*words, "-q", "-v").err
    assert "\nstep 2, " in derain(*words, "-v").err
    assert (
        "finished before: 3 steps are done; to go on from the finished model, give --from"
        in derain(*words).err
    )


def test_a_sheet_of_samples_is_all_that_is_made(derain: Command, photographs: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "rain.png"
    outcome = derain(
        "train", photographs, "--samples", sheet, "--beside", photographs, "-o", tmp_path / "run"
    )
    assert outcome.status == 0, outcome.err
    assert str(sheet) in outcome.out
    with Image.open(sheet) as picture:
        assert picture.width == 8 * 192
    assert not (tmp_path / "run").exists()


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
        ([".", "--learning-rate", "2"], "--learning-rate must be above 0 and below 1"),
        ([".", "--learning-rate", "nan"], "--learning-rate must be above 0 and below 1"),
        ([".", "--minutes", "nan"], "--minutes must be positive"),
        ([".", "--precision", "fp16"], "--precision fp16 is too coarse"),
        ([".", "--beside", "."], "name that, too"),
        ([".", "--blocks", "1,2,2"], "--blocks 1,2,2 is not usable: give four numbers from 1 to 64"),
        ([".", "--blocks", "1,2,2,two"], "--blocks 1,2,2,two is not usable: "),
        ([".", "--blocks", "1,2,2,65"], "--blocks 1,2,2,65 is not usable: "),
        ([".", "--samples", "a.png", "--beside", "nowhere"], "nowhere is not a folder"),
        ([".", "--samples", "a.png"], "holds 0 pictures of 192 x 192"),
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


def test_a_sheet_is_made_without_a_word_when_asked(
    derain: Command, photographs: Path, tmp_path: Path
) -> None:
    outcome = derain("train", photographs, "--samples", tmp_path / "rain.png", "-q")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert (tmp_path / "rain.png").is_file()
