"""Sound pictures to hurt: a small one of every kind that is read, made here; and the torture set, if here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, features

from tests.conftest import SHARED_DATA
from tests.media.builders import SRGB, XMP, exif_block, noise, pillow_bytes, raw_png, saved, smooth, tiny_jpeg

MOST_BYTES = 400_000  # larger files of the torture set are left out: the time goes into more trials


@lru_cache(maxsize=1)
def small() -> dict[str, bytes]:
    """A small picture of every kind, by name."""
    exif = exif_block(6, thumbnail=tiny_jpeg(), maker_note=b"note" * 9)
    rgb, alpha = smooth(24, 32), np.dstack([smooth(24, 32), smooth(24, 32, 1)])
    made = {
        "rgb.png": saved(rgb, "PNG", icc_profile=SRGB, exif=exif, dpi=(72, 72)),
        "alpha.png": saved(alpha, "PNG"),
        "deep.png": raw_png(noise(12, 16, 3, dtype=np.uint16), 16, 2),
        "grey.png": saved(smooth(24, 32, 1), "PNG"),
        "palette.png": pillow_bytes(Image.fromarray(rgb).quantize(16), "PNG"),
        "rgb.jpg": saved(rgb, "JPEG", icc_profile=SRGB, exif=exif, xmp=XMP, comment=b"rain"),
        "steps.jpg": saved(rgb, "JPEG", progressive=True, quality=90, subsampling=0),
        "grey.jpg": saved(smooth(24, 32, 1), "JPEG"),
        "lossy.webp": saved(rgb, "WEBP", icc_profile=SRGB, exif=exif, xmp=XMP),
        "lossless.webp": saved(alpha, "WEBP", lossless=True, exact=True),
        "rgb.bmp": saved(rgb, "BMP"),
        "palette.bmp": pillow_bytes(Image.fromarray(rgb).quantize(16), "BMP"),
        "rgb.tga": saved(rgb, "TGA", compression="tga_rle"),
        "alpha.tga": saved(alpha, "TGA"),
        "rgb.ppm": saved(rgb, "PPM"),
        "plain.pgm": b"P2\n# rain\n4 3\n255\n" + b"1 20 255 7 " * 3,
        "rgb.qoi": _qoi(),
        "still.gif": pillow_bytes(Image.fromarray(rgb).quantize(16), "GIF", comment=b"rain"),
    }
    made |= {f"{name}.tif": data for name, data in _tiffs().items()}
    made |= _animated()
    if features.check("jpg_2000"):
        made["rgb.jp2"] = saved(rgb, "JPEG2000", irreversible=False)
        made["rgb.j2k"] = saved(rgb, "JPEG2000", irreversible=True, quality_layers=[4], no_jp2=True)
    if features.check("avif"):
        made["rgb.avif"] = saved(rgb, "AVIF", icc_profile=SRGB, xmp=XMP, speed=10, max_threads=1)
    return made


def _qoi() -> bytes:
    """Every kind of step that QOI knows."""
    body = b"\xfe\x10\x20\x30" + b"\xff\x11\x21\x31\x80" + b"\x6a" + b"\x9f\x88" + b"\xc5" + b"\x07"
    header = b"qoif" + (8).to_bytes(4, "big") + (6).to_bytes(4, "big") + b"\x04\x00"
    return header + body + b"\xfd" + b"\xff\x01\x02\x03\xff" * 8 + bytes(7) + b"\x01"


def _tiffs() -> dict[str, bytes]:
    made = {}
    rgb: dict[str, Any] = {"photometric": "rgb"}
    plans: dict[str, tuple[Any, dict[str, Any]]] = {
        "plain": (smooth(24, 32), rgb),
        "deflate": (noise(24, 32, 3, dtype=np.uint16), {**rgb, "compression": "zlib", "predictor": True}),
        "tiles": (smooth(48, 64), {**rgb, "tile": (16, 16), "compression": "zlib"}),
        "float": (noise(24, 32, 3, dtype=np.float32), rgb),
        "pages": (np.stack([smooth(24, 32)] * 3), rgb),
        "large": (smooth(24, 32), {**rgb, "bigtiff": True}),
    }
    for name, (samples, options) in plans.items():
        buffer = BytesIO()
        tifffile.imwrite(buffer, samples, **options)
        made[name] = buffer.getvalue()
    made["packed"] = saved(smooth(24, 32), "TIFF", compression="packbits")
    made["lzw"] = saved(smooth(24, 32), "TIFF", compression="tiff_lzw")
    made["jpeg"] = saved(smooth(24, 32), "TIFF", compression="jpeg")
    return made


def _animated() -> dict[str, bytes]:
    frames = [Image.fromarray(np.roll(smooth(24, 32), 3 * step, 1)) for step in range(3)]
    options = {"save_all": True, "append_images": frames[1:], "duration": 40, "loop": 0}
    made = {
        "moving.png": pillow_bytes(frames[0], "PNG", **options),
        "moving.webp": pillow_bytes(frames[0], "WEBP", **options),
        "moving.gif": pillow_bytes(frames[0], "GIF", **options),
    }
    if features.check("avif"):
        made["moving.avif"] = pillow_bytes(frames[0], "AVIF", speed=10, max_threads=1, **options)
    return made


def torture(folder: Path = SHARED_DATA / "torture") -> Iterator[tuple[str, bytes]]:
    """The pictures of the torture set, where it stands beside this checkout."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and 0 < path.stat().st_size <= MOST_BYTES:
            yield path.name, path.read_bytes()
