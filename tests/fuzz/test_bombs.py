"""Small pictures that ask for hours or for all the memory: done at once, or refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import tifffile

from drsformer_cli.errors import InputError, UnreadableError, UnsupportedError
from drsformer_cli.media import exif, photoshop, xmp
from drsformer_cli.media.images import decode
from tests.fuzz.cage import Cage
from tests.fuzz.pictures import attempt
from tests.media.builders import (
    SRGB,
    XMP,
    again,
    exif_block,
    noise,
    png_chunk,
    png_with,
    raw_png,
    refusal,
    saved,
    smooth,
    tiny_jpeg,
)

pytestmark = pytest.mark.timeout(60)  # most of these took hours before they were bounded
XAP = b'xmlns:x="http://ns.adobe.com/xap/1.0/" '
MANY = 200_000

PACKETS: dict[str, bytes] = {
    "elements without an end": b"<a " + XAP + b">" + b"<x:Thumbnails>" * MANY,
    "white space": b"<a " + XAP + b">" + b" " * (8 * MANY),
    "prefixes": b"<a "
    + b"".join(b'xmlns:p%d="http://ns.adobe.com/xap/1.0/" ' % at for at in range(MANY // 4))
    + b">",
    "names": b"<a xmlns:x='http://ns.google.com/photos/1.0/image/'>"
    + b"".join(b"<x:a%d>" % at for at in range(MANY)),
    "attributes": b"<a " + XAP + b">" + b' x:Thumbnails="' * MANY,
    "declarations": b"xmlns:" * MANY,
}


@pytest.mark.parametrize("kind", PACKETS)
def test_packets_that_would_take_for_ever(kind: str) -> None:
    cleaned, _ = xmp.clean(PACKETS[kind])
    assert cleaned is None or len(cleaned) <= len(PACKETS[kind])
    assert xmp.without_extension(PACKETS[kind]) is not None


def test_too_many_prefixes_cost_the_packet() -> None:
    cleaned, notes = xmp.clean(PACKETS["prefixes"])
    assert cleaned is None
    assert "XMP dropped" in notes[0]


def billion(levels: int = 12) -> bytes:
    """Entities that stand for ten of the next each: a billion laughs."""
    entities = b"".join(b'<!ENTITY l%d "%s">' % (level + 1, b"&l%d;" % level * 10) for level in range(levels))
    return b'<!DOCTYPE l [<!ENTITY l0 "lol">' + entities + b"]>"


def test_entities_are_never_unfolded() -> None:
    inside = b"<a " + XAP + b"><x:Thumbnails>&l12;</x:Thumbnails>&l12;</a>"
    cleaned, notes = xmp.clean(billion() + inside)
    assert notes == ["embedded thumbnail dropped"]
    assert cleaned == billion() + b"<a " + XAP + b">&l12;</a>"
    packet = XMP.replace(b"<x:xmpmeta", billion() + b"<x:xmpmeta")
    picture, result = again(saved(smooth(16, 16), "JPEG", xmp=packet), "a.jpg")
    assert picture.metadata.xmp == packet
    assert packet in result


def test_what_lies_between_elements_of_one_name_stays() -> None:
    one, open_end = b"<x:Thumbnails>1</x:Thumbnails>", b"<x:Thumbnails>2</x:Other>"
    packet = b"<a " + XAP + b">" + one + b"<b/>" + one + b"<x:Thumbnails/>" + open_end + b"</a>"
    assert xmp.clean(packet)[0] == b"<a " + XAP + b"><b/>" + open_end + b"</a>"


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff\xdd\x00\x04ab\xff\xda", b"\xff\xe0\x00\x08\xff\xd8\xff\xe0\x00\x02"]
)
def test_beginnings_of_thumbnails_without_an_end(start: bytes) -> None:
    block = b"II*\0\x08\0\0\0" + bytes(6) + start * MANY
    assert exif.without_thumbnails(block) == (block, False)


def test_a_thumbnail_behind_many_false_ones_is_found() -> None:
    block = b"II*\0\x08\0\0\0" + bytes(6) + b"\xff\xd8\xff\xe0\x00\x03" * 1000 + tiny_jpeg() + b"behind"
    cleaned, found = exif.without_thumbnails(block)
    assert found
    assert tiny_jpeg()[:200] not in cleaned
    assert cleaned.endswith(b"behind")


def test_resources_by_the_thousand() -> None:
    block = b"8BIM\x04\x0c\0\0\0\0\0\0" * (MANY // 2)
    assert photoshop.without_thumbnails(block) == (b"", True)


def test_values_that_share_their_bytes() -> None:
    """Thousands of tags, each of which claims the whole block."""
    size = 60_000
    rows = b"".join(struct.pack("<HHII", 1000 + tag, 7, size - 8, 8) for tag in range(4000))
    block = (b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 4000) + rows).ljust(size, b"\0")
    main = exif.read_main(block)
    assert main is not None
    assert sum(len(entry.raw) for entry in main[1].entries.values()) <= 2 * size


def test_strips_that_share_their_bytes() -> None:
    """A hundred thousand strips of a megabyte each, in a file of two."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, noise(64, 64, 3), rowsperstrip=64)
    data, count = buffer.getvalue(), 100_000
    first, length = len(data) + 2 & ~1, len(data)
    places = struct.pack("<I", 8) * count
    sizes = struct.pack("<I", 1 << 20) * count
    rows = bytearray(data[: first - 2].ljust(first, b"\0") + places + sizes + bytes(1 << 20))
    at = struct.unpack_from("<I", data, 4)[0]
    for row in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        tag = struct.unpack_from("<H", rows, row)[0]
        if tag in (273, 279):
            start = first + (0 if tag == 273 else len(places))
            struct.pack_into("<HHII", rows, row, tag, 4, count, start)
    assert length < len(rows)
    with Cage(attempt, memory=1 << 30) as cage:
        assert cage("warm.tif", data) == "whole"
        assert cage("strips.tif", bytes(rows)) == "whole"


