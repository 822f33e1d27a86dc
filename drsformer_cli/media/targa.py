"""Targa (TGA) and QOI: small formats that Pillow reads and writes whole."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, QoiImagePlugin, TgaImagePlugin

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Order, Picture
from drsformer_cli.media.pixels import IS_BILEVEL, split
from drsformer_cli.media.sniff import TGA_MARK


@dataclass
class CarriedTarga:
    """What a Targa file keeps around its pixels."""

    options: dict[str, Any]


@dataclass
class CarriedQoi:
    """The colour space a QOI file announces: 0 for sRGB, 1 for linear."""

    colour_space: int


def read_targa(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a Targa file into `picture`."""
    image = open_plugin(TgaImagePlugin.TgaImageFile, data)
    check_size(picture.name, *image.size, 1, max_pixels)
    if image.mode == "1":
        raise UnsupportedError(f"{picture.name} {IS_BILEVEL}")
    options = {"compression": image.info.get("compression"), "orientation": image.info.get("orientation", -1)}
    if "id_section" in image.info:
        options["id_section"] = image.info["id_section"]
    has_extension = data.endswith(TGA_MARK) and data[-26:-22] != bytes(4)
    if has_extension:
        picture.note("Targa extension area (author, comments, postage stamp) dropped")
    picture.carried = CarriedTarga(options)
    _fill(image, picture)


def write_targa(order: Order) -> bytes:
    """Encode stored samples as Targa."""
    options = order.carried.options if isinstance(order.carried, CarriedTarga) else {}
    buffer = BytesIO()
    Image.fromarray(order.stored[0]).save(buffer, "TGA", **options)
    return buffer.getvalue()


def read_qoi(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a QOI file into `picture`."""
    image = open_plugin(QoiImagePlugin.QoiImageFile, data)
    check_size(picture.name, *image.size, 1, max_pixels)
    picture.carried = CarriedQoi(data[13])
    _fill(image, picture)


def write_qoi(order: Order) -> bytes:
    """Encode stored samples as QOI. Needs a Pillow that writes QOI."""
    Image.init()
    if "QOI" not in Image.SAVE:
        raise UnsupportedError(f"{order.picture.name} cannot be written as QOI; install a newer Pillow.")
    linear = isinstance(order.carried, CarriedQoi) and order.carried.colour_space == 1
    buffer = BytesIO()
    Image.fromarray(order.stored[0]).save(buffer, "QOI", colorspace="linear" if linear else "sRGB")
    return buffer.getvalue()


def _fill(image: Image.Image, picture: Picture) -> None:
    if image.mode == "P":
        image = image.convert("RGB")
    elif image.mode == "PA":
        image = image.convert("RGBA")
    frame, layer = split(np.asarray(image))
    picture.frames, picture.layers = [frame], [layer]
