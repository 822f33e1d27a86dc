"""PNG, still pictures: 8 bits through Pillow, 16 bits without its loss, chunks carried over."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import apng, exif, metadata
from drsformer_cli.media.guard import check_size, open_plugin, opencv
from drsformer_cli.media.picture import Array, Metadata, Order, Picture
from drsformer_cli.media.pixels import IS_BILEVEL, split
from drsformer_cli.media.png_chunks import (
    CHANNELS,
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    Chunk,
    Header,
    ancillary,
    find,
    fit,
    read_chunks,
    read_ihdr,
    read_profile,
    read_raw_profile,
    read_xmp,
    write_chunks,
    write_raw_profile,
    write_xmp,
)

_INCH = 0.0254  # metres
_LEVEL = 4  # of compression: half the time of the usual 6, for files about 1 % larger


@dataclass
class Carried:
    """What a PNG file keeps around its pixels."""

    header: Header
    palette: bytes | None
    before: list[Chunk]
    after: list[Chunk]


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a PNG file, still or animated, into `picture`."""
    name = picture.name
    chunks, trailing = read_chunks(data, name)
    header = read_ihdr(chunks, name)
    if header.depth == 1 and header.colour == GREY:
        raise UnsupportedError(f"{name} {IS_BILEVEL}")
    check_size(name, header.width, header.height, 1, max_pixels)
    _read_metadata(chunks, picture)
    if trailing:
        picture.note(metadata.BEHIND)
    orientation = exif.orientation(picture.metadata.exif)
    picture.carried = _carry(chunks, header, picture)
    if not apng.read(chunks, header, picture, orientation, max_pixels):
        frame, layer = split(_still(chunks, header, name), orientation)
        picture.frames, picture.layers = [frame], [layer]


def write(order: Order) -> bytes:
    """Encode stored samples as PNG, animated when the picture has a timing."""
    picture, carried, samples = order.picture, order.carried, order.stored[0]
    if samples.dtype.kind == "f":
        raise UnsupportedError(f"{picture.name} has floating-point samples, which PNG cannot hold.")
    target = _header_for(samples)
    if isinstance(carried, Carried):
        before = [fit(each, carried.header, target, carried.palette) for each in carried.before]
        around = [each for each in before if each is not None], carried.after
    else:
        around = _from_metadata(picture, target), []
    if picture.timing is not None:
        return write_chunks(apng.write(picture.timing, order.stored, target, *around, encode=encode_pixels))
    pixels = encode_pixels(samples)
    return write_chunks([target.chunk(), *around[0], *pixels, *around[1], Chunk(b"IEND", b"")])


def _read_metadata(chunks: list[Chunk], picture: Picture) -> None:
    """Fill `picture.metadata`, and clean the chunks in place of what shows rain."""
    meta = Metadata(icc=read_profile(find(chunks, b"iCCP")))
    for index, chunk in enumerate(chunks):
        kind, body = chunk
        if kind == b"eXIf":
            meta.exif = metadata.clean_exif(picture, body)
            chunks[index] = Chunk(kind, meta.exif)
            meta.exif = exif.bare(meta.exif)
        elif kind == b"iTXt" and (packet := read_xmp(body)) is not None:
            meta.xmp = metadata.clean_xmp(picture, packet)
            if meta.xmp != packet:
                chunks[index] = write_xmp(meta.xmp or b"")
        elif kind == b"pHYs" and len(body) == 9 and body[8] == 1:
            across, down = (int.from_bytes(body[i : i + 4], "big") * _INCH for i in (0, 4))
            meta.dpi = (across, down)
        elif (block := read_raw_profile(chunk)) is not None:
            cleaned = metadata.clean_exif(picture, block)
            if cleaned != block:
                chunks[index] = write_raw_profile(cleaned)
            meta.exif = meta.exif or exif.bare(cleaned)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            meta.other.append("PNG text")
        elif kind in (b"cICP", b"gAMA", b"cHRM"):
            meta.other.append("PNG colour description")
    picture.metadata = meta


def _carry(chunks: list[Chunk], header: Header, picture: Picture) -> Carried:
    keep_palette = header.colour in (RGB, RGB_ALPHA)
    before, lost = ancillary(chunks, True, keep_palette=keep_palette)
    after, lost_behind = ancillary(chunks, False, keep_palette=False)
    for kind in lost + lost_behind:
        picture.note(metadata.CREDENTIALS if kind == "caBX" else f"PNG chunk {kind} dropped")
    return Carried(header, find(chunks, b"PLTE"), before, after)


