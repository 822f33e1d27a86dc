"""The segments of a JPEG file: read, cleaned of thumbnails and dead pointers, and put around new pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from drsformer_cli.errors import UnreadableError
from drsformer_cli.media import exif, metadata, photoshop, xmp
from drsformer_cli.media.picture import Metadata, Picture

APP0, APP1, APP2, APP11, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE
XMP = b"http://ns.adobe.com/xap/1.0/\x00"
ICC = b"ICC_PROFILE\x00"
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\x00"
_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"
_LARGEST = 65533  # bytes of content a segment can hold
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class Segment(NamedTuple):
    """One segment before the pixels: its marker and its content, without length."""

    marker: int
    body: bytes


class Component(NamedTuple):
    """One colour component of a frame header."""

    number: int
    across: int
    down: int
    table: int


class Frame(NamedTuple):
    """What SOF says."""

    kind: int
    precision: int
    height: int
    width: int
    components: list[Component]


def read_segments(data: bytes, name: str) -> tuple[list[Segment], int]:
    """The segments before the first scan, and where they end."""
    segments: list[Segment] = []
    at = 2
    while match := _MARKER.search(data, at):
        at = match.end()
        marker = data[at - 1]
        size = int.from_bytes(data[at : at + 2], "big")
        if marker == 0xDA:
            return segments, at
        if marker in (0x01, 0xD8, 0xD9):
            continue
        if size < 2 or at + size > len(data):
            break
        segments.append(Segment(marker, data[at + 2 : at + size]))
        at += size
    raise UnreadableError(f"{name} is cut short: it ends before the pixels of a JPEG picture.")


def end_of_picture(data: bytes, at: int) -> int:
    """Where the end marker after the scans ends; the end of the data when there is none."""
    while match := _MARKER.search(data, at):
        at = match.end()
        if data[at - 1] == 0xD9:
            return at
        at += int.from_bytes(data[at : at + 2], "big")
    return len(data)


def read_frame(segments: Iterable[Segment], name: str) -> Frame:
    """The frame header."""
    for marker, body in segments:
        if marker in _START_OF_FRAME and len(body) >= 6 + 3 * body[5]:
            rows = (body[6 + 3 * i : 9 + 3 * i] for i in range(body[5]))
            components = [Component(row[0], row[1] >> 4, row[1] & 15, row[2]) for row in rows]
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            return Frame(marker, body[0], height, width, components)
    raise UnreadableError(f"{name} is damaged: a JPEG picture without a frame header.")


def clean(segments: list[Segment], picture: Picture) -> list[Segment]:
    """The segments to carry over: all metadata, without what shows rain or points at what is gone.

    Fills `picture.metadata` on the way.
    """
    meta = picture.metadata = Metadata()
    extended = b"".join(s.body for s in segments if s.body.startswith(_XMP_EXTENSION))
    drop_extension = xmp.has_embedded_picture(extended)
    kept: list[Segment] = []
    profile: set[bytes] = set()
    for segment in segments:
        cleaned: Segment | None = segment
        body = segment.body
        if segment.marker == APP0:
            cleaned = _clean_jfif(segment, picture)
        elif segment.marker == APP1 and body.startswith(exif.PREFIX):
            cleaned = Segment(APP1, metadata.clean_exif(picture, body))
            meta.exif = meta.exif or exif.bare(cleaned.body)
        elif body.startswith(XMP):
            packet = metadata.clean_xmp(picture, body[len(XMP) :])
            if packet is not None and drop_extension:
                packet = xmp.without_extension(packet)
            meta.xmp = meta.xmp or packet
            cleaned = Segment(APP1, XMP + packet) if packet is not None else None
        elif body.startswith(_XMP_EXTENSION):
            cleaned = None if drop_extension else segment
        elif not APP0 <= segment.marker <= 0xEF and segment.marker != COM:
            cleaned = None
        elif body.startswith(ICC):
            cleaned = segment if body not in profile else None  # a part given twice would make it invalid
            profile.add(body)
        else:
            cleaned = _clean_other(segment, picture)
        if cleaned is not None:
            kept.append(cleaned)
    if drop_extension:
        picture.note("embedded original picture dropped")
    meta.icc = _join_profile(segments)
    return _clean_resources(kept, picture)


def _clean_jfif(segment: Segment, picture: Picture) -> Segment | None:
    """JFIF without its thumbnail; JFXX, which is nothing else, goes."""
    body = segment.body
    if body.startswith(b"JFXX\x00"):
        picture.note(metadata.THUMBNAIL)
        return None
    if not body.startswith(b"JFIF\x00") or len(body) < 14:
        return segment
    unit, across, down = body[7], int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
    if unit in (1, 2) and across and down:
        scale = 1.0 if unit == 1 else 2.54
        picture.metadata.dpi = (across * scale, down * scale)
    if len(body) > 14:
        picture.note(metadata.THUMBNAIL)
    return Segment(APP0, body[:12] + b"\x00\x00")


def _clean_other(segment: Segment, picture: Picture) -> Segment | None:
    marker, body = segment
    if marker == APP2 and body.startswith((b"MPF\x00", _ISO_GAIN_MAP)):
        return None
    if marker == APP11:  # JUMBF boxes: credentials that sign the pixels, or layers of JPEG XT over them
        picture.note(metadata.CREDENTIALS if b"c2pa" in body else "JPEG extension layers (APP11) dropped")
        return None
    if marker == COM:
        picture.metadata.other.append("JPEG comment")
    elif marker not in (APP2, APP13, APP14) and b"\xff\xd8\xff" in body and exif.embedded_jpegs(body):
        picture.note(metadata.THUMBNAIL)
        return None
    return segment


def _clean_resources(segments: list[Segment], picture: Picture) -> list[Segment]:
    """Take thumbnails out of the Photoshop resources, which may be spread over several segments."""
    places = [i for i, s in enumerate(segments) if s.marker == APP13 and s.body.startswith(photoshop.HEADER)]
    if not places:
        return segments
    block = b"".join(segments[i].body[len(photoshop.HEADER) :] for i in places)
    cleaned, found = photoshop.without_thumbnails(block)
    picture.metadata.iptc = photoshop.iptc(cleaned)
    if not found:
        return segments
    picture.note(metadata.THUMBNAIL)
    taken = set(places)
    rest = [segment for i, segment in enumerate(segments) if i not in taken]
    return rest[: places[0]] + resource_segments(cleaned) + rest[places[0] :]


def _join_profile(segments: list[Segment]) -> bytes | None:
    parts = {s.body[12]: s.body[14:] for s in segments if s.body.startswith(ICC) and len(s.body) > 14}
    return b"".join(parts[number] for number in sorted(parts)) or None


def resource_segments(block: bytes) -> list[Segment]:
    """APP13 segments for Photoshop resources."""
    step = _LARGEST - len(photoshop.HEADER)
    parts = [block[i : i + step] for i in range(0, len(block), step)]
    return [Segment(APP13, photoshop.HEADER + part) for part in parts]


def from_metadata(picture: Picture, *, grey: bool) -> list[Segment]:
    """Segments for a picture that came in another format."""
    meta = picture.metadata
    segments = []
    if meta.dpi is not None:
        across, down = (min(round(value), 65535).to_bytes(2, "big") for value in meta.dpi)
        segments.append(Segment(APP0, b"JFIF\x00\x01\x01\x01" + across + down + b"\x00\x00"))
    for words, start, block in (("EXIF", exif.PREFIX, meta.exif), ("XMP", XMP, meta.xmp)):
        if block is not None and len(start + block) <= _LARGEST:
            segments.append(Segment(APP1, start + block))
        elif block is not None:
            picture.note(f"{words} dropped, for it is longer than JPEG can hold")
    profile = metadata.icc_for(picture, grey=grey) or b""
    step = _LARGEST - len(ICC) - 2
    parts = [profile[i : i + step] for i in range(0, len(profile), step)]
    for number, part in enumerate(parts, 1):
        segments.append(Segment(APP2, ICC + bytes([number, len(parts)]) + part))
    if meta.iptc is not None:
        segments += resource_segments(photoshop.from_iptc(meta.iptc))
    return segments


def insert(encoded: bytes, segments: list[Segment], *, keep_adobe: bool) -> bytes:
    """An encoded picture with its own application segments replaced by `segments`.

    keep_adobe keeps the encoder's APP14 and leaves out the others': it says how the colours are stored.
    """
    own, scan = read_segments(encoded, "")
    adobe = [s for s in own if s.marker == APP14] if keep_adobe else []
    others = [s for s in segments if not (keep_adobe and s.marker == APP14)]
    coding = [s for s in own if not APP0 <= s.marker <= 0xEF and s.marker != COM]
    parts = [b"\xff\xd8"]
    for marker, body in [*others, *adobe, *coding]:
        parts += [bytes([0xFF, marker]), (len(body) + 2).to_bytes(2, "big"), body]
    return b"".join([*parts, b"\xff\xda", encoded[scan:]])
