"""EXIF blocks, XMP packets, Photoshop resources: what is taken out, and that the rest stays where it was."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from drsformer_cli.errors import InputError
from drsformer_cli.media import exif, photoshop, xmp
from drsformer_cli.media.ifd import (
    LONG,
    Directory,
    Layout,
    make_entry,
    read_directory,
    read_header,
    write_directory,
)
from drsformer_cli.media.images import decode, encode
from tests.media.builders import XMP, exif_block, tiny_jpeg


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_both_byte_orders(orientation: int, order: str) -> None:
    assert exif.orientation(exif_block(orientation, order=order)) == orientation


@pytest.mark.parametrize(
    "block", [None, b"", b"II*\0", b"garbage garbage", exif_block(0), exif_block(9), exif_block()]
)
def test_a_missing_or_senseless_orientation_means_upright(block: bytes | None) -> None:
    assert exif.orientation(block) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_the_thumbnail_goes(order: str) -> None:
    thumbnail = tiny_jpeg()
    note = b"MakerNote with offsets " * 20
    block = exif_block(6, thumbnail=thumbnail, maker_note=note, order=order)
    cleaned, found = exif.without_thumbnails(block)
    assert found
    assert len(cleaned) == len(block) - len(thumbnail)
    different = [i for i, (a, b) in enumerate(zip(block, cleaned, strict=False)) if a != b]
    layout, first = read_header(block)
    where = read_directory(block, layout, first)[2]
    assert set(different) <= set(range(where, where + 4))
    assert cleaned.index(note) == block.index(note)
    image = Image.Exif()
    image.load(cleaned)
    assert image[274] == 6
    assert not image.get_ifd(0x100)
    assert exif.without_thumbnails(cleaned) == (cleaned, False)


def test_a_thumbnail_in_the_middle_is_blanked() -> None:
    thumbnail = tiny_jpeg()
    block = exif_block(1, thumbnail=thumbnail) + b"what follows"
    cleaned, _ = exif.without_thumbnails(block)
    assert len(cleaned) == len(block)
    assert cleaned.endswith(bytes(len(thumbnail)) + b"what follows")


def test_previews_in_maker_notes_are_blanked_and_look_alikes_are_not() -> None:
    preview = tiny_jpeg()
    look_alike = b"\xff\xd8\xff\xe0\0\x02 no picture"
    block = exif_block(1, maker_note=b"a" * 9 + preview + b"b" * 9 + look_alike)
    cleaned, found = exif.without_thumbnails(block)
    assert found
    assert b"a" * 9 + bytes(len(preview)) + b"b" * 9 + look_alike in cleaned


def test_pictures_inside_are_found_from_their_start_to_their_end() -> None:
    whole = tiny_jpeg()
    assert exif.embedded_jpegs(b"ab" + whole + b"cd" + whole) == [
        (2, 2 + len(whole)),
        (4 + len(whole), 4 + 2 * len(whole)),
    ]
    start = b"\xff\xd8\xff\xe0\0\x04ab"
    scan = b"\xff\xda\0\x02pixels"
    assert exif.embedded_jpegs(start + scan + b"\xff\xd9more") == [(0, len(start + scan) + 2)]
    for rest in (
        b"",
        scan,
        b"\xff\xd9",
        b"\xff\xd8\0\x02" + scan + b"\xff\xd9",
        b"\xff\0\0\x02" + scan + b"\xff\xd9",
        b"\xff\xff\0\x02" + scan + b"\xff\xd9",
        b"\xff\xe1\0\x01" + scan + b"\xff\xd9",
        b"nothing" + scan + b"\xff\xd9",
    ):
        assert exif.embedded_jpegs(start + rest) == []


def test_maker_notes_are_seen() -> None:
    assert exif.has_maker_note(exif_block(1, maker_note=b"note" * 9))
    for block in (None, b"", b"garbage", exif_block(1), exif_block(1, thumbnail=tiny_jpeg())):
        assert not exif.has_maker_note(block)


def test_strips_of_a_thumbnail_and_sizes_that_do_not_go_with_them() -> None:
    """A second directory whose pixels are two strips, of which the last says nothing of its size."""
    layout = Layout("<", False)
    second = Directory({273: make_entry(layout, LONG, 100, 110, 4, 999), 279: make_entry(layout, LONG, 5)})
    block = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 14)
    block += write_directory(second, layout, 14)
    block = block.ljust(100, b"\0") + b"stripkept!" + b"kept"
    cleaned, found = exif.without_thumbnails(block)
    assert found
    assert cleaned.endswith(bytes(5) + b"kept!kept")
    assert len(cleaned) == len(block)


def test_a_block_without_thumbnails_is_the_very_same() -> None:
    block = exif_block(3, maker_note=b"note" * 9)
    assert exif.without_thumbnails(block) == (block, False)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_survived(noise: bytes, at: int) -> None:
    block = exif_block(5, thumbnail=tiny_jpeg(), maker_note=b"note" * 9)
    hurt = block[:at] + noise + block[at + len(noise) :]
    for data in (noise, hurt, b"II*\0" + noise):
        exif.orientation(data)
        exif.without_thumbnails(data)
        photoshop.without_thumbnails(data)
        photoshop.iptc(data)
        xmp.clean(data)


def test_directories_that_lead_in_circles_end() -> None:
    pointer = struct.pack("<HHII", 34665, 4, 1, 8)
    block = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + pointer + struct.pack("<I", 8)
    assert exif.orientation(block) == 1
    assert exif.without_thumbnails(block)[1]


def test_a_block_that_is_built_is_read_by_others() -> None:
    block = exif_block(6, maker_note=b"note" * 9, order=">")
    main = exif.read_main(block)
    assert main is not None
    built = exif.build(Layout(">", False), main[1])
    image = Image.Exif()
    image.load(built)
    assert (image[271], image[274]) == ("Camera maker", 6)
    assert image.get_ifd(34665)[37500] == b"note" * 9


def test_an_ordinary_packet_is_the_very_same() -> None:
    assert xmp.clean(XMP) == (XMP, [])


def test_thumbnails_and_motion_photos_leave_a_packet() -> None:
    packet = XMP.replace(
        b'dc:format="image/x"/>',
        b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:G="http://ns.google.com/photos/1.0/camera/" '
        b'G:MicroVideoOffset=\'123\' G:SpecialTypeID="x" dc:format="image/x">'
        b"<xmp:Rating>3</xmp:Rating><xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>"
        b"</rdf:Description>",
    )
    cleaned, notes = xmp.clean(packet)
    assert cleaned is not None
    assert notes == ["motion photo dropped", "embedded thumbnail dropped"]
    assert b"AAAA" not in cleaned
    assert b"MicroVideo" not in cleaned
    for kept in (b"SpecialTypeID", b"<xmp:Rating>3</xmp:Rating>", b'dc:format="image/x"'):
        assert kept in cleaned


def test_a_packet_that_cannot_be_cleaned_goes_as_a_whole() -> None:
    uri = b"http://ns.google.com/photos/1.0/container/"
    packet = b'<a xmlns:C="' + uri + b'"><b><![CDATA[<C:D>]]></b><C:D></C:D></a>'
    cleaned, notes = xmp.clean(packet)
    assert cleaned is None
    assert "XMP dropped" in notes[0]


def test_resources_without_thumbnails() -> None:
    def resource(number: int, content: bytes, name: bytes = b"\0\0") -> bytes:
        head = b"8BIM" + number.to_bytes(2, "big") + name + len(content).to_bytes(4, "big")
        return head + content + bytes(len(content) % 2)

    kept = resource(1028, b"iptc!") + resource(1005, b"named", b"\x03abc") + resource(1061, b"sum")
    block = resource(1033, b"old") + kept + resource(1036, tiny_jpeg())
    assert photoshop.without_thumbnails(block) == (kept, True)
    assert photoshop.without_thumbnails(kept) == (kept, False)
    assert photoshop.iptc(block) == b"iptc!"
    assert photoshop.without_thumbnails(b"garbage") == (b"garbage", False)
    assert photoshop.without_thumbnails(b"garbage" + tiny_jpeg()) == (b"", True)
    assert photoshop.iptc(photoshop.from_iptc(b"records")) == b"records"


def test_real_cameras_keep_all_but_the_thumbnail(shared_data: Path) -> None:
    checked = 0
    for path in sorted((shared_data / "torture").rglob("*.jpg")):
        before = JpegImagePlugin.JpegImageFile(BytesIO(path.read_bytes())).info.get("exif")
        if not before or not before.startswith(exif.PREFIX):
            continue
        try:
            picture = decode(path.read_bytes(), path.name)
        except InputError:  # damaged on purpose, which other tests look at
            continue
        after = JpegImagePlugin.JpegImageFile(BytesIO(encode(picture, picture.frames))).info["exif"]
        one, other = (exif.read_main(exif.bare(block)) for block in (before, after))
        if one is None or other is None:
            assert exif.bare(after) == exif.without_thumbnails(exif.bare(before))[0]
            continue
        assert one[1] == other[1], path.name
        checked += 1
    assert checked > 20


def test_a_packet_with_names_without_end_goes_as_a_whole() -> None:
    """Each name would be looked for in all of it."""
    names = b" ".join(b'xmlns:n%d="http://ns.adobe.com/xap/1.0/"' % number for number in range(9))
    packet = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/' " + names + b"><n3:Thumbnails>AAAA</n3:Thumbnails></x:xmpmeta>"
    )
    cleaned, notes = xmp.clean(packet)
    assert cleaned is None
    assert notes == ["XMP dropped, for it could not be freed of what it points to"]
