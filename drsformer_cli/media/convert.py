"""From one format to another: what the target cannot hold is refused, or named in the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media import tiff
from drsformer_cli.media.picture import Array, Layer, Picture
from drsformer_cli.media.pixels import opaque, recast, to_depth

_EIGHT_BITS = ("jpeg", "webp")
_ANIMATED = ("png", "webp")


def convert(picture: Picture, frames: Sequence[Array], target: str) -> tuple[list[Array], list[Layer]]:
    """Frames and layers as `target` ("png", "jpeg", "webp" or "tiff") can hold them.

    Raises UnsupportedError when frames or transparency would be lost; smaller losses go to the notes.
    """
    _check_frames(picture, target)
    _check_premultiplied(picture)
    layers = [_fit_alpha(picture, layer, target) for layer in picture.layers]
    for words in dict.fromkeys(picture.metadata.other):
        picture.note(f"{words} dropped, for it belongs to the source's format")
    kept = list(frames)
    if picture.timing is not None and picture.timing.hidden_first and target != "png":
        picture.note("the picture for viewers without animation dropped")
    if target in _EIGHT_BITS and any(frame.dtype != np.uint8 for frame in kept):
        picture.note("reduced to 8 bits")
        return [to_depth(frame, np.uint8) for frame in kept], [recast(layer, np.uint8) for layer in layers]
    if target == "png" and any(frame.dtype.kind == "f" for frame in kept):
        picture.note("floating-point samples written as 16 bits")
        return [to_depth(frame, np.uint16) for frame in kept], [recast(layer, np.uint16) for layer in layers]
    return kept, layers


def _check_frames(picture: Picture, target: str) -> None:
    count = len(picture.frames)
    if count > 1 and picture.timing is None:
        raise UnsupportedError(f"{picture.name} has {count} pages, which only TIFF can hold.")
    if picture.timing is not None and target not in _ANIMATED:
        raise UnsupportedError(f"{picture.name} is animated, which {target} cannot hold; choose png or webp.")


def _check_premultiplied(picture: Picture) -> None:
    carried = picture.carried
    if isinstance(carried, tiff.Carried) and carried.pages[0].extra_kind == 1 and not _is_opaque(picture):
        raise UnsupportedError(f"{picture.name} has premultiplied alpha, which only TIFF can hold.")


def _is_opaque(picture: Picture) -> bool:
    return all(opaque(layer.alpha) for layer in picture.layers)


def _fit_alpha(picture: Picture, layer: Layer, target: str) -> Layer:
    if layer.alpha is None:
        return layer
    carried = picture.carried
    if isinstance(carried, tiff.Carried) and carried.pages[0].extra_kind == 0:
        picture.note("an extra channel of unknown meaning dropped")
        return replace(layer, alpha=None)
    if target != "jpeg":
        return layer
    if not opaque(layer.alpha):
        words = "has transparency, which JPEG cannot hold; choose png or webp."
        raise UnsupportedError(f"{picture.name} {words}")
    return replace(layer, alpha=None)
