"""Directories of tags, as TIFF files and EXIF blocks hold them: read and written without touching the values.

Values stay the raw bytes of the source in the byte order of the source, so nothing is lost in between.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

EXIF, GPS, INTEROPERABILITY, SUBFILES = 34665, 34853, 40965, 330
SHORT, LONG, LONG8 = 3, 4, 16
_POINTERS = (EXIF, GPS, INTEROPERABILITY)
# TIFF types that struct knows; of the others 2 is text, 5 and 10 are fractions, 7 is bytes
_CODES = dict(zip((1, 3, 4, 6, 8, 9, 11, 12, 13, 16, 17, 18), "BHIbhifdIQqQ", strict=True))
_SIZES = {2: 1, 5: 8, 7: 1, 10: 8} | {kind: struct.calcsize(f"={code}") for kind, code in _CODES.items()}


class Layout(NamedTuple):
    """Byte order ("<" or ">") and whether offsets have eight bytes (BigTIFF)."""

    order: str
    big: bool

    @property
    def pointer(self) -> str:
        """The struct format of an offset."""
        return self.order + ("Q" if self.big else "I")


class Entry(NamedTuple):
    """One tag: its TIFF type, the number of values, and their bytes."""

    kind: int
    amount: int
    raw: bytes


@dataclass
class Directory:
    """Tags by number, and the directories that EXIF, GPS and interoperability pointers lead to."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)


def read_header(data: bytes) -> tuple[Layout, int]:
    """Read byte order and the offset of the first directory; ValueError when it is no TIFF header."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise ValueError("no TIFF header")
    version = struct.unpack_from(order + "H", data, 2)[0]
    if version == 43:
        if len(data) < 16:
            raise ValueError("no TIFF header")
        return Layout(order, True), struct.unpack_from(order + "Q", data, 8)[0]
    return Layout(order, False), struct.unpack_from(order + "I", data, 4)[0]


def read_directory(data: bytes, layout: Layout, offset: int, depth: int = 0) -> tuple[Directory, int, int]:
    """Read the directory at `offset`.

    Returns it, the offset of the next one (0: none) and the place where that offset is stored. Entries whose
    values lie outside `data` are left out and listed as damaged. Raises ValueError when the directory itself
    does not fit.
    """
    head, width = ("Q", 20) if layout.big else ("H", 12)
    start = offset + struct.calcsize(layout.order + head)
    if offset < 8 or start > len(data):
        raise ValueError("a directory lies outside the file")
    count = struct.unpack_from(layout.order + head, data, offset)[0]
    end = start + count * width
    if end > len(data):
        raise ValueError("a directory is cut short")
    directory = Directory()
    room = 2 * len(data)  # values may share bytes, but thousands that share megabytes are a bomb
    for at in range(start, end, width):
        room -= _read_entry(data, layout, at, directory, room)
    if depth < 3:
        _read_children(data, layout, directory, depth)
    fits = end + struct.calcsize(layout.pointer) <= len(data)
    return directory, struct.unpack_from(layout.pointer, data, end)[0] if fits else 0, end


def _read_entry(data: bytes, layout: Layout, at: int, directory: Directory, room: int) -> int:
    """Read one entry whose value has at most `room` bytes; returns how many it has."""
    tag, kind, count = struct.unpack_from(layout.order + ("HHQ" if layout.big else "HHI"), data, at)
    inline = 8 if layout.big else 4
    at += 12 if layout.big else 8
    size: int = _SIZES.get(kind, 0) * count
    if size > inline:
        at = struct.unpack_from(layout.pointer, data, at)[0]
    if kind not in _SIZES or at + size > len(data) or size > room:
        directory.damaged.append(tag)
    elif tag not in directory.entries:
        directory.entries[tag] = Entry(kind, count, data[at : at + size])
        return size
    return 0


def _read_children(data: bytes, layout: Layout, directory: Directory, depth: int) -> None:
    for tag in _POINTERS:
        if tag not in directory.entries:
            continue
        pointed = numbers(directory.entries.pop(tag), layout)
        try:
            directory.children[tag] = read_directory(data, layout, int(pointed[0]), depth + 1)[0]
        except (ValueError, IndexError):
            directory.damaged.append(tag)


def numbers(entry: Entry, layout: Layout) -> tuple[float, ...]:
    """The values of an entry of a plain numeric type, ints for integers; empty for text and fractions."""
    code = _CODES.get(entry.kind)
    return struct.unpack(f"{layout.order}{entry.amount}{code}", entry.raw) if code else ()


def make_entry(layout: Layout, kind: int, *values: int) -> Entry:
    """An entry of integers of one TIFF type, such as SHORT."""
    return Entry(kind, len(values), struct.pack(f"{layout.order}{len(values)}{_CODES[kind]}", *values))


def write_directory(directory: Directory, layout: Layout, offset: int, following: int = 0) -> bytes:
    """Bytes of a directory that will stand at `offset`, with its values and children behind it.

    `following` is the offset of the next directory.
    """
    entries = dict(directory.entries)
    pointer_kind = LONG8 if layout.big else LONG
    for tag in directory.children:
        entries[tag] = make_entry(layout, pointer_kind, 0)
    inline = 8 if layout.big else 4
    fixed = (8 if layout.big else 2) + len(entries) * (20 if layout.big else 12)
    behind = bytearray()
    base = offset + fixed + inline
    rows = bytearray(struct.pack(layout.order + ("Q" if layout.big else "H"), len(entries)))
    for tag in sorted(entries):
        entry = entries[tag]
        rows += struct.pack(layout.order + ("HHQ" if layout.big else "HHI"), tag, entry.kind, entry.amount)
        if tag in directory.children or len(entry.raw) > inline:
            behind += bytes(-(base + len(behind)) % 2)  # values start on even offsets
            rows += struct.pack(layout.pointer, base + len(behind))
        else:
            rows += entry.raw.ljust(inline, b"\0")
            continue
        if tag in directory.children:
            behind += write_directory(directory.children[tag], layout, base + len(behind))
        else:
            behind += entry.raw
    rows += struct.pack(layout.pointer, following)
    return bytes(rows + behind)
