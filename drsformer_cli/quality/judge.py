"""Judging one restored picture: its files are read, brought together, and scored; what fails says why."""

from __future__ import annotations

import math
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from drsformer_cli.errors import DerainError, SetupError, UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode
from drsformer_cli.quality import extra
from drsformer_cli.quality.preview import Preview, make_preview
from drsformer_cli.quality.protocols import Protocol, scores

#: Which half of a picture that holds both is which, from left to right.
SideBySide = Literal["rainy-clean", "clean-rainy"]
Status = Literal["scored", "sizes", "failed"]
Array = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """The files of one picture; `name` is for tables. `clean` is None where no truth is known."""

    name: str
    restored: Path
    clean: Path | None = None
    rainy: Path | None = None


@dataclass(frozen=True)
class Settings:
    """How pairs are judged. `scores` names further scores; `preview` is bytes for each, 0 for none."""

    protocol: Protocol = "rain200"
    scores: tuple[str, ...] = ()
    side_by_side: SideBySide | None = None
    preview: int = 0


@dataclass(frozen=True)
class Row:
    """What came out for one pair.

    status: `scored`; `sizes`: the pictures are of different sizes and are not compared; `failed`: a file
    could not be read or scored. `reason` says why in the last two. psnr (dB, maybe infinite) and ssim are
    None without a clean picture, those of the rainy picture without a rainy one. height and width in pixels.
    """

    pair: Pair
    status: Status
    reason: str = ""
    height: int = 0
    width: int = 0
    psnr: float | None = None
    ssim: float | None = None
    rainy_psnr: float | None = None
    rainy_ssim: float | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    preview: Preview | None = None

    @property
    def gain(self) -> float | None:
        """Return by how many dB the restored picture is nearer to the clean one than the rainy one was."""
        if self.psnr is None or self.rainy_psnr is None or math.isinf(self.rainy_psnr):
            return None
        return self.psnr - self.rainy_psnr


class _SizesDiffer(Exception):  # noqa: N818  (it is a finding rather than an error, and never leaves this file)
    pass


def judge(pair: Pair, settings: Settings) -> Row:
    """Read and score one pair. What goes wrong with its files is in the row that comes back.

    Raises SetupError where a score cannot be had at all.
    """
    try:
        return _judge(pair, settings)
    except SetupError:
        raise
    except _SizesDiffer as found:
        return Row(pair, "sizes", str(found))
    except DerainError as error:
        text = str(error)
        return Row(pair, "failed", text if _names(pair, text) else f"{pair.restored}: {text}.")
    except MemoryError:
        return Row(pair, "failed", f"{pair.restored}: there is not enough memory for this picture.")
    except OSError as error:
        where = error.filename or pair.restored
        return Row(pair, "failed", f"{where}: {error.strerror or error}.")
    except Exception as error:  # one bad file must not stop the others
        return Row(pair, "failed", f"{pair.restored}: unexpected {type(error).__name__}: {error}.")


def _names(pair: Pair, text: str) -> bool:
    return any(str(path) in text for path in (pair.restored, pair.clean, pair.rainy) if path is not None)


def _judge(pair: Pair, settings: Settings) -> Row:
    notes: list[str] = []
    restored = _read(pair.restored, notes)
    clean = None if pair.clean is None else _read(pair.clean, notes)
    rainy = None if pair.rainy is None else _read(pair.rainy, notes)
    if settings.side_by_side is not None and clean is not None and pair.clean is not None:
        clean, other = _halves(clean, settings.side_by_side, pair.clean)
        if restored.shape[1] == 2 * clean.shape[1]:
            _, restored = _halves(restored, settings.side_by_side, pair.restored)
        if rainy is not None and pair.rainy is not None and rainy.shape[1] == 2 * clean.shape[1]:
            _, rainy = _halves(rainy, settings.side_by_side, pair.rainy)
        rainy = other if rainy is None else rainy
    _refuse_other_sizes(pair, restored, clean, rainy)
    own = before = None
    if clean is not None:
        if restored.dtype != clean.dtype:
            notes.append(f"{_depth(restored)} compared with {_depth(clean)}")
        own = scores(restored, clean, protocol=settings.protocol)
        before = None if rainy is None else scores(rainy, clean, protocol=settings.protocol)
    others = _others(pair, restored, clean, settings.scores, notes)
    preview = make_preview(restored, clean, rainy, settings.preview) if settings.preview else None
    return Row(
        pair,
        "scored",
        height=restored.shape[0],
        width=restored.shape[1],
        psnr=own and own.psnr,
        ssim=own and own.ssim,
        rainy_psnr=before and before.psnr,
        rainy_ssim=before and before.ssim,
        others=others,
        notes=tuple(dict.fromkeys(notes)),
        preview=preview,
    )


def _others(
    pair: Pair, restored: Array, clean: Array | None, names: Sequence[str], notes: list[str]
) -> dict[str, float]:
    """Return the further scores; one that has no value for this picture is noted.

    Raises UnsupportedError where nothing at all would be known of the picture.
    """
    values = {name: extra.score(name, restored, clean) for name in names}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    without = [name for name in values if name not in known]
    if without and not known and clean is None:
        raise UnsupportedError(f"{pair.restored} has no value by {', '.join(without)}: is it of one colour?")
    notes += [f"no value by {name}" for name in without]
    return known


def _read(path: Path, notes: list[str]) -> Array:
    """Return the one frame of a file, (H, W, 3) and upright; `notes` gets what is left out of account."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise UnsupportedError(f"{path} is no plain file, and is left alone.")
    data = path.read_bytes()
    if not data:
        raise UnreadableError(f"{path} is empty.")
    picture = decode(data, str(path))
    if len(picture.frames) != 1:
        raise UnsupportedError(
            f"{path} has {len(picture.frames)} frames or pages; single pictures are compared."
        )
    if any(layer.alpha is not None for layer in picture.layers):
        notes.append("alpha is left out of account")
    return picture.frames[0]


def _halves(both: Array, order: SideBySide, path: Path) -> tuple[Array, Array]:
    """Split a picture into its clean half and its rainy half."""
    width = both.shape[1]
    if width % 2:
        raise UnsupportedError(f"{path} is {width} pixels wide: it cannot be split into two halves.")
    left, right = both[:, : width // 2], both[:, width // 2 :]
    return (left, right) if order == "clean-rainy" else (right, left)


def _refuse_other_sizes(pair: Pair, restored: Array, clean: Array | None, rainy: Array | None) -> None:
    named: Sequence[tuple[Path | None, Array | None]] = ((pair.clean, clean), (pair.rainy, rainy))
    for path, other in named:
        if other is not None and other.shape != restored.shape:
            raise _SizesDiffer(
                f"{pair.restored} has {_size(restored)} pixels, {path or pair.clean} {_size(other)}."
            )


def _size(picture: Array) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def _depth(picture: Array) -> str:
    return "floating point" if picture.dtype.kind == "f" else f"{8 * picture.dtype.itemsize} bits"
