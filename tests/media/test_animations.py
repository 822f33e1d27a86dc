from __future__ import annotations

from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

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
    png_chunk,
    png_kinds,
    raw_png,
    smooth,
)


def few_colours(height: int, width: int, seed: int, transparent: bool = False) -> Array:
    """An RGB or RGBA picture of at most 30 colours, so that GIF can hold it exactly."""
    table = noise(30, 3, seed=seed)
    picture = table[noise(height, width, seed=seed + 1) % 30]
    if not transparent:
        return picture
    alpha = np.where(noise(height, width, seed=seed + 2) < 128, 0, 255).astype(np.uint8)
    return np.concatenate([picture, alpha[..., np.newaxis]], axis=2)


def animated(frames: list[Array], format: str, **options: object) -> bytes:
    images = [Image.fromarray(frame) for frame in frames]
    buffer = BytesIO()
    images[0].save(buffer, format, save_all=True, append_images=images[1:], **options)
    return buffer.getvalue()


def shown(data: bytes) -> list[Array]:
    """The frames as Pillow shows them, RGBA with the colours under full transparency set to 0."""
    frames = [np.array(frame.convert("RGBA")) for frame in ImageSequence.Iterator(Image.open(BytesIO(data)))]
    for frame in frames:
        frame[frame[..., 3] == 0] = 0
    return frames


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["GIF", "PNG", "WEBP"]),
    st.integers(2, 6),
    st.integers(1, 12),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 50),
)
def test_every_frame_comes_back_exactly(
    format: str, count: int, height: int, width: int, transparent: bool, seed: int
) -> None:
    frames = [few_colours(height, width, seed + i, transparent) for i in range(count)]
    durations = [20 + 10 * i for i in range(count)]
    options = (
        {"lossless": True, "exact": True} if format == "WEBP" else {"disposal": 2} if format == "GIF" else {}
    )
    source = animated(frames, format, duration=durations, loop=3, **options)
    name = f"a.{format.lower()}"
    picture, result = again(source, name)
    before, after = shown(source), shown(result)
    assert len(before) == len(after) == len(picture.frames)
    for one, other in zip(before, after, strict=True):
        assert (one == other).all()
    back = decode(result, name)
    assert back.timing == picture.timing
    if picture.timing is not None:
        assert len(picture.timing.durations) == len(after)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_frames_that_became_equal_stay_frames_of_their_own(format: str) -> None:
    frames = [few_colours(20, 20, i) for i in range(4)]
    options = {"lossless": True} if format == "WEBP" else {}
    source = animated(frames, format, duration=[100, 200, 300, 40], loop=0, **options)
    picture = decode(source, f"a.{format.lower()}")
    result = encode(picture, [picture.frames[0]] * 4)
    back = decode(result, f"a.{format.lower()}")
    assert len(back.frames) == 4
    assert back.timing is not None
    assert back.timing.durations == [Fraction(n, 1000) for n in (100, 200, 300, 40)]
    assert back.timing.plays == 0


def test_gif_extensions_stay_where_they_were() -> None:
    source = animated(
        [few_colours(9, 9, i) for i in range(3)], "GIF", duration=70, loop=5, comment=b"heavy rain"
    )
    profile = b"\x21\xff\x0bICCRGBG1012" + b"\x04prof" + b"\0"
    at = source.index(b"\x21\xff\x0bNETSCAPE")
    picture, result = again(source[:at] + profile + source[at:] + b"\0\0", "a.gif")
    assert picture.notes == []
    assert picture.metadata.icc == b"prof"
    for piece in (profile, b"\x21\xfe\x0aheavy rain", b"NETSCAPE2.0\x03\x01\x05\x00"):
        assert result.count(piece) == 1
    assert picture.timing is not None
    assert picture.timing.plays == 6


def test_a_still_gif_stays_a_gif_and_photographs_are_dithered() -> None:
    photograph = noise(8, 8, 3).repeat(9, 0).repeat(9, 1)
    source = animated([smooth(80, 90)], "GIF")
    picture, result = again(source, "a.gif")
    assert (shown(source)[0] == shown(result)[0]).all()
    picture = decode(animated([photograph], "GIF"), "a.gif")
    restored = smooth(72, 72)
    result = encode(picture, [restored])
    assert opened(result).format == "GIF"
    assert np.abs(shown(result)[0][..., :3].astype(int) - restored).mean() < 8


def test_a_grey_gif_stays_grey() -> None:
    source = animated([noise(9, 9, 1, seed=i)[..., 0] for i in range(2)], "GIF")
    picture = decode(source, "a.gif")
    result = encode(picture, [noise(9, 9, 3, seed=i) for i in range(2)])
    for frame in shown(result):
        assert (frame[..., 0] == frame[..., 1]).all()


def test_an_apng_keeps_its_picture_for_other_viewers_and_its_delays() -> None:
    frames = [few_colours(10, 11, i) for i in range(3)]
    source = animated(frames, "PNG", default_image=True, duration=[33, 1001], loop=7)
    picture, result = again(source, "a.png")
    assert picture.timing is not None
    assert picture.timing.hidden_first
    assert picture.timing.durations == [Fraction(33, 1000), Fraction(1001, 1000)]
    assert (np.asarray(opened(result).convert("RGB")) == frames[0]).all()
    assert opened(result).default_image
    assert opened(result).info["loop"] == 7
    assert png_kinds(result).count(b"fcTL") == 2


