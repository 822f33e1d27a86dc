"""JPEG 2000: reversible files stay lossless, others keep their size; boxes around the codestream go along."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, Jpeg2KImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import exif, metadata
from drsformer_cli.media.boxes import Box, read_boxes, write_box, write_boxes
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Array, Order, Picture
from drsformer_cli.media.pixels import IS_BILEVEL, IS_CMYK, split

_KEPT = (b"uuid", b"xml ", b"uinf", b"asoc", b"lbl ")
_CMYK_SPACES, _RGB_SPACES, _GREY_SPACES = (12, 13), (16, 20, 21), (17,)
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID = b"JpgTiffExif->JP2"


@dataclass
class Carried:
    """What a JPEG 2000 file keeps around its pixels."""

    raw: bool  # a bare codestream without boxes
    rate: float | None  # how many times smaller than its samples; None when it was coded without loss
    comment: bytes | None
    colour: bytes | None = None
    resolution: bytes | None = None
    boxes: list[Box] = field(default_factory=list)


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a JPEG 2000 file into `picture`."""
    name = picture.name
    boxes = [] if data[:2] == b"\xff\x4f" else list(read_boxes(data))
    codestream = next((box.body for box in boxes if box.kind == b"jp2c"), b"") if boxes else data
    width, height, depths = _size(codestream, name)
    check_size(name, width, height, 1, max_pixels)
    header = next((list(read_boxes(box.body)) for box in boxes if box.kind == b"jp2h"), [])
    colour = next((box.body for box in header if box.kind == b"colr"), None)
    _check(depths, colour, name)
    image = open_plugin(Jpeg2KImagePlugin.Jpeg2KImageFile, data)
    image.load()
    if not codestream.rstrip(b"\x00").endswith(b"\xff\xd9"):
        raise UnreadableError(f"{name} is cut short: it ends in the middle of a JPEG 2000 picture.")
    if "P" in image.mode:
        samples = np.asarray(image.convert("RGBA" if image.mode == "PA" else "RGB"))
    else:
        samples = np.asarray(image)
    frame, layer = split(samples.astype(np.uint16) if samples.dtype.itemsize == 2 else samples)
    picture.frames, picture.layers = [frame], [layer]
    rate = samples.nbytes / max(len(codestream), 1) if _is_irreversible(codestream) else None
    picture.lossy = rate is not None
    carried = Carried(not boxes, rate, image.info.get("comment"))
    carried.resolution = next((box.body for box in header if box.kind == b"res "), None)
    carried.colour = _matching_colour(colour, samples)
    carried.boxes = [each for box in boxes if box.kind in _KEPT if (each := _clean(box, picture)) is not None]
    picture.carried = carried
    _fill_metadata(picture, carried, image.info.get("dpi"))


def write(order: Order) -> bytes:
    """Encode stored samples as JPEG 2000."""
    own = order.carried if isinstance(order.carried, Carried) else Carried(False, None, None)
    options: dict[str, Any] = {"no_jp2": own.raw, "irreversible": own.rate is not None}
    if own.rate is not None:
        options.update(quality_mode="rates", quality_layers=[max(own.rate, 1.0)])
    if own.comment is not None:
        options["comment"] = own.comment
    samples = order.stored[0]
    if samples.ndim == 3 and samples.shape[2] >= 3:
        options["mct"] = 1  # decorrelate the colours, which the encoder leaves out unless told
    image = Image.fromarray(samples)
    # few rows or columns cannot be halved as often as the encoder would by default
    options["num_resolutions"] = max(1, min(6, min(image.size).bit_length()))
    buffer = BytesIO()
    image.save(buffer, "JPEG2000", **options)
    return buffer.getvalue() if own.raw else _insert(buffer.getvalue(), own)


