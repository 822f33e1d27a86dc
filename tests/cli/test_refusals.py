"""Wrong words: each is answered in one sentence that says what was likely meant, or what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from drsformer_cli.cli.refusals import ELSEWHERE, listed, nearest
from tests.cli.conftest import Command, write_picture

SAID = [
    # options
    ("a.png --ouput x", "no such option: --ouput; did you mean --output?"),
    ("--outptu=x a.png", "no such option: --outptu; did you mean --output?"),
    ("a.png --overwite", "no such option: --overwite; did you mean --overwrite?"),
    ("--versio", "no such option: --versio; did you mean --version?"),
    ("a.png --crf 12", "no such option: --crf; it belongs to `derain video`."),
    ("video a.mp4 --gt x", "no such option: --gt; it belongs to `derain run` and `derain eval`."),
    ("video a.mp4 --shard 1/2", "no such option: --shard; it belongs to `derain run`."),
    ("video a.mp4 --quality 3", "no such option: --quality; it belongs to `derain run`."),
    ("a.png --codec h264", "no such option: --codec; it belongs to `derain video`."),
    ("a.png --start 3", "no such option: --start; it belongs to `derain video`."),
    ("a.png --gpu", "no such option: --gpu; say --device cuda."),
    ("a.png -r", "no such option: -r; folders are searched with all folders in them: leave it out."),
    ("a.png --zzz", "no such option: --zzz; `derain run -h` lists what there is."),
    ("weights get did --form x", "no such option: --form; did you mean --from?"),
    # their values
    ("a.png --json=3", "--json takes no value: give it without what stands behind the =."),
    ("a.png -o", "-o lacks what should follow it: give -o FOLDER or FILE, or leave it out."),
    ("train x -o", "-o lacks what should follow it: give -o FOLDER, or leave it out."),
    (
        "a.png --format jpeg",
        "--format jpeg is not known: did you mean jpg? There are same, png, jpg, webp and tif.",
    ),
    ("a.png --format gif", "--format gif is not known: give same, png, jpg, webp or tif."),
    ("a.png --quality high", "--quality high makes no sense: give a whole number from 1 to 100."),
    ("a.png --quality 0", "--quality 0 makes no sense: give a whole number from 1 to 100."),
    ("a.png --workers 0", "--workers 0 makes no sense: give a whole number from 1 up."),
    ("a.png --gpus-per-worker x", "--gpus-per-worker x makes no sense: give a number from 0 up."),
    ("a.png --strength 70%", "--strength 70% makes no sense: give a number from 0 to 1."),
    (
        "a.png --strength 70",
        "--strength 70 is not between 0 (the input) and 1 (the full result); did you mean 0.7?",
    ),
    ("a.png --memory 4", "--memory 4 is less than the smallest model needs: did you mean 4G?"),
    ("a.png --memory 63.5", "--memory 63.5 is less than the smallest model needs: did you mean 63.5G?"),
    ("a.png --memory 800", "--memory 800 is less than the smallest model needs: did you mean 800M?"),
    ("a.png --memory 5000", "--memory 5000 is less than the smallest model needs: did you mean 5000M?"),
    ("train x --minutes two", "--minutes two makes no sense: give a number."),
    ("train x --steps 1.5", "--steps 1.5 makes no sense: give a whole number from 1 up."),
    # commands
    ("vidoe a.mp4", "vidoe is no command, and no file or folder either; did you mean video?"),
    ("derain a.png", "the word derain stands twice: leave one of them out."),
    ("weights lsit", "`derain weights` has no lsit; did you mean list?"),
    ("weights zzz", "`derain weights` has no zzz; there are list, get, import, verify and where."),
    ("weights --", "missing command: `derain weights -h` lists what there is."),
    (
        "weights where compact x",
        "`derain weights where` does not know what to do with x: leave it out, or put quotes around a name "
        "with spaces.",
    ),
    (
        "eval",
        "`derain eval` needs --pred FOLDER (the restored pictures: a folder, pattern or file): "
        "`derain eval -h` shows examples.",
    ),
    (
        "weights get",
        "`derain weights get` needs NAME (a name of `derain weights list`): `derain weights get -h` shows "
        "examples.",
    ),
    # paths
    ("picturse", "picturse does not exist; did you mean pictures?"),
    ("pictures/AA.PNG", "pictures/AA.PNG does not exist; did you mean pictures/a.png?"),
    ("pictures/zzz.jpg", "pictures/zzz.jpg does not exist; check the spelling."),
    ("eval --gt picturs --pred pictures", "--gt picturs does not exist; did you mean pictures?"),
]
MODELS = [
    ("compat", "there is no model 'compat'; did you mean compact? (`derain weights list` shows all)"),
    ("mine.pth", "there is no checkpoint file mine.pth; check the spelling."),
    ("./mine.pth", "there is no checkpoint file ./mine.pth; check the spelling."),
    ("pictures", "pictures is no model: give a name, or a file in .pth, .pt, .safetensors."),
    ("rain200h", "the model 'rain200h' is not downloaded yet; type `derain weights get rain200h`."),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "pictures" / "a.png")
    write_picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("words", "said"), SAID)
def test_wrong_words_are_answered_with_what_was_meant(derain: Command, words: str, said: str) -> None:
    outcome = derain(*words.split())
    assert (outcome.status, outcome.err, outcome.out) == (2, f"derain: {said}\n", "")


@pytest.mark.parametrize(("name", "said"), MODELS)
@pytest.mark.parametrize("before", ["a.png -m", "bench -m", "weights verify"])
def test_models_that_are_not_there(derain: Command, before: str, name: str, said: str) -> None:
    outcome = derain(*before.split(), name)
    assert (outcome.status, outcome.err) == (3, f"derain: {said}\n")


@pytest.mark.parametrize("option", [option for options in ELSEWHERE for option in options])
def test_options_of_other_programs_lead_to_ours(derain: Command, option: str) -> None:
    outcome = derain("a.png", option, "x")
    assert outcome.status == 2
    assert outcome.err.startswith(f"derain: no such option: {option}; ")
    assert "lists what there is" not in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_of_the_wrong_things(derain: Command, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(b"x")
    said = "no pictures found, 1 left out (1 not a picture); films are for `derain video`.\n"
    assert derain("films").err == said
    assert "pictures are for derain without the word video" in derain("video", "pictures").err


def test_lists_and_questions() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b or c"
    assert nearest("zebra", ["run", "video"]) == ""
    assert nearest("VIDEO", ["run", "video"]) == "did you mean video?"
