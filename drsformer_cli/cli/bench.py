"""`derain bench`: how fast a model is on this machine, what memory it takes, and what `auto` would choose."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drsformer_cli.cli import completion, options
from drsformer_cli.cli.words import number, printable
from drsformer_cli.errors import SetupError, UnreadableError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drsformer_cli.restore.restorer import Restorer

DEFAULT_SIZE = "1024x768"
MOST_PIXELS = 500_000_000
#: Sides of tiles tried unless told: the largest that is smaller than the picture.
TILES = (512, 256, 128, 64)

PictureArgument = Annotated[
    str | None, typer.Argument(metavar="[PICTURE]", help="A picture of yours, instead of one made up.")
]
SizeOption = Annotated[
    str | None,
    typer.Option("--size", metavar="WIDTHxHEIGHT", help=f"Of a picture made up.  [default: {DEFAULT_SIZE}]"),
]
TilesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tile",
        metavar="TILE",
        autocompletion=completion.TILES,
        help="off (whole) or the side of a tile in pixels; may be given again.  [default: both]",
    ),
]
RepeatOption = Annotated[
    int, typer.Option("--repeat", metavar="TIMES", min=1, max=1000, help="How often each case is timed.")
]


@dataclass
class Case:
    """One precision and one way of taking the picture, and what came of it.

    Attributes:
        precision: `fp32`, `bf16` or `fp16`.
        tile: `off`, or the side of a tile in pixels.
        whole: whether the picture went through the model at once.
        seconds: of each run.
        megapixels: a second, by the median run.
        peak: most memory that the process held, in bytes.
        device_peak: most memory that it held on a GPU; None on a CPU.
        fits: whether it fits in memory; else it was not tried.
        problem: why there are no figures; empty if there are.
        details: all that its process said about that.
    """

    precision: str
    tile: str | int
    whole: bool = False
    seconds: list[float] = field(default_factory=list)
    megapixels: float = 0.0
    peak: int = 0
    device_peak: int | None = None
    fits: bool = True
    problem: str = ""
    details: str = ""

    @property
    def way(self) -> str:
        """How the picture is taken, in words."""
        return "whole" if self.whole or self.tile == "off" else f"tiles of {self.tile}"


def bench(
    picture: PictureArgument = None,
    size: SizeOption = None,
    model: options.ModelOption = "compact",
    device: options.DeviceOption = "auto",
    tile: TilesOption = None,
    memory: options.MemoryOption = None,
    repeat: RepeatOption = 3,
    json_lines: options.JsonOption = False,
    verbose: options.DetailsOption = False,
) -> None:
    """Measure a model on this machine: speed and peak memory of each precision, whole and in tiles.

    Each case runs in a fresh process, so that its peak memory is its own. A case that does not fit in memory
    is not tried. At the end stands what `auto` would choose, and why. The exit status is 1 if a case failed.

    \b
    Examples:
      derain bench                           a picture of 1024 x 768
      derain bench photo.jpg                 a picture of yours
      derain bench --size 4000x3000 -m rain200h --repeat 1
      derain bench --tile off --tile 256     whole against tiles of 256 pixels
      derain bench --memory 4G --json        for a smaller machine; one JSON object a line
    """
    sides = [options.parse_tile(text) for text in tile or ()]
    if "auto" in sides:
        raise UsageError("--tile auto cannot be measured: give off or a side in pixels; auto is told anyway.")
    if picture is not None and size is not None:
        raise UsageError("a picture has its own size: leave out --size, or the picture.")
    width, height = parse_dimensions(size or DEFAULT_SIZE)
    chosen = options.ModelOptions.check(
        model=model,
        device=device,
        precision=options.Precision.AUTO,
        tile="auto",
        overlap=None,
        memory=memory,
        ensemble=False,
        strength=1.0,
    )
    restorer = chosen.load()
    pixels = make_up(height, width) if picture is None else read_picture(picture)
    sides = sides or default_tiles(*pixels.shape[:2])
    cases = measure(restorer, pixels, chosen, sides, repeat, quiet=json_lines)
    choice = what_auto_chooses(restorer, *pixels.shape[:2])
    if json_lines:
        for case in cases:
            typer.echo(json.dumps({"type": "case", **asdict(case)}))
        typer.echo(json.dumps({"type": "auto", **choice}))
    else:
        show(cases, choice, pixels.shape[1], pixels.shape[0], verbose=verbose)
    if any(case.problem and case.fits for case in cases):
        raise typer.Exit(1)


def parse_dimensions(text: str) -> tuple[int, int]:
    """Return width and height of a text such as 1920x1080. Raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text.strip().lower())
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < width * height <= MOST_PIXELS:
        raise UsageError(f"--size {text} is no size of a picture: give WIDTHxHEIGHT, such as 1920x1080.")
    return width, height


def default_tiles(height: int, width: int) -> list[str | int]:
    """Return what is measured unless told: whole, and tiles if some are smaller than the picture."""
    smaller: list[str | int] = [side for side in TILES if side < max(height, width)]
    return ["off", *smaller[:1]]