def _size(codestream: bytes, name: str) -> tuple[int, int, list[int]]:
    """Width, height and the depth byte of each component, from the SIZ segment."""
    if codestream[:4] != b"\xff\x4f\xff\x51" or len(codestream) < 42:
        raise UnreadableError(f"{name} is damaged: it has no JPEG 2000 codestream.")
    right, bottom, left, top = (int.from_bytes(codestream[i : i + 4], "big") for i in (8, 12, 16, 20))
    count = int.from_bytes(codestream[40:42], "big")
    return right - left, bottom - top, list(codestream[42 : 42 + 3 * count : 3])


def _check(depths: list[int], colour: bytes | None, name: str) -> None:
    if not 1 <= len(depths) <= 4 or any(depth & 0x80 for depth in depths):
        raise UnsupportedError(
            f"{name} has components that are neither RGB nor grey; convert it to RGB first."
        )
    bits = max(depth + 1 for depth in depths)
    if bits == 1:
        raise UnsupportedError(f"{name} {IS_BILEVEL}")
    if bits != 8 and not (bits == 16 and len(depths) == 1):
        raise UnsupportedError(
            f"{name} is a JPEG 2000 of {bits} bits, which cannot be kept; convert it to 16-bit TIFF first."
        )
    if colour is not None and colour[:1] == b"\x01" and int.from_bytes(colour[3:7], "big") in _CMYK_SPACES:
        raise UnsupportedError(f"{name} {IS_CMYK}")


def _is_irreversible(codestream: bytes) -> bool:
    """Whether the COD segment names the 9-7 wavelet, which always loses something."""
    at = 2
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker, size = codestream[at + 1], int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker == 0x52:
            return codestream[at + 13 : at + 14] == b"\x00"
        if marker in (0x90, 0xD9) or size < 2:
            break
        at += 2 + size
    return False


def _matching_colour(colour: bytes | None, samples: Array) -> bytes | None:
    """The colour box if it still describes what is written: grey or RGB, or a profile of that kind."""
    if colour is None:
        return None
    grey = samples.ndim == 2 or samples.shape[2] == 2
    if colour[:1] == b"\x01":
        space = int.from_bytes(colour[3:7], "big")
        return colour if space in (_GREY_SPACES if grey else _RGB_SPACES) else None
    return colour if colour[19:23] == (b"GRAY" if grey else b"RGB ") else None


def _clean(box: Box, picture: Picture) -> Box | None:
    """A metadata box without thumbnails; None when it has to go."""
    identity, content = box.body[:16], box.body[16:]
    if box.kind == b"uuid" and identity == _XMP_UUID:
        packet = metadata.clean_xmp(picture, content)
        return None if packet is None else box._replace(body=identity + packet)
    if box.kind == b"uuid" and identity == _EXIF_UUID:
        return box._replace(body=identity + metadata.clean_exif(picture, content))
    return box


def _fill_metadata(picture: Picture, carried: Carried, dpi: tuple[float, float] | None) -> None:
    meta = picture.metadata
    meta.dpi = dpi
    if carried.colour is not None and carried.colour[:1] in (b"\x02", b"\x03"):
        meta.icc = carried.colour[3:]
    for box in carried.boxes:
        if box.kind == b"uuid" and box.body[:16] == _XMP_UUID:
            meta.xmp = box.body[16:]
        elif box.kind == b"uuid" and box.body[:16] == _EXIF_UUID:
            meta.exif = exif.bare(box.body[16:])
        else:
            meta.other.append("JPEG 2000 box")


def _insert(encoded: bytes, own: Carried) -> bytes:
    """The encoder's file with the source's colour and resolution, and its metadata before the codestream."""
    parts = []
    for box in read_boxes(encoded):
        body = box.body
        if box.kind == b"jp2h":
            inner = [
                Box(b"colr", own.colour, 0) if b.kind == b"colr" and own.colour is not None else b
                for b in read_boxes(body)
            ]
            body = write_boxes(inner)
            body += write_box(b"res ", own.resolution) if own.resolution is not None else b""
        elif box.kind == b"jp2c":
            parts.append(write_boxes(own.boxes))
        parts.append(write_box(box.kind, body))
    return b"".join(parts)