def test_pages_that_share_their_bytes() -> None:
    """Ten thousand pages in a chain, each with the same megabytes."""
    shared, count = 1 << 20, 10_000
    head = b"II*\0" + struct.pack("<I", 8 + shared)
    pages, at = [], 8 + shared
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    tags.append((34675, 7, shared, 8))
    step = 2 + 12 * len(tags) + 4
    for page in range(count):
        following = at + step if page + 1 < count else 0
        body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        pages.append(struct.pack("<H", len(tags)) + body + struct.pack("<I", following))
        at += step
    with pytest.raises(UnreadableError, match="claim more bytes"):
        decode(head + bytes(shared) + b"".join(pages), "pages.tif")


def test_a_tile_far_larger_than_its_picture() -> None:
    buffer = BytesIO()
    tifffile.imwrite(buffer, smooth(64, 64), tile=(64, 64), compression="zlib")
    data = bytearray(buffer.getvalue())
    at = struct.unpack_from("<I", data, 4)[0]
    for row in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        if struct.unpack_from("<H", data, row)[0] in (322, 323):
            struct.pack_into("<HHII", data, row, struct.unpack_from("<H", data, row)[0], 4, 1, 65536)
    assert "do not cover" in (refusal(bytes(data), "a.tif") or "")


def test_boxes_in_boxes_in_boxes() -> None:
    data = b"\0\0\0\x10ftypavif\0\0\0\0"
    inner = b"\0" * 64
    for _ in range(3000):
        inner = struct.pack(">I", len(inner) + 8) + b"moov" + inner
    assert refusal(data + inner, "a.avif") is not None


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_few_bytes_and_many_pixels(progressive: bool) -> None:
    data = bytearray(saved(smooth(16, 16), "JPEG", progressive=progressive))
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, 20_000, 20_000)
    assert "cannot hold" in (refusal(bytes(data), "a.jpg") or "")


