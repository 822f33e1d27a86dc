from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from drsformer_cli.media.images import decode, encode
from drsformer_cli.media.picture import Array
from tests.media.builders import (
    SRGB,
    XMP,
    again,
    noise,
    opened,
    pillow_bytes,
    saved,
    smooth,
    tiny_jpeg,
)

EXTRAS = {2: ["unassalpha"], 4: ["unassalpha"]}


def written(samples: Array, **options: Any) -> bytes:
    """What tifffile writes."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    options.setdefault("photometric", "rgb" if channels >= 3 else "minisblack")
    if channels in EXTRAS:
        options.setdefault("extrasamples", EXTRAS[channels])
    if channels > 1:
        options.setdefault("planarconfig", "contig")
    buffer = BytesIO()
    file_options = {key: options.pop(key) for key in ("bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(buffer, **file_options) as file:
        file.write(samples, metadata=None, **options)
    return buffer.getvalue()


def seen(data: bytes) -> Array:
    """What tifffile reads."""
    with tifffile.TiffFile(BytesIO(data)) as file:
        return file.pages[0].asarray()


def tags(data: bytes, page: int = 0) -> dict[int, Any]:
    with tifffile.TiffFile(BytesIO(data)) as file:
        return {tag.code: tag.value for tag in file.pages[page].tags}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([np.uint8, np.uint16, np.float16, np.float32]),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([None, "zlib", "lzma", "packbits"]),
    st.sampled_from(["<", ">"]),
    st.booleans(),
    st.booleans(),
)
def test_every_kind_and_size_comes_back_exactly(
    dtype: Any,
    channels: int,
    height: int,
    width: int,
    compression: Any,
    byteorder: Any,
    big: bool,
    tiled: bool,
) -> None:
    samples = noise(height, width, channels, dtype=dtype)
    samples = samples[..., 0] if channels == 1 else samples
    options: dict[str, Any] = {"tile": (16, 32)} if tiled else {"rowsperstrip": 7}
    if compression == "packbits":
        compression = None  # which tifffile does not write without a package of its own
    source = written(samples, compression=compression, byteorder=byteorder, bigtiff=big, **options)
    picture, result = again(source, "a.tif")
    assert picture.frames[0].dtype == (np.float32 if dtype == np.float16 else dtype)
    back = seen(result)
    assert back.dtype == dtype
    assert (back == samples).all()
    with tifffile.TiffFile(BytesIO(result)) as file:
        assert (file.byteorder, file.is_bigtiff) == (byteorder, big)
        assert file.pages[0].compression == (1 if compression is None else 8)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_and_predictors(dtype: Any, predictor: bool, separate: bool) -> None:
    samples = noise(30, 20, 3, dtype=dtype)
    options: dict[str, Any] = {"compression": "zlib", "predictor": predictor}
    given = np.moveaxis(samples, 2, 0) if separate else samples
    source = written(given, planarconfig="separate" if separate else "contig", photometric="rgb", **options)
    picture, result = again(source, "a.tif")
    assert (picture.frames[0] == samples).all()
    assert (seen(result) == samples).all()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_lzma", None])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_the_compressions_of_libtiff(mode: str, compression: str | None) -> None:
    image = Image.fromarray(noise(40, 33, dtype=np.uint16)) if mode == "I;16" else None
    image = image or Image.fromarray(noise(40, 33, 4)).convert(mode)
    source = pillow_bytes(image, "TIFF", compression=compression)
    _, result = again(source, "a.tif")
    assert opened(result).mode == mode
    assert (np.asarray(opened(result)) == np.asarray(image)).all()


@pytest.mark.parametrize(
    ("dtype", "predictor"), [(np.uint16, 1), (np.uint16, 2), (np.float32, 3), (np.float32, 1)]
)
def test_lzw_and_predictors_of_more_than_8_bits(dtype: Any, predictor: int, tmp_path: Path) -> None:
    samples = noise(50, 41, 3, dtype=dtype)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    cv2.imwrite(str(tmp_path / "a.tif"), np.ascontiguousarray(samples[..., ::-1]), options)
    source = (tmp_path / "a.tif").read_bytes()
    if tags(source)[259] != 5:
        pytest.skip("this OpenCV does not compress such samples")
    picture, result = again(source, "a.tif")
    assert (picture.frames[0] == samples).all()
    assert (seen(result) == samples).all()


@pytest.mark.parametrize("kwargs", [{"quality": 95}, {"quality": 95, "tiffinfo": {262: 2}}])
def test_jpeg_inside_tiff_is_read_as_libtiff_does(kwargs: dict[str, Any]) -> None:
    source = saved(smooth(70, 50), "TIFF", compression="jpeg", **kwargs)
    picture, result = again(source, "a.tif")
    assert np.abs(picture.frames[0].astype(int) - np.asarray(opened(source))).max() <= 2
    assert (seen(result) == picture.frames[0]).all()


def test_ycbcr_of_real_files(shared_data: Path) -> None:
    for path in sorted((shared_data / "torture" / "pillow").glob("tiff_*ycbcr_jpeg*")):
        source = path.read_bytes()
        picture, _ = again(source, path.name)
        expected = np.asarray(opened(source).convert("RGB")).astype(int)
        assert np.abs(picture.frames[0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_stays_so_but_is_seen_upright(dtype: Any) -> None:
    samples = noise(9, 8, dtype=dtype)
    picture, result = again(written(samples, photometric="miniswhite"), "a.tif")
    assert (picture.frames[0][..., 1] == np.iinfo(dtype).max - samples).all()
    assert tags(result)[262] == 0
    assert (seen(result) == samples).all()


def test_palettes_become_rgb() -> None:
    for colours in (256, 16, 4):
        image = Image.fromarray((noise(9, 13).astype(int) % colours).astype(np.uint8)).convert("P")
        image.putpalette(noise(3 * colours).tobytes())
        for bits in {256: [8], 16: [4, 8], 4: [2, 8]}[colours]:
            source = pillow_bytes(image, "TIFF") if bits == 8 else packed_palette(image, bits)
            _, result = again(source, "a.tif")
            assert (np.asarray(opened(result)) == np.asarray(image.convert("RGB"))).all()


def packed_palette(image: Image.Image, bits: int) -> bytes:
    """A palette of few bits, written by hand."""
    indices = np.asarray(image)
    per_byte = 8 // bits
    padded = np.zeros((indices.shape[0], -(-indices.shape[1] // per_byte) * per_byte), np.uint8)
    padded[:, : indices.shape[1]] = indices
    shifts = np.arange(per_byte)[::-1] * bits
    rows = (padded.reshape(len(padded), -1, per_byte) << shifts).sum(axis=2).astype(np.uint8).tobytes()
    palette = np.array(image.getpalette()[: 3 * 2**bits], np.uint16).reshape(-1, 3).T.ravel() * 257
    fields = [
        (256, 4, 1, indices.shape[1]),
        (257, 4, 1, indices.shape[0]),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 3),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, indices.shape[0]),
        (279, 4, 1, len(rows)),
        (320, 3, palette.size, 8 + len(rows)),
    ]
    at = 8 + len(rows) + palette.size * 2
    directory = (
        struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields) + bytes(4)
    )
    return b"II*\0" + struct.pack("<I", at) + rows + palette.astype("<u2").tobytes() + directory


@pytest.mark.parametrize(("kind", "code"), [("assocalpha", 1), ("unassalpha", 2), ("unspecified", 0)])
def test_the_kind_of_a_fourth_channel_is_kept(kind: str, code: int) -> None:
    samples = noise(9, 9, 4, dtype=np.uint16)
    if code == 1:
        samples = np.minimum(samples, samples[..., 3:])
    _, result = again(written(samples, extrasamples=[kind]), "a.tif")
    assert (seen(result) == samples).all()
    assert tags(result)[338] == (code,)


def test_premultiplied_colours_do_not_exceed_their_alpha() -> None:
    samples = noise(9, 9, 4)
    samples[..., :3] //= 4
    samples = np.minimum(samples, samples[..., 3:])
    picture = decode(written(samples, extrasamples=["assocalpha"]), "a.tif")
    result = seen(encode(picture, [np.full_like(picture.frames[0], 255)]))
    assert (result[..., 3] == samples[..., 3]).all()
    assert (result[..., :3] <= result[..., 3:]).all()


def test_every_page_with_its_own_size_kind_and_tags() -> None:
    first, second, third = noise(9, 8, 3), noise(5, 6, dtype=np.uint16), noise(7, 7, 4)
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for number, page in enumerate((first, second, third)):
            options = {"extrasamples": ["unassalpha"]} if page.shape[-1] == 4 else {}
            kind = "rgb" if page.ndim == 3 else "minisblack"
            file.write(page, photometric=kind, metadata=None, description=f"page {number}", **options)
    picture, result = again(buffer.getvalue(), "a.tif")
    assert [frame.shape for frame in picture.frames] == [(9, 8, 3), (5, 6, 3), (7, 7, 3)]
    with tifffile.TiffFile(BytesIO(result)) as file:
        assert len(file.pages) == 3
        for number, page in enumerate((first, second, third)):
            assert (file.pages[number].asarray() == page).all()
            assert file.pages[number].description == f"page {number}"


def test_tags_profiles_and_exif_are_kept() -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[270], info[315], info[33432] = "rain over the sea", "A. Uthor", "free"
    info[700], info[33723] = XMP, b"\x1c\x02\x78\0\4Rain"
    info[34665] = {36867: "2024:05:01 10:20:30", 37500: b"maker note" * 3}
    info[34853] = {1: "N", 2: (1.0, 2.0, 3.0)}
    info.tagtype[700] = info.tagtype[33723] = 1
    source = saved(smooth(20, 30), "TIFF", tiffinfo=info, dpi=(300, 200), icc_profile=SRGB)
    picture, result = again(source, "a.tif")
    before, after = opened(source), opened(result)
    for tag in (270, 315, 33432, 700, 33723, 282, 283, 296, 34675):
        assert before.tag_v2[tag] == after.tag_v2[tag], tag
    for sub in (34665, 34853):
        assert dict(before.getexif().get_ifd(sub)) == dict(after.getexif().get_ifd(sub))
    assert picture.notes == []
    assert picture.metadata.icc == SRGB
    assert picture.metadata.dpi == (300, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_stays(orientation: int) -> None:
    samples = noise(6, 9, 3, dtype=np.uint16)
    source = written(samples, extratags=[(274, 3, 1, orientation, True)])
    picture, result = again(source, "a.tif")
    assert picture.frames[0].shape[:2] == ((9, 6) if orientation > 4 else (6, 9))
    assert (seen(result) == samples).all()
    assert tags(result)[274] == orientation


def test_hidden_copies_are_dropped_and_named() -> None:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(
            smooth(32, 32),
            photometric="rgb",
            metadata=None,
            subifds=1,
            extratags=[(37724, 7, 4, b"abcd", True)],
        )
        file.write(smooth(16, 16), photometric="rgb", metadata=None, subfiletype=1)
    picture, result = again(buffer.getvalue(), "a.tif")
    assert "smaller copies inside the file (SubIFDs) dropped" in picture.notes
    assert "Photoshop layers dropped" in picture.notes
    assert not {330, 37724} & set(tags(result))


def test_a_photoshop_thumbnail_is_dropped() -> None:
    thumbnail = tiny_jpeg()
    block = b"8BIM\x04\x0c\0\0" + struct.pack(">I", len(thumbnail)) + thumbnail + bytes(len(thumbnail) % 2)
    block += b"8BIM\x04\x04\0\0" + struct.pack(">I", 2) + b"ok"
    source = written(smooth(9, 9), extratags=[(34377, 1, len(block), block, True)])
    picture, result = again(source, "a.tif")
    assert picture.notes == ["embedded thumbnail dropped"]
    assert thumbnail not in result
    assert b"ok" in tags(result)[34377]
