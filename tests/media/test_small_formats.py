"""BMP, Targa, portable pixmaps, QOI and JPEG 2000."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode, encode
from drsformer_cli.media.picture import Array
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

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def samples_of(mode: str, height: int, width: int, seed: int = 0) -> Array:
    samples = noise(height, width, MODES[mode], seed=seed)
    return samples[..., 0] if mode == "L" else samples


@settings(deadline=None)
@given(
    st.sampled_from(
        [
            ("BMP", "L"),
            ("BMP", "RGB"),
            ("TGA", "L"),
            ("TGA", "LA"),
            ("TGA", "RGB"),
            ("TGA", "RGBA"),
            ("PPM", "L"),
            ("PPM", "RGB"),
            ("QOI", "RGB"),
            ("QOI", "RGBA"),
            ("JPEG2000", "L"),
            ("JPEG2000", "LA"),
            ("JPEG2000", "RGB"),
            ("JPEG2000", "RGBA"),
        ]
    ),
    SIZES,
    st.integers(0, 9),
)
def test_every_mode_and_size_comes_back_exactly(
    kind: tuple[str, str], size: tuple[int, int], seed: int
) -> None:
    format, mode = kind
    samples = samples_of(mode, *size, seed=seed)
    options = {"num_resolutions": 1} if format == "JPEG2000" else {}
    source = saved(samples, format, **options)
    name = "a.tga" if format == "TGA" else "a.x"
    picture, result = again(source, name)
    back = opened(result)
    assert (back.mode, back.format) == (mode, opened(source).format)
    assert (np.asarray(back) == samples).all()
    assert picture.notes == []


def test_bmp_alpha_profile_and_density() -> None:
    plain = saved(smooth(6, 5), "BMP", dpi=(300, 200))
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    samples = noise(6, 5, 4)
    body = samples[::-1, :, [2, 1, 0, 3]].tobytes()
    space = b"DEBM" + bytes(range(48)) + struct.pack("<IIII", 4, 124 + len(body), len(SRGB), 0)
    head = struct.pack("<IiiHHIIiiII", 124, 5, 6, 1, 32, 3, len(body), 11811, 7874, 0, 0) + masks + space
    source = (
        b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body) + len(SRGB), 0, 0, 138) + head + body + SRGB
    )
    picture, result = again(source, "a.bmp")
    assert result == source
    assert picture.metadata.icc == SRGB
    assert (np.asarray(opened(result)) == samples).all()
    seen = cv2.imdecode(np.frombuffer(result, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (seen == samples[..., [2, 1, 0, 3]]).all()
    picture, result = again(plain, "a.bmp")
    assert result == plain
    assert picture.metadata.dpi == pytest.approx((300, 200), abs=0.1)


def test_bmp_palettes_and_16_bits_become_24_bits() -> None:
    image = Image.fromarray(noise(9, 7)).convert("P")
    image.putpalette(noise(768).tobytes())
    _, result = again(pillow_bytes(image, "BMP"), "a.bmp")
    assert (pixels(result) == np.asarray(image.convert("RGB"))).all()
    assert opened(result).mode == "RGB"


def test_targa_keeps_its_order_compression_and_name() -> None:
    for options in (
        {"compression": "tga_rle"},
        {"orientation": 1},
        {"id_section": b"rain", "orientation": -1},
    ):
        source = saved(smooth(9, 8), "TGA", **options)
        _, result = again(source, "a.tga")
        assert result == source


def test_a_targa_extension_area_is_named_as_dropped() -> None:
    plain = saved(smooth(9, 8), "TGA")
    source = plain[:-26] + bytes(495) + struct.pack("<II", len(plain) - 26, 0) + b"TRUEVISION-XFILE.\0"
    picture, result = again(source, "a.tga")
    assert "postage stamp" in picture.notes[0]
    assert (pixels(result) == smooth(9, 8)).all()


@settings(deadline=None)
@given(st.sampled_from([b"P2", b"P3", b"P5", b"P6"]), st.integers(1, 65535), SIZES, st.integers(0, 9))
def test_portable_maps_of_any_greatest_value(
    kind: bytes, greatest: int, size: tuple[int, int], seed: int
) -> None:
    channels = 3 if kind in (b"P3", b"P6") else 1
    values = noise(*size, channels, dtype=np.uint16, seed=seed).astype(int) % (greatest + 1)
    head = kind + b"\n# in the rain\n%d %d\n%d\n" % (size[1], size[0], greatest)
    if kind in (b"P5", b"P6"):
        body = values.astype(">u2" if greatest > 255 else "u1").tobytes()
    else:
        rows = values.reshape(size[0], -1).tolist()
        body = b"".join(b" ".join(b"%d" % value for value in row) + b"\n" for row in rows)
    picture, result = again(head + body, "a.ppm")
    assert result == head + body
    assert picture.frames[0].dtype == (np.uint8 if greatest < 256 else np.uint16)
    top = np.iinfo(picture.frames[0].dtype).max
    assert np.abs(picture.frames[0] / top - values / greatest).max() <= 0.5 / top + 1e-9


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5\n4 4\n255\n123", "cut short"),
        (b"P2\n2 1\n255\n1", "cut short"),
        (b"P2\n2 1\n255\n1 x", "damaged"),
        (b"P2\n2 1\n9\n1 12", "damaged"),
        (b"P5\n4 4\n70000\n", "damaged"),
        (b"P5\n4", "damaged"),
        (b"P5\n0 4\n255\n", "damaged"),
        (b"P6\n" + b"9" * 9999 + b" 4\n255\n", "damaged"),
    ],
)
def test_damaged_portable_maps(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"bad\\.ppm is {reason}"):
        decode(data, "bad.ppm")


def test_qoi_keeps_its_colour_space() -> None:
    for name in ("sRGB", "linear"):
        source = saved(smooth(5, 5), "QOI", colorspace=name)
        assert again(source, "a.qoi")[1] == source


@pytest.mark.parametrize("raw", [False, True])
def test_jpeg_2000_keeps_its_kind_of_loss(raw: bool) -> None:
    samples = noise(8, 8, 3).repeat(20, 0).repeat(20, 1)
    lossless = saved(samples, "JPEG2000", no_jp2=raw, comment=b"rain")
    picture, result = again(lossless, "a.jp2")
    assert not picture.lossy
    assert (pixels(result) == samples).all()
    assert (result[:2] == b"\xff\x4f") == raw
    assert opened(result).info["comment"] == b"rain"
    lossy = saved(samples, "JPEG2000", no_jp2=raw, irreversible=True, quality_layers=[20])
    picture, result = again(lossy, "a.jp2")
    assert picture.lossy
    assert 0.5 < len(result) / len(lossy) < 1.5
    assert np.abs(picture.frames[0].astype(int) - decode(result, "a.jp2").frames[0]).mean() < 10


def test_jpeg_2000_of_16_bits_grey() -> None:
    samples = noise(20, 20, dtype=np.uint16)
    picture, result = again(saved(samples, "JPEG2000"), "a.jp2")
    assert picture.frames[0].dtype == np.uint16
    assert (np.asarray(opened(result)) == samples).all()


def test_jpeg_2000_boxes_are_carried_over() -> None:
    plain = saved(smooth(40, 40), "JPEG2000")
    block = exif_block(1, thumbnail=tiny_jpeg())
    colour = box(b"colr", b"\2\0\0" + SRGB)
    resolution = box(b"res ", box(b"resc", struct.pack(">HHHHBB", 300, 254, 300, 254, 4, 4)))
    at = plain.index(b"colr") - 4
    header_at = plain.index(b"jp2h") - 4
    size = int.from_bytes(plain[header_at : header_at + 4], "big")
    inner = plain[header_at + 8 : at] + colour + plain[at + 15 : header_at + size] + resolution
    xml = box(b"xml ", b"<rain/>") + box(b"uuid", b"JpgTiffExif->JP2" + block)
    source = plain[:header_at] + box(b"jp2h", inner) + xml + plain[header_at + size :]
    picture, result = again(source, "a.jp2")
    assert picture.metadata.icc == SRGB
    assert picture.metadata.dpi == pytest.approx((300, 300), rel=1e-3)
    assert picture.notes == ["embedded thumbnail dropped"]
    assert colour in result
    assert resolution in result
    assert b"<rain/>" in result
    assert block[:46] in result
    assert (pixels(result) == smooth(40, 40)).all()


def box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def test_jpeg_2000_of_other_kinds_is_refused() -> None:
    plain = saved(noise(30, 30, 3), "JPEG2000", no_jp2=True)
    for depth, reason in ((15, "16 bits"), (0, "one bit"), (0x87, "neither RGB nor grey")):
        odd = plain[:42] + bytes([depth, 1, 1]) * 3 + plain[51:]
        with pytest.raises(UnsupportedError, match=f"odd\\.j2k.*{reason}"):
            decode(odd, "odd.j2k")


@pytest.mark.parametrize("format", ["BMP", "TGA", "QOI", "JPEG2000"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.9])
def test_a_file_cut_short_is_unreadable(format: str, part: float) -> None:
    data = saved(noise(50, 50, 3), format)
    with pytest.raises(UnreadableError, match=r"half\.tga"):
        decode(data[: int(len(data) * part)], "half.tga")


@pytest.mark.parametrize("format", ["BMP", "TIFF", "PNG", "PPM", "TGA", "GIF"])
def test_one_bit_is_refused_unless_it_is_a_palette(format: str) -> None:
    data = pillow_bytes(Image.new("1", (9, 9)), format)
    if format == "GIF":
        assert decode(data, "a.gif").frames[0].shape == (9, 9, 3)
        return
    with pytest.raises(UnsupportedError, match=r"fax\.x has one bit a pixel"):
        decode(data, "fax.x")


def test_the_sides_of_a_picture_do_not_mix(tmp_path: Any) -> None:
    for format in ("BMP", "TGA", "PPM", "QOI", "JPEG2000"):
        picture = decode(saved(smooth(7, 12), format), "a.tga" if format == "TGA" else "a")
        restored = smooth(7, 12)[:, ::-1]
        result = encode(picture, [np.ascontiguousarray(restored)])
        assert (np.asarray(Image.open(BytesIO(result))) == restored).all()


def test_what_stands_behind_a_portable_map_is_named_as_dropped() -> None:
    picture, result = again(saved(smooth(8, 8), "PPM") + b"# more", "a.ppm")
    assert picture.notes == ["data behind the end of the picture dropped"]
    assert b"more" not in result


def test_jpeg_2000_in_inks_is_refused() -> None:
    plain = saved(noise(30, 30, 3), "JPEG2000")
    at = plain.index(b"colr") + 7
    with pytest.raises(UnsupportedError, match=r"inks\.jp2 is a CMYK picture; convert it to RGB first"):
        decode(plain[:at] + (12).to_bytes(4, "big") + plain[at + 4 :], "inks.jp2")


def test_jpeg_2000_without_its_end_is_cut_short() -> None:
    plain = saved(noise(30, 30, 3), "JPEG2000", no_jp2=True)
    assert plain.endswith(b"\xff\xd9")
    assert decode(plain + bytes(3), "padded.j2k").frames[0].shape == (30, 30, 3)
    with pytest.raises(UnreadableError, match=r"half\.j2k is (damaged or )?cut short"):
        decode(plain[:-2] + b"\x01\x02", "half.j2k")


def test_packets_of_xmp_in_jpeg_2000_are_kept() -> None:
    plain = saved(smooth(40, 40), "JPEG2000")
    at = plain.index(b"jp2c") - 4
    uuid = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    picture, result = again(plain[:at] + uuid + plain[at:], "a.jp2")
    assert picture.metadata.xmp == XMP
    assert XMP in result
