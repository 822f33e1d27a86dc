"""The pages made from the commands and docstrings: up to date, and with nothing left out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import drsformer_cli
from drsformer_cli import errors
from drsformer_cli.cli import app, reference
from tests.cli.conftest import ROOT

DOCS = ROOT / "docs"


def commands() -> list[tuple[str, Any]]:
    return list(reference._walk(typer.main.get_command(app.app)))


@pytest.mark.parametrize("name", sorted(reference.PAGES))
def test_a_page_is_as_the_code_says(name: str, tmp_path: Path) -> None:
    reference.main(tmp_path)
    made = (tmp_path / name).read_text(encoding="utf-8")
    kept = (DOCS / name).read_text(encoding="utf-8")
    assert kept == made, "make it again: python -m drsformer_cli.cli.reference docs/"


@pytest.mark.parametrize(("name", "command"), commands())
def test_each_command_and_option_is_explained_with_examples(name: str, command: Any) -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"\n## {name}\n")
    section = section.partition("\n## ")[0]
    assert section
    if name != "derain weights":  # a group, whose commands have theirs
        assert "Examples:\n\n    derain " in section
    for param in command.params:
        assert param.help, f"{name} {param.opts} has no help"
        for option in param.opts:
            if option.startswith("-"):
                assert re.search(rf"`{option}[ `]", section)


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, _command in commands():
        assert name in ("derain run", "derain weights") or name in readme, name


def test_each_variable_of_the_environment_is_told() -> None:
    used = set()
    for path in (ROOT / "drsformer_cli").rglob("*.py"):
        used |= set(re.findall(r"\bDERAIN_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    told = set(re.findall(r"`(DERAIN_[A-Z_]+)`", reference.STATUS))
    assert used == told


def test_the_public_names_are_those_that_were_promised() -> None:
    promised = ["DRSformer", "Restorer", "__version__", "errors", "load", "psnr", "ssim"]
    assert sorted(drsformer_cli.__all__) == promised
    assert dir(drsformer_cli) == promised


def test_each_public_name_is_explained() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in drsformer_cli.__all__:
        if name != "__version__":
            assert f"\n## derain.{name}\n" in page
            assert inspect.getdoc(getattr(drsformer_cli, name))
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    for kind in kinds:
        assert f"- `{kind.__name__}(" in page
    load = page.partition("\n## derain.load\n")[2].partition("\n## ")[0]
    for argument in inspect.signature(drsformer_cli.load).parameters:
        assert f"\n{argument}: " in load
    for error in ("UsageError", "WeightsError", "DeviceError"):
        assert error in load


def test_what_a_class_offers_is_told_and_nothing_else() -> None:
    class Thing:
        """A thing."""

        number = 3

        @property
        def size(self) -> int:
            """Its size."""
            return 1

        def grow(self, by: int) -> None:
            """Let it grow."""

        def _hidden(self) -> None:
            """Nobody's business."""

    page = reference._class("Thing", Thing)
    assert "### derain.Thing.size\n\nIts size.\n" in page
    assert "### derain.Thing.grow\n\n```python\ngrow(by: int) -> None\n```" in page
    assert "number" not in page
    assert "_hidden" not in page
