"""`derain train`: make a model from clean photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drsformer_cli.cli.options import parse_device
from drsformer_cli.cli.words import duration
from drsformer_cli.errors import UsageError

if TYPE_CHECKING:
    from drsformer_cli.training.loop import Progress, Training

REPORT_EVERY = 50


def train(
    photographs: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Clean photographs, with all folders in it.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where checkpoint, log and model go.")
    ] = Path("runs/compact"),
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A recipe.  [default: the bundled model's]"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="End the schedule cleanly after so long, over all resumes."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Length of the schedule.  [default: the recipe's]")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
) -> None:
    """Train a small DRSformer on synthetic rain over clean photographs.

    Stopped in the middle, the same command goes on from the last checkpoint in the output folder.

    \b
    Examples:
      derain train photos/ -o runs/mine --minutes 120
      derain photos-with-rain/ -m runs/mine/model.safetensors
    """
    if minutes is not None and minutes <= 0:
        raise UsageError(f"--minutes must be positive, not {minutes}")
    if not photographs.is_dir():
        raise UsageError(f"{photographs} is not a folder; name one with clean photographs")
    from drsformer_cli.restore.device import choose_device
    from drsformer_cli.training.loop import Training
    from drsformer_cli.training.recipe import read_recipe

    recipe = read_recipe(config)
    if steps is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    chosen = choose_device(parse_device(device))
    training = Training(recipe, photographs, output, device=str(chosen), minutes=minutes)
    if not quiet:
        typer.echo(_opening(training), err=True)
    try:
        model = training.run(_silent if quiet else _report)
    except KeyboardInterrupt as stop:
        at = f"goes on from step {training.saved}" if training.saved else "starts anew: nothing was saved yet"
        raise type(stop)(f"interrupted at step {training.step}; the same command {at}.") from None
    if not quiet:
        typer.echo(f"{model}: use it with derain PICTURES -m {model}")


def _opening(training: Training) -> str:
    """Say what is about to happen."""
    schedule = training.recipe.schedule
    count, device = len(training.photographs.pictures), training.device
    length = f"{schedule.steps} steps" if training.minutes is None else f"{training.minutes:g} minutes"
    if training.share >= 1:
        return f"finished before: {length} are done"
    start = f"going on from step {training.step}" if training.step else "training"
    return f"{start} on {count} photographs, {length} in all, on {device}"


def _silent(_progress: Progress) -> None:
    """Say nothing."""


def _report(progress: Progress) -> None:
    """Say now and then, and after each validation, how it goes."""
    if progress.scores is None and progress.step != 1 and progress.step % REPORT_EVERY:
        return
    share = max(progress.share, 1e-9)
    left = duration(progress.minutes * 60 * (1 - share) / share)
    line = f"step {progress.step}, {progress.share:.1%}, loss {progress.loss:.4f}, {left} left"
    if progress.scores is not None:
        scores = ", ".join(f"{kind} {score:.2f}" for kind, score in progress.scores.items())
        line += f"; held-out photographs, dB: {scores}"
    typer.echo(line, err=True)
