"""The eight EXIF orientations: the network sees rain as it fell, and the file looks the same way up."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from drsformer_cli.media.images import decode, encode
from drsformer_cli.media.pixels import turn, turn_back
from tests.media.builders import exif_block, noise, opened, saved


def as_viewers_show_it(data: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))).convert("RGB")).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_frames_are_upright_and_the_file_keeps_its_geometry(format: str, orientation: int) -> None:
    samples = noise(6, 9, 3).repeat(8, 0).repeat(8, 1)
    options = (
        {"lossless": True}
        if format == "WEBP"
        else {"quality": 95, "subsampling": 0}
        if format == "JPEG"
        else {}
    )
    source = saved(samples, format, exif=exif_block(orientation), **options)
    picture = decode(source, "a")
    upright = as_viewers_show_it(source)
    assert np.abs(picture.frames[0] - upright).max() <= 2
    # paint the upper left corner as it is seen, which must come back there
    restored = picture.frames[0].copy()
    restored[:8, :8] = 255
    result = encode(picture, [restored])
    assert np.abs(as_viewers_show_it(result) - restored).mean() < 4
    assert as_viewers_show_it(result)[:8, :8].mean() > 250
    assert Image.open(BytesIO(result)).getexif()[274] == orientation
    raw = decode(result, "a").layers[0].orientation
    assert raw == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_back_undoes_turning(orientation: int) -> None:
    samples = noise(3, 5, 3)
    assert (turn_back(turn(samples, orientation), orientation) == samples).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_is_stored_as_it_was(orientation: int) -> None:
    samples = noise(6, 9, 4)
    picture = decode(saved(samples, "PNG", exif=exif_block(orientation)), "a.png")
    result = encode(picture, [np.zeros_like(picture.frames[0])])
    assert (np.asarray(opened(result))[..., 3] == samples[..., 3]).all()


@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
def test_the_known_set_of_orientations(shared_data: Path, kind: str) -> None:
    folder = shared_data / "torture" / "exif"
    upright = as_viewers_show_it((folder / f"{kind}_1.jpg").read_bytes())
    for number in range(9):
        source = (folder / f"{kind}_{number}.jpg").read_bytes()
        picture = decode(source, f"{kind}_{number}.jpg")
        assert picture.frames[0].shape == upright.shape
        assert np.abs(picture.frames[0] - upright).mean() < 12  # each file was compressed by itself
        result = encode(picture, picture.frames)
        assert np.abs(as_viewers_show_it(result) - upright).mean() < 12
        assert opened(result).size == opened(source).size
        assert opened(result).info.get("exif") == opened(source).info.get("exif")