def _still(chunks: list[Chunk], header: Header, name: str) -> Array:
    """Stored samples of a still picture; a transparent colour has become an alpha channel."""
    transparent = find(chunks, b"tRNS")
    if header.depth == 16:
        return _key_to_alpha(_wide(chunks, header, name), transparent, 1)
    essential = {b"IHDR", b"PLTE", b"IDAT", b"IEND"} | ({b"tRNS"} if header.colour == PALETTE else set())
    image = open_plugin(PngImagePlugin.PngImageFile, write_chunks(c for c in chunks if c.kind in essential))
    if header.colour == PALETTE:
        return np.asarray(image.convert("RGBA" if transparent is not None else "RGB"))
    return _key_to_alpha(np.asarray(image), transparent, 255 // (2**header.depth - 1))


def _wide(chunks: list[Chunk], header: Header, name: str) -> Array:
    """Samples of a still picture of 16 bits."""
    _check_stream(chunks, header, name)
    pixels = [c for c in chunks if c.kind in (b"IDAT", b"IEND")]
    if header.colour == GREY_ALPHA:
        # OpenCV would widen it to four channels. Four bytes a pixel are filtered alike whatever they mean, so
        # Pillow can read them as RGBA of 8 bits.
        as_bytes = header._replace(depth=8, colour=RGB_ALPHA)
        image = open_plugin(PngImagePlugin.PngImageFile, write_chunks([as_bytes.chunk(), *pixels]))
        return np.asarray(image).view(">u2").astype(np.uint16)
    cv2 = opencv()
    encoded = np.frombuffer(write_chunks([header.chunk(), *pixels]), np.uint8)
    samples = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    shape = (header.height, header.width, CHANNELS[header.colour])[: 2 if header.colour == GREY else 3]
    if samples is None or samples.shape != shape or samples.dtype != np.uint16:
        raise UnreadableError(f"{name} is damaged: its pixels cannot be decoded.")
    if header.colour == GREY:
        return np.asarray(samples)
    order = [2, 1, 0, 3][: samples.shape[2]]
    return np.asarray(samples[..., order])


def _check_stream(chunks: list[Chunk], header: Header, name: str) -> None:
    """Refuse compressed pixels that are damaged, or too few or many: libpng would talk on the terminal."""
    expected = _stream_size(header)
    inflater = zlib.decompressobj()
    size = 0
    try:
        for kind, body in chunks:
            while kind == b"IDAT" and body and not inflater.eof and size <= expected:
                size += len(inflater.decompress(body, 1 << 20))
                body = inflater.unconsumed_tail
    except zlib.error as error:
        raise UnreadableError(f"{name} is damaged: its pixels cannot be decompressed ({error}).") from error
    if size < expected:
        raise UnreadableError(f"{name} is cut short: some of its pixels are missing.")
    if size > expected:
        raise UnreadableError(f"{name} is damaged: it holds more pixels than it announces.")


def _stream_size(header: Header) -> int:
    """Bytes of all rows with the filter byte before each, over the seven passes of an interlaced picture."""
    pixel = CHANNELS[header.colour] * header.depth // 8
    passes = [(0, 0, 1, 1)]
    if header.interlace:
        passes = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]
    size = 0
    for left, top, across, down in passes:
        width, height = -(-(header.width - left) // across), -(-(header.height - top) // down)
        size += height * (1 + width * pixel) if width > 0 and height > 0 else 0
    return size


def _key_to_alpha(samples: Array, transparent: bytes | None, scale: int) -> Array:
    """Add an alpha channel that is 0 where a pixel has the one transparent colour of tRNS."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    if transparent is None or channels not in (1, 3) or len(transparent) < 2 * channels:
        return samples
    planes = samples.reshape(*samples.shape[:2], channels)
    key = np.frombuffer(transparent[: 2 * channels], ">u2").astype(np.uint32) * scale
    alpha = np.where((planes == key).all(axis=2), 0, np.iinfo(samples.dtype).max).astype(samples.dtype)
    return np.concatenate([planes, alpha[..., np.newaxis]], axis=2)


def _header_for(samples: Array) -> Header:
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    colour = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGB_ALPHA}[channels]
    return Header(samples.shape[1], samples.shape[0], samples.dtype.itemsize * 8, colour, 0, 0, 0)


def encode_pixels(samples: Array) -> list[Chunk]:
    """The IDAT chunks of stored samples, uint8 or uint16, (h, w) or (h, w, 2..4)."""
    if samples.dtype == np.uint16 and samples.ndim == 3 and samples.shape[2] >= 3:
        cv2 = opencv()
        order = [2, 1, 0, 3][: samples.shape[2]]
        options = [cv2.IMWRITE_PNG_COMPRESSION, _LEVEL]
        encoded = cv2.imencode(".png", np.ascontiguousarray(samples[..., order]), options)[1].tobytes()
    else:
        # 16-bit grey, with or without alpha, is filtered like two or four channels of 8 bits
        as_bytes = samples if samples.dtype == np.uint8 else samples.astype(">u2").view(np.uint8)
        if samples.dtype == np.uint16 and samples.ndim == 2:
            as_bytes = as_bytes.reshape(*samples.shape, 2)
        buffer = BytesIO()
        Image.fromarray(np.ascontiguousarray(as_bytes)).save(buffer, "PNG", compress_level=_LEVEL)
        encoded = buffer.getvalue()
    return [chunk for chunk in read_chunks(encoded, "")[0] if chunk.kind == b"IDAT"]


def _from_metadata(picture: Picture, target: Header) -> list[Chunk]:
    """Chunks for a picture that came in another format."""
    meta = picture.metadata
    chunks = []
    profile = metadata.icc_for(picture, grey=target.colour in (GREY, GREY_ALPHA))
    if profile is not None:
        chunks.append(Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if meta.dpi is not None:
        across, down = (round(value / _INCH).to_bytes(4, "big") for value in meta.dpi)
        chunks.append(Chunk(b"pHYs", across + down + b"\x01"))
    if meta.exif is not None:
        chunks.append(Chunk(b"eXIf", meta.exif))
    if meta.xmp is not None:
        chunks.append(write_xmp(meta.xmp))
    if meta.iptc is not None:
        picture.note("IPTC records dropped, for PNG cannot hold them")
    return chunks
