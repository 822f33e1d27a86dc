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
    """What the encoder is told so that the new file is coded like the old one."""

    options: dict[str, Any]


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
    image = file[file.primary_index]
    frame, layer = split(np.asarray(image))
    picture.frames, picture.layers, picture.lossy = [frame], [layer], True
    picture.carried = Carried(_coding(image.info))
    _read_metadata(image.info, picture)
    _note_companions(file, image.info, data, picture)


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
    options = {"quality": order.quality or DEFAULT_QUALITY, **order.carried.options}
    for key, value in (("exif", meta.exif), ("xmp", meta.xmp), ("icc_profile", meta.icc)):
        if value is not None:
            options[key] = exif.PREFIX + value if key == "exif" else value
    buffer = BytesIO()
    file.save(buffer, **options)
    return buffer.getvalue()


def _coding(info: dict[str, Any]) -> dict[str, Any]:
    """Chroma subsampling and colour description; the matrix stays the encoder's own."""
    options = {"chroma": info["chroma"]} if "chroma" in info else {}
    if info.get("icc_profile") is None and (description := info.get("nclx_profile")):
        options["color_primaries"] = description["color_primaries"]
        options["transfer_characteristics"] = description["transfer_characteristics"]
    return options


def _note_companions(file: Any, info: dict[str, Any], data: bytes, picture: Picture) -> None:
    """Name the other pictures in the file, which will be gone."""
    kinds = str(list(info.get("aux") or {}))
    if "hdrgainmap" in kinds or b"tmap" in data[:65536]:
        picture.note(metadata.GAIN_MAP)
    elif info.get("aux"):
        picture.note("auxiliary pictures dropped")
    if info.get("depth_images"):
        picture.note("depth map dropped")
    if info.get("thumbnails"):
        picture.note(metadata.THUMBNAIL)
    if len(file) > 1:
        picture.note("further pictures in the file dropped")


def _read_metadata(info: dict[str, Any], picture: Picture) -> None:
    """The library hands over upright pixels and sets the orientation in EXIF to 1 to match."""
    meta = picture.metadata = Metadata(icc=info.get("icc_profile"))
    if block := info.get("exif"):
        meta.exif = metadata.clean_exif(picture, exif.bare(block))
    if packet := info.get("xmp"):
        meta.xmp = metadata.clean_xmp(picture, packet)
