from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from drsformer_cli.errors import UnsupportedError, UsageError
from drsformer_cli.media.images import decode, encode, output_extension
from tests.media.builders import SRGB, XMP, again, exif_block, noise, opened, raw_png, saved, smooth
from tests.media.test_animations import animated, few_colours
from tests.media.test_tiff import seen, written

TARGETS = ["png", "jpg", "webp", "tif"]
LOSSLESS = ["png", "webp", "tif"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_metadata_goes_along(source: str, target: str) -> None:
    options: dict[str, Any] = {"exif": exif_block(6), "icc_profile": SRGB}
    if source != "TIFF":
        options["xmp" if source != "PNG" else "pnginfo"] = XMP if source != "PNG" else png_xmp()
    picture = decode(saved(smooth(20, 30), source, dpi=(300, 300), **options), f"a.{source.lower()}")
    result = encode(picture, picture.frames, format=target)
    image = opened(result)
    assert image.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tif": "TIFF"}[target]
    assert image.info["icc_profile"] == SRGB
    back = decode(result, "a")
    assert back.frames[0].shape == (30, 20, 3)
    assert back.layers[0].orientation == 6
    if source != "TIFF":
        assert back.metadata.xmp == XMP
        if target == "tif":
            assert opened(result).tag_v2.tagtype[700] == 1  # bytes, as the standard of XMP has it
    if target != "webp" and source != "WEBP":
        assert back.metadata.dpi == pytest.approx((300, 300), abs=0.1)


def png_xmp() -> Any:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_to_lossless_is_exact(channels: int, target: str) -> None:
    samples = noise(15, 17, channels)
    source = raw_png(samples, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels])
    picture, result = again(source, "a.png", format=target)
    back = decode(result, "a")
    assert (back.frames[0] == picture.frames[0]).all()
    if channels in (2, 4):
        assert (back.layers[0].alpha == samples[..., -1]).all()
    assert picture.notes == []


def test_quality_makes_webp_lossy() -> None:
    picture = decode(saved(noise(60, 60, 3), "PNG"), "a.png")
    assert b"VP8L" in encode(picture, picture.frames, format="webp")
    assert b"VP8 " in encode(picture, picture.frames, format="webp", quality=80)
    from_jpeg = decode(saved(smooth(60, 60), "JPEG"), "a.jpg")
    assert b"VP8 " in encode(from_jpeg, from_jpeg.frames, format="webp")


def test_16_bits_survive_where_they_can_and_are_rounded_elsewhere() -> None:
    samples = noise(12, 13, 4, dtype=np.uint16)
    picture = decode(raw_png(samples, 16, 6), "a.png")
    assert (seen(encode(picture, picture.frames, format="tif")) == samples).all()
    result = encode(picture, picture.frames, format="webp")
    assert (np.asarray(opened(result)) == np.rint(samples / 257)).all()
    assert picture.notes == ["reduced to 8 bits"]


def test_floating_point_becomes_16_bits() -> None:
    samples = noise(12, 13, 3, dtype=np.float32)
    picture = decode(written(samples), "a.tif")
    back = decode(encode(picture, picture.frames, format="png"), "a.png")
    assert (back.frames[0] == np.rint(samples.astype(float) * 65535)).all()
    assert "floating-point samples written as 16 bits" in picture.notes


def test_transparency_into_jpeg_is_refused_unless_there_is_none() -> None:
    samples = noise(9, 9, 4)
    with pytest.raises(UnsupportedError, match=r"cut\.png has transparency, which JPEG cannot hold"):
        again(saved(samples, "PNG"), "cut.png", format="jpg")
    samples[..., 3] = 255
    assert opened(again(saved(samples, "PNG"), "cut.png", format="jpg")[1]).mode == "RGB"


def test_animations_go_where_they_can() -> None:
    frames = [few_colours(20, 20, i) for i in range(3)]
    picture = decode(animated(frames, "GIF", duration=[100, 50, 70], loop=2), "a.gif")
    for target in ("png", "webp"):
        back = decode(encode(picture, picture.frames, format=target), "a")
        assert back.timing == picture.timing
        for one, other in zip(back.frames, picture.frames, strict=True):
            assert (one == other).all()
    for target in ("jpg", "tif"):
        with pytest.raises(UnsupportedError, match=r"a\.gif is animated"):
            encode(picture, picture.frames, format=target)


def test_a_picture_for_other_viewers_is_dropped_and_noted() -> None:
    frames = [few_colours(20, 20, i) for i in range(3)]
    source = animated(frames, "PNG", default_image=True, duration=40)
    picture, result = again(source, "a.png", format="webp")
    assert len(decode(result, "a").frames) == 2
    assert "the picture for viewers without animation dropped" in picture.notes


