from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode, encode
from drsformer_cli.media.jpeg_segments import read_segments
from tests.media.builders import (
    SRGB,
    XMP,
    again,
    exif_block,
    noise,
    opened,
    pillow_bytes,
    pixels,
    saved,
    smooth,
    tiny_jpeg,
)


def with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments put in behind its start."""
    parts = [bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments]
    return data[:2] + b"".join(parts) + data[2:]


def bodies(data: bytes, marker: int, start: bytes = b"") -> list[bytes]:
    return [s.body for s in read_segments(data, "")[0] if s.marker == marker and s.body.startswith(start)]


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3]),
    st.integers(10, 100),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
)
def test_tables_sampling_and_mode_are_the_sources_own(
    height: int, width: int, channels: int, quality: int, sampling: int, progressive: bool
) -> None:
    source = saved(
        smooth(height, width, channels),
        "JPEG",
        quality=quality,
        subsampling=sampling,
        progressive=progressive,
    )
    _, result = again(source, "a.jpg")
    before, after = (Image.open(BytesIO(data)) for data in (source, result))
    assert before.quantization == after.quantization
    assert JpegImagePlugin.get_sampling(before) == JpegImagePlugin.get_sampling(after)
    assert before.info.get("progressive") == after.info.get("progressive")
    assert (before.mode, before.size) == (after.mode, after.size)
    if quality >= 60 and min(height, width) >= 8:
        assert np.abs(pixels(source).astype(int) - pixels(result)).mean() < 5


@pytest.mark.parametrize("progressive", [False, True])
def test_the_finest_tables_on_the_worst_picture(progressive: bool, capfd: pytest.CaptureFixture[str]) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    source = cv2.imencode(".jpg", noise(600, 700, 3), options)[1].tobytes()
    _, result = again(source, "a.jpg")
    assert opened(result).quantization == opened(source).quantization
    assert np.abs(pixels(source).astype(int) - pixels(result)).max() <= 3
    picture = decode(source, "a.jpg")
    for quality in (70, 90, 95, 100):
        assert opened(encode(picture, picture.frames, quality=quality)).size == (700, 600)
    assert capfd.readouterr().err == ""


def test_tables_for_each_component() -> None:
    tables = [[3] * 64, [5] * 64, [9] * 64]
    source = saved(smooth(40, 40), "JPEG", qtables=tables, subsampling=0)
    _, result = again(source, "a.jpg")
    assert [list(opened(result).quantization[i]) for i in range(3)] == tables
    assert [c[3] for c in opened(result).layer] == [0, 1, 2]


def test_coarse_tables_of_16_bits_are_written_with_8() -> None:
    source = bytearray(saved(smooth(40, 40, 1), "JPEG", quality=5))
    at = source.index(b"\xff\xdb")
    table = source[at + 5 : at + 69]
    wide = (
        b"\xff\xdb" + struct.pack(">HB", 131, 0x10) + b"".join(struct.pack(">H", 4 * step) for step in table)
    )
    picture, result = again(bytes(source[:at] + wide + source[at + 69 :]), "a.jpg")
    assert picture.notes == ["quantisation tables of 16 bits written as 8 bits"]
    before, after = picture.frames[0].astype(int), decode(result, "a.jpg").frames[0]
    assert np.abs(before - after).mean() < 30


def test_quality_sets_other_tables_but_keeps_the_sampling() -> None:
    source = saved(smooth(64, 64), "JPEG", quality=95, subsampling=1)
    picture = decode(source, "a.jpg")
    result = encode(picture, picture.frames, quality=40)
    assert opened(result).quantization == opened(saved(smooth(8, 8), "JPEG", quality=40)).quantization
    assert JpegImagePlugin.get_sampling(opened(result)) == 1


def test_rgb_without_a_colour_transform_stays_so() -> None:
    source = saved(smooth(30, 30), "JPEG", quality=90, keep_rgb=True)
    _, result = again(source, "a.jpg")
    assert bodies(result, 0xEE)[0][11] == 0
    assert np.abs(pixels(source).astype(int) - pixels(result)).max() <= 4


def test_unusual_sampling_is_written_finer_and_noted() -> None:
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440]
    source = cv2.imencode(".jpg", smooth(40, 40), options)[1].tobytes()
    picture, result = again(source, "a.jpg")
    assert JpegImagePlugin.get_sampling(opened(result)) == 0
    assert picture.notes == ["unusual chroma subsampling written as 4:4:4"]


def test_all_metadata_is_carried_over_byte_for_byte() -> None:
    exif = exif_block(1, maker_note=b"maker" * 30, order=">")
    iptc = b"8BIM\x04\x04\0\0" + struct.pack(">I", 9) + b"\x1c\x02\x78\x00\x04Rain" + b"\0"
    plain = saved(smooth(20, 20), "JPEG", dpi=(300, 200), icc_profile=SRGB * 40, comment=b"a comment")
    source = with_segments(
        plain,
        (0xE1, b"Exif\0\0" + exif),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        (0xED, b"Photoshop 3.0\0" + iptc),
        (0xEC, b"Ducky\0\1\0\4\0\0\0\x50"),
        (0xE6, b"GoPro"),
    )
    picture, result = again(source, "a.jpg")
    for marker in (0xE0, 0xE1, 0xE2, 0xE6, 0xEC, 0xED, 0xFE):
        assert bodies(result, marker) == bodies(source, marker), hex(marker)
    assert picture.notes == []
    meta = picture.metadata
    assert (meta.icc, meta.exif, meta.xmp) == (SRGB * 40, exif, XMP)
    assert meta.iptc == b"\x1c\x02\x78\x00\x04Rain"
    assert meta.dpi == (300, 200)


def test_no_header_is_invented() -> None:
    plain = saved(smooth(20, 20), "JPEG")
    source = plain[:2] + plain[20:]  # without JFIF
    _, result = again(source, "a.jpg")
    assert bodies(result, 0xE0) == []
    assert np.abs(pixels(source).astype(int) - pixels(result)).max() <= 6


def test_thumbnails_of_every_kind_are_dropped() -> None:
    thumbnail = tiny_jpeg()
    resource = b"8BIM\x04\x0c\0\0" + struct.pack(">I", 28 + len(thumbnail)) + bytes(28) + thumbnail
    resource += bytes(len(thumbnail) % 2) + b"8BIM\x04\x04\0\0" + struct.pack(">I", 2) + b"ok"
    plain = saved(smooth(20, 20), "JPEG")
    jfif = b"JFIF\0\1\1\1\0\x48\0\x48\2\2" + bytes(12)
    source = with_segments(
        plain[:2] + plain[20:],
        (0xE0, jfif),
        (0xE0, b"JFXX\0\x10" + thumbnail),
        (0xE1, b"Exif\0\0" + exif_block(1, thumbnail=thumbnail, maker_note=b"note" + thumbnail + b"end")),
        (0xED, b"Photoshop 3.0\0" + resource),
        (0xE4, b"preview" + thumbnail),
    )
    picture, result = again(source, "a.jpg")
    assert picture.notes == ["embedded thumbnail dropped"]
    assert result.count(b"\xff\xd8\xff") == 1
    assert bodies(result, 0xE0) == [jfif[:12] + b"\0\0"]
    assert bodies(result, 0xED)[0].endswith(b"ok")
    exif = opened(result).getexif()
    assert exif[271] == "Camera maker"
    assert exif.get_ifd(34665)[37500].startswith(b"note\0")
    assert exif.get_ifd(34665)[37500].endswith(b"\0end")


def test_a_gain_map_is_dropped_with_all_that_points_at_it() -> None:
    described = XMP.replace(
        b'dc:format="image/x"',
        b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
        b'xmlns:Container="http://ns.google.com/photos/1.0/container/" dc:format="image/x"',
    ).replace(
        b"/></rdf:RDF>",
        b"><Container:Directory><rdf:Seq><rdf:li/></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF>",
    )
    source = with_segments(
        saved(smooth(20, 20), "JPEG"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + described),
        (0xE2, b"MPF\0II*\0"),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0"),
    )
    picture, result = again(source + saved(smooth(10, 10), "JPEG"), "hdr.jpg")
    assert picture.notes == ["gain map dropped"]
    assert result.count(b"\xff\xd8\xff") == 1
    for word in (b"MPF", b"21496", b"hdrgm:Version", b"Container:Directory"):
        assert word not in result
    assert b'dc:format="image/x"' in result
    assert opened(result).format == "JPEG"


def test_what_lies_behind_the_picture_is_named() -> None:
    plain = saved(smooth(20, 20), "JPEG")
    several = with_segments(plain, (0xE2, b"MPF\0II*\0")) + plain
    motion = XMP.replace(
        b"dc:format",
        b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1" dc:format',
    )
    film = with_segments(plain, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + motion)) + b"\0\0\0\x18ftypmp42"
    for source, words in ((several, "MPF"), (film, "motion photo"), (plain + b"trailer", "data behind")):
        picture, result = again(source, "a.jpg")
        assert len(picture.notes) == 1
        assert words in picture.notes[0]
        assert b"MotionPhoto=" not in result
        assert decode(result, "a.jpg").notes == []


def test_content_credentials_are_dropped() -> None:
    source = with_segments(saved(smooth(20, 20), "JPEG"), (0xEB, b"JP\0\0jumbc2pa"))
    picture, result = again(source, "a.jpg")
    assert "credentials" in picture.notes[0]
    assert b"c2pa" not in result


def test_kinds_that_cannot_be_kept_are_refused() -> None:
    cmyk = pillow_bytes(Image.new("CMYK", (9, 9)), "JPEG")
    with pytest.raises(UnsupportedError, match=r"print\.jpg is a CMYK picture"):
        decode(cmyk, "print.jpg")
    deep = bytearray(saved(smooth(9, 9), "JPEG"))
    deep[deep.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnsupportedError, match="12 bits"):
        decode(bytes(deep), "a.jpg")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("part", [0.01, 0.2, 0.5, 0.8, 0.97])
def test_a_file_cut_short_is_unreadable(part: float, progressive: bool) -> None:
    data = saved(noise(200, 200, 3), "JPEG", progressive=progressive)
    with pytest.raises(UnreadableError, match=r"half\.jpg"):
        decode(data[: int(len(data) * part)], "half.jpg")


def test_real_photographs_keep_their_segments(shared_data: Path) -> None:
    for path in sorted((shared_data / "real").glob("*.jp*g"))[:6]:
        source = path.read_bytes()
        picture, result = again(source, path.name)
        assert opened(result).quantization == opened(source).quantization
        assert opened(result).info.get("icc_profile") == opened(source).info.get("icc_profile")
        assert 0.5 < len(result) / len(source) < 1.5
        assert picture.frames[0].shape[2] == 3
