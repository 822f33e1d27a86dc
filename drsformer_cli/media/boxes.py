"""Boxes of the ISO family (JPEG 2000, AVIF, HEIC): found, taken apart and put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# boxes that hold boxes, and how many bytes of their own come first
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0, b"res ": 0, b"moov": 0, b"trak": 0, b"mdia": 0}
_DEEPEST = 8  # boxes in boxes; a thousand of them, each copied with all it holds, are a bomb


class Box(NamedTuple):
    """One box: its kind, its content, and where the content starts."""

    kind: bytes
    body: bytes
    start: int


def read_boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes between two places, until one does not fit; a length of 0 means up to the end."""
    stop = len(data) if end is None else end
    while start + 8 <= stop:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1 and start + 16 <= stop:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = stop - start
        if size < head or start + size > stop:
            return
        yield Box(kind, data[start + head : start + size], start + head)
        start += size


def walk(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Box]:
    """All boxes, going into those that hold others as deep as any file does."""
    for box in read_boxes(data, start, end):
        yield box
        if box.kind in _CONTAINERS and depth < _DEEPEST:
            yield from walk(data, box.start + _CONTAINERS[box.kind], box.start + len(box.body), depth + 1)


def write_box(kind: bytes, *bodies: bytes) -> bytes:
    """A box around some content."""
    size = 8 + sum(map(len, bodies))
    if size < 1 << 32:
        return b"".join([size.to_bytes(4, "big"), kind, *bodies])
    return b"".join([b"\0\0\0\1", kind, (size + 8).to_bytes(8, "big"), *bodies])


def write_boxes(boxes: Iterable[Box]) -> bytes:
    """Boxes one after the other."""
    return b"".join(write_box(box.kind, box.body) for box in boxes)
