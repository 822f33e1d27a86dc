"""JPEG: decoded and encoded by Pillow, with the tables, sampling and segments of the source."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import exif, jpeg_segments, metadata
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.jpeg_segments import APP0, APP14, Frame, Segment
from drsformer_cli.media.picture import Order, Picture
from drsformer_cli.media.pixels import IS_CMYK, split
from drsformer_cli.media.xmp import has_gain_map

DEFAULT_QUALITY = 95
_LARGEST_SIDE = 65500
_COARSE = 18  # mean of a table from which on even noise stays below two bytes a pixel
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_MOST_PIXELS_A_BYTE = 512  # of Huffman codes: at least one bit for each block of 8 x 8
_SAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


@dataclass
class Carried:
    """What a JPEG file keeps around its pixels."""

    segments: list[Segment]
    tables: list[list[int]]
    sampling: int
    progressive: bool
    plain_rgb: bool


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a JPEG file into `picture`."""
    segments, scan = jpeg_segments.read_segments(data, picture.name)
    frame = jpeg_segments.read_frame(segments, picture.name)
    _check(frame, picture.name)
    check_size(picture.name, frame.width, max(frame.height, 1), 1, max_pixels)
    if frame.kind in _HUFFMAN and frame.width * frame.height > _MOST_PIXELS_A_BYTE * len(data):
        raise UnreadableError(
            f"{picture.name} is damaged or cut short: its {len(data):,} bytes cannot hold the "
            f"{frame.width} x {frame.height} pixels that it announces."
        )
    _note_companions(data[jpeg_segments.end_of_picture(data, scan) :], segments, picture)
    kept = jpeg_segments.clean(segments, picture)
    image = open_plugin(JpegImagePlugin.JpegImageFile, data)
    check_size(picture.name, *image.size, 1, max_pixels)
    samples = np.asarray(image)
    restored, layer = split(samples, exif.orientation(picture.metadata.exif))
    picture.frames, picture.layers, picture.lossy = [restored], [layer], True
    picture.carried = Carried(
        kept,
        _tables(image, frame, picture),
        _sampling(frame, picture),
        frame.kind in _PROGRESSIVE,
        len(frame.components) == 3 and _is_plain_rgb(segments, frame),
    )


def write(order: Order) -> bytes:
    """Encode stored samples as JPEG, with the source's own tables unless `quality` (1 to 100) is given."""
    samples = order.stored[0]
    if max(samples.shape[:2]) > _LARGEST_SIDE:
        name = order.picture.name
        raise UnsupportedError(f"{name} has a side longer than the {_LARGEST_SIDE} pixels of JPEG.")
    own = order.carried if isinstance(order.carried, Carried) else None
    plain_rgb = own is not None and own.plain_rgb
    options: dict[str, Any] = {"subsampling": own.sampling if own else 0, "keep_rgb": plain_rgb}
    if own is not None and order.quality is None:
        options["qtables"] = own.tables
    else:
        options["quality"] = order.quality or DEFAULT_QUALITY
    progressive = own is not None and own.progressive
    encoded = _encode(Image.fromarray(samples), options, progressive, order.picture)
    segments = own.segments if own else jpeg_segments.from_metadata(order.picture, grey=samples.ndim == 2)
    return jpeg_segments.insert(encoded, segments, keep_adobe=plain_rgb)


def _encode(image: Image.Image, options: dict[str, Any], progressive: bool, picture: Picture) -> bytes:
    """Encode with codes fitted to the picture, and progressive when asked; plain where that could fail.

    An encoder that looks twice gets a buffer of one or two bytes a pixel from Pillow, which fine tables on a
    noisy picture exceed. The plain encoder needs no such buffer, and its result is never the smaller one.
    """
    by_tables = "qtables" in options
    if not by_tables or min(map(sum, options["qtables"])) < 64 * _COARSE:
        buffer = BytesIO()
        image.save(buffer, "JPEG", **options)
        room = image.width * image.height * (2 if by_tables or options["quality"] >= 95 else 1)
        if buffer.tell() > max(room, ImageFile.MAXBLOCK) * 0.9:
            if progressive:
                picture.note("written as a baseline JPEG, too large for a progressive one")
            return buffer.getvalue()
    buffer = BytesIO()
    image.save(buffer, "JPEG", optimize=True, progressive=progressive, **options)
    return buffer.getvalue()


def _check(frame: Frame, name: str) -> None:
    if len(frame.components) == 4:
        raise UnsupportedError(f"{name} {IS_CMYK}")
    if frame.precision != 8:
        raise UnsupportedError(
            f"{name} is a JPEG of {frame.precision} bits, which cannot be kept; convert it to 16-bit PNG."
        )
    if frame.kind in (0xC3, 0xC7, 0xCB, 0xCF):
        raise UnsupportedError(f"{name} is a lossless JPEG, which cannot be kept; convert it to PNG first.")


def _note_companions(behind: bytes, segments: list[Segment], picture: Picture) -> None:
    """Name what lies behind the picture and will be gone: gain maps, films, second pictures."""
    packets = b"".join(s.body for s in segments if s.body.startswith(jpeg_segments.XMP))
    several = any(s.body.startswith(b"MPF\x00") for s in segments)
    if has_gain_map(packets) or has_gain_map(behind) or b"urn:iso:std:iso:ts:21496:-1" in behind:
        picture.note(metadata.GAIN_MAP)
    elif several and b"\xff\xd8\xff" in behind:
        picture.note("further pictures in the file (MPF) dropped")
    elif b"MotionPhoto" in packets or b"MicroVideo" in packets:
        picture.note(metadata.MOTION_PHOTO)
    elif behind.strip(b"\x00\xff"):
        picture.note(metadata.BEHIND)


def _tables(image: Any, frame: Frame, picture: Picture) -> list[list[int]]:
    """The quantisation table of each component; the encoder repeats the last one by itself."""
    known: dict[int, list[int]] = {key: list(table) for key, table in image.quantization.items()}
    if any(max(table) > 255 for table in known.values()):
        picture.note("quantisation tables of 16 bits written as 8 bits")
        known = {key: [min(step, 255) for step in table] for key, table in known.items()}
    numbers = [component.table for component in frame.components if component.table in known]
    while len(numbers) > 1 and numbers[-1] == numbers[-2]:
        numbers.pop()
    return [known[number] for number in numbers]


def _sampling(frame: Frame, picture: Picture) -> int:
    """The number by which the encoder knows the chroma subsampling; 4:4:4 for the rare ones it has not."""
    if len(frame.components) < 3:
        return 0
    first, *others = frame.components
    ratios = {(first.across / c.across, first.down / c.down) for c in others if c.across and c.down}
    if len(ratios) == 1 and (ratio := ratios.pop()) in _SAMPLINGS:
        return _SAMPLINGS[int(ratio[0]), int(ratio[1])]
    picture.note("unusual chroma subsampling written as 4:4:4")
    return 0


def _is_plain_rgb(segments: list[Segment], frame: Frame) -> bool:
    """Whether the three components are red, green and blue and not YCbCr, by the rules decoders follow."""
    if any(s.marker == APP0 and s.body.startswith(b"JFIF\x00") for s in segments):
        return False
    for marker, body in segments:
        if marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            return body[11] == 0
    return [c.number for c in frame.components] == [ord(letter) for letter in "RGB"]
