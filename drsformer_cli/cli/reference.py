"""The pages docs/commands.md and docs/api.md, made from the commands and the docstrings themselves.

    python -m drsformer_cli.cli.reference docs/

writes them; a test tells when they are out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import drsformer_cli
from drsformer_cli import errors
from drsformer_cli.cli.app import app

NOTE = "<!-- made by python -m drsformer_cli.cli.reference docs/: change the code instead -->\n"
STATUS = """## Exit status

| status | means |
|---|---|
| 0 | all done |
| 1 | some inputs failed, each named with its reason |
| 2 | wrong usage |
| 3 | the environment: weights, device, disk |
| 130 | interrupted (Ctrl-C) |
| 143 | terminated (SIGTERM) |

## Environment

| variable | means |
|---|---|
| `DERAIN_CACHE` | the folder that models are kept in |
| `DERAIN_OFFLINE` | set to 1: no network, ever |
| `DERAIN_WEIGHTS_MIRROR` | where `derain weights get` fetches from |
| `DERAIN_FFMPEG` | the ffmpeg program to use |
| `OMP_NUM_THREADS` | how many threads work on a CPU |
"""


def commands_page() -> str:
    """Return docs/commands.md: what each `derain ... --help` says, in full."""
    group: Any = typer.main.get_command(app)
    names = [name for name, _command in _walk(group)]
    contents = "".join(f"- [`{name}`](#{name.replace(' ', '-')})\n" for name in names)
    parts = [f"{NOTE}# Commands\n\n`derain COMMAND --help` shows the same in the terminal.\n\n{contents}"]
    parts += [_command(name, command) for name, command in _walk(group)]
    return "\n".join([*parts, STATUS])


def _walk(group: Any, path: str = "derain") -> Iterator[tuple[str, Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from _walk(command, f"{path} {name}")


def _command(name: str, command: Any) -> str:
    arguments = [param for param in command.params if not param.opts[0].startswith("-")]
    options = [param for param in command.params if param.opts[0].startswith("-")]
    inner = " COMMAND" if hasattr(command, "commands") else ""
    words = "".join(f" {_place(param)}" for param in arguments) or (" PATHS... |" if name == "derain" else "")
    lines = [f"## {name}\n", f"    {name} [OPTIONS]{words}{inner}\n", _prose(command.help or "")]
    if arguments:
        lines += ["| argument | means |\n|---|---|"]
        lines += [f"| `{_place(param)}` | {_cell(param.help)} |" for param in arguments]
        lines += [""]
    lines += ["| option | means |\n|---|---|"]
    lines += [f"| {_names(param)} | {_cell(param.help)}{_default(param)} |" for param in options]
    if name == "derain":  # which the parser adds by itself, to each command
        lines += ["| `-h`, `--help` | Show the help of this or any command and exit. |"]
    return "\n".join([*lines, ""])


def _place(param: Any) -> str:
    several = "..." if param.nargs == -1 and not param.metavar.endswith("...") else ""
    return f"{param.metavar}{several}"


def _names(param: Any) -> str:
    value = "" if param.is_flag else f" {param.metavar or _choices(param)}"
    return ", ".join(f"`{name}{value if name == param.opts[-1] else ''}`" for name in param.opts).replace(
        "|", "\\|"
    )


def _choices(param: Any) -> str:
    kind = param.type_descriptor.annotation
    members = getattr(kind, "__members__", None)
    return "|".join(member.value for member in members.values()) if members else kind.__name__.upper()


def _default(param: Any) -> str:
    value = getattr(param.default, "value", param.default)
    if param.is_flag or value is None or "[default" in (param.help or "") or value == "":
        return ""
    return f" *(default: `{value}`)*"


def _cell(text: str | None) -> str:
    words = " ".join((text or "").split()).replace("|", "\\|")
    return re.sub(r"\s*\[default: (.*)\]$", r" *(default: \1)*", words)


def _prose(help: str) -> str:
    """Return a help text as Markdown: its examples as a block of code."""
    text, _, examples = inspect.cleandoc(help).partition("\b\n")
    if not examples:
        return f"{text.strip()}\n"
    block, _, rest = examples.partition("\n\n")
    title, *lines = block.splitlines()
    code = "\n".join(f"    {line.strip()}" for line in lines)
    return "\n\n".join(part for part in (text.strip(), title, code, rest.strip()) if part) + "\n"


def api_page() -> str:
    """Return docs/api.md: the public names of the package, from their docstrings."""
    doc = inspect.getdoc(drsformer_cli) or ""
    parts = [f"{NOTE}# The Python API\n\n{doc}\n"]
    for name in drsformer_cli.__all__:
        value = getattr(drsformer_cli, name)
        if inspect.isclass(value):
            parts.append(_class(name, value))
        elif inspect.isfunction(value):
            parts.append(_function(f"derain.{name}", value, "##"))
    parts.append(f"## derain.errors\n\n{inspect.getdoc(errors)}\n")
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, errors.DerainError):
            base = value.__bases__[0].__name__
            parts.append(
                f"- `{name}({base})`: {_one_line(value)} Ends the command line with {value.exit_status}."
            )
    return "\n".join(parts) + "\n"


def _class(name: str, kind: type) -> str:
    parts = [f"## derain.{name}\n", _block(kind)]
    for member, value in vars(kind).items():
        if member.startswith("_") and member != "__call__":
            continue
        if isinstance(value, property):
            parts.append(f"### derain.{name}.{member}\n\n{_block(value)}")
        elif isinstance(value, (classmethod, staticmethod)):
            parts.append(_function(f"derain.{name}.{member}", value.__func__, "###"))
        elif inspect.isfunction(value):
            parts.append(_function(f"derain.{name}.{member}", value, "###"))
    return "\n".join(parts)


def _function(name: str, function: Any, level: str) -> str:
    shown = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    signature = inspect.signature(function).replace(parameters=shown)
    plain = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature))
    return f"{level} {name}\n\n```python\n{name.rpartition('.')[2]}{plain}\n```\n\n{_block(function)}"


def _block(thing: Any) -> str:
    """Return a docstring; what is indented in it, such as arguments, as a block of code."""
    doc = inspect.getdoc(thing) or ""
    return re.sub(r"(?m)^(Args|Returns|Raises|Attributes|Yields):$", r"**\1**", _fenced(doc)) + "\n"


def _fenced(doc: str) -> str:
    lines: list[str] = []
    inside = False
    for line in doc.splitlines():
        indented = line.startswith("    ")
        if indented and not inside:
            lines += [*([""] if lines and lines[-1] else []), "```text"]
        if inside and line and not indented:
            while not lines[-1]:
                lines.pop()
            lines += ["```", ""]
        inside = indented or (inside and not line)
        lines.append(line[4:] if indented else line)
    return "\n".join([*lines, *(["```"] if inside else [])])


def _one_line(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


PAGES = {"commands.md": commands_page, "api.md": api_page}


def main(folder: Path) -> None:
    """Write the pages into a folder."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
