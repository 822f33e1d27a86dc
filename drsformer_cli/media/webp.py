"""WebP, still and animated: pixels through Pillow, the RIFF container around them by hand.

The container is written here because the library's animation encoder merges equal frames into one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, WebPImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import exif, metadata
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Array, Metadata, Order, Picture, Timing
from drsformer_cli.media.pixels import split_all

DEFAULT_QUALITY = 90
_LARGEST_SIDE = 16383
_ICC, _ALPHA, _EXIF, _XMP, _ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02
_IMAGE = {b"VP8 ", b"VP8L", b"ALPH"}
_REPLACE = 0x02  # draw without blending; nothing is disposed of, for each frame covers the canvas


class Chunk(NamedTuple):
    """One RIFF chunk."""

    kind: bytes
    body: bytes


@dataclass
class Carried:
    """What a WebP file keeps around its pixels."""

    lossless: list[bool]
    background: bytes = b"\x00\x00\x00\x00"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    unknown: list[Chunk] = field(default_factory=list)


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a WebP file into `picture`."""
    announced = int.from_bytes(data[4:8], "little") + 8
    if announced > len(data):
        raise UnreadableError(f"{picture.name} is cut short: it ends in the middle of a WebP picture.")
    chunks = _read_chunks(data[12:announced])
    frames = [chunk.body for chunk in chunks if chunk.kind == b"ANMF"]
    image = open_plugin(WebPImagePlugin.WebPImageFile, data)
    count = int(getattr(image, "n_frames", 1))
    check_size(picture.name, *image.size, count, max_pixels)
    if len(frames) not in (0, count):
        raise UnreadableError(f"{picture.name} is damaged: some frames of its animation are missing.")
    carried = _carry(chunks, frames, picture)
    stored = []
    for index in range(count):
        image.seek(index)
        stored.append(np.asarray(image))
    orientation = exif.orientation(picture.metadata.exif)
    picture.frames, picture.layers = split_all(stored, orientation)
    picture.lossy = not all(carried.lossless)
    picture.carried = carried
    if frames:
        control = next((c.body for c in chunks if c.kind == b"ANIM" and len(c.body) >= 6), bytes(6))
        carried.background = control[:4]
        delays = [Fraction(int.from_bytes(body[12:15], "little"), 1000) for body in frames]
        picture.timing = Timing(delays, int.from_bytes(control[4:6], "little"))


def write(order: Order) -> bytes:
    """Encode stored samples as WebP, lossless frames without loss unless `quality` (1 to 100) is given."""
    picture, quality = order.picture, order.quality
    height, width = order.stored[0].shape[:2]
    if max(height, width) > _LARGEST_SIDE:
        raise UnsupportedError(f"{picture.name} has a side longer than the {_LARGEST_SIDE} pixels of WebP.")
    own = order.carried if isinstance(order.carried, Carried) else _from_metadata(picture)
    hidden = picture.timing is not None and picture.timing.hidden_first
    shown = order.stored[1:] if hidden else order.stored
    modes = own.lossless if len(own.lossless) == len(shown) else [not picture.lossy] * len(shown)
    images = [
        _encode(samples, lossless and quality is None, quality or DEFAULT_QUALITY)
        for samples, lossless in zip(shown, modes, strict=True)
    ]
    transparent = any(samples.ndim == 3 and samples.shape[2] in (2, 4) for samples in shown)
    flags = _ALPHA if transparent else 0
    around = [(_ICC, b"ICCP", own.icc), (_EXIF, b"EXIF", own.exif), (_XMP, b"XMP ", own.xmp)]
    for flag, _, body in around:
        flags |= flag if body is not None else 0
    pixels = images[0]
    if picture.timing is not None:
        flags |= _ANIMATION
        pixels = _animate(picture.timing, images, width, height, own.background)
    elif not flags & ~_ALPHA and not own.unknown and len(pixels) == 1:
        return _write_chunks(pixels)
    head = Chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _size(width, height))
    profile, *others = [Chunk(kind, body) if body is not None else None for _, kind, body in around]
    parts = [head, profile, *pixels, *others, *own.unknown]
    return _write_chunks([part for part in parts if part is not None])


def _carry(chunks: list[Chunk], frames: list[bytes], picture: Picture) -> Carried:
    bodies = {chunk.kind: chunk.body for chunk in reversed(chunks)}
    carried = Carried([_is_lossless(_read_chunks(body[16:])) for body in frames] or [_is_lossless(chunks)])
    carried.icc = bodies.get(b"ICCP")
    if b"EXIF" in bodies:
        carried.exif = metadata.clean_exif(picture, bodies[b"EXIF"])
    if b"XMP " in bodies:
        carried.xmp = metadata.clean_xmp(picture, bodies[b"XMP "])
    known = _IMAGE | {b"VP8X", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"}
    carried.unknown = [chunk for chunk in chunks if chunk.kind not in known and chunk.kind != b"C2PA"]
    if b"C2PA" in bodies:
        picture.note(metadata.CREDENTIALS)
    bare = exif.bare(carried.exif) if carried.exif is not None else None
    picture.metadata = Metadata(icc=carried.icc, exif=bare, xmp=carried.xmp)
    return carried


def _from_metadata(picture: Picture) -> Carried:
    meta = picture.metadata
    if meta.iptc is not None:
        picture.note("IPTC records dropped, for WebP cannot hold them")
    if meta.dpi is not None and meta.exif is None:
        picture.note("resolution (DPI) dropped, for WebP cannot hold it")
    return Carried([], icc=metadata.icc_for(picture, grey=False), exif=meta.exif, xmp=meta.xmp)


def _encode(samples: Array, lossless: bool, quality: int) -> list[Chunk]:
    """The image chunks of one frame; colours under full transparency are kept."""
    buffer = BytesIO()
    image = Image.fromarray(samples)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.mode == "LA" else "RGB")
    # for a lossless picture the quality is how hard the encoder tries
    strength = 75 if lossless else quality
    image.save(buffer, "WEBP", lossless=lossless, quality=strength, method=4, exact=True)
    return [chunk for chunk in _read_chunks(buffer.getvalue()[12:]) if chunk.kind in _IMAGE]


def _animate(
    timing: Timing, images: list[list[Chunk]], width: int, height: int, background: bytes
) -> list[Chunk]:
    chunks = [Chunk(b"ANIM", background + min(timing.plays, 65535).to_bytes(2, "little"))]
    for image, seconds in zip(images, timing.durations, strict=True):
        milliseconds = min(round(seconds * 1000), (1 << 24) - 1)
        head = bytes(6) + _size(width, height) + milliseconds.to_bytes(3, "little")
        body = b"".join(map(_pack, image))
        chunks.append(Chunk(b"ANMF", head + bytes([_REPLACE]) + body))
    return chunks


def _size(width: int, height: int) -> bytes:
    return (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _is_lossless(chunks: list[Chunk]) -> bool:
    return any(chunk.kind == b"VP8L" for chunk in chunks)


def _read_chunks(data: bytes) -> list[Chunk]:
    chunks = []
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        chunks.append(Chunk(kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return chunks


def _pack(chunk: Chunk) -> bytes:
    return chunk.kind + len(chunk.body).to_bytes(4, "little") + chunk.body + bytes(len(chunk.body) % 2)


def _write_chunks(chunks: list[Chunk]) -> bytes:
    body = b"WEBP" + b"".join(map(_pack, chunks))
    return b"RIFF" + len(body).to_bytes(4, "little") + body
