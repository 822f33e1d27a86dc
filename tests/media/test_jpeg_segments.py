"""Segments of a JPEG file: found, cleaned, made of other metadata, and put around new pixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drsformer_cli.errors import UnreadableError
from drsformer_cli.media import exif, photoshop
from drsformer_cli.media.jpeg_segments import (
    APP0,
    APP1,
    APP2,
    APP11,
    APP13,
    APP14,
    COM,
    ICC,
    XMP,
    Component,
    Frame,
    Segment,
    clean,
    end_of_picture,
    from_metadata,
    insert,
    read_frame,
    read_segments,
    resource_segments,
)
from drsformer_cli.media.metadata import CREDENTIALS, THUMBNAIL
from drsformer_cli.media.picture import Picture
from tests.media.builders import XMP as PACKET
from tests.media.builders import exif_block, pillow_bytes, saved, smooth, tiny_jpeg

SOI, SOS, EOI = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
LARGEST = 65533


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def empty() -> Picture:
    return Picture([], "jpeg", ".jpg", name="a.jpg")


markers = st.sampled_from([0xC0, 0xC4, 0xDB, 0xE0, 0xE1, 0xEF, 0xFE])


@given(st.lists(st.tuples(markers, st.binary(max_size=9)), max_size=5), st.integers(0, 3))
def test_segments_up_to_the_pixels(content: list[tuple[int, bytes]], fill: int) -> None:
    """Any number of bytes FF may stand before a marker."""
    head = SOI + b"".join(b"\xff" * fill + segment(*each) for each in content) + SOS
    found, at = read_segments(head + b"\0\x02pixels", "a.jpg")
    assert found == [Segment(*each) for each in content]
    assert at == len(head)
    for cut in range(2, len(head)):
        with pytest.raises(UnreadableError, match=r"^a\.jpg is cut short: it ends before the pixels"):
            read_segments(head[:cut], "a.jpg")


def test_markers_that_stand_alone_are_passed_over() -> None:
    data = SOI + b"\xff\x01\xff\xd8\xff\xd9garbage\xff\x00\xff\xd0\xff\xd7" + segment(APP1, b"ab") + SOS
    assert read_segments(data, "a.jpg") == ([Segment(APP1, b"ab")], len(data))


def test_lengths_that_cannot_be() -> None:
    assert read_segments(SOI + b"\xff\xe1\0\x02" + SOS, "a.jpg")[0] == [Segment(APP1, b"")]
    for size in (0, 1, 5, 0xFFFF):
        with pytest.raises(UnreadableError, match="cut short"):
            read_segments(SOI + b"\xff\xe1" + size.to_bytes(2, "big") + SOS, "a.jpg")


def test_the_end_of_the_last_scan() -> None:
    scans = b"\0\x04heAD\xff\0\xff\xd0more" + segment(0xC4, b"\xff\xd9in a table") + SOS + b"\0\x02\xff\0x"
    assert end_of_picture(SOS + scans + EOI + b"behind", 2) == 2 + len(scans) + 2
    assert end_of_picture(SOS + scans + b"\xff\xff\xd9", 2) == 2 + len(scans) + 3
    assert end_of_picture(SOS + scans, 2) == 2 + len(scans)


def test_a_frame_header() -> None:
    body = bytes([8, 1, 2, 3, 4, 2, 1, 0x21, 0, 2, 0x12, 1])
    expected = Frame(0xC2, 8, 258, 772, [Component(1, 2, 1, 0), Component(2, 1, 2, 1)])
    others = [Segment(marker, body) for marker in (0xC4, 0xC8, 0xCC, 0xE0, 0xD0)]
    assert read_frame([*others, Segment(0xC2, body), Segment(0xC0, bytes(20))], "a.jpg") == expected
    assert read_frame([Segment(0xC0, body[:-1]), Segment(0xCF, body)], "a.jpg").kind == 0xCF
    with pytest.raises(UnreadableError, match=r"^a\.jpg is damaged: a JPEG picture without a frame header"):
        read_frame(others, "a.jpg")


def test_what_is_carried_over_as_it_is() -> None:
    kept = [
        Segment(APP1, b"something of a camera's own"),
        Segment(0xE5, b"looks like \xff\xd8\xff and is none"),
        Segment(APP2, ICC + b"\1\1profile"),
        Segment(APP13, b"Adobe_CM"),
        Segment(APP14, b"Adobe\0d\0\0\0\0\1"),
        Segment(0xEF, b"last of its kind"),
        Segment(COM, b"rain"),
    ]
    gone = [
        Segment(0xDB, b"tables"),
        Segment(0xC0, b"frame"),
        Segment(0xF0, b"beyond"),
        Segment(0xDD, b"\0\0"),
    ]
    picture = empty()
    assert clean([*gone[:2], *kept, *gone[2:]], picture) == kept
    assert (picture.notes, picture.metadata.icc) == ([], b"profile")
    assert picture.metadata.other == ["JPEG comment"]


def test_jfif_has_the_density_and_loses_its_thumbnail() -> None:
    def jfif(unit: int, across: int, down: int, more: bytes = b"\0\0") -> Segment:
        return Segment(APP0, b"JFIF\0\1\2" + bytes([unit, 0, across, 0, down]) + more)

    for unit, dpi in ((0, None), (1, (72.0, 96.0)), (2, (182.88, 243.84)), (3, None)):
        picture = empty()
        assert clean([jfif(unit, 72, 96)], picture) == [jfif(unit, 72, 96)]
        assert picture.metadata.dpi == (None if dpi is None else pytest.approx(dpi))
        assert picture.notes == []
    for across, down in ((0, 72), (72, 0)):
        picture = empty()
        clean([jfif(1, across, down)], picture)
        assert picture.metadata.dpi is None
    picture = empty()
    assert clean([jfif(1, 72, 72, b"\1\1abc"), Segment(APP0, b"JFXX\0\x10" + tiny_jpeg())], picture) == [
        jfif(1, 72, 72)
    ]
    assert picture.notes == [THUMBNAIL]
    picture = empty()
    assert clean([jfif(1, 72, 72, b"\1\1a")], picture) == [jfif(1, 72, 72)]
    assert picture.notes == [THUMBNAIL]
    short = Segment(APP0, b"JFIF\0\1\2\1\0\x48\0\x48\0")
    picture = empty()
    assert clean([short, Segment(APP0, b"AVI1 and more than 14 bytes")], picture) == [
        short,
        Segment(APP0, b"AVI1 and more than 14 bytes"),
    ]
    assert picture.metadata.dpi is None


def test_the_first_blocks_count_and_all_are_kept() -> None:
    blocks = [Segment(APP1, exif.PREFIX + exif_block(turn)) for turn in (6, 3)]
    packets = [Segment(APP1, XMP + PACKET), Segment(APP1, XMP + PACKET.replace(b"image/x", b"image/y"))]
    picture = empty()
    assert clean([*blocks, *packets], picture) == [*blocks, *packets]
    assert picture.metadata.exif == exif_block(6)
    assert picture.metadata.xmp == PACKET


def test_a_packet_that_cannot_be_cleaned_goes() -> None:
    uri = b"http://ns.google.com/photos/1.0/container/"
    packet = b'<a xmlns:C="' + uri + b'"><b><![CDATA[<C:D>]]></b><C:D></C:D></a>'
    picture = empty()
    assert clean([Segment(APP1, XMP + packet)], picture) == []
    assert picture.metadata.xmp is None
    assert any("XMP dropped" in note for note in picture.notes)


def test_parts_of_a_profile_are_joined_by_their_numbers() -> None:
    parts = [
        Segment(APP2, ICC + bytes([number, 3]) + text)
        for number, text in zip(b"\3\1\2", b"c a b".split(), strict=True)
    ]
    picture = empty()
    assert clean([*parts, parts[1]], picture) == parts  # one that is given twice is left out
    assert picture.metadata.icc == b"abc"
    picture = empty()
    clean([Segment(APP2, ICC + b"\1\1")], picture)
    assert picture.metadata.icc is None


def test_what_signs_layers_or_points_is_dropped() -> None:
    picture = empty()
    gone = [
        Segment(APP2, b"MPF\0II*\0"),
        Segment(APP2, b"urn:iso:std:iso:ts:21496:-1\0x"),
        Segment(APP11, b"JP c2pa"),
        Segment(APP11, b"JP layers"),
        Segment(0xE4, b"preview" + tiny_jpeg()),
    ]
    assert clean(gone, picture) == []
    assert picture.notes == [CREDENTIALS, "JPEG extension layers (APP11) dropped", THUMBNAIL]


def resource(number: int, content: bytes) -> bytes:
    head = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(content).to_bytes(4, "big")
    return head + content + bytes(len(content) % 2)


def test_resources_over_several_segments_are_one_block() -> None:
    block = resource(1028, b"iptc!!") + resource(1036, tiny_jpeg()) + resource(1061, b"summ")
    header = photoshop.HEADER
    first, second = Segment(APP13, header + block[:30]), Segment(APP13, header + block[30:])
    others = [Segment(COM, b"1"), Segment(0xE9, b"2"), Segment(COM, b"3")]
    picture = empty()
    found = clean([others[0], first, others[1], second, others[2]], picture)
    kept = resource(1028, b"iptc!!") + resource(1061, b"summ")
    assert found == [others[0], Segment(APP13, header + kept), others[1], others[2]]
    assert (picture.metadata.iptc, picture.notes) == (b"iptc!!", [THUMBNAIL])
    picture = empty()
    assert clean(resource_segments(kept), picture) == [Segment(APP13, header + kept)]
    assert (picture.metadata.iptc, picture.notes) == (b"iptc!!", [])


def test_long_resources_are_split_to_the_byte() -> None:
    step = LARGEST - len(photoshop.HEADER)
    for size, lengths in ((0, []), (1, [1]), (step, [step]), (step + 1, [step, 1])):
        found = resource_segments(b"x" * size)
        assert [len(each.body) - len(photoshop.HEADER) for each in found] == lengths
        assert all(each.marker == APP13 and each.body.startswith(photoshop.HEADER) for each in found)


def test_metadata_of_another_format() -> None:
    picture = empty()
    assert from_metadata(picture, grey=False) == []
    meta = picture.metadata
    meta.dpi, meta.exif, meta.xmp, meta.iptc = (71.6, 1e6), b"II*\0block", PACKET, b"records"
    meta.icc = bytes(16) + b"RGB " + b"p" * (LARGEST - 14 - 20) + b"q"
    step = LARGEST - len(ICC) - 2
    assert from_metadata(picture, grey=False) == [
        Segment(APP0, b"JFIF\0\1\1\1\0\x48\xff\xff\0\0"),
        Segment(APP1, b"Exif\0\0II*\0block"),
        Segment(APP1, XMP + PACKET),
        Segment(APP2, ICC + b"\1\2" + meta.icc[:step]),
        Segment(APP2, ICC + b"\2\2q"),
        *resource_segments(photoshop.from_iptc(b"records")),
    ]
    assert picture.notes == []
    assert all(each.marker != APP2 for each in from_metadata(picture, grey=True))
    assert picture.notes == ["colour profile dropped, for it does not fit the channels written"]


def test_blocks_that_are_a_byte_too_long() -> None:
    picture = empty()
    picture.metadata.exif = b"e" * (LARGEST - 6)
    picture.metadata.xmp = b"x" * (LARGEST - len(XMP))
    assert [len(each.body) for each in from_metadata(picture, grey=False)] == [LARGEST] * 2
    picture.metadata.exif += b"e"
    picture.metadata.xmp += b"x"
    assert from_metadata(picture, grey=False) == []
    assert picture.notes == [
        f"{words} dropped, for it is longer than JPEG can hold" for words in ("EXIF", "XMP")
    ]


@pytest.mark.parametrize("keep_adobe", [False, True])
def test_new_pixels_with_the_segments_of_the_old(keep_adobe: bool) -> None:
    encoded = pillow_bytes(Image.new("CMYK", (9, 9)), "JPEG") if keep_adobe else saved(smooth(9, 9), "JPEG")
    if keep_adobe:  # four channels are written with Adobe's marker, which says how
        assert any(each.marker == APP14 for each in read_segments(encoded, "")[0])
    mine = [Segment(APP1, b"mine"), Segment(APP14, b"old"), Segment(COM, b"rain")]
    found, at = read_segments(insert(encoded, mine, keep_adobe=keep_adobe), "")
    own, start = read_segments(encoded, "")
    adobe = [each for each in own if each.marker == APP14]
    head = [mine[0], mine[2], *adobe] if keep_adobe else mine
    coding = [each for each in own if each.marker in (0xDB, 0xC0, 0xC4)]
    assert found == [*head, *coding]
    assert insert(encoded, mine, keep_adobe=keep_adobe)[at:] == encoded[start:]
