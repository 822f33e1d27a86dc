"""Files taken apart into the pieces their formats are made of, and put together again, lengths as told."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

PNG = b"\x89PNG\r\n\x1a\n"
BLOCK = 64


def split(data: bytes) -> tuple[str, list[bytes]]:
    """The kind of a file and its pieces, each with its name but without its length and checksum."""
    if data.startswith(PNG):
        return "png", _png(data)
    if data.startswith(b"\xff\xd8"):
        return "jpeg", _jpeg(data)
    if data[:4] == b"RIFF":
        return "riff", _riff(data)
    if data[4:8] in (b"ftyp", b"jP  "):
        return "boxes", _boxes(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "tiff" + data[:1].decode(), _tiff(data)
    return "blocks", [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]


def join(kind: str, parts: list[bytes], lies: Mapping[int, int] | None = None) -> bytes:
    """Put pieces together; `lies` are lengths that some of them announce instead of their own."""
    lies = lies or {}
    if kind == "png":
        return PNG + b"".join(_png_chunk(part, lies.get(at)) for at, part in enumerate(parts))
    if kind == "jpeg":
        return b"\xff\xd8" + b"".join(_jpeg_segment(part, lies.get(at)) for at, part in enumerate(parts))
    if kind == "riff":
        body = b"".join(_riff_chunk(part, lies.get(at)) for at, part in enumerate(parts[1:], 1))
        total = lies.get(0, len(body) + 4) & 0xFFFFFFFF
        return b"RIFF" + struct.pack("<I", total) + (parts[0] if parts else b"") + body
    if kind == "boxes":
        return b"".join(_box(part, lies.get(at)) for at, part in enumerate(parts))
    if kind.startswith("tiff"):
        return _tiff_again(kind, parts, lies)
    return b"".join(parts)


def _png(data: bytes) -> list[bytes]:
    parts, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    return parts


def _png_chunk(part: bytes, lie: int | None) -> bytes:
    length = max(0, len(part) - 4) if lie is None else lie & 0xFFFFFFFF
    return struct.pack(">I", length) + part + struct.pack(">I", zlib.crc32(part))


def _jpeg(data: bytes) -> list[bytes]:
    """Segments as marker and content; the scan with all behind it is the last."""
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at + 1 : at + 2] + data[at + 4 : at + 2 + length])
        at += 2 + max(2, length)
    return [*parts, data[at + 1 :]] if at < len(data) else parts


def _jpeg_segment(part: bytes, lie: int | None) -> bytes:
    if part[:1] == b"\xda":
        return b"\xff" + part
    length = len(part) + 1 if lie is None else lie
    return b"\xff" + part[:1] + struct.pack(">H", length & 0xFFFF) + part[1:]


def _riff(data: bytes) -> list[bytes]:
    parts, at = [data[8:12]], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append(data[at : at + 4] + data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return parts


def _riff_chunk(part: bytes, lie: int | None) -> bytes:
    length = max(0, len(part) - 4) if lie is None else lie
    return part[:4] + struct.pack("<I", length & 0xFFFFFFFF) + part[4:] + bytes(len(part) % 2)


def _boxes(data: bytes) -> list[bytes]:
    parts, at = [], 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        length = length if 8 <= length <= len(data) - at else len(data) - at
        parts.append(data[at + 4 : at + length])
        at += length
    return parts


def _box(part: bytes, lie: int | None) -> bytes:
    length = len(part) + 4 if lie is None else lie
    return struct.pack(">I", length & 0xFFFFFFFF) + part


def _tiff(data: bytes) -> list[bytes]:
    """The first directory's rows between what stands before and behind."""
    order = "<" if data[:1] == b"I" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0] if len(data) >= 8 else 0
    if at + 2 > len(data):
        return [data]
    count = struct.unpack_from(order + "H", data, at)[0]
    rows = [data[at + 2 + 12 * row : at + 14 + 12 * row] for row in range(min(count, 100))]
    return [data[:at], *rows, data[at + 2 + 12 * len(rows) :]]


def _tiff_again(kind: str, parts: list[bytes], lies: Mapping[int, int]) -> bytes:
    if len(parts) < 2:
        return b"".join(parts)
    order = "<" if kind == "tiffI" else ">"
    rows = [
        row[:4] + struct.pack(order + "I", lies[at] & 0xFFFFFFFF) + row[8:] if at in lies else row
        for at, row in enumerate(parts)
    ][1:-1]
    return parts[0] + struct.pack(order + "H", len(rows)) + b"".join(rows) + parts[-1]
