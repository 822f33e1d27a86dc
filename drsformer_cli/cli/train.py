"""`derain train`: make a model from clean photographs, or from pairs of a camera of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drsformer_cli.cli import completion
from drsformer_cli.cli.options import (
    DeviceOption,
    Precision,
    QuietOption,
    VerboseOption,
    parse_device,
    refuse_contradiction,
)
from drsformer_cli.cli.words import duration, printable
from drsformer_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from drsformer_cli.training.loop import Progress, Training
    from drsformer_cli.training.recipe import Recipe

REPORT_EVERY = 50
FEW = 50  # photographs


def train(
    photographs: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Clean photographs, with all folders in it; or pairs of equal names in rainy/ and clean/.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where checkpoint, log and model go.")
    ] = Path("runs/compact"),
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A recipe.  [default: the bundled model's]"),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME|FILE",
            autocompletion=completion.model_names,
            help="Begin with a model, of whatever size.  [default: at random]",
        ),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            "--blocks",
            metavar="N,N,N,N",
            help="Blocks of each level, in place of the recipe's. With --from, a model is made deeper: what "
            "is added changes nothing at first.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            help="End the schedule cleanly after so long at work, over all resumes; a step in which the "
            "process was stopped counts as an ordinary one.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", min=1, help="Length of the schedule.  [default: the recipe's]"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            metavar="RATE",
            help="The highest one.  [default: the recipe's; 1e-4 to fine-tune]",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", help="fp32, or bf16 where it is enough; auto is bf16 on GPUs that have it."
        ),
    ] = Precision.AUTO,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples", metavar="FILE.png", help="Only write a sheet of the recipe's rain to look at."
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option("--beside", metavar="FOLDER", help="Rainy pictures to show on that sheet, too."),
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a DRSformer on synthetic rain over clean photographs, or on pairs.

    Stopped in the middle, the same command goes on from the last checkpoint in the output folder, where
    log.csv and its plot log.svg show how the held-out pictures fare. The bundled recipe's loss is the PSNR
    in dB, negative: the lower, the better.

    \b
    Examples:
      derain train photos/ -o runs/mine --minutes 120
      derain train photos/ --samples rain.png --beside rainy-photos/
      derain train my-pairs/ --from compact --learning-rate 1e-4 --minutes 60
      derain train photos/ --from runs/mine/model.safetensors --blocks 1,5,8,4 -o runs/deeper
      derain photos-with-rain/ -m runs/mine/model.safetensors
    """
    refuse_contradiction(quiet=quiet, verbose=verbose)
    _check(photographs, minutes, rate, precision, samples, beside)
    from drsformer_cli.restore.device import choose_device
    from drsformer_cli.training.recipe import read_recipe

    recipe = read_recipe(config)
    if blocks is not None:
        recipe = _with_blocks(recipe, blocks)
    if samples is not None:
        _write_samples(samples, photographs, recipe, beside, quiet=quiet)
        return
    if steps is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    if rate is not None:
        low = min(rate, recipe.schedule.final_learning_rate)
        recipe = replace(
            recipe, schedule=replace(recipe.schedule, learning_rate=rate, final_learning_rate=low)
        )
    chosen, start = choose_device(parse_device(device)), None
    if begin is not None:
        recipe, start = _begin_with(begin, recipe, deeper=blocks is not None)
    from drsformer_cli.training.loop import Training

    bf16 = _computes_in_bf16(precision, chosen)
    training = Training(
        recipe, photographs, output, device=str(chosen), minutes=minutes, start=start, bf16=bf16
    )
    if not quiet:
        typer.echo(_opening(training), err=True)
    try:
        model = training.run(_silent if quiet else _report_each if verbose else _report)
    except KeyboardInterrupt as stop:
        at = f"goes on from step {training.saved}" if training.saved else "starts anew: nothing was saved yet"
        raise type(stop)(f"interrupted at step {training.step}; the same command {at}.") from None
    if not quiet:
        typer.echo(printable(f"{model}: use it with derain PICTURES -m {model}"))