@pytest.mark.parametrize("shape", [(2000, 2000), (2000, 2000, 3)])
@pytest.mark.parametrize("options", [{"optimize": True}, {"progressive": True, "subsampling": 2}])
def test_the_smallest_jpeg_there_can_be_is_read(shape: tuple[int, ...], options: dict[str, object]) -> None:
    data = saved(np.full(shape, 128, np.uint8), "JPEG", **options)
    assert decode(data, "a.jpg").frames[0].shape == (2000, 2000, 3)


def test_a_megabyte_of_fill_bytes() -> None:
    data = saved(smooth(16, 16), "JPEG")
    at = data.index(b"\xff\xda")
    for hurt in (
        data[:at] + b"\xff" * (1 << 20) + data[at:],
        data[:-2] + b"\xff" * (1 << 20) + b"\0\xff\xd9",
    ):
        assert attempt("a.jpg", hurt).startswith(("whole", "refused"))


def test_parts_of_a_profile_by_the_thousand() -> None:
    part = b"\xff\xe2\x00\x14ICC_PROFILE\0%b\x01abcd"
    many = b"".join(part.replace(b"%b", bytes([at % 256])) for at in range(MANY // 4))
    data = saved(smooth(16, 16), "JPEG")
    assert attempt("a.jpg", data[:2] + many + data[2:]) == "whole"


def test_a_comment_before_each_of_many_frames() -> None:
    frame = b"\x21\xfe\x01a\x00\x2c\0\0\0\0\1\0\1\0\0\x02\x02\x44\x01\x00"
    head = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
    assert attempt("a.gif", head + frame * 1500 + b"\x3b") == "whole"


PIXELS: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: raw_png(np.zeros((1, 1, 3), np.uint8), 8, 2).replace(
        *(_ihdr(*size) for size in ((1, 1), (50_000, 50_000)))
    ),
    "a.gif": lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0\x2c" + bytes(9) + b"\x02\0\x3b",
    "a.bmp": lambda: saved(smooth(4, 4), "BMP").replace(*(struct.pack("<ii", n, n) for n in (4, 40_000))),
    "a.qoi": lambda: b"qoif" + struct.pack(">II", 60_000, 60_000) + b"\3\0" + bytes(16),
    "a.ppm": lambda: b"P6 60000 60000 255\n" + bytes(100),
}


def _ihdr(width: int, height: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


@pytest.mark.parametrize("name", PIXELS)
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(name: str) -> None:
    with pytest.raises(UnsupportedError, match="pixels"):
        decode(PIXELS[name](), name)


def test_exif_of_60_kb_stays() -> None:
    block = exif_block(6, maker_note=bytes(range(256)) * 234)
    assert 59_000 < len(block) < 65_000
    for kind, name in (("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp")):
        picture, result = again(saved(smooth(16, 16), kind, exif=block), name)
        assert picture.metadata.exif == block
        assert decode(result, name).metadata.exif == block


@pytest.mark.parametrize("length", [0, 1, 128, len(SRGB) + 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp")])
def test_a_profile_that_lies_about_its_length_stays_as_it_is(kind: str, name: str, length: int) -> None:
    profile = struct.pack(">I", length) + SRGB[4:]
    picture, result = again(saved(smooth(16, 16), kind, icc_profile=profile), name)
    assert picture.metadata.icc == profile
    assert decode(result, name).metadata.icc == profile


def test_a_profile_that_unpacks_to_gigabytes() -> None:
    packed = zlib.compress(bytes(100 << 20), 1)
    data = png_with(saved(smooth(16, 16), "PNG"), png_chunk(b"iCCP", b"x\0\0" + packed))
    assert decode(data, "a.png").metadata.icc is None


@pytest.mark.parametrize("kind", [b"\0\0\0\0", b"I\x1b[2", b"\xe2\x80\xae\x01"])
def test_names_of_chunks_in_messages_are_harmless(kind: bytes) -> None:
    data = png_with(saved(smooth(16, 16), "PNG"), b"\0\0\0\0" + kind + b"oops")
    with pytest.raises(InputError) as caught:
        decode(data, "a.png")
    assert str(caught.value).isprintable()