def make_up(height: int, width: int) -> NDArray[np.uint8]:
    """Return noise, (H, W, 3) uint8: how long a network takes does not depend on what it sees."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read_picture(name: str) -> NDArray[Any]:
    """Return the (first) frame of a picture's file. Raises UsageError and InputError."""
    from drsformer_cli.jobs.source import read_file
    from drsformer_cli.media.images import decode

    if Path(name).is_dir():
        raise UnreadableError(f"{name} cannot be read: it is a folder.")
    try:
        data, _ = read_file(Path(name), name)
    except FileNotFoundError:
        raise UsageError(f"there is no file {name}; check the spelling.") from None
    except OSError as error:
        raise UnreadableError(f"{name} cannot be read: {error.strerror or error}.") from None
    return decode(data, name).frames[0]


def measure(
    restorer: Restorer,
    pixels: NDArray[Any],
    chosen: options.ModelOptions,
    sides: list[str | int],
    repeat: int,
    *,
    quiet: bool,
) -> list[Case]:
    """Run all cases, one after the other, each in a process of its own."""
    import numpy as np
    from rich.console import Console

    from drsformer_cli.restore.device import precisions

    console, cases = Console(stderr=True, quiet=quiet), []
    with tempfile.TemporaryDirectory(prefix="derain-bench-") as folder:
        file = Path(folder) / "picture.npy"
        np.save(file, pixels)
        for precision in precisions(restorer.device):
            for side in sides:
                case = Case(precision, side)
                with console.status(f"{precision}, {case.way}"):
                    run_case(case, file, chosen, str(restorer.device), repeat)
                if case.seconds:
                    case.megapixels = pixels.size / 3e6 / statistics.median(case.seconds)
                cases.append(case)
    return cases


def run_case(case: Case, file: Path, chosen: options.ModelOptions, device: str, repeat: int) -> None:
    """Run one case in a fresh process and note what came of it."""
    order = {
        "picture": str(file),
        "model": chosen.model,
        "device": device,
        "precision": case.precision,
        "tile": case.tile,
        "repeat": repeat,
    }
    words = [sys.executable, "-m", "drsformer_cli.cli.bench_case", json.dumps(order)]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except OSError as error:
        raise SetupError(f"no process can be started to measure in: {error.strerror or error}.") from None
    if done.returncode:
        case.details = done.stderr.decode("utf-8", "replace").strip()
        said = case.details.rpartition("\n")[2]
        killed = "the system ended it, most likely for want of memory"
        case.problem = killed if done.returncode in (-9, 137) else said or f"ended with {done.returncode}"
        return
    for name, value in json.loads(done.stdout.decode("utf-8").splitlines()[-1]).items():
        setattr(case, name, value)


def what_auto_chooses(restorer: Restorer, height: int, width: int) -> dict[str, Any]:
    """Return the plan of `auto` for a size, with the reasons in words."""
    from drsformer_cli.restore.device import native_bf16

    plan = restorer.describe(height, width)
    limit, needed = restorer.limit / 2**30, plan["memory"] / 2**30
    if plan["whole"]:
        way = f"whole, for that needs about {needed:.1f} of {limit:.1f} GiB"
    else:
        tile = f"{plan['tile'][1]} x {plan['tile'][0]}"
        way = f"tiles of {tile}, the largest that leave room in {limit:.1f} GiB (about {needed:.1f})"
    if plan["precision"] != "fp32":
        why = "native here, and this model was measured to give the same pictures in it"
    elif native_bf16(restorer.device):
        why = "this model was not measured to give the same pictures in bf16 on such a device"
    else:
        why = "this device is not known to compute faster in bf16"
    return {**plan, "why_tile": way, "why_precision": why}


def show(cases: list[Case], choice: dict[str, Any], width: int, height: int, *, verbose: bool) -> None:
    """Print a table, and below it what `auto` would choose; `verbose` adds all that failed cases said."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    threads = f", {choice['threads']} threads" if choice["threads"] else ""
    console = Console(highlight=False)
    console.print(Text(f"{width} x {height} pixels on {choice['device']}{threads}"))
    table = Table(box=None, pad_edge=False)
    for heading in ("precision", "picture", "megapixels/s", "seconds", "min to max", "peak memory"):
        table.add_column(heading, justify="left" if heading in ("precision", "picture") else "right")
    for case in cases:
        table.add_row(case.precision, case.way, *([] if case.problem else figures(case)))
    console.print(table)
    for case in cases:
        if case.problem:
            console.print(Text(f"{case.precision}, {case.way}: {printable(case.problem)}"), soft_wrap=True)
            for line in case.details.split("\n") if verbose and case.details else ():
                console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    console.print(Text(f"auto: {choice['precision']}: {choice['why_precision']}"), soft_wrap=True)
    console.print(Text(f"auto: {choice['why_tile']}"), soft_wrap=True)


def figures(case: Case) -> list[str]:
    """Return a case's figures as words."""
    spread = f"{number(min(case.seconds))} to {number(max(case.seconds))}"
    peak = case.peak if case.device_peak is None else case.device_peak
    where = "" if case.device_peak is None else " on the GPU"
    middle = number(statistics.median(case.seconds))
    return [number(case.megapixels), middle, spread, f"{peak / 2**30:.2f} GiB{where}"]