def _check(
    photographs: Path,
    minutes: float | None,
    rate: float | None,
    precision: Precision,
    samples: Path | None,
    beside: Path | None,
) -> None:
    """Refuse what makes no sense before anything heavy is loaded."""
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes must be positive, not {minutes}")
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"--learning-rate must be above 0 and below 1, not {rate}")
    if precision is Precision.FP16:
        raise UsageError("--precision fp16 is too coarse to train in; use auto, fp32 or bf16")
    if beside is not None and samples is None:
        raise UsageError("--beside shows pictures on the sheet of --samples; name that, too")
    if not photographs.is_dir():
        raise UsageError(f"{photographs} is not a folder; name one with clean photographs")
    if beside is not None and not beside.is_dir():
        raise UsageError(f"{beside} is not a folder; name one with rainy pictures")


def _with_blocks(recipe: Recipe, text: str) -> Recipe:
    """Return the recipe of a network with the blocks that a command names. Raises UsageError."""
    try:
        one, two, three, latent = (int(part) for part in text.split(","))
        return replace(recipe, network=replace(recipe.network, blocks=(one, two, three, latent)))
    except ValueError as error:
        words = "give four numbers from 1 to 64, from the finest level to the coarsest, such as 1,2,2,2"
        raise UsageError(f"--blocks {text} is not usable: {words}") from error


def _begin_with(name: str, recipe: Recipe, *, deeper: bool) -> tuple[Recipe, Mapping[str, torch.Tensor]]:
    """Return the recipe, but for the network of the model `name`, and that model's tensors.

    `deeper`: the model gets as many blocks as the recipe's network.
    """
    from drsformer_cli.training.growth import deepen
    from drsformer_cli.weights import read, resolve

    checkpoint = read(resolve(name), label=name)
    network = checkpoint.config
    tensors = {key: tensor.float() for key, tensor in checkpoint.tensors.items()}
    if deeper:
        blocks = recipe.network.blocks
        try:
            tensors = deepen(tensors, network, blocks, seed=recipe.schedule.seed)
        except UsageError as error:
            raise UsageError(f"--blocks and --from {name} do not go together: {error}") from error
        network = replace(network, blocks=blocks)
    return replace(recipe, network=network), tensors


def _computes_in_bf16(precision: Precision, device: torch.device) -> bool:
    from drsformer_cli.restore.device import choose_precision, precisions

    if precision is Precision.AUTO:
        return device.type == "cuda" and "bf16" in precisions(device)
    return choose_precision(precision.value, device) == "bf16"


def _write_samples(
    file: Path, photographs: Path, recipe: Recipe, beside: Path | None, *, quiet: bool
) -> None:
    from drsformer_cli.training.data import gather
    from drsformer_cli.training.samples import SIDE, write_sheet

    material = gather(photographs, 1, SIDE)
    write_sheet(file, material.photographs, recipe.rain, seed=recipe.schedule.seed, beside=beside)
    if not quiet:
        typer.echo(printable(f"{file}: each kind of rain, then the mix that is trained on"))


def _opening(training: Training) -> str:
    """Say what is about to happen."""
    schedule, material = training.recipe.schedule, training.material
    count, what = len(material.photographs), "photograph" if material.pairs is None else "pair"
    found = f"{count} {what}{'' if count == 1 else 's'}"
    few = f"\nso few {what}s are learned by heart: better have hundreds" if count < FEW else ""
    length = f"{schedule.steps} steps" if training.minutes is None else f"{training.minutes:g} minutes"
    if training.share >= 1:
        return f"finished before: {length} are done; {training.longer()}"
    start = f"going on from step {training.step}" if training.step else "training"
    return (
        f"{start} on {found}, {length} in all, on {training.device}{' in bf16' if training.bf16 else ''}{few}"
    )


def _silent(_progress: Progress) -> None:
    """Say nothing."""


def _report(progress: Progress) -> None:
    """Say now and then, and after each validation, how it goes."""
    if progress.scores is not None or progress.step == 1 or progress.step % REPORT_EVERY == 0:
        _report_each(progress)


def _report_each(progress: Progress) -> None:
    """Say how it goes."""
    share = max(progress.share, 1e-9)
    left = duration(progress.minutes * 60 * (1 - share) / share)
    line = f"step {progress.step}, {progress.share:.1%}, loss {progress.loss:.4f}, {left} left"
    if progress.scores is not None:
        scores = ", ".join(f"{kind} {score:.2f}" for kind, score in progress.scores.items())
        line += f"; held-out photographs, dB: {scores}"
    typer.echo(line, err=True)
