"""Completion of words by shells: by bash itself where there is one, and as zsh and fish ask for it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drsformer_cli.cli import completion
from tests.cli.conftest import Command, environment

CASES = [
    (("derain", "v"), ["video"]),
    (("derain", "--dry"), ["--dry-run"]),  # of the short form
    (("derain", "-m", "c"), ["compact"]),
    (("derain", "photos/", "-m", "rain200"), ["rain200l", "rain200h"]),
    (("derain", "photos/", "--format", "w"), ["webp"]),
    (("derain", "photos/", "--ove"), ["--overlap", "--overwrite"]),
    (("derain", "vidoe", "x"), []),
    (("derain", "video", "a.mp4", "--codec", "h"), ["h264", "h265"]),
    (("derain", "weights", "get", "d"), ["did", "ddn"]),
    (("derain", "weights", "v"), ["verify"]),
    (("derain", "eval", "--score", "b"), ["brisque"]),
    (("derain", "bench", "--tile", "o"), ["off"]),
]


def completed(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, derain: Command) -> list[str]:
    monkeypatch.setenv("_DERAIN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    outcome = derain()
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.out.split()


@pytest.mark.parametrize(("words", "expected"), CASES)
def test_words_are_completed(
    derain: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: list[str]
) -> None:
    assert completed(words, monkeypatch, derain) == expected


def test_imported_models_are_offered_and_a_bad_cache_is_no_matter(
    derain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))
    assert derain("weights", "import", tiny, "--name", "mine").status == 0
    assert completion.model_names("m") == ["mine"]
    monkeypatch.setenv("DERAIN_CACHE", "~no-such-user-here/x")
    assert completion.model_names("m") == []
    assert completion.model_names("comp") == ["compact"]


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """Return an environment in whose PATH `derain` is a program, as an installation makes it."""
    script = tmp_path / "bin" / "derain"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m drsformer_cli "$@"\n')
    script.chmod(0o755)
    return environment(PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_with_what_derain_gives_it(program: dict[str, str]) -> None:
    """Without bash-completion, as a plain shell has it; where nothing fits, bash goes on with files."""
    script = """
set -eu
eval "$(_DERAIN_COMPLETE=source_bash derain)"
complete -p derain
COMP_WORDS=(derain -m com)
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_derain_completion derain
printf 'reply %s\\n' "${COMPREPLY[@]}"
"""
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=program, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "complete -o default -F _derain_completion derain",
        "reply compact",
    ]


@pytest.mark.parametrize(
    ("shell", "asked", "answer"),
    [("zsh", {}, '"compact"'), ("fish", {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "compact")],
)
def test_zsh_and_fish_get_what_they_ask_for(
    derain: Command, monkeypatch: pytest.MonkeyPatch, shell: str, asked: dict[str, str], answer: str
) -> None:
    monkeypatch.setenv("_DERAIN_COMPLETE", f"source_{shell}")
    script = derain().out
    assert "_TYPER_COMPLETE_ARGS" in script
    assert f"complete_{shell}" in script
    words = {"_DERAIN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "derain photos/ -m com"}
    for name, value in {**words, **asked}.items():
        monkeypatch.setenv(name, value)
    assert answer in derain().out


def test_completion_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from drsformer_cli.cli.completion import model_names\n"
        "assert 'compact' in model_names('')\n"
        "print([name for name in ('torch', 'numpy', 'requests', 'rich') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == "[]\n"


def test_the_way_to_switch_it_on_is_in_the_help(derain: Command) -> None:
    assert "--install-completion" in derain("--help").out
