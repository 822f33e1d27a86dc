from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import SUPPORTED_EXTENSIONS, decode, encode
from drsformer_cli.media.picture import Array
from tests.media.builders import SRGB, XMP, again, exif_block, noise, smooth, tiny_jpeg

pillow_heif = pytest.importorskip("pillow_heif", reason="the extra is not installed")


def written(samples: Array, **options: Any) -> bytes:
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels] + (";16" if samples.dtype == np.uint16 else "")
    file = pillow_heif.from_bytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    buffer = BytesIO()
    file.save(buffer, **{"quality": 90, **options})
    return buffer.getvalue()


def test_pixels_and_metadata_are_kept() -> None:
    block = exif_block(1, maker_note=b"maker" * 9)
    source = written(smooth(64, 80), exif=b"Exif\0\0" + block, xmp=XMP, icc_profile=SRGB)
    picture, result = again(source, "a.heic")
    back = decode(result, "a.heic")
    assert picture.format == back.format == "heic"
    assert back.metadata == picture.metadata
    assert (back.metadata.exif, back.metadata.xmp, back.metadata.icc) == (block, XMP, SRGB)
    assert np.abs(picture.frames[0].astype(int) - back.frames[0]).mean() < 2
    assert np.abs(picture.frames[0].astype(int) - smooth(64, 80)).mean() < 3
    assert ".heic" in SUPPORTED_EXTENSIONS


def test_ten_bits_stay_ten_bits() -> None:
    samples = smooth(64, 64).astype(np.uint16) * 257
    picture, result = again(written(samples), "a.heic")
    assert picture.frames[0].dtype == np.uint16
    assert pillow_heif.open_heif(result).info["bit_depth"] == 10
    back = decode(result, "a.heic").frames[0]
    assert np.abs(picture.frames[0].astype(int) - back).mean() < 600


@pytest.mark.parametrize("chroma", ["420", "422", "444"])
def test_chroma_and_colour_description_are_kept(chroma: str) -> None:
    source = written(smooth(64, 64), chroma=chroma, color_primaries=12, transfer_characteristics=13)
    _, result = again(source, "a.heic")
    info = pillow_heif.open_heif(result).info
    assert str(info["chroma"]) == chroma
    assert info["nclx_profile"]["color_primaries"] == 12


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_alpha(channels: int) -> None:
    samples = smooth(64, 64, channels)
    picture, result = again(written(samples, quality=100), "a.heic")
    back = decode(result, "a.heic")
    assert back.layers[0].grey == picture.layers[0].grey
    if channels == 4:
        alpha = back.layers[0].alpha
        assert alpha is not None
        assert np.abs(alpha.astype(int) - samples[..., 3]).max() <= 3


def test_a_thumbnail_in_exif_is_dropped() -> None:
    source = written(smooth(64, 64), exif=b"Exif\0\0" + exif_block(1, thumbnail=tiny_jpeg()))
    picture, result = again(source, "a.heic")
    assert picture.notes == ["embedded thumbnail dropped"]
    assert b"\xff\xd8\xff" not in result


def test_conversion_and_limits() -> None:
    source = written(smooth(64, 80))
    picture, result = again(source, "a.heic", format="png")
    assert (decode(result, "a.png").frames[0] == picture.frames[0]).all()
    assert len(encode(picture, picture.frames, quality=20)) < len(encode(picture, picture.frames, quality=95))
    with pytest.raises(UnsupportedError, match="more than the 5,119 allowed"):
        decode(source, "a.heic", max_pixels=5119)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_unreadable(part: float) -> None:
    data = written(noise(64, 64, 3))
    with pytest.raises(UnreadableError, match=r"half\.heic"):
        decode(data[: int(len(data) * part)], "half.heic")
