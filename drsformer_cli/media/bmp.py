"""BMP: read by Pillow; written here, for Pillow writes neither alpha that others see nor colour profiles."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from PIL import BmpImagePlugin

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Order, Picture
from drsformer_cli.media.pixels import IS_BILEVEL, split

_METRE = 39.37007874  # inches
_V4_TAIL, _V5_SIZE = 56, 124  # where the colour space begins in a header; the longest header
_EMBEDDED, _LINKED, _SRGB = b"DEBM", b"KNIL", b"BGRs"


@dataclass
class Carried:
    """What a BMP file keeps around its pixels: pixels per metre, and the colour space with its profile."""

    density: bytes
    colour_space: bytes | None = None
    profile: bytes = b""


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a BMP file into `picture`."""
    image = open_plugin(BmpImagePlugin.BmpImageFile, data)
    check_size(picture.name, *image.size, 1, max_pixels)
    if image.mode == "1":
        raise UnsupportedError(f"{picture.name} {IS_BILEVEL}")
    frame, layer = split(np.asarray(image.convert("RGB") if image.mode == "P" else image))
    picture.frames, picture.layers = [frame], [layer]
    picture.carried = carried = _carry(data)
    across, down = struct.unpack("<ii", carried.density)
    if across > 0 and down > 0:
        picture.metadata.dpi = (across / _METRE, down / _METRE)
    picture.metadata.icc = carried.profile or None


def write(order: Order) -> bytes:
    """Encode stored samples as BMP."""
    own = order.carried if isinstance(order.carried, Carried) else Carried(bytes(8))
    samples = order.stored[0]
    planes = samples[..., np.newaxis] if samples.ndim == 2 else samples
    height, width, channels = planes.shape
    if channels == 2:
        planes, channels = np.concatenate([np.repeat(planes[..., :1], 3, axis=2), planes[..., 1:]], 2), 4
    swapped = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    rows = np.zeros((height, (width * channels + 3) // 4 * 4), np.uint8)
    rows[:, : width * channels] = planes[::-1, :, swapped].reshape(height, -1)
    pixels = rows.tobytes()
    palette = bytes(v for i in range(256) for v in (i, i, i, 0)) if channels == 1 else b""
    extended = channels == 4 or own.colour_space is not None
    size = _V5_SIZE if extended else 40
    masked = 3 if channels == 4 else 0
    head = struct.pack("<IiiHHII", size, width, height, 1, channels * 8, masked, len(pixels)) + own.density
    head += struct.pack("<II", 256 if channels == 1 else 0, 0)
    if extended:
        masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000) if channels == 4 else (0, 0, 0, 0)
        space = bytearray(own.colour_space or _SRGB + bytes(_V5_SIZE - _V4_TAIL - 4))
        if own.profile:
            struct.pack_into("<II", space, 56, size + len(palette) + len(pixels), len(own.profile))
        head += struct.pack("<IIII", *masks) + bytes(space)
    start = 14 + size + len(palette)
    total = start + len(pixels) + len(own.profile)
    return b"BM" + struct.pack("<IHHI", total, 0, 0, start) + head + palette + pixels + own.profile


def _carry(data: bytes) -> Carried:
    """Density, and from the longer headers the colour space (68 bytes from its type on) with its profile."""
    size = int.from_bytes(data[14:18], "little")
    if size < 40 or len(data) < 14 + size:
        return Carried(bytes(8))
    header = data[14 : 14 + size]
    carried = Carried(header[24:32])
    if size not in (108, _V5_SIZE):
        return carried
    carried.colour_space = header[_V4_TAIL:].ljust(_V5_SIZE - _V4_TAIL, b"\x00")
    if size == _V5_SIZE and carried.colour_space[:4] in (_EMBEDDED, _LINKED):
        offset, length = struct.unpack_from("<II", header, 112)
        carried.profile = data[14 + offset : 14 + offset + length]
    return carried
