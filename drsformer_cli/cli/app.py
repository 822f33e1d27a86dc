"""The command `derain`: its sub-commands, the short form without one, and how each run ends."""

from __future__ import annotations

import io
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from drsformer_cli import __version__
from drsformer_cli.cli.bench import bench
from drsformer_cli.cli.doctor import doctor
from drsformer_cli.cli.evaluate import evaluate
from drsformer_cli.cli.refusals import Command, Group, nearest, usage_in_one_line
from drsformer_cli.cli.run import run
from drsformer_cli.cli.train import train
from drsformer_cli.cli.video import video
from drsformer_cli.cli.weights import weights_app
from drsformer_cli.cli.words import printable, say
from drsformer_cli.errors import DerainError, UsageError

HELP = """Remove rain from pictures and films.

\b
Examples:
  derain photos/ -o clean/         a folder, with all folders in it
  derain rainy.jpg -o clear.jpg    one picture
  derain '*.jpg' --format png      a pattern; the results go to derained/
  derain photos/ --dry-run         only list what would be done
  derain video rainy.mp4           a film, with all that is in it
  derain - < in.png > out.png      in a pipe
  derain weights list              the models there are

A first word that is no command is a path: `derain photos/` is short for `derain run photos/`, and `derain run
--help` lists its options. A folder called like a command is written ./weights.
"""


class Terminated(KeyboardInterrupt):
    """The system asked the program to end (SIGTERM); all that ends cleanly on Ctrl-C does so on this, too."""


class PathsOrCommand(Group):
    """A group whose first word may be a path instead of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command line, which may leave out `run`."""
        if args and not args[0].startswith("-") and not ctx.resilient_parsing:
            self.refuse_typo(args[0])
        with usage_in_one_line(ctx):
            return super().parse_args(ctx, self.with_run(args))

    def with_run(self, words: list[str]) -> list[str]:
        """Put `run` before words that begin with no command and none of the options that stand before one."""
        if words and words[0] == "help" and not Path("help").exists():
            return [*words[1:], "--help"]
        if not words or words[0] in self.commands or words[0] in self._own_options():
            return words
        return ["run", *words]

    def refuse_typo(self, word: str) -> None:
        """Raise UsageError for a first word that looks like a misspelt command and is no path."""
        known = word in self.commands or word == "help" or Path(word).exists()
        if known or not re.fullmatch("[A-Za-z-]+", word):
            return
        if word == "derain":
            raise UsageError("the word derain stands twice: leave one of them out.")
        if meant := nearest(word, self.commands):
            raise UsageError(f"{word} is no command, and no file or folder either; {meant}")

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return what a first word may become: a command, or an option of the short form, too."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            found += self.commands["run"].shell_complete(ctx, incomplete)
        return found

    def _own_options(self) -> set[str]:
        return {"--help", "-h", *(name for option in self.params for name in option.opts)}

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the words of a command line, and end with the status of a signal when one came."""
        with _ending_on_signals():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and end with the status of a signal when one stopped it."""
        with _ending_on_signals(), usage_in_one_line(ctx):
            return super().invoke(ctx)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """End the program with a word and the status of the signal that stopped it, if one does."""
    try:
        yield
    except KeyboardInterrupt as stop:
        say(str(stop) or "interrupted.")
        sys.exit(143 if isinstance(stop, Terminated) else 130)


app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    cls=PathsOrCommand,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,  # its help takes rich half as long again to draw as everything else together
    pretty_exceptions_enable=False,
    subcommand_metavar="PATHS... | COMMAND [ARGS]...",
)
app.command(cls=Command)(run)
app.command(cls=Command)(video)
app.add_typer(weights_app, name="weights")
app.command(cls=Command)(train)
app.command(cls=Command)(bench)
app.command("eval", cls=Command)(evaluate)
app.command(cls=Command)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"derain {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


def _wants_details(words: list[str]) -> bool:
    """Tell whether -v is among the words, whichever command they are for."""
    return any(word == "--verbose" or re.fullmatch(r"-[a-z]*v[a-z]*", word) for word in words)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def main() -> None:
    """Run `derain` with the words of the command line; the console entry point. Ends with SystemExit.

    The status is 0 when all is done, 1 when inputs failed, 2 for wrong usage, 3 when something outside the
    inputs is at fault, 130 after Ctrl-C and 143 after SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        with _ending_on_signals():
            app(prog_name="derain")
    except DerainError as error:
        say(str(error))
        sys.exit(error.exit_status)
    except Exception as error:  # the last resort: a user gets a sentence, and the details on request
        say(f"unexpected {type(error).__name__}: {error}")
        if _wants_details(sys.argv[1:]):
            for line in traceback.format_exc().splitlines():
                sys.stderr.write(f"{printable(line)}\n")
        else:
            say("run it again with -v for the details, and please report them.")
        sys.exit(1)
