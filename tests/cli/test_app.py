"""The command itself: its help, its speed, the form without a sub-command, and how it ends."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

import drsformer_cli
from drsformer_cli.cli import app
from drsformer_cli.errors import DeviceError, UnreadableError, UsageError
from tests.cli.conftest import Command, environment, run_process

HEAVY = ["torch", "cv2", "numpy", "PIL", "av", "safetensors", "pooch", "gdown", "requests", "rich.console"]
OPTIONS = [
    *("-o", "--output", "--format", "--quality", "--suffix", "--report", "-m", "--model", "--device"),
    *("--precision", "--tile", "--overlap", "--memory", "--ensemble", "--strength", "--overwrite"),
    *("--dry-run", "-q", "--quiet", "-v", "--verbose", "--json", "--gt", "--protocol", "--allow-missing"),
]


def test_help_shows_examples_and_commands(derain: Command) -> None:
    outcome = derain("--help")
    assert outcome.status == 0
    assert "derain photos/ -o clean/" in outcome.out
    assert "derain - < in.png > out.png" in outcome.out
    for command in app.app.registered_commands:
        assert command.callback is not None
        assert f"  {command.name or command.callback.__name__} " in outcome.out


def test_bare_command_shows_help(derain: Command) -> None:
    outcome = derain()
    assert "derain photos/ -o clean/" in outcome.out + outcome.err


def test_version(derain: Command) -> None:
    outcome = derain("--version")
    assert (outcome.status, outcome.out) == (0, f"derain {drsformer_cli.__version__}\n")


def test_run_help_names_every_option(derain: Command) -> None:
    outcome = derain("run", "--help")
    assert outcome.status == 0
    words = outcome.out.replace(",", " ").split()
    for option in OPTIONS:
        assert option in words


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["--version"], ["nowhere.jpg"], ["x", "--tile", "1"]]
)
def test_nothing_heavy_is_loaded_for_words(words: list[str]) -> None:
    script = (
        "import sys\n"
        "from drsformer_cli.cli.app import main\n"
        f"sys.argv = ['derain', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True
    )
    allowed = "torch" not in done.stdout if words == ["nowhere.jpg"] else done.stdout.endswith("loaded []\n")
    assert allowed, done.stdout


def seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment())
    return time.perf_counter() - began


def ratio(samples: int) -> float:
    """Return how much longer `derain --help` takes than loading what it is made of."""
    ours, theirs = [], []
    for _ in range(samples):  # in turns, so that both meet the same machine
        ours.append(seconds("-m", "drsformer_cli", "--help"))
        theirs.append(seconds("-c", "import typer, rich"))
    return statistics.median(ours) / statistics.median(theirs)


def test_help_is_quick() -> None:
    assert ratio(5) < 2.0


@pytest.mark.slow
def test_help_is_as_quick_as_promised() -> None:
    assert ratio(20) <= 1.5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["photos/"], ["run", "photos/"]),
        (["-o", "out", "photos/"], ["run", "-o", "out", "photos/"]),
        (["-"], ["run", "-"]),
        (["--", "-a.jpg"], ["run", "--", "-a.jpg"]),
        (["*.jpg"], ["run", "*.jpg"]),
        (["./weights"], ["run", "./weights"]),
        (["--json", "a.jpg"], ["run", "--json", "a.jpg"]),
        (["run", "photos/"], ["run", "photos/"]),
        (["weights", "list"], ["weights", "list"]),
        (["--version", "a"], ["--version", "a"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_a_first_word_that_is_no_command_is_a_path(words: list[str], expected: list[str]) -> None:
    group = typer.main.get_command(app.app)
    assert isinstance(group, app.PathsOrCommand)
    assert group.with_run(words) == expected


@pytest.mark.parametrize(("word", "meant"), [("weigths", "weights"), ("rum", "run")])
def test_a_misspelt_command_gets_a_suggestion(derain: Command, word: str, meant: str) -> None:
    outcome = derain(word, "list")
    assert outcome.status == 2
    assert f"did you mean {meant}?" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_with_nearly_a_commands_name_is_a_folder(
    derain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weight").mkdir()
    monkeypatch.chdir(tmp_path)
    outcome = derain("weight")
    assert outcome.status == 0
    assert outcome.err == "no pictures found.\n"


def test_a_path_that_is_not_there(derain: Command) -> None:
    outcome = derain("no/such/folder")
    assert outcome.status == 2
    assert outcome.err.startswith("derain: ")
    assert "no/such/folder" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UsageError("wrong words."), 2, "derain: wrong words.\n"),
        (UnreadableError("a.jpg is no picture."), 1, "derain: a.jpg is no picture.\n"),
        (DeviceError("no such\ndevice \x1b[31m."), 3, "derain: no such\\ndevice \\x1b[31m.\n"),
        (KeyboardInterrupt(), 130, "derain: interrupted.\n"),
        (KeyboardInterrupt("stopped at 3."), 130, "derain: stopped at 3.\n"),
        (app.Terminated(), 143, "derain: interrupted.\n"),
    ],
)
def test_errors_end_in_one_line_and_a_status(
    derain: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("drsformer_cli.cli.options.ModelOptions.check", fail)
    outcome = derain("a.jpg", "-v")
    assert (outcome.status, outcome.err) == (status, said)


def test_unexpected_errors_give_details_on_request(derain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("drsformer_cli.cli.options.ModelOptions.check", fail)
    quiet = derain("a.jpg")
    assert quiet.status == 1
    assert "unexpected ZeroDivisionError: oops" in quiet.err
    assert "-v" in quiet.err
    assert "Traceback" not in quiet.err
    assert "Traceback" in derain("a.jpg", "-v").err


def test_every_command_has_the_option_that_shows_details() -> None:
    group: Any = typer.main.get_command(app.app)
    commands = [command for name, command in group.commands.items() if name != "weights"]
    commands += group.commands["weights"].commands.values()
    assert len(commands) == 11
    for command in commands:
        assert any({"-v", "--verbose"} <= set(param.opts) for param in command.params), command.name


def test_unknown_options_are_wrong_usage() -> None:
    outcome = run_process("a.jpg", "--frobnicate")
    assert outcome.status == 2
    assert "--frobnicate" in outcome.err
    assert outcome.err.startswith("derain: no such option: --frobnicate")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "bmp"], "--format bmp is not known: give same, png, jpg, webp or tif."),
        (["--precision", "fp8"], "--precision fp8 is not known: give auto, fp32, bf16 or fp16."),
        (["--quality", "500"], r"--quality 500 .*\b100\b.*"),
        (["--overlap", "x"], "--overlap x makes no sense: give a whole number from 0 up."),
        (["--format"], "--format lacks what should follow it: .*"),
    ],
)
def test_bad_values_are_refused_in_one_line(derain: Command, words: list[str], said: str) -> None:
    outcome = derain("a.jpg", *words)
    assert outcome.status == 2
    assert re.fullmatch(f"derain: {said}\n", outcome.err)


@pytest.mark.parametrize(
    "words", [[], ["run"], ["weights"], ["weights", "get"], ["train"], ["eval"], ["doctor"]]
)
def test_help_has_a_short_name_and_a_command(derain: Command, words: list[str]) -> None:
    long = derain(*words, "--help")
    assert long.status == 0
    assert derain(*words, "-h") == long
    assert derain("help", *words) == long
