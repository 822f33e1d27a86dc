from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode, encode
from tests.media.builders import (
    SRGB,
    XMP,
    again,
    exif_block,
    noise,
    opened,
    pillow_bytes,
    pixels,
    png_chunk,
    png_kinds,
    png_with,
    raw_png,
    saved,
    smooth,
    tiny_jpeg,
)

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


@given(
    st.sampled_from([0, 2, 4, 6]),
    st.sampled_from([8, 16]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 9),
)
def test_every_kind_and_size_comes_back_exactly(
    colour: int, depth: int, height: int, width: int, seed: int
) -> None:
    dtype = np.uint8 if depth == 8 else np.uint16
    samples = noise(height, width, CHANNELS[colour], dtype=dtype, seed=seed)
    source = raw_png(samples, depth, colour)
    picture, result = again(source, "a.png")
    frame = picture.frames[0]
    assert frame.shape == (height, width, 3)
    assert frame.dtype == dtype
    assert (frame == (samples[..., :3] if colour in (2, 6) else samples[..., :1])).all()
    assert result[24:26] == bytes([depth, colour])
    back = decode(result, "a.png")
    assert (back.frames[0] == frame).all()
    if colour in (4, 6):
        assert (back.layers[0].alpha == samples[..., -1]).all()


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_16_bits_are_what_other_readers_see(colour: int) -> None:
    samples = noise(21, 13, CHANNELS[colour], dtype=np.uint16)
    _, result = again(raw_png(samples, 16, colour), "a.png")
    seen = cv2.imdecode(np.frombuffer(result, np.uint8), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint16
    order = {0: [0], 2: [2, 1, 0], 4: [0, 0, 0, 1], 6: [2, 1, 0, 3]}[colour]
    assert (seen.reshape(21, 13, -1) == samples[..., order]).all()


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_few_bits_becomes_8_bits(depth: int) -> None:
    packed = noise(5, 8)
    source = raw_png(packed, depth, 0, png_chunk(b"bKGD", b"\0\x02"))
    _, result = again(source, "a.png")
    assert opened(result).mode == "L"
    assert (pixels(result) == np.asarray(opened(source).convert("L"))).all()
    top = 2**depth - 1
    assert result[result.index(b"bKGD") + 4 :][:2] == struct.pack(">H", 2 * 255 // top)


def test_palette_becomes_full_colour_and_transparency_alpha() -> None:
    image = Image.fromarray(noise(9, 7)).convert("P")
    image.putpalette(noise(768).tobytes())
    plain = pillow_bytes(image, "PNG")
    _, result = again(plain, "a.png")
    assert opened(result).mode == "RGB"
    assert (pixels(result) == np.asarray(image.convert("RGB"))).all()
    clear = pillow_bytes(image, "PNG", transparency=bytes(range(256)))
    _, result = again(clear, "a.png")
    assert opened(result).mode == "RGBA"
    assert (pixels(result) == np.asarray(opened(clear).convert("RGBA"))).all()


@pytest.mark.parametrize(("colour", "depth"), [(0, 8), (2, 8), (0, 16), (2, 16)])
def test_a_transparent_colour_becomes_alpha(colour: int, depth: int) -> None:
    dtype = np.uint8 if depth == 8 else np.uint16
    samples = noise(6, 6, CHANNELS[colour], dtype=dtype)
    key = b"".join(struct.pack(">H", int(value)) for value in samples[2, 3])
    picture, result = again(raw_png(samples, depth, colour, png_chunk(b"tRNS", key)), "a.png")
    alpha = picture.layers[0].alpha
    assert alpha is not None
    assert alpha[2, 3] == 0
    assert (alpha == 0).sum() == (samples == samples[2, 3]).all(axis=2).sum()
    assert b"tRNS" not in png_kinds(result)
    assert result[25] == colour + 4
    assert (decode(result, "a.png").layers[0].alpha == alpha).all()


def test_one_bit_grey_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"fax\.png has one bit"):
        decode(pillow_bytes(Image.new("1", (8, 8)), "PNG"), "fax.png")


def test_chunks_are_carried_over_as_they_are() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Regen")
    text.add_itxt("Beschreibung", "Straße im Regen", zip=True)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    chunks = [
        png_chunk(b"gAMA", struct.pack(">I", 45455)),
        png_chunk(b"cHRM", struct.pack(">8I", *range(8))),
        png_chunk(b"sBIT", b"\x08\x07\x06"),
        png_chunk(b"tIME", b"\x07\xe8\x05\x01\x0a\x14\x1e"),
        png_chunk(b"cICP", b"\x0c\x0d\x00\x01"),
        png_chunk(b"abCd", b"safe to copy"),
    ]
    data = saved(smooth(8, 9), "PNG", pnginfo=text, dpi=(300, 240), icc_profile=SRGB, exif=exif_block(1))
    source = png_with(data, *chunks)
    picture, result = again(source, "a.png")
    assert sorted(png_kinds(result)) == sorted(png_kinds(source))
    for kind in set(png_kinds(source)) - {b"IDAT"}:
        at, to = source.index(kind), result.index(kind)
        size = int.from_bytes(source[at - 4 : at], "big") + 12
        assert source[at - 4 : at + size - 4] == result[to - 4 : to + size - 4]
    assert picture.notes == []
    assert picture.metadata.icc == SRGB
    assert picture.metadata.xmp == XMP
    assert picture.metadata.dpi == pytest.approx((300, 240), abs=0.1)


def test_chunks_that_describe_pixels_follow_them() -> None:
    samples = noise(4, 4, 1)
    key = png_chunk(b"tRNS", struct.pack(">H", 3))
    _, result = again(raw_png(samples, 8, 0, png_chunk(b"sBIT", b"\x05"), key), "a.png")
    assert result[result.index(b"sBIT") + 4 :][:2] == b"\x05\x08"
    image = Image.fromarray(noise(4, 4)).convert("P")
    image.putpalette(noise(768, seed=3).tobytes())
    source = pillow_bytes(image, "PNG")
    at = source.index(b"IDAT") - 4
    _, result = again(source[:at] + png_chunk(b"bKGD", b"\x02") + source[at:], "a.png")
    red, green, blue = image.getpalette()[6:9]
    assert result[result.index(b"bKGD") + 4 :][:6] == struct.pack(">3H", red, green, blue)


def test_what_depends_on_the_old_pixels_is_dropped_by_name() -> None:
    source = png_with(
        saved(smooth(4, 4), "PNG"),
        png_chunk(b"caBX", b"signed"),
        png_chunk(b"abCD", b"?"),
        png_chunk(b"iDOT", b"x"),
    )
    picture, result = again(source + b"more", "a.png")
    assert png_kinds(result) == [b"IHDR", b"IDAT", b"IEND"]
    assert len(picture.notes) == 3
    assert any("credentials" in note for note in picture.notes)
    assert "PNG chunk abCD dropped" in picture.notes
    assert "data behind the end of the picture dropped" in picture.notes


def test_a_thumbnail_in_exif_is_blanked_in_place() -> None:
    block = exif_block(1, thumbnail=tiny_jpeg(), maker_note=b"offsets matter" * 5)
    picture, result = again(saved(smooth(9, 9), "PNG", exif=block), "a.png")
    body = result[result.index(b"eXIf") + 4 :]
    assert b"embedded thumbnail dropped" in [note.encode() for note in picture.notes]
    assert b"\xff\xd8\xff" not in body[: len(block)]
    assert body.index(b"offsets matter") == block.index(b"offsets matter")


def test_exif_in_an_old_text_chunk_is_cleaned_too() -> None:
    block = b"Exif\0\0" + exif_block(6, thumbnail=tiny_jpeg())
    text = b"\nexif\n%8d\n" % len(block) + b"\n".join(
        block.hex().encode()[i : i + 72] for i in range(0, 2 * len(block), 72)
    )
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    picture, result = again(png_with(saved(smooth(9, 7), "PNG"), chunk), "a.png")
    assert picture.notes == ["embedded thumbnail dropped"]
    assert picture.frames[0].shape == (7, 9, 3)
    back = decode(result, "a.png")
    assert back.notes == []
    assert back.metadata.exif == picture.metadata.exif
    assert opened(result).getexif()[274] == 6


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_file_cut_short_is_unreadable(part: float, dtype: type) -> None:
    data = raw_png(noise(40, 40, 3, dtype=dtype), np.dtype(dtype).itemsize * 8, 2)
    with pytest.raises(UnreadableError, match=r"half\.png"):
        decode(data[: int(len(data) * part)], "half.png")


@pytest.mark.parametrize("depth", [8, 16])
def test_damaged_pixels_are_unreadable_even_with_sound_checksums(
    depth: int, capfd: pytest.CaptureFixture[str]
) -> None:
    header = struct.pack(">IIBBBBB", 20, 20, depth, 2, 0, 0, 0)
    stream = zlib.compress(bytes((20 * 3 * depth // 8 + 1) * 20))
    bodies = [stream[:12] + b"\xff\xff" + stream[14:], zlib.compress(b"short"), stream[:-9]]
    if depth == 16:  # a bomb, which Pillow would stop reading by itself
        bodies.append(zlib.compress(bytes(50_000_000)))
    for body in bodies:
        data = (
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", header)
            + png_chunk(b"IDAT", body)
            + png_chunk(b"IEND", b"")
        )
        with pytest.raises(UnreadableError, match=r"bad\.png"):
            decode(data, "bad.png")
    assert capfd.readouterr().err == ""


def test_a_wrong_checksum_is_damage_in_pixels_but_not_beside_them() -> None:
    data = bytearray(png_with(saved(smooth(9, 9), "PNG"), png_chunk(b"tEXt", b"a\0b")))
    data[data.index(b"tEXt") + 4] ^= 1
    _, result = again(bytes(data), "a.png")
    assert b"tEXt" not in png_kinds(result)
    data[data.index(b"IDAT") + 9] ^= 1
    with pytest.raises(UnreadableError, match="checksum of a IDAT"):
        decode(bytes(data), "a.png")


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (17, 23)])
def test_interlaced_pictures_of_16_bits(colour: int, size: tuple[int, int]) -> None:
    samples = noise(*size, CHANNELS[colour], dtype=np.uint16)
    header = struct.pack(">IIBBBBB", size[1], size[0], 16, colour, 0, 0, 1)
    rows = b""
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for left, top, across, down in steps:
        part = samples[top::down, left::across]
        rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part if part.size)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    picture, result = again(b"\x89PNG\r\n\x1a\n" + chunks, "a.png")
    colours = samples[..., :3] if colour in (2, 6) else samples[..., :1]
    assert (picture.frames[0] == colours).all()
    assert (decode(result, "a.png").frames[0] == colours).all()


def test_a_restored_grey_picture_is_the_mean_of_its_channels() -> None:
    picture = decode(saved(noise(5, 5, 1)[..., 0], "PNG"), "a.png")
    restored = noise(5, 5, 3, seed=4)
    result = pixels(encode(picture, [restored]))
    assert (result == np.rint(restored.astype(float).mean(axis=2))).all()
