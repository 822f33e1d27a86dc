"""What a person reads whose words the parser of options refused: one sentence, with what was likely meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer
import typer.core

from drsformer_cli.errors import UsageError

_PARSER_ERROR: Any = typer.BadParameter.__base__  # typer has it from click, or from a copy of its own
#: What other programs call it, and what to do here.
ELSEWHERE = {
    ("-r", "-R", "--recursive"): "folders are searched with all folders in them: leave it out",
    ("--resume", "--continue", "--skip-existing"): "the same command goes on by itself: leave it out",
    ("-i", "--input", "--inputs"): "name what to restore without an option before it",
    ("--out", "--out-dir", "--output-dir", "--outdir"): "say where results go with -o",
    ("-f", "-y", "--force", "--yes"): "--overwrite is what replaces files",
    ("-j", "-n", "--jobs", "--threads"): "--workers says how many processes work",
    ("--gpu", "--cuda"): "say --device cuda",
    ("--cpu",): "say --device cpu",
    ("--half", "--fp16", "--bf16"): "say --precision fp16 or bf16",
    ("--weights", "--checkpoint", "--ckpt"): "name the model or its file with -m",
    ("-V",): "--version, alone, shows the version",
}
_HINTS = {option: hint for options, hint in ELSEWHERE.items() for option in options}


#: Options that stand once, for of two values the first would count for nothing; and what to do instead.
ONCE = {
    "--pred": "measure one method after the other, each with a --json or --report of its own",
    "--gt": "one folder holds all clean pictures",
    "--input": "one folder holds all rainy pictures",
    "--output": "all results of a run go to one place",
    "--model": "run it once a model, each with an -o of its own",
    "--report": "one report is written",
}


class Command(typer.core.TyperCommand):
    """A command whose words are refused in one sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command line. Raises UsageError."""
        with usage_in_one_line(ctx):
            if not ctx.resilient_parsing:  # which a shell does that completes words
                self._refuse_twice(ctx, args)
            return super().parse_args(ctx, args)

    def _refuse_twice(self, ctx: Any, args: list[str]) -> None:
        """Raise UsageError for an option given twice that stands once."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option in order:
            name = option.opts[-1]
            if name in ONCE and not getattr(option, "multiple", False) and order.count(option) > 1:
                raise UsageError(f"{name} is given twice, and stands once: {ONCE[name]}.")


class Group(typer.core.TyperGroup):
    """A group of commands whose words are refused in one sentence."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names. Raises UsageError."""
        word = (
            args[0] if args and not ctx.resilient_parsing else ""
        )  # which a shell does that completes words
        if word and word not in self.commands and not word.startswith("-"):
            there = f"there are {listed(list(self.commands), 'and')}."
            raise UsageError(f"`{ctx.command_path}` has no {word}; {nearest(word, self.commands) or there}")
        return super().resolve_command(ctx, args)


def nearest(word: str, names: Sequence[str] | Any, *, cutoff: float = 0.6) -> str:
    """Return the question whether the name most like a word was meant, "" where none is like it."""
    close = get_close_matches(word.lower(), list(names), n=1, cutoff=cutoff)
    return f"did you mean {close[0]}?" if close else ""


def listed(names: Sequence[str], join: str = "or") -> str:
    """Return names as a person enumerates them: a, b or c."""
    *others, last = names
    return f"{', '.join(others)} {join} {last}" if others else last


@contextmanager
def usage_in_one_line(ctx: Any) -> Iterator[None]:
    """Turn what the parser of options raises into a UsageError of ours."""
    try:
        yield
    except _PARSER_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the whole help, which is no error of the user
            raise
        raise UsageError(refusal(error, error.ctx or ctx)) from None


def refusal(error: Any, ctx: Any) -> str:
    """Return an error of the parser of options as one sentence that names the option.

    Args:
        error: what the parser raised.
        ctx: of the command whose words were read.
    """
    kind, path = type(error).__name__, ctx.command_path
    if kind == "NoSuchOption":
        return _no_such_option(error.option_name, ctx)
    if kind == "MissingParameter":
        return _missing(error.param, path)
    if kind == "BadOptionUsage":
        return _bare(error.option_name, error.message, ctx)
    if isinstance(error, typer.BadParameter) and error.param is not None and error.message:
        return _bad_value(error)
    if extra := re.match(r"Got unexpected extra argument\(?s?\)? \((.*)\)", error.message or ""):
        return (
            f"`{path}` does not know what to do with {extra[1]}: leave it out, or put quotes around a name "
            "with spaces."
        )
    text = error.format_message().rstrip(".")
    return f"{text[:1].lower()}{text[1:]}: `{path} -h` lists what there is."


def _no_such_option(name: str, ctx: Any) -> str:
    said, path = f"no such option: {name}", ctx.command_path
    options = [option for param in ctx.command.params for option in param.opts if option.startswith("-")]
    top = ctx.find_root().command
    options += ["--help", *(option for param in top.params for option in param.opts)]
    owners = [
        f"`derain {word}`"
        for word, command in getattr(top, "commands", {}).items()
        if any(name in param.opts for param in command.params)
    ]
    if owners:
        return f"{said}; it belongs to {listed(owners, 'and')}."
    if name in _HINTS:
        return f"{said}; {_HINTS[name]}."
    if meant := nearest(name, [option for option in options if option.startswith("--")], cutoff=0.7):
        return f"{said}; {meant}"
    return f"{said}; `{path} -h` lists what there is."


def _missing(param: Any, path: str) -> str:
    option = next((name for name in param.opts if name.startswith("-")), "")
    what = f"{option} {param.metavar}".strip()
    help = (param.help or "").partition("  [")[0].rstrip(".")
    about = f" ({help[:1].lower()}{help[1:]})" if help else ""
    return f"`{path}` needs {what}{about}: `{path} -h` shows examples."


def _bare(name: str, message: str, ctx: Any) -> str:
    """Say what is wrong with an option that lacks a value, or has one that it does not take."""
    if "does not take a value" in message:
        return f"{name} takes no value: give it without what stands behind the =."
    params = (param for param in ctx.command.params if name in param.opts)
    what = next((param.metavar for param in params if param.metavar), "a value").replace("|", " or ")
    return f"{name} lacks what should follow it: give {name} {what}, or leave it out."


def _bad_value(error: Any) -> str:
    param = error.param
    name = param.opts[-1] if param.opts[-1].startswith("-") else param.metavar
    message, cause = error.message.rstrip("."), error.__cause__
    if choice := re.search(r"'(.*)' is not one of (.*)", message, re.DOTALL):
        names = re.findall(r"'([^']*)'", choice[2])
        if meant := nearest(choice[1], names, cutoff=0.7):
            return f"{name} {choice[1]} is not known: {meant} There are {listed(names, 'and')}."
        return f"{name} {choice[1]} is not known: give {listed(names)}."
    if not (message.startswith("Input should ") and hasattr(cause, "errors")):
        return f"{name} {message[:1].lower()}{message[1:]}."
    details = cause.errors()[0]
    kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    whole = "whole " if kind is int or "int" in details["type"] else ""
    return f"{name} {details['input']} makes no sense: give a {whole}number{_range(param)}."


def _range(param: Any) -> str:
    """Return the range of a number in words, "" where there is none."""
    least, most = getattr(param, "min", None), getattr(param, "max", None)
    if least is None and most is None and re.fullmatch(r"\d+\.\.\d+", param.metavar or ""):
        least, most = param.metavar.split("..")
    if least is None:
        return "" if most is None else f" up to {most}"
    return f" from {least} up" if most is None else f" from {least} to {most}"
