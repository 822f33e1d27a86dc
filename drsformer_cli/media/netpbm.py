"""Portable pixmaps and greymaps (PPM, PGM), plain and binary, up to 16 bits and with any greatest value."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import metadata
from drsformer_cli.media.guard import check_size
from drsformer_cli.media.picture import Array, Order, Picture
from drsformer_cli.media.pixels import IS_BILEVEL, split

_BITMAPS = (b"P1", b"P4")
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)")
_COMMENT = re.compile(rb"#[^\r\n]*")


@dataclass
class Carried:
    """The kind ("P2", "P3", "P5" or "P6"), the greatest value, and comments in the header."""

    kind: bytes
    greatest: int
    comments: list[bytes]


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a PPM or PGM file into `picture`; values are stretched to the whole of 8 or 16 bits."""
    name, kind = picture.name, data[:2]
    if kind in _BITMAPS:
        raise UnsupportedError(f"{name} {IS_BILEVEL}")
    fields: list[int] = []
    at = 2
    for _ in range(3):
        token = _TOKEN.match(data, at)
        if token is None or len(token[1]) > 10:
            raise UnreadableError(f"{name} is damaged: its header makes no sense.")
        fields.append(int(token[1]))
        at = token.end()
    width, height, greatest = fields
    check_size(name, width, height, 1, max_pixels)
    if not 1 <= greatest <= 65535:
        raise UnreadableError(f"{name} is damaged: its header announces values up to {greatest}.")
    channels = 3 if kind in (b"P3", b"P6") else 1
    plain = kind in (b"P2", b"P3")
    count = width * height * channels
    values = _plain(data[at:], count, name) if plain else _binary(data, at + 1, count, greatest, picture)
    if values.size and int(values.max()) > greatest:
        raise UnreadableError(f"{name} is damaged: it has values beyond the greatest it announces.")
    picture.carried = Carried(kind, greatest, _COMMENT.findall(data[2:at]))
    samples = _rescale(values, greatest, 255 if greatest < 256 else 65535)
    frame, layer = split(samples.reshape((height, width) if channels == 1 else (height, width, 3)))
    picture.frames, picture.layers = [frame], [layer]


def write(order: Order) -> bytes:
    """Encode stored samples as PPM or PGM."""
    samples = order.stored[0]
    top = int(np.iinfo(samples.dtype).max)
    kind = b"P5" if samples.ndim == 2 else b"P6"
    own = order.carried if isinstance(order.carried, Carried) else Carried(kind, top, [])
    values = _rescale(samples, top, own.greatest)
    lines = [own.kind, *own.comments, b"%d %d" % (samples.shape[1], samples.shape[0]), b"%d" % own.greatest]
    head = b"\n".join(lines) + b"\n"
    if own.kind in (b"P5", b"P6"):
        return head + values.astype(">u2" if own.greatest > 255 else "u1").tobytes()
    rows = values.reshape(samples.shape[0], -1)
    return head + b"".join(b" ".join(b"%d" % value for value in row) + b"\n" for row in rows.tolist())


def _plain(text: bytes, count: int, name: str) -> Array:
    words = _COMMENT.sub(b"", text).split()
    if len(words) < count:
        raise UnreadableError(f"{name} is cut short: some of its pixels are missing.")
    if not all(word.isdigit() and len(word) < 10 for word in words[:count]):
        raise UnreadableError(f"{name} is damaged: it has words where numbers should be.")
    return np.array([int(word) for word in words[:count]], np.uint32)


def _binary(data: bytes, at: int, count: int, greatest: int, picture: Picture) -> Array:
    dtype = np.dtype(">u2" if greatest > 255 else "u1")
    end = at + count * dtype.itemsize
    if end > len(data):
        raise UnreadableError(f"{picture.name} is cut short: some of its pixels are missing.")
    if data[end:].strip():
        picture.note(metadata.BEHIND)
    return np.frombuffer(data, dtype, count, at)


def _rescale(values: Array, source: int, target: int) -> Array:
    """Stretch integers from 0..source to 0..target, rounded; stretching and shrinking again is exact."""
    dtype = np.uint8 if target < 256 else np.uint16
    if source == target:
        return values.astype(dtype)
    return ((values.astype(np.uint32) * target + source // 2) // source).astype(dtype)
