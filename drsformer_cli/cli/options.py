"""The options that every command with a model shares, and the check of their values before anything heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drsformer_cli.cli import completion
from drsformer_cli.errors import UsageError
from drsformer_cli.restore.plan import check_tile

if TYPE_CHECKING:
    from drsformer_cli.restore.restorer import Restorer

LEAST_MEMORY = 64 << 20
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


class Format(str, Enum):
    """The kinds of files a result can be written as."""

    SAME = "same"
    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIF = "tif"


class Precision(str, Enum):
    """The number formats a model can compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


PathsArgument = Annotated[
    list[str],
    typer.Argument(metavar="PATHS", help="Pictures, folders, patterns such as '*.jpg', or - for a pipe."),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER|FILE",
        help="Where results go: a folder, or for one picture a file or -.  [default: derained/ beside it]",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="The kind of files to write.")]
QualityOption = Annotated[
    int | None,
    typer.Option(
        "--quality", metavar="1..100", min=1, max=100, help="Of JPEG and WebP.  [default: the input's]"
    ),
]
SuffixOption = Annotated[
    str, typer.Option("--suffix", metavar="TEXT", help="Added to names: _clean makes a_clean.jpg of a.jpg.")
]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--report", metavar="FILE", help="Write what was done to a .json or .csv file; with --gt .html, too."
    ),
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        "--gt",
        metavar="FOLDER",
        help="Clean pictures: scores each result against its own, as derain eval does.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar="NAME|FILE",
        autocompletion=completion.model_names,
        help="A model from `derain weights list`, or a .pth or .safetensors file.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        autocompletion=completion.DEVICES,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]
PrecisionOption = Annotated[Precision, typer.Option("--precision", help="What the model computes in.")]
TileOption = Annotated[
    str,
    typer.Option(
        "--tile",
        metavar="TILE",
        autocompletion=completion.TILES,
        help="auto, off (whole pictures), or the side of a tile in pixels.",
    ),
]
OverlapOption = Annotated[
    int | None,
    typer.Option(
        "--overlap", metavar="PIXELS", min=0, help="How far tiles reach into each other.  [default: auto]"
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="What the model may use, e.g. 4G.  [default: the machine's or container's own]",
    ),
]
EnsembleOption = Annotated[
    bool,
    typer.Option("--ensemble", help="Mean over flips and turns: a little better, 4 or 8 times slower."),
]
StrengthOption = Annotated[
    float, typer.Option("--strength", metavar="0..1", help="How much of the result to blend with the input.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Do everything again and replace any file in the way.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="List what would be done, and do nothing.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
VerboseOption = Annotated[bool, typer.Option("-v", "--verbose", help="Say more, with the details of errors.")]
#: For commands that have nothing more to say but that; `app.main` looks for it among the words.
DetailsOption = Annotated[bool, typer.Option("-v", "--verbose", help="With the details of errors.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]


@dataclass(frozen=True)
class ModelOptions:
    """Checked options of a model: sizes in pixels and bytes, `strength` in 0..1."""

    model: str
    device: str
    precision: str
    tile: str | int
    overlap: int | None
    memory: int | None
    ensemble: bool
    strength: float

    @classmethod
    def check(
        cls,
        *,
        model: str,
        device: str,
        precision: Precision,
        tile: str,
        overlap: int | None,
        memory: str | None,
        ensemble: bool,
        strength: float,
    ) -> ModelOptions:
        """Return the options as the model takes them. Raises UsageError for the first that makes no sense."""
        side = parse_tile(tile, overlap)
        if overlap is not None and side == "off":
            raise UsageError("--overlap makes no sense with --tile off: leave one of them out.")
        if not 0 <= strength <= 1:  # this refuses NaN, too
            meant = f"; did you mean {strength / 100:g}?" if 1 < strength <= 100 else "."
            raise UsageError(
                f"--strength {strength:g} is not between 0 (the input) and 1 (the full result){meant}"
            )
        budget = None if memory is None else parse_size(memory)
        device = parse_device(device)
        return cls(model, device, precision.value, side, overlap, budget, ensemble, strength)

    def load(self) -> Restorer:
        """Load the model. Raises WeightsError and DeviceError."""
        from drsformer_cli.restore.restorer import load

        return load(self.model, **self.keywords())

    def known_settings(self) -> dict[str, Any]:
        """Return what of a loaded model's settings is known without loading it. Raises WeightsError."""
        from drsformer_cli import weights

        settings = {
            "model": weights.fingerprint(weights.resolve(self.model)),
            "tile": self.tile,
            "memory": self.memory,
            "ensemble": self.ensemble,
            "strength": self.strength,
        }
        if self.overlap is not None:
            settings["overlap"] = self.overlap
        if self.device != "auto":
            settings["device"] = self.device.partition(":")[0]
        if self.precision != "auto":
            settings["precision"] = self.precision
        return settings

    def keywords(self) -> dict[str, Any]:
        """Return all options but the model, as keyword arguments."""
        return {
            "device": self.device,
            "precision": self.precision,
            "tile": self.tile,
            "overlap": self.overlap,
            "memory": self.memory,
            "ensemble": self.ensemble,
            "strength": self.strength,
        }


def refuse_contradiction(*, quiet: bool, verbose: bool) -> None:
    """Raise UsageError for -q and -v at once."""
    if quiet and verbose:
        raise UsageError("-q and -v contradict each other: leave one of them out.")


def parse_tile(text: str, overlap: int | None = None) -> str | int:
    """Return "auto", "off" or a side in pixels that fits the overlap. Raises UsageError."""
    try:
        return check_tile(text, overlap or 0)
    except UsageError as error:
        also = "" if overlap is None else f" --overlap {overlap}"
        raise UsageError(f"--tile {text}{also}: {error}.") from None


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 4G, 1.5GiB or 800M (of 1024). Raises UsageError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT])?(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"--memory {text} is not a size: give a number with a unit, such as 4G or 800M.")
    size = int(float(match[1]) * (1 << _UNITS[match[2].upper()] if match[2] else 1))
    if size < LEAST_MEMORY:
        unit = "G" if float(match[1]) < 64 else "M"
        meant = "give a size such as 4G or 800M." if match[2] else f"did you mean {match[1]}{unit}?"
        raise UsageError(f"--memory {text} is less than the smallest model needs: {meant}")
    return size


def parse_device(text: str) -> str:
    """Return a device's name in small letters. Raises UsageError for what can be no device."""
    device = text.lower()
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device):
        raise UsageError(f"--device {text} is not known: give auto, cpu, cuda, cuda:N or mps.")
    return device