def test_pages_go_nowhere() -> None:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for _ in range(2):
            file.write(smooth(9, 9), photometric="rgb", metadata=None)
    with pytest.raises(UnsupportedError, match=r"scan\.tif has 2 pages"):
        again(buffer.getvalue(), "scan.tif", format="png")


def test_premultiplied_and_unknown_channels() -> None:
    samples = noise(9, 9, 4)
    with pytest.raises(UnsupportedError, match="premultiplied"):
        again(written(samples, extrasamples=["assocalpha"]), "a.tif", format="png")
    picture, result = again(written(samples, extrasamples=["unspecified"]), "a.tif", format="png")
    assert opened(result).mode == "RGB"
    assert "an extra channel of unknown meaning dropped" in picture.notes


def test_what_belongs_to_one_format_is_named_when_it_goes() -> None:
    cases = [
        (saved(smooth(9, 9), "JPEG", comment=b"rain"), "a.jpg", "JPEG comment"),
        (animated([few_colours(9, 9, 1)], "GIF", comment=b"rain"), "a.gif", "GIF extension or comment"),
        (written(smooth(9, 9), extratags=[(42113, 2, 2, "0", True)]), "a.tif", "TIFF tags"),
    ]
    for source, name, words in cases:
        picture, _ = again(source, name, format="webp")
        assert any(note.startswith(words) for note in picture.notes), picture.notes


def test_a_profile_of_the_wrong_kind_is_dropped() -> None:
    profile = SRGB[:16] + b"GRAY" + SRGB[20:]
    picture, result = again(saved(noise(9, 9), "PNG", icc_profile=profile), "a.png", format="webp")
    assert "icc_profile" not in opened(result).info
    assert any("colour profile dropped" in note for note in picture.notes)
    assert opened(again(saved(noise(9, 9), "PNG", icc_profile=profile), "a.png", format="tif")[1]).info[
        "icc_profile"
    ]


def test_metadata_too_long_for_jpeg_is_named() -> None:
    long = XMP.replace(b"image/x", b"x" * 70000)
    picture, result = again(saved(smooth(9, 9), "WEBP", xmp=long), "a.webp", format="jpg")
    assert picture.notes == ["XMP dropped, for it is longer than JPEG can hold"]
    assert "xmp" not in opened(result).info


def test_sides_that_a_format_cannot_hold() -> None:
    source = saved(np.zeros((1, 16400, 3), np.uint8), "PNG")
    with pytest.raises(UnsupportedError, match=r"long\.png has a side longer than the 16383 pixels of WebP"):
        again(source, "long.png", format="webp")
    source = saved(np.zeros((1, 65600, 3), np.uint8), "PNG")
    with pytest.raises(UnsupportedError, match="65500 pixels of JPEG"):
        again(source, "long.png", format="jpg")


@pytest.mark.parametrize(
    ("source", "format", "expected"),
    [
        (".JPG", None, ".JPG"),
        (".weird", None, ".weird"),
        (".JPEG", "jpg", ".JPEG"),
        (".png", "jpg", ".jpg"),
        (".TIFF", "tif", ".TIFF"),
        (".gif", "PNG", ".png"),
        ("", "webp", ".webp"),
        (".heic", "tiff", ".tif"),
    ],
)
def test_extensions_of_results(source: str, format: str | None, expected: str) -> None:
    assert output_extension(source, format) == expected


def test_senseless_arguments_are_refused() -> None:
    picture = decode(saved(smooth(9, 9), "PNG"), "a.png")
    with pytest.raises(UsageError, match="bmp"):
        output_extension(".png", "bmp")
    with pytest.raises(UsageError, match="choose one of"):
        encode(picture, picture.frames, format="gif")
    for quality in (0, 101):
        with pytest.raises(UsageError, match="between 1 and 100"):
            encode(picture, picture.frames, quality=quality)
    with pytest.raises(UsageError, match="2 restored frames"):
        encode(picture, picture.frames * 2)
    for other in (np.zeros((9, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint16)):
        with pytest.raises(UsageError, match="another shape or dtype"):
            encode(picture, [other])


def test_a_format_named_that_is_the_sources_own_changes_nothing() -> None:
    source = saved(smooth(30, 30), "JPEG", quality=66, comment=b"rain")
    assert again(source, "a.jpg", format="jpg")[1] == again(source, "a.jpg")[1]
    assert isinstance(opened(source), Image.Image)
