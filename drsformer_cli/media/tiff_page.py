"""One page of a TIFF file: what its tags say, and whether it can be restored."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.ifd import SUBFILES, Directory, Layout, numbers, read_directory, read_header
from drsformer_cli.media.pixels import IS_BILEVEL, IS_CMYK

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = range(7)
NONE, LZW, OLD_JPEG, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE, LZMA = 1, 5, 6, 7, 8, 32773, 32946, 34925
UNSIGNED, FLOAT = 1, 3
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_SAMPLES, _PLANAR, _PREDICTOR, _EXTRA, _FORMAT, _DNG_VERSION = 277, 284, 317, 338, 339, 50706
_SHARED = 64 << 20  # bytes of values that pages may claim together beyond four times the file
_RAW_PHOTOMETRIC = (32803, 34892)
_LAB = (8, 9, 10)
_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}


class Shape(NamedTuple):
    """How the samples of a page are stored."""

    width: int
    height: int
    bits: int
    samples: int
    format: int
    separate: bool  # each channel in strips or tiles of its own
    photometric: int
    compression: int
    predictor: int
    reversed_bits: bool

    @property
    def colours(self) -> int:
        """Samples a pixel that are colour; one more may be alpha."""
        return _COLOURS.get(self.photometric, self.samples)


@dataclass
class Page:
    """The tags of a page, and how to read its pixels."""

    layout: Layout
    directory: Directory
    shape: Shape
    orientation: int
    extra_kind: (
        int  # what a sample after the colours is: 0 unknown, 1 premultiplied alpha, 2 alpha (or unsaid)
    )


def read_pages(data: bytes, name: str) -> list[Page]:
    """All pages of a TIFF file; UnreadableError for damaged ones, UnsupportedError for camera raw."""
    try:
        layout, offset = read_header(data)
        pages: list[Page] = []
        seen: set[int] = set()
        room = 4 * len(data) + _SHARED
        while offset and offset not in seen:
            seen.add(offset)
            directory, following, _ = read_directory(data, layout, offset)
            room -= sum(len(entry.raw) for entry in directory.entries.values())
            if room < 0:
                raise ValueError("its pages claim more bytes than it has")
            _refuse_raw(data, layout, directory, name)
            pages.append(_page(layout, directory, name))
            offset = following
    except (ValueError, struct.error) as error:
        raise UnreadableError(f"{name} is damaged: {error}.") from error
    if not pages:
        raise UnreadableError(f"{name} is damaged: a TIFF file without a picture.")
    return pages


def values(page_or_directory: Directory, layout: Layout, tag: int) -> tuple[int, ...]:
    """The integers of a tag; empty when it is not there."""
    entry = page_or_directory.entries.get(tag)
    return tuple(int(value) for value in numbers(entry, layout)) if entry is not None else ()


def _page(layout: Layout, directory: Directory, name: str) -> Page:
    def one(tag: int, default: int) -> int:
        found = values(directory, layout, tag)
        return found[0] if found else default

    if not values(directory, layout, _WIDTH) or not values(directory, layout, _HEIGHT):
        raise UnreadableError(f"{name} is damaged: a TIFF picture without a size.")
    bits = values(directory, layout, _BITS) or (1,)
    formats = values(directory, layout, _FORMAT) or (UNSIGNED,)
    samples = one(_SAMPLES, len(bits))
    bits, formats = bits[:samples] or (1,), formats[:samples] or (UNSIGNED,)
    if len(set(bits)) > 1 or len(set(formats)) > 1:
        raise UnsupportedError(f"{name} has channels of different depths; convert it to RGB first.")
    shape = Shape(
        one(_WIDTH, 0),
        one(_HEIGHT, 0),
        bits[0],
        samples,
        formats[0],
        one(_PLANAR, 1) == 2 and samples > 1,
        one(_PHOTOMETRIC, BLACK_IS_ZERO),
        one(_COMPRESSION, NONE),
        one(_PREDICTOR, 1),
        one(_FILL, 1) == 2,
    )
    orientation = one(_ORIENTATION, 1)
    return Page(layout, directory, shape, orientation if orientation in range(1, 9) else 1, one(_EXTRA, 2))


def _refuse_raw(data: bytes, layout: Layout, directory: Directory, name: str) -> None:
    """Camera raw files are TIFF files too: a small picture in front, and sensor data behind."""
    raw = _DNG_VERSION in directory.entries
    for offset in values(directory, layout, SUBFILES)[:16]:
        try:
            inner = read_directory(data, layout, offset)[0]
        except (ValueError, struct.error):
            continue
        raw = raw or (values(inner, layout, _PHOTOMETRIC) or (0,))[0] in _RAW_PHOTOMETRIC
    if raw or (values(directory, layout, _PHOTOMETRIC) or (0,))[0] in _RAW_PHOTOMETRIC:
        raise UnsupportedError(f"{name} is a camera raw file; develop it to TIFF or PNG first.")


def check(shape: Shape, name: str) -> None:
    """Refuse pages whose content could not be kept, each with its reason."""
    reason = _reason(shape)
    if reason:
        raise UnsupportedError(f"{name} {reason}")


def _reason(shape: Shape) -> str:
    if shape.photometric == CMYK:
        return IS_CMYK
    if shape.photometric in _LAB:
        return "is a Lab picture; convert it to RGB first."
    if shape.photometric not in _COLOURS:
        return f"has pixels that are neither grey nor RGB ({shape.photometric}); convert it to RGB first."
    if shape.bits == 1 and shape.photometric != PALETTE:
        return IS_BILEVEL
    if shape.photometric == YCBCR and shape.compression != JPEG:
        return "stores YCbCr without new-style JPEG compression; convert it to RGB first."
    if shape.compression == OLD_JPEG:
        return "uses the obsolete JPEG compression of TIFF; save it with LZW or Deflate compression first."
    if not 0 <= shape.samples - shape.colours <= 1:
        return f"has {shape.samples} channels, more than RGB and alpha; flatten it first."
    return _depth_reason(shape)


def _depth_reason(shape: Shape) -> str:
    if shape.format == UNSIGNED:
        depths = (8,) if shape.photometric in (YCBCR, PALETTE) else (8, 16)
        fine = shape.bits in depths or (shape.bits in (1, 2, 4) and shape.samples == 1)
    else:
        fine = shape.format == FLOAT and shape.bits in (16, 32) and shape.photometric in (BLACK_IS_ZERO, RGB)
    if not fine:
        kind = {UNSIGNED: "unsigned integers", 2: "signed integers", FLOAT: "floating-point numbers"}
        samples = kind.get(shape.format, "complex or untyped numbers")
        return f"has {shape.bits}-bit {samples}, which cannot be kept; convert it to 8 or 16 bits first."
    if shape.reversed_bits and shape.compression != NONE:
        return "has its bits in reversed order; save it with another program first."
    return ""
