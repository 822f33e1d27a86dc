"""`derain video PATHS...`: restore films."""

from __future__ import annotations

import re
from enum import Enum
from fractions import Fraction
from typing import Annotated

import typer

from drsformer_cli.cli import options, work
from drsformer_cli.errors import UsageError


class CodecName(str, Enum):
    """The codecs a result can be in."""

    AUTO = "auto"
    H264 = "h264"
    H265 = "h265"
    VP9 = "vp9"
    AV1 = "av1"
    PRORES = "prores"
    FFV1 = "ffv1"


FilmsArgument = Annotated[
    list[str], typer.Argument(metavar="PATHS", help="Films, folders, or patterns such as 'clips/*.mp4'.")
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER|FILE",
        help="Where results go: a folder, or for one film a file in .mp4, .mov, .mkv, .webm or .gif.  "
        "[default: NAME_derained beside a file, derained/ beside a folder]",
    ),
]
CodecOption = Annotated[
    CodecName, typer.Option("--codec", help="What to encode to; auto stays near the source's.")
]
CrfOption = Annotated[
    int | None,
    typer.Option(
        "--crf", metavar="0..63", min=0, max=63, help="Less is better and larger.  [default: by codec]"
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="How slow and small the encoder is.  [default: by codec]"),
]
StartOption = Annotated[
    str | None, typer.Option("--start", metavar="TIME", help="Begin here: seconds, or 1:23:45.6.")
]
EndOption = Annotated[str | None, typer.Option("--end", metavar="TIME", help="End before this.")]


def video(
    inputs: FilmsArgument,
    output: OutputOption = None,
    codec: CodecOption = CodecName.AUTO,
    crf: CrfOption = None,
    preset: PresetOption = None,
    start: StartOption = None,
    end: EndOption = None,
    model: options.ModelOption = "compact",
    device: work.DevicesOption = "auto",
    precision: options.PrecisionOption = options.Precision.AUTO,
    tile: options.TileOption = "auto",
    overlap: options.OverlapOption = None,
    memory: options.MemoryOption = None,
    ensemble: options.EnsembleOption = False,
    strength: options.StrengthOption = 1.0,
    overwrite: options.OverwriteOption = False,
    dry_run: options.DryRunOption = False,
    quiet: options.QuietOption = False,
    verbose: options.VerboseOption = False,
    json_lines: options.JsonOption = False,
    workers: work.WorkersOption = None,
    engine: work.EngineOption = work.EngineName.LOCAL,
    ray_address: work.RayAddressOption = None,
    gpus_per_worker: work.GpusOption = None,
) -> None:
    """Remove the rain from films.

    Everything else in a film stays: the time of each picture, sound, subtitles, chapters, rotation, colour,
    bit depth. What cannot be kept is said before the work starts; --dry-run says it and does nothing. An
    interrupted run goes on where it stopped when the same command is given again. With --workers, several
    GPUs or --engine ray, the segments of a film are done by several at once, and come out the same.

    \b
    Examples:
      derain video rainy.mp4                     writes rainy_derained.mp4
      derain video rainy.mov -o clear.mkv        into another container
      derain video clips/ -o clean/              all films of a folder
      derain video rainy.mp4 --start 1:05 --end 1:20 --crf 12
      derain video rainy.mp4 --device cuda:0,cuda:1
    """
    options.refuse_contradiction(quiet=quiet, verbose=verbose)
    first, last = parse_time("--start", start), parse_time("--end", end)
    if last is not None and last <= (first or 0):
        raise UsageError(f"--end {end} does not lie behind --start {start or 0}: give a later time.")
    spread = work.Work.check(
        engine=engine,
        device=device,
        workers=workers,
        ray_address=ray_address,
        gpus_per_worker=gpus_per_worker,
    )
    chosen = options.ModelOptions.check(
        model=model,
        device=spread.devices[0],
        precision=precision,
        tile=tile,
        overlap=overlap,
        memory=memory,
        ensemble=ensemble,
        strength=strength,
    )
    from drsformer_cli.cli.video_session import FilmSession
    from drsformer_cli.jobs.film_naming import find_films
    from drsformer_cli.jobs.film_plan import Wish

    wish = Wish(codec.value, crf, preset, first, last)
    wish.check()
    films = find_films([_on_disk(name) for name in inputs], None if output is None else _on_disk(output))
    session = FilmSession(
        films, wish, spread, overwrite=overwrite, quiet=quiet, verbose=verbose, json_lines=json_lines
    )
    failed = session.list_films(chosen) if dry_run else session.restore(chosen)
    if failed:
        raise typer.Exit(1)


def _on_disk(name: str) -> str:
    """Return the path that a word means. Raises UsageError for a URL: work on films goes by files."""
    from drsformer_cli.media.remote import is_url, local

    if is_url(name):
        raise UsageError(
            f"{name} is a URL, and films lie on this machine's own disks: name a file or folder here."
        )
    return local(name)


def parse_time(option: str, text: str | None) -> Fraction | None:
    """Return the seconds of a time such as 83.5 or 1:23.5 or 0:01:23.5. Raises UsageError."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", text.strip())
    if match is None:
        raise UsageError(f"{option} {text} is no time: give seconds, such as 83.5, or 1:23.5.")
    hours, minutes, seconds = match.groups()
    if minutes is not None and float(seconds) >= 60:
        raise UsageError(f"{option} {text} is no time: a minute has 60 seconds.")
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)
