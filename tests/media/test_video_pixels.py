"""Colour of film: to RGB as the standards say, upright, and back without touching what was left alone."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media.video import Colour, Film, Track, first_frame, orientation, probe
from drsformer_cli.media.video_pixels import Pixels, planar_format, plane_of, turn, turn_back
from tests.media.clips import rotated, upright

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def a_film(pixels: str, width: int = 64, height: int = 48, **colour: Any) -> Film:
    track = Track(0, "video", "h264")
    return Film(
        path=Path("a.mp4"),
        container="mov",
        tracks=(track,),
        track=track,
        width=width,
        height=height,
        pixels=pixels,
        alpha=False,
        time_base=Fraction(1, 1000),
        start=0,
        rate=Fraction(25),
        seconds=1.0,
        frames=25,
        matrix=None,
        turn=(False, 0),
        aspect=None,
        colour=Colour(**{"matrix": 1, "range": 1, **colour}),
        fields="",
        light={},
        metadata={},
    )


def noise(film: Film, seed: int = 0, smooth: bool = True) -> Any:
    """Return a planar picture of colours that RGB has, chroma flat in blocks of 8 x 8 if smooth."""
    rng = np.random.default_rng(seed)
    pixels = Pixels(film)
    frame = av.VideoFrame(film.width, film.height, pixels.format)
    step = 1 << (pixels.depth - 8)
    for index in range(len(frame.planes)):
        plane = plane_of(frame, index)
        low, high = (90, 160) if index == 0 else (110, 146)
        values = rng.integers(low * step, high * step, plane.shape)
        if smooth:
            block = np.ones((8, 8), int)
            few = rng.integers(low * step, high * step, (plane.shape[0] // 8 + 1, plane.shape[1] // 8 + 1))
            values = np.kron(few, block)[: plane.shape[0], : plane.shape[1]]
        np.copyto(plane, values.astype(plane.dtype))
    return frame


def reference(frame: Any, film: Film, depth: int) -> NDArray[np.float64]:
    """Return RGB in [0, 1] of a 4:4:4 picture, by the formulas of the standards."""
    kr, kb = WEIGHTS[film.colour.matrix]
    y, cb, cr = (plane_of(frame, index).astype(float) for index in range(3))
    step, top = 1 << (depth - 8), (1 << depth) - 1
    if film.colour.range == 2:
        y, cb, cr = y / top, (cb - 128 * step) / top, (cr - 128 * step) / top
    else:
        y, cb, cr = (
            (y - 16 * step) / (219 * step),
            (cb - 128 * step) / (224 * step),
            (cr - 128 * step) / (224 * step),
        )
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], axis=2), 0, 1)


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv444p10le", "yuv444p12le"])
def test_rgb_is_what_the_standards_say(pixels: str, range_: int, matrix: int) -> None:
    film = a_film(pixels, matrix=matrix, range=range_)
    frame, way = noise(film, smooth=False), Pixels(film)
    white = 255 if way.depth == 8 else 65535
    seen = way.upright(frame) / white
    off = np.abs(seen - reference(frame, film, way.depth))
    assert off.max() <= (1.5 / 255 if way.depth == 8 else 0.6 / (1 << way.depth))


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("range_", [1, 2])
@pytest.mark.parametrize(
    "pixels", ["yuv444p", "yuv420p", "yuv422p10le", "yuv420p10le", "gray", "gbrp", "gbrp10le"]
)
def test_a_change_comes_back_as_it_was_made(pixels: str, range_: int, matrix: int) -> None:
    film = a_film(pixels, matrix=matrix, range=range_)
    frame, way = noise(film), Pixels(film)
    seen = way.upright(frame)
    white = np.iinfo(seen.dtype).max
    change = np.array([0.04, 0.04, 0.04] if pixels == "gray" else [0.06, -0.03, 0.02])
    clean = np.clip(np.rint(seen + change * white), 0, white).astype(seen.dtype)
    again = way.upright(way.back(frame, seen, clean))
    off = (again.astype(float) - clean) / white
    assert np.sqrt(np.mean(off**2)) < (0.9 / 255 if way.depth == 8 else 0.9 / 1023)


@pytest.mark.parametrize(
    "pixels",
    [
        "yuv420p",
        "yuv422p",
        "yuv411p",
        "yuv440p",
        "yuva420p",
        "yuv420p12le",
        "gray",
        "gray10le",
        "gbrap",
        "nv12",
        "rgb24",
    ],
)
def test_what_is_left_alone_stays_bit_for_bit(pixels: str) -> None:
    film = a_film(pixels, 66, 50)
    way = Pixels(film)
    frame = noise(film, smooth=False)
    for index in range(len(frame.planes)):  # values that RGB does not have, too
        plane = plane_of(frame, index)
        plane[:8] = 0
        plane[8:16] = (1 << way.depth) - 1
    seen = way.upright(frame)
    clean = seen.copy()
    clean[20:30, 20:30] //= 2
    same, changed = way.back(frame, seen, seen), way.back(frame, seen, clean)
    for index in range(len(frame.planes)):
        assert np.array_equal(plane_of(same, index), plane_of(frame, index))
        differs = plane_of(changed, index) != plane_of(frame, index)
        rows, columns = (part.shape[0] / whole for part, whole in ((differs, 50), (differs.T, 66)))
        outside = differs.copy()
        outside[int(18 * rows) : int(32 * rows) + 1, int(17 * columns) : int(33 * columns) + 1] = False
        assert not outside.any()
        assert differs.any() == (index < 3)


@pytest.mark.parametrize(("place", "start"), [("left", 0.0), ("center", 0.5)])
def test_chroma_is_changed_where_its_samples_lie(place: str, start: float) -> None:
    """A red edge: where half the colour is changed, the chroma sample stands."""
    film = a_film("yuv420p", 64, 48, chroma=place)
    frame, way = noise(film), Pixels(film)
    seen = way.upright(frame)
    clean = seen.astype(float)
    clean[..., 0] += np.arange(64)[None] * 0.5  # a slope tells where it was read
    clean = np.rint(clean).astype(np.uint8)
    exact = np.zeros((48, 64, 3), np.float32)
    exact[..., 0] = np.arange(64)[None]
    shrunk = way._shrink(exact)[10, 2:-2, 0]
    assert np.allclose(shrunk, np.arange(2, 30) * 2 + start, atol=1e-4)
    assert way.back(frame, seen, clean).format.name == "yuv420p"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pictures_are_upright_before_the_model(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = rotated(degrees, *(["-display_hflip"] if mirrored else []))(tmp_path / "a.mov")
    film = probe(path)
    shown = upright(path, *film.upright)[0]
    with av.open(str(path)) as container:
        frame = first_frame(container, container.streams.video[0])
        seen = Pixels(film).upright(frame)
    assert seen.shape == shown.shape
    assert np.abs(seen.astype(int) - shown).mean() < 8  # ffmpeg's own way to RGB is a coarse one


def test_turning_back() -> None:
    picture = np.arange(24).reshape(4, 6)
    for mirrored in (False, True):
        for quarters in range(4):
            assert np.array_equal(
                turn_back(turn(picture, (mirrored, quarters)), (mirrored, quarters)), picture
            )
    assert orientation((46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)) == (False, 0)


def test_matrices() -> None:
    assert Pixels(a_film("yuv420p", matrix=2)).notes == [
        "colour matrix unspecified: taken for BT.601, and left unspecified"
    ]
    assert "BT.709" in Pixels(a_film("yuv420p", 1280, 720, matrix=2)).notes[0]
    assert not Pixels(a_film("gray", matrix=2)).notes
    with pytest.raises(UnsupportedError, match="ICtCp"):
        Pixels(a_film("yuv420p10le", matrix=14))


def test_planar_formats() -> None:
    assert [
        planar_format(name) for name in ("yuvj420p", "nv12", "p010le", "bgra", "rgb48be", "yuv422p10be")
    ] == [
        "yuv420p",
        "yuv420p",
        "yuv420p10le",
        "gbrap",
        "gbrp16le",
        "yuv422p10le",
    ]


def test_what_is_finer_than_16_bits_is_refused() -> None:
    assert Pixels(a_film("gray16le")).depth == Pixels(a_film("rgb48le")).depth == 16
    for name in ("gray32le", "gbrpf32le", "grayf16le", "rgbf32le", "rgbaf16be"):
        with pytest.raises(UnsupportedError, match=rf"^a\.mp4 has pictures of {name}, which cannot be kept"):
            Pixels(a_film(name))


def test_the_way_through_rgb_would_lose_what_the_difference_keeps() -> None:
    """PSNR of chroma after RGB and back, by the scaler, against the difference (which loses nothing)."""
    film = a_film("yuv420p")
    frame, way = noise(film, smooth=False), Pixels(film)
    seen = way.upright(frame)
    there = av.VideoFrame.from_ndarray(seen, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709"
    )
    error = np.mean((plane_of(there, 1).astype(float) - plane_of(frame, 1)) ** 2)
    assert 10 * np.log10(255**2 / error) < 40
    assert np.array_equal(plane_of(way.back(frame, seen, seen), 1), plane_of(frame, 1))


def test_dataclass_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_film("yuv420p").width = 3  # type: ignore[misc]
