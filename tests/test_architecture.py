"""The house stands as drawn: imports go one way, what is light stays light, and no file outgrows a reader."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "drsformer_cli"
ROOT = Path(__file__).parents[1]
MOST_LINES = 400
#: What each room may import besides itself, the errors and the facts of the machine.
BELOW = {
    "": {"model", "quality", "restore", "cli"},  # the public API, and `python -m`
    "cli": {"", "jobs", "training", "restore", "quality", "weights", "media"},
    "jobs": {"", "training", "restore", "quality", "weights", "media", "model"},
    "training": {"", "restore", "quality", "weights", "media", "model"},
    "restore": {"weights", "model"},
    "weights": {"", "model", "media.files"},  # a checkpoint is a file, too; nothing else of the other wing
    "quality": {"", "media"},
    "media": set(),
    "model": set(),
    "errors": set(),
    "machine": set(),
}
#: The configuration of a network asks the network for its shapes; each is told by the other.
TWINS = {f"{PACKAGE}.model.config", f"{PACKAGE}.model.drsformer"}
#: What `derain --help` is made of, besides Python's own library.
LIGHT = {"typer", PACKAGE}


@dataclass(frozen=True)
class Import:
    """A module of which something is imported; `lazy` inside a function, `typing` for type checkers alone."""

    name: str
    lazy: bool
    typing: bool


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(node: ast.AST, *, lazy: bool = False, typing: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(each.name, lazy, typing) for each in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "absolute imports read the same everywhere"
            yield from (Import(f"{child.module}.{each.name}", lazy, typing) for each in child.names)
        else:
            checked = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports_in(child, lazy=lazy or inside, typing=typing or checked)


@cache
def imports_of(module: str) -> frozenset[Import]:
    """The imports of a module; those of the package by the names of modules, others as they are written."""
    found = set()
    for each in imports_in(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        name = each.name
        while name.startswith(PACKAGE) and name not in modules():
            name = name.rpartition(".")[0]
        found.add(Import(name, each.lazy, each.typing))
    return frozenset(found)


def own_imports(module: str) -> Iterator[Import]:
    return (each for each in imports_of(module) if each.name.partition(".")[0] == PACKAGE)


def room_of(module: str) -> str:
    parts = module.split(".")[1:]
    return "" if not parts or parts == ["__main__"] else parts[0]


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_one_way(module: str) -> None:
    room = room_of(module)
    allowed = BELOW[room] | {room, "errors", "machine"}
    for each in own_imports(module):
        inner = each.name.partition(".")[2]
        assert room_of(each.name) in allowed or inner in allowed, f"{module} imports {each.name}"


def test_every_room_is_in_the_plan() -> None:
    assert {room_of(module) for module in modules()} == BELOW.keys()


def test_no_two_modules_import_each_other() -> None:
    """Directly or around corners, at once or later."""
    waiting = {
        name: {each.name for each in own_imports(name) if not each.typing} - {name} for name in modules()
    }
    waiting[f"{PACKAGE}.model.config"] -= TWINS
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


def loaded_with(module: str) -> Iterator[str]:
    """All that is loaded when a module is, by name."""
    seen, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name in modules():
            todo += [f"{PACKAGE}.{part}" for part in (room_of(name),) if part]
            todo += [each.name for each in imports_of(name) if not (each.lazy or each.typing)]


@pytest.mark.parametrize("module", ["cli.app", "errors", "cli.completion", "cli.options", "weights"])
def test_light_modules_load_nothing_heavy(module: str) -> None:
    top = {name.partition(".")[0] for name in loaded_with(f"{PACKAGE}.{module}")}
    assert top - LIGHT <= sys.stdlib_module_names


@pytest.mark.parametrize("folder", [PACKAGE, "benchmarks"])
def test_no_file_is_longer_than_a_reader_is_patient(folder: str) -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")
    }
    assert lengths
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}
