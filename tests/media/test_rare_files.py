"""Files as hardly anybody writes them, and what one format has and another cannot hold."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import apng, avif, bmp, heic, jpeg2000, pixels, png, targa, xmp
from drsformer_cli.media.boxes import Box
from drsformer_cli.media.exif import without_thumbnails
from drsformer_cli.media.ifd import LONG, SHORT, Directory, Entry, Layout, make_entry, write_directory
from drsformer_cli.media.images import decode, encode
from drsformer_cli.media.jpeg_segments import XMP as XMP_HEAD
from drsformer_cli.media.jpeg_segments import read_segments
from drsformer_cli.media.picture import Order, Picture
from tests.media.builders import (
    XMP,
    exif_block,
    noise,
    opened,
    png_chunk,
    png_kinds,
    png_with,
    saved,
    smooth,
)

PLAIN = Layout("<", False)
GREY = noise(4, 6)


def tiff(**changes: tuple[int, ...] | Entry | None) -> bytes:
    """A grey picture of 6 x 4 pixels in one strip; changes are of tags ("t257"), None takes one away."""
    tags: dict[int, Any] = {
        256: (6,),
        257: (4,),
        258: (8,),
        259: (1,),
        262: (1,),
        273: (8,),
        277: (1,),
        278: (4,),
        279: (24,),
    }
    tags |= {int(name[1:]): value for name, value in changes.items()}
    entries = {
        tag: value
        if isinstance(value, Entry)
        else make_entry(PLAIN, LONG if tag in (273, 279) else SHORT, *value)
        for tag, value in tags.items()
        if value is not None
    }
    return b"II*\0" + struct.pack("<I", 32) + GREY.tobytes() + write_directory(Directory(entries), PLAIN, 32)


def test_the_plain_one_is_read() -> None:
    picture = decode(tiff(), "a.tif")
    assert (picture.frames[0] == GREY[..., None]).all()
    assert (decode(tiff(t279=None), "a.tif").frames[0] == GREY[..., None]).all()
    assert (decode(tiff(t278=None), "a.tif").frames[0] == GREY[..., None]).all()
    assert (decode(tiff(t262=(0,)), "a.tif").frames[0] == 255 - GREY[..., None]).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t256": None}, "a TIFF picture without a size"),
        ({"t257": None}, "a TIFF picture without a size"),
        ({"t273": None}, "does not say where its pixels are"),
        ({"t279": (12, 12)}, "does not say where its pixels are"),
        ({"t273": (7,)}, "some of its pixels are missing"),
        ({"t273": (5000,)}, "some of its pixels are missing"),
        ({"t278": (0,)}, "its strips or tiles have no size"),
        ({"t278": (2,)}, "its strips or tiles do not cover the picture"),
        ({"t262": (3,)}, "its palette is missing"),
    ],
)
def test_damaged_tiffs_say_what_is_wrong(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableError, match=rf"^odd\.tif is (damaged|cut short): .*{reason}"):
        decode(tiff(**changes), "odd.tif")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t258": (8, 16), "t277": (2,)}, "channels of different depths"),
        ({"t262": (7,)}, r"neither grey nor RGB \(7\)"),
        ({"t262": (6,)}, "stores YCbCr without new-style JPEG"),
        ({"t259": (6,)}, "the obsolete JPEG compression"),
        ({"t277": (5,), "t258": (8,) * 5}, "has 5 channels"),
        ({"t339": (6,)}, "8-bit complex or untyped numbers"),
        ({"t266": (2,), "t259": (5,)}, "has its bits in reversed order; save it with another program first"),
    ],
)
def test_unusual_tiffs_are_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"^odd\.tif .*{reason}"):
        decode(tiff(**changes), "odd.tif")


def test_directories_without_end_or_beginning() -> None:
    with pytest.raises(UnreadableError, match="a TIFF file without a picture"):
        decode(b"II*\0" + bytes(8), "odd.tif")
    data = bytearray(tiff())
    data[-4:] = struct.pack("<I", 32)  # the next page is the first one
    assert len(decode(bytes(data), "odd.tif").frames) == 1


def test_damaged_tags_and_packets_are_noted() -> None:
    packet = XMP.replace(
        b'dc:format="image/x"', b'xmlns:x="http://ns.adobe.com/xap/1.0/" x:Thumbnails="AAAA"'
    )
    data = tiff(t700=Entry(1, len(packet), packet), t305=Entry(2, 10**9, b"far beyond"))
    picture = decode(data, "a.tif")
    assert picture.notes == ["damaged TIFF tags dropped", "embedded thumbnail dropped"]
    assert picture.metadata.xmp is not None
    assert b"AAAA" not in picture.metadata.xmp
    assert decode(encode(picture, picture.frames), "a.tif").notes == []


def test_records_and_density_that_others_cannot_hold_are_noted() -> None:
    records = Entry(7, 8, b"\x1c\x02\x05\0\x03abc")
    resolution = Entry(5, 1, struct.pack("<II", 300, 1))
    source = tiff(t33723=records, t282=resolution, t283=resolution, t296=(2,))
    for target, notes in (
        ("png", ["IPTC records dropped, for PNG cannot hold them"]),
        ("webp", ["IPTC records dropped, for WebP cannot hold them"]),
        ("jpg", []),
    ):
        picture = decode(source, "a.tif")
        result = encode(picture, picture.frames, format=target)
        assert picture.notes == notes
        if target != "webp":
            assert opened(result).info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert decode(result, "a.jpg").metadata.iptc == records.raw
    picture = decode(saved(smooth(9, 9), "PNG", dpi=(300, 300)), "a.png")
    encode(picture, picture.frames, format="webp")
    assert picture.notes == ["resolution (DPI) dropped, for WebP cannot hold it"]


def test_a_maker_note_that_moves_is_noted() -> None:
    picture = decode(saved(smooth(9, 9), "JPEG", exif=exif_block(1, maker_note=b"note" * 9)), "a.jpg")
    encode(picture, picture.frames, format="tif")
    assert any("maker note" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (avif.write, "cannot be written as AVIF, for it was not AVIF before"),
        (heic.write, "cannot be written as HEIC, for it was not HEIC before"),
    ],
)
def test_formats_that_are_kept_and_never_chosen(write: Any, words: str) -> None:
    order = Order(Picture([], "png", ".png", name="a.png"), [smooth(9, 9)])
    with pytest.raises(UnsupportedError, match=rf"^a\.png {words}"):
        write(order)


def test_floating_point_is_no_png() -> None:
    order = Order(Picture([], "tiff", ".tif", name="a.tif"), [np.zeros((9, 9, 3), np.float32)])
    with pytest.raises(UnsupportedError, match=r"^a\.tif has floating-point samples"):
        png.write(order)


def test_grey_with_alpha_in_a_bitmap_is_colour() -> None:
    samples = noise(5, 7, 2)
    found = np.asarray(opened(bmp.write(Order(Picture([], "bmp", ".bmp"), [samples]))).convert("RGBA"))
    assert (found[..., :3] == samples[..., :1]).all()
    assert (found[..., 3] == samples[..., 1]).all()


def test_an_animation_that_lacks_frames() -> None:
    from io import BytesIO

    frames = [Image.fromarray(noise(9, 9, 3, seed=seed)) for seed in range(3)]
    buffer = BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:], duration=50)
    data = buffer.getvalue()
    assert png_kinds(data).count(b"fcTL") == 3
    assert [apng._delay(body) for body in (b"", bytes(25))] == [0, 0]
    for head, expected in (((5, 100), Fraction(1, 20)), ((5, 0), Fraction(1, 20)), ((3, 7), Fraction(3, 7))):
        assert apng._delay(bytes(20) + struct.pack(">HH", *head) + bytes(2)) == expected
    at = data.index(b"acTL") - 4
    more = png_chunk(b"acTL", struct.pack(">II", 9, 0))
    with pytest.raises(UnreadableError, match=r"^a\.png is (damaged|cut short)"):
        decode(data[:at] + more + data[at + 20 :], "a.png")


@pytest.mark.parametrize(
    ("seconds", "parts"),
    [
        (Fraction(1, 20), (1, 20)),
        (Fraction(2, 65535), (2, 65535)),
        (Fraction(70000), (65535, 1)),
        (Fraction(1, 10**9), (0, 1)),
        (Fraction(65536 * 7 + 1, 7), (65535, 1)),
    ],
)
def test_delays_as_two_numbers_of_16_bits(seconds: Fraction, parts: tuple[int, int]) -> None:
    assert apng._fraction(seconds) == parts


def test_xmp_in_a_png_loses_its_thumbnail() -> None:
    packet = XMP.replace(
        b'dc:format="image/x"', b'xmlns:x="http://ns.adobe.com/xap/1.0/" x:Thumbnails="AAAA"'
    )
    text = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    picture = decode(png_with(saved(smooth(9, 9), "PNG"), text), "a.png")
    assert picture.notes == ["embedded thumbnail dropped"]
    result = encode(picture, picture.frames)
    assert b"AAAA" not in result
    assert b"dc/elements" in result


def test_an_extended_packet_with_the_picture_before_goes_with_what_announces_it() -> None:
    note = b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123" dc:format="image/x"'
    packet = XMP.replace(b'dc:format="image/x"', note)
    assert xmp.without_extension(packet) == packet.replace(b' xmpNote:HasExtendedXMP="0123"', b"")
    extended = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"<GImage:Data>rain</GImage:Data>"
    plain = saved(smooth(9, 9), "JPEG")
    parts = [
        bytes([0xFF, 0xE1]) + (len(body) + 2).to_bytes(2, "big") + body
        for body in (XMP_HEAD + packet, extended)
    ]
    picture = decode(plain[:2] + b"".join(parts) + plain[2:], "a.jpg")
    result = encode(picture, picture.frames)
    assert picture.notes == ["embedded original picture dropped"]
    assert b"rain" not in result
    assert b"HasExtendedXMP" not in result
    assert any(body.startswith(XMP_HEAD) for _, body in read_segments(result, "")[0])


def test_depths_round_to_the_nearest() -> None:
    eight, sixteen = np.arange(256, dtype=np.uint8), np.arange(65536, dtype=np.uint16)
    assert (pixels.to_depth(eight, np.uint16) == eight.astype(int) * 257).all()
    assert (pixels.to_depth(sixteen, np.uint8) == np.rint(sixteen / 257)).all()
    real = np.array([-1.0, 0.0, 0.5, 1.0, 2.0], np.float32)
    assert pixels.to_depth(real, np.uint8).tolist() == [0, 0, 128, 255, 255]
    assert pixels.to_depth(real, np.uint16).tolist() == [0, 0, 32768, 65535, 65535]
    assert pixels.to_depth(eight, np.uint8) is eight


def test_what_is_opaque() -> None:
    assert pixels.opaque(None)
    for full in (
        np.full((2, 2), 255, np.uint8),
        np.full((2, 2), 65535, np.uint16),
        np.ones((2, 2), np.float32),
    ):
        assert pixels.opaque(full)
        full[0, 0] = full[0, 0] - full.dtype.type(0.5 if full.dtype.kind == "f" else 1)
        assert not pixels.opaque(full)


def test_what_else_is_in_a_heic_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for info, data, pictures, notes in (
        ({}, b"", 1, []),
        ({"aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [1]}}, b"", 1, ["gain map dropped"]),
        ({}, b"....tmap", 1, ["gain map dropped"]),
        ({"aux": {"urn:mpeg:hevc:2015:auxid:1": [1]}}, b"", 1, ["auxiliary pictures dropped"]),
        ({"depth_images": [1]}, b"", 1, ["depth map dropped"]),
        (
            {"thumbnails": [64]},
            b"",
            2,
            ["embedded thumbnail dropped", "further pictures in the file dropped"],
        ),
    ):
        picture = Picture([], "heic", ".heic")
        heic._note_companions([None] * pictures, info, data, picture)
        assert picture.notes == notes
    monkeypatch.setattr(heic, "available", lambda: False)
    with pytest.raises(UnsupportedError, match=r"a\.heic is a HEIC picture; to read it: pip install"):
        heic.read(b"", Picture([], "heic", ".heic", name="a.heic"), 1)


def test_wavelets_that_lose_are_known_by_their_header() -> None:
    def codestream(transform: bytes, *before: bytes) -> bytes:
        coding = b"\xff\x52\0\x0c" + bytes(9) + transform
        return b"\xff\x4f" + b"".join(before) + coding + b"\xff\x90"

    size = b"\xff\x51\0\x04ab"
    assert jpeg2000._is_irreversible(codestream(b"\0", size))
    assert not jpeg2000._is_irreversible(codestream(b"\1", size))
    for before in (b"\xff\x90\0\x02", b"\xff\xd9\0\x02", b"\xff\x51\0\x01", b"nothing"):
        assert not jpeg2000._is_irreversible(codestream(b"\0", before))
    assert not jpeg2000._is_irreversible(b"\xff\x4f")


def test_boxes_with_metadata_lose_their_thumbnails() -> None:
    packet = XMP.replace(b'dc:format="image/x"', b'xmlns:x="http://ns.adobe.com/xap/1.0/" x:Thumbnails="A"')
    block = exif_block(6, thumbnail=saved(smooth(16, 16), "JPEG"))
    identities = (jpeg2000._XMP_UUID, jpeg2000._EXIF_UUID, bytes(16))
    boxes = [
        Box(b"uuid", identity + content, 0)
        for identity, content in zip(identities, (packet, block, b"other"), strict=True)
    ]
    picture = Picture([], "jpeg2000", ".jp2")
    first, second, third = (jpeg2000._clean(box, picture) for box in boxes)
    assert first is not None
    assert first.body.startswith(jpeg2000._XMP_UUID)
    assert b"Thumbnails" not in first.body
    assert second == Box(b"uuid", jpeg2000._EXIF_UUID + without_thumbnails(block)[0], 0)
    assert third == boxes[2]
    assert picture.notes == ["embedded thumbnail dropped"]


def test_a_library_that_writes_no_qoi(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.SAVE, "QOI", raising=False)
    with pytest.raises(UnsupportedError, match=r"a\.qoi cannot be written as QOI; install a newer Pillow"):
        targa.write_qoi(Order(Picture([], "qoi", ".qoi", name="a.qoi"), [smooth(9, 9)]))
