"""AVIF, still and animated, 8 bits: pixels through Pillow, sampling and colour description kept."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image, features

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import exif, metadata
from drsformer_cli.media.boxes import Box, walk
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Metadata, Order, Picture, Timing
from drsformer_cli.media.pixels import split_all

DEFAULT_QUALITY = 80
_GAIN_MAPS = (b"tmap", b"urn:com:photo:aux:hdrgainmap", b"urn:com:apple:photo:2020:aux:hdrgainmap")
_IDENTITY = 0  # matrix: the planes are green, blue and red themselves, as lossless files have them
_HIDDEN_TAG = exif.ORIENTATION + 1


@dataclass
class Carried:
    """What an AVIF file keeps around its pixels."""

    subsampling: str
    lossless: bool
    colour: bytes | None  # primaries and transfer of the colour description, two bytes each


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode an AVIF file into `picture`."""
    if not features.check("avif"):
        raise UnsupportedError(f"{picture.name} is an AVIF file, and this Pillow was built without AVIF.")
    boxes = list(walk(data))
    carried = _carry(boxes, picture.name)
    image = open_plugin(AvifImagePlugin.AvifImageFile, data)
    count = int(image.n_frames)
    check_size(picture.name, *image.size, count, max_pixels)
    if any(mark in data[:65536] for mark in _GAIN_MAPS):
        picture.note(metadata.GAIN_MAP)
    _read_metadata(image, picture)
    stored, durations = [], []
    for index in range(count):
        image.seek(index)
        image.load()
        alpha = image.mode in ("RGBA", "LA")
        stored.append(np.asarray(image.convert("RGBA" if alpha else "RGB")))
        durations.append(Fraction(int(image.info.get("duration", 0)), 1000))
    orientation = exif.orientation(picture.metadata.exif)
    grey = carried.subsampling == "4:0:0"
    picture.frames, picture.layers = split_all(stored, orientation, grey=grey)
    picture.lossy = not carried.lossless
    picture.carried = carried
    if count > 1:
        picture.timing = Timing(durations)


def write(order: Order) -> bytes:
    """Encode stored samples as AVIF; `quality` is 1 to 100."""
    picture, carried = order.picture, order.carried
    if not isinstance(carried, Carried):
        raise UnsupportedError(f"{picture.name} cannot be written as AVIF, for it was not AVIF before.")
    meta = picture.metadata
    quality = order.quality or (100 if carried.lossless else DEFAULT_QUALITY)
    options: dict[str, Any] = {"quality": quality, "subsampling": carried.subsampling}
    options.update(icc_profile=meta.icc, xmp=meta.xmp)
    hidden = meta.exif
    if meta.exif is not None:
        if picture.layers[0].orientation == 1:
            hidden = _hide_orientation(meta.exif)
        elif exif.has_maker_note(meta.exif):
            picture.note(metadata.MAKER_NOTE)
        options["exif"] = hidden
    images = [Image.fromarray(samples) for samples in order.stored]
    if picture.timing is not None:
        durations = [round(seconds * 1000) for seconds in picture.timing.durations]
        options.update(save_all=True, append_images=images[1:], duration=durations)
    buffer = BytesIO()
    images[0].save(buffer, "AVIF", **options)
    encoded = buffer.getvalue()
    if hidden is not None and meta.exif is not None and hidden != meta.exif:
        encoded = encoded.replace(hidden, meta.exif, 1)
    return _with_colour(encoded, carried.colour)


def _carry(boxes: list[Box], name: str) -> Carried:
    """Depth, sampling and colour from the boxes of the colour picture (the first one that is not alpha)."""
    settings = [box.body[2] for box in boxes if box.kind == b"av1C" and len(box.body) >= 4]
    if not settings:
        raise UnreadableError(f"{name} is damaged: it does not say how its AVIF pixels are coded.")
    bits = next((byte for byte in settings if not byte & 0x10), settings[0])
    if bits & 0x40:
        depth = 12 if bits & 0x20 else 10
        raise UnsupportedError(
            f"{name} is an AVIF of {depth} bits, which cannot be kept; convert it to 16-bit TIFF first."
        )
    samplings = {0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}
    subsampling = "4:0:0" if bits & 0x10 else samplings.get(bits & 0x0C, "4:4:4")
    colour = next((b.body[4:] for b in boxes if b.kind == b"colr" and b.body[:4] == b"nclx"), b"")
    lossless = len(colour) >= 6 and int.from_bytes(colour[4:6], "big") == _IDENTITY
    return Carried(subsampling, lossless, colour[:4] if len(colour) >= 6 else None)


def _read_metadata(image: Image.Image, picture: Picture) -> None:
    """An AVIF has its orientation in boxes; Pillow hands it over inside EXIF, and takes it back."""
    meta = picture.metadata = Metadata(icc=image.info.get("icc_profile"))
    if block := image.info.get("exif"):
        meta.exif = metadata.clean_exif(picture, exif.bare(block))
    if packet := image.info.get("xmp"):
        meta.xmp = metadata.clean_xmp(picture, packet)


def _hide_orientation(block: bytes) -> bytes:
    """Rename the orientation tag of an upright picture while Pillow encodes.

    Pillow writes EXIF anew when it finds that tag, and moves maker notes; the caller puts the name back.
    """
    order = "<" if block[:2] == b"II" else ">"
    main = exif.read_main(block)
    if main is None or exif.ORIENTATION not in main[1].entries or _HIDDEN_TAG in main[1].entries:
        return block
    start, where = struct.unpack_from(order + "I", block, 4)[0] + 2, main[3]
    for at in range(start, where, 12):
        if struct.unpack_from(order + "H", block, at)[0] == exif.ORIENTATION:
            return block[:at] + struct.pack(order + "H", _HIDDEN_TAG) + block[at + 2 :]
    return block


def _with_colour(encoded: bytes, colour: bytes | None) -> bytes:
    """The file with the primaries and transfer of the source; its matrix stays the encoder's own."""
    if colour is None:
        return encoded
    patched = bytearray(encoded)
    for box in walk(encoded):
        if box.kind == b"colr" and box.body[:4] == b"nclx":
            patched[box.start + 4 : box.start + 8] = colour
    return bytes(patched)
