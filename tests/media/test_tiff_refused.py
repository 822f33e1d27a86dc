"""TIFF files that are refused, damaged or cut short."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode
from drsformer_cli.media.picture import Array
from tests.media.builders import noise, pillow_bytes, refusal, saved, smooth
from tests.media.test_tiff import tags, written


@pytest.mark.parametrize(
    ("samples", "options", "reason"),
    [
        (noise(9, 9).astype(bool), {}, "one bit"),
        (noise(9, 9).astype(np.int16), {}, "16-bit signed integers"),
        (noise(9, 9).astype(np.uint32), {}, "32-bit unsigned integers"),
        (noise(9, 9).astype(np.float64), {}, "64-bit floating-point"),
        (noise(9, 9).astype(np.complex64), {}, "64-bit complex"),
        (noise(9, 9, 4), {"photometric": "separated"}, "CMYK"),
        (noise(9, 9, 3), {"photometric": "cielab"}, "Lab"),
        (np.float32(noise(9, 9, 3)), {}, "outside 0 to 1"),
        (np.full((9, 9), np.nan, np.float32), {}, "outside 0 to 1"),
        (-noise(9, 9, dtype=np.float32), {}, "outside 0 to 1"),
    ],
)
def test_kinds_that_cannot_be_kept_are_refused_with_a_reason(
    samples: Array, options: Any, reason: str
) -> None:
    source = written(samples, **({"extrasamples": ()} if samples.shape[-1] == 4 else {}), **options)
    with pytest.raises(UnsupportedError, match=f"odd\\.tif.*{reason}"):
        decode(source, "odd.tif")


@pytest.mark.parametrize("extension", [".nef", ".ARW", ".dng"])
def test_camera_raw_is_told_by_name_and_content(extension: str) -> None:
    with pytest.raises(UnsupportedError, match="camera raw"):
        decode(written(smooth(9, 9)), f"shot{extension}")
    with pytest.raises(UnsupportedError, match="camera raw"):
        decode(written(smooth(9, 9), extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "shot.tif")
    mosaic = bytearray(written(noise(9, 9, dtype=np.uint16)))
    at = mosaic.index(struct.pack("<HHI", 262, 3, 1)) + 8
    mosaic[at : at + 2] = struct.pack("<H", 32803)
    with pytest.raises(UnsupportedError, match="camera raw"):
        decode(bytes(mosaic), "shot.tif")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("lzw", [False, True])
def test_a_file_cut_short_is_unreadable(part: float, lzw: bool, capfd: pytest.CaptureFixture[str]) -> None:
    data = pillow_bytes(Image.fromarray(noise(60, 60, 3)), "TIFF", compression="tiff_lzw" if lzw else None)
    with pytest.raises(UnreadableError, match=r"half\.tif"):
        decode(data[: int(len(data) * part)], "half.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_lzma", "jpeg"])
def test_damaged_pixels_are_unreadable_or_read_but_never_talked_about(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(saved(noise(60, 60, 3), "TIFF", compression=compression))
    where = tags(bytes(data))[273]
    start = where[0] if isinstance(where, tuple) else where
    for step in range(40):
        data[start + 10 + step * 7] ^= 0x55
        assert (refusal(bytes(data), "bad.tif") or "bad.tif").startswith("bad.tif")
    assert capfd.readouterr().err == ""
