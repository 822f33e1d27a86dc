"""Files in, upright RGB frames out, and back: which codec reads what, and what every file goes through."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image

from drsformer_cli.errors import DerainError, OutputError, UnreadableError, UnsupportedError, UsageError
from drsformer_cli.media import (
    avif,
    bmp,
    convert,
    gif,
    heic,
    jpeg,
    jpeg2000,
    netpbm,
    png,
    targa,
    tiff,
    webp,
)
from drsformer_cli.media.guard import quiet
from drsformer_cli.media.picture import Array, Order, Picture
from drsformer_cli.media.pixels import join
from drsformer_cli.media.sniff import HEIC_EXTENSIONS, RAW_EXTENSIONS, refusal, sniff

__all__ = ["FORMATS", "SUPPORTED_EXTENSIONS", "Picture", "decode", "encode", "output_extension"]


class Codec(NamedTuple):
    """How one format is read and written."""

    read: Callable[[bytes, Picture, int], None]
    write: Callable[[Order], bytes]
    extensions: tuple[str, ...]


_CODECS = {
    "png": Codec(png.read, png.write, (".png", ".apng")),
    "jpeg": Codec(jpeg.read, jpeg.write, (".jpg", ".jpeg", ".jpe", ".jfif")),
    "webp": Codec(webp.read, webp.write, (".webp",)),
    "tiff": Codec(tiff.read, tiff.write, (".tif", ".tiff")),
    "bmp": Codec(bmp.read, bmp.write, (".bmp",)),
    "gif": Codec(gif.read, gif.write, (".gif",)),
    "avif": Codec(avif.read, avif.write, (".avif", ".avifs")),
    "jp2": Codec(jpeg2000.read, jpeg2000.write, (".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx")),
    "tga": Codec(targa.read_targa, targa.write_targa, (".tga", ".vda", ".icb", ".vst")),
    "pnm": Codec(netpbm.read, netpbm.write, (".ppm", ".pgm", ".pnm")),
    "qoi": Codec(targa.read_qoi, targa.write_qoi, (".qoi",)),
    "heic": Codec(heic.read, heic.write, tuple(sorted(HEIC_EXTENSIONS)) if heic.available() else ()),
}
FORMATS = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp", "tif": "tiff", "tiff": "tiff"}
#: Pixels over all frames that are decoded unless told otherwise; small files can announce billions.
MOST_PIXELS = 500_000_000
_MOST_WORDS = 200  # characters of what a library says that are passed on
SUPPORTED_EXTENSIONS: frozenset[str] = frozenset(e for codec in _CODECS.values() for e in codec.extensions)


def decode(data: bytes, name: str, *, max_pixels: int = MOST_PIXELS) -> Picture:
    """Read a whole file. What it is is told from its content; only Targa and camera raw need their names.

    `name` appears in errors and gives the extension. `max_pixels` is the most pixels over all frames, checked
    before they are decoded. Raises UnreadableError for damaged files and UnsupportedError for those whose
    content could not be kept, both naming `name`.
    """
    extension = PurePath(name).suffix
    kind = sniff(data, name)
    picture = Picture([], kind, extension, name=name)
    try:
        with quiet():
            _CODECS[kind].read(data, picture, max_pixels)
    except DerainError:
        raise
    except MemoryError as error:
        words = "does not fit into memory; cut it into smaller pictures first."
        raise UnsupportedError(f"{name} {words}") from error
    except Image.DecompressionBombError as error:
        raise UnsupportedError(f"{name} has frames with more pixels than can be decoded safely.") from error
    except Exception as error:  # a hostile file can raise anything in a library, and must not stop a batch
        if extension.lower() in RAW_EXTENSIONS:
            raise refusal(name, "raw") from error
        reason = _first_line(error)
        if "unsupported" in reason.lower():
            words = f"is of a kind that is not read here ({reason}); convert it to PNG or TIFF first."
            raise UnsupportedError(f"{name} {words}") from error
        raise UnreadableError(f"{name} is damaged or cut short ({reason}).") from error
    return picture


def encode(
    picture: Picture, restored: Sequence[Array], *, format: str | None = None, quality: int | None = None
) -> bytes:
    """Write restored frames as a file like the one `picture` came from, or in another format.

    restored: as `picture.frames`, with the same shapes and dtypes. format: a key of FORMATS, or None for the
    source's own. quality: 1 to 100 for lossy formats; None keeps the source's own tables or a high quality.
    Adds to `picture.notes` what the target cannot hold. Raises UnsupportedError when that would be too much,
    UsageError for arguments that make no sense, OutputError when the encoder fails.
    """
    _check(picture, restored, format, quality)
    target = picture.format if format is None else FORMATS[format.lower()]
    layers, carried = picture.layers, picture.carried
    if target != picture.format:
        restored, layers = convert.convert(picture, restored, target)
        carried = None
    stored = [join(frame, layer) for frame, layer in zip(restored, layers, strict=True)]
    try:
        with quiet():
            return _CODECS[target].write(Order(picture, stored, carried, quality))
    except (OSError, ValueError, OverflowError, RuntimeError, struct.error, zlib.error) as error:
        raise OutputError(f"{picture.name} cannot be written as {target} ({_first_line(error)}).") from error


def output_extension(source_extension: str, format: str | None) -> str:
    """The extension of a result: the source's as it was while the format stays, else the usual one."""
    if format is None:
        return source_extension
    if format.lower() not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose one of png, jpg, webp, tif.")
    extensions = _CODECS[FORMATS[format.lower()]].extensions
    return source_extension if source_extension.lower() in extensions else extensions[0]


def _check(picture: Picture, restored: Sequence[Array], format: str | None, quality: int | None) -> None:
    if format is not None and format.lower() not in FORMATS:
        raise UsageError(f"unknown format {format!r}; choose one of png, jpg, webp, tif.")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is not between 1 and 100.")
    if len(restored) != len(picture.frames):
        given = len(restored)
        raise UsageError(f"{given} restored frames for the {len(picture.frames)} of {picture.name}.")
    for frame, other in zip(picture.frames, restored, strict=True):
        if not isinstance(other, np.ndarray) or other.shape != frame.shape or other.dtype != frame.dtype:
            raise UsageError(f"a restored frame of {picture.name} has another shape or dtype than before.")


def _first_line(error: BaseException) -> str:
    """What a library says, in one short line; it may quote the bytes of a hostile file."""
    lines = str(error).strip().splitlines()
    shown = "".join(char if char.isprintable() else "?" for char in lines[0][:_MOST_WORDS]) if lines else ""
    return shown.rstrip(". ") or type(error).__name__
