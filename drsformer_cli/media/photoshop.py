"""Photoshop image resources, as JPEG (APP13) and TIFF (tag 34377) hold them."""

from __future__ import annotations

from typing import NamedTuple

HEADER = b"Photoshop 3.0\x00"
_IPTC, _THUMBNAILS = 1028, (1033, 1036)


class Resource(NamedTuple):
    """One resource: its number, its content, and all its bytes with name and padding."""

    number: int
    content: bytes
    raw: bytes


def read_resources(block: bytes) -> list[Resource] | None:
    """The resources of a block without its header; None when it is damaged."""
    resources = []
    at, end_of_all = 0, len(block.rstrip(b"\x00"))
    while at < end_of_all:
        if block[at : at + 4] not in (b"8BIM", b"8B64", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
            return None
        name_end = at + 6 + (1 + (block[at + 6] if at + 6 < len(block) else 0) + 1) // 2 * 2
        size = int.from_bytes(block[name_end : name_end + 4], "big")
        start = name_end + 4
        end = start + size + size % 2
        if start + size > len(block):
            return None
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        resources.append(Resource(number, block[start : start + size], block[at:end]))
        at = end
    return resources


def without_thumbnails(block: bytes) -> tuple[bytes, bool]:
    """A block without thumbnails, and whether there were any; a damaged one that holds a JPEG is emptied."""
    resources = read_resources(block)
    if resources is None:
        shows = b"\xff\xd8\xff" in block
        return (b"" if shows else block), shows
    kept = [each.raw for each in resources if each.number not in _THUMBNAILS]
    if len(kept) == len(resources):
        return block, False
    return b"".join(kept), True


def iptc(block: bytes) -> bytes | None:
    """The IPTC records of a block."""
    resources = read_resources(block) or []
    return next((each.content for each in resources if each.number == _IPTC), None)


def from_iptc(records: bytes) -> bytes:
    """A block that holds nothing but IPTC records."""
    size = len(records).to_bytes(4, "big")
    return b"8BIM" + _IPTC.to_bytes(2, "big") + b"\0\0" + size + records + bytes(len(records) % 2)
