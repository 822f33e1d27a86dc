"""Pictures for the tests, built in memory, and shorthands to send them through the codecs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from drsformer_cli.errors import InputError
from drsformer_cli.media.images import Picture, decode, encode
from drsformer_cli.media.picture import Array

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/x"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


def noise(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    """Samples all over the range, so that a lost bit or a swapped channel shows."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape, dtype=np.float64).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(height: int, width: int, channels: int = 3) -> Array:
    """A gentle slope of 8 bits that lossy codecs keep well."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * (i + 2) + y * (3 - i)) * 255 // (5 * (height + width)) for i in range(channels)]
    picture = np.stack(planes, 2).astype(np.uint8)
    return picture[..., 0] if channels == 1 else picture


def saved(samples: Array, format: str, **options: Any) -> bytes:
    """What Pillow writes."""
    if format == "JPEG" and "exif" in options:
        options["exif"] = b"Exif\0\0" + options["exif"]
    return pillow_bytes(Image.fromarray(samples), format, **options)


def pillow_bytes(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """What Pillow reads, loaded."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def pixels(data: bytes) -> Array:
    return np.asarray(opened(data))


def refusal(data: bytes, name: str, **options: Any) -> str | None:
    """What is said when a file is refused; None when it is decoded."""
    try:
        decode(data, name, **options)
    except InputError as error:
        return str(error)
    return None


def again(data: bytes, name: str, **options: Any) -> tuple[Picture, bytes]:
    """Decode, change nothing, encode."""
    picture = decode(data, name)
    return picture, encode(picture, picture.frames, **options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks put in behind its header."""
    return data[:33] + b"".join(chunks) + data[33:]


def png_kinds(data: bytes) -> list[bytes]:
    """The kinds of a PNG's chunks."""
    kinds = []
    at = 8
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return kinds


def raw_png(samples: Array, depth: int, colour: int, *between: bytes) -> bytes:
    """A PNG of any depth and colour type without filters; packed rows (h, bytes) or big-endian samples."""
    height = samples.shape[0]
    width = samples.shape[1] * 8 // depth if depth < 8 else samples.shape[1]
    rows = samples.astype(">u2").view(np.uint8) if depth == 16 else samples
    rows = rows.reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), *between, png_chunk(b"IDAT", zlib.compress(body))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")


def exif_block(
    orientation: int | None = None,
    *,
    thumbnail: bytes | None = None,
    maker_note: bytes | None = None,
    order: str = "<",
) -> bytes:
    """A bare EXIF block: camera and orientation, a maker note, and a second directory with a thumbnail."""
    tags: list[tuple[int, int, bytes]] = [(271, 2, b"Camera maker\0")]
    if orientation is not None:
        tags.append((274, 3, struct.pack(order + "H", orientation)))
    exif_tags = [(36867, 2, b"2024:05:01 10:20:30\0")]
    if maker_note is not None:
        exif_tags.append((37500, 7, maker_note))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    main_size = _directory_size([*tags, (34665, 4, b"....")])
    exif_at = 8 + main_size
    second_at = exif_at + _directory_size(exif_tags)
    pointer = (34665, 4, struct.pack(order + "I", exif_at))
    block = head + _directory([*tags, pointer], 8, order, second_at if thumbnail else 0)
    block += _directory(exif_tags, exif_at, order, 0)
    if thumbnail:
        at = second_at + 2 + 3 * 12 + 4
        second = [
            (259, 3, struct.pack(order + "H", 6)),
            (513, 4, struct.pack(order + "I", at)),
            (514, 4, struct.pack(order + "I", len(thumbnail))),
        ]
        block += _directory(second, second_at, order, 0) + thumbnail
    return block


def _directory_size(tags: Sequence[tuple[int, int, bytes]]) -> int:
    return 2 + 12 * len(tags) + 4 + sum(len(raw) + len(raw) % 2 for _, _, raw in tags if len(raw) > 4)


def _directory(tags: Sequence[tuple[int, int, bytes]], at: int, order: str, following: int) -> bytes:
    sizes = {2: 1, 3: 2, 4: 4, 7: 1}
    rows, values = b"", b""
    base = at + 2 + 12 * len(tags) + 4
    for tag, kind, raw in sorted(tags):
        rows += struct.pack(order + "HHI", tag, kind, len(raw) // sizes[kind])
        if len(raw) > 4:
            rows += struct.pack(order + "I", base + len(values))
            values += raw + bytes(len(raw) % 2)
        else:
            rows += raw.ljust(4, b"\0")
    return struct.pack(order + "H", len(tags)) + rows + struct.pack(order + "I", following) + values


def tiny_jpeg() -> bytes:
    """A thumbnail."""
    return saved(smooth(16, 16), "JPEG")
