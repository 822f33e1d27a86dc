"""HEIC and HEIF, with the extra `drsformer-cli[heic]`: 8 and 10 bits, stored upright."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from typing import Any

import numpy as np

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media import exif, metadata
from drsformer_cli.media.guard import check_size
from drsformer_cli.media.picture import Metadata, Order, Picture
from drsformer_cli.media.pixels import split

DEFAULT_QUALITY = 90


@dataclass
class Carried:
    """Bits a sample of the source."""

    bits: int


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("pillow_heif") is not None


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode the main picture of a HEIC file into `picture`."""
    name = picture.name
    if not available():
        raise UnsupportedError(f'{name} is a HEIC picture; to read it: pip install "drsformer-cli[heic]".')
    import pillow_heif

    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    check_size(name, file.size[0], file.size[1], 1, max_pixels)
    bits = int(file.info.get("bit_depth", 8))
    if bits not in (8, 10):
        raise UnsupportedError(
            f"{name} is a HEIC picture of {bits} bits, which cannot be kept; convert it to 16-bit TIFF first."
        )
    if len(file) > 1:
        picture.note("further pictures in the file dropped")
    if b"hdrgainmap" in data[:65536] or b"tmap" in data[:65536]:
        picture.note("gain map dropped")
    image = file[file.primary_index]
    samples = np.asarray(image)
    frame, layer = split(samples)
    picture.frames, picture.layers, picture.lossy = [frame], [layer], True
    picture.carried = Carried(bits)
    _read_metadata(image.info, picture)


def write(order: Order) -> bytes:
    """Encode stored samples as HEIC; `quality` is 1 to 100."""
    if not isinstance(order.carried, Carried):
        name = order.picture.name
        raise UnsupportedError(f"{name} cannot be written as HEIC, for it was not HEIC before.")
    import pillow_heif

    samples = order.stored[0]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    if channels == 2:
        samples, channels = np.concatenate([np.repeat(samples[..., :1], 3, 2), samples[..., 1:]], 2), 4
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels] + (";16" if samples.dtype == np.uint16 else "")
    size = (samples.shape[1], samples.shape[0])
    file = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(samples).tobytes())
    meta = order.picture.metadata
    options: dict[str, Any] = {"quality": order.quality or DEFAULT_QUALITY}
    for key, value in (("exif", meta.exif), ("xmp", meta.xmp), ("icc_profile", meta.icc)):
        if value is not None:
            options[key] = exif.PREFIX + value if key == "exif" else value
    buffer = BytesIO()
    file.save(buffer, **options)
    return buffer.getvalue()


def _read_metadata(info: dict[str, Any], picture: Picture) -> None:
    """The library hands over upright pixels and sets the orientation in EXIF to 1 to match."""
    meta = picture.metadata = Metadata(icc=info.get("icc_profile"))
    if block := info.get("exif"):
        meta.exif = metadata.clean_exif(picture, exif.bare(block))
    if packet := info.get("xmp"):
        meta.xmp = metadata.clean_xmp(picture, packet)