@pytest.mark.parametrize("orientation", [3, 6])
def test_frames_of_a_turned_apng_are_upright(orientation: int) -> None:
    frames = [few_colours(10, 14, i) for i in range(2)]
    picture, result = again(animated(frames, "PNG", exif=exif_block(orientation)), "a.png")
    for frame, stored in zip(picture.frames, frames, strict=True):
        assert (frame == np.rot90(stored, {3: 2, 6: -1}[orientation])).all()
    for frame, stored in zip(shown(result), frames, strict=True):
        assert (frame[..., :3] == stored).all()
    assert opened(result).getexif()[274] == orientation


def test_grey_apng_and_apng_chunks() -> None:
    frames = [noise(6, 6, 1, seed=i)[..., 0] for i in range(2)]
    source = animated(frames, "PNG", icc_profile=SRGB, dpi=(72, 72))
    _, result = again(source, "a.png")
    assert result[25] == 0
    assert {b"iCCP", b"pHYs"} <= set(png_kinds(result))


def test_an_apng_of_16_bits_is_refused() -> None:
    control = png_chunk(b"acTL", (2).to_bytes(4, "big") + bytes(4))
    frame = png_chunk(b"fcTL", bytes(4) + (6).to_bytes(4, "big") * 2 + bytes(8) + b"\0\1\0\2\0\0")
    source = raw_png(noise(6, 6, 3, dtype=np.uint16), 16, 2, control, frame)
    with pytest.raises(UnsupportedError, match="animated PNG of 16 bits"):
        decode(source, "a.png")


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_keeps_kind_and_metadata(lossless: bool) -> None:
    meta = {"icc_profile": SRGB, "exif": exif_block(1), "xmp": XMP}
    for frames in ([smooth(30, 40)], [smooth(30, 40), smooth(30, 40)[::-1]]):
        source = animated(
            frames, "WEBP", lossless=lossless, duration=[120] * len(frames), loop=2, quality=80, **meta
        )
        picture, result = again(source, "a.webp")
        assert (b"VP8L" in result) == lossless
        assert (b"VP8 " in result) != lossless
        back = opened(result)
        for key, value in meta.items():
            assert back.info[key] == value
        assert decode(result, "a.webp").timing == picture.timing
        assert np.abs(pixels_of(picture.frames) - pixels_of(decode(result, "a.webp").frames)).max() <= (
            0 if lossless else 12
        )


def pixels_of(frames: list[Array]) -> Array:
    return np.stack(frames).astype(int)


def test_webp_alpha_is_exact_in_lossy_files_and_colours_below_it_in_lossless_ones() -> None:
    samples = np.concatenate([smooth(20, 20), noise(20, 20, 1)], axis=2)
    samples[:5, :5, 3] = 0
    lossy = animated([samples], "WEBP", quality=80, exact=True)
    picture, result = again(lossy, "a.webp")
    assert (decode(result, "a.webp").layers[0].alpha == samples[..., 3]).all()
    picture, result = again(animated([samples], "WEBP", lossless=True, exact=True), "a.webp")
    assert (picture.frames[0] == samples[..., :3]).all()
    assert (decode(result, "a.webp").frames[0] == samples[..., :3]).all()


def test_quality_makes_webp_smaller() -> None:
    picture = decode(animated([noise(60, 60, 3)], "WEBP", quality=90), "a.webp")
    sizes = [len(encode(picture, picture.frames, quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.4, 0.7, 0.95])
def test_an_animation_cut_short_is_unreadable(format: str, part: float) -> None:
    data = animated([few_colours(40, 40, i) for i in range(3)], format, lossless=True)
    with pytest.raises(UnreadableError, match=r"half\."):
        decode(data[: int(len(data) * part)], f"half.{format.lower()}")


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_the_limit_counts_all_frames(format: str) -> None:
    data = animated([few_colours(40, 40, i) for i in range(3)], format)
    assert len(decode(data, "a", max_pixels=4800).frames) == 3
    with pytest.raises(UnsupportedError, match="40 x 40 pixels in 3 frames"):
        decode(data, "a", max_pixels=4799)


def test_text_drawn_over_a_gif_is_named_as_dropped() -> None:
    source = animated([few_colours(9, 9, i) for i in range(2)], "GIF", duration=70)
    text = b"\x21\x01\x0c" + bytes(12) + b"\x04rain\0"
    unknown = b"\x21\x77\x04more\0"
    at = source.index(b"\x21\xf9", source.index(b"\x21\xf9") + 1)
    picture, result = again(source[:at] + unknown + text + source[at:], "a.gif")
    assert picture.notes == ["text drawn over the animation (plain text extension) dropped"]
    assert b"rain" not in result
    assert len(decode(result, "a.gif").frames) == 2


@pytest.mark.parametrize("lossless", [True, False])
def test_credentials_of_a_webp_are_named_as_dropped(lossless: bool) -> None:
    source = animated([smooth(16, 16)] * 2, "WEBP", duration=70, lossless=lossless)
    signed = source + b"C2PA\x04\0\0\0sign"
    signed = signed[:4] + (len(signed) - 8).to_bytes(4, "little") + signed[8:]
    picture, result = again(signed, "a.webp")
    assert any(note.startswith("content credentials dropped") for note in picture.notes)
    assert b"C2PA" not in result
