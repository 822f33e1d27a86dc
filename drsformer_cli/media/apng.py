"""Animated PNG: frames as they are shown, written back whole, with the delays of the source."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from PIL import PngImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Array, Picture, Timing
from drsformer_cli.media.pixels import split_all
from drsformer_cli.media.png_chunks import GREY, GREY_ALPHA, RGB_ALPHA, Chunk, Header, find, write_chunks

_ESSENTIAL = {b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND"}


def read(chunks: list[Chunk], header: Header, picture: Picture, orientation: int, max_pixels: int) -> bool:
    """Decode the frames of an animated PNG into `picture`; False when there is no animation."""
    control = find(chunks, b"acTL")
    if control is None or len(control) != 8:
        return False
    essential = write_chunks(chunk for chunk in chunks if chunk.kind in _ESSENTIAL)
    image = open_plugin(PngImagePlugin.PngImageFile, essential)
    count = int(getattr(image, "n_frames", 1))
    if count < 2:
        return False
    if header.depth == 16:
        raise UnsupportedError(
            f"{picture.name} is an animated PNG of 16 bits, which cannot be kept; convert it to 8 bits first."
        )
    check_size(picture.name, header.width, header.height, count, max_pixels)
    stored = []
    for index in range(count):
        image.seek(index)
        stored.append(np.asarray(image.convert("RGBA")))
    opaque = header.colour not in (GREY_ALPHA, RGB_ALPHA) and find(chunks, b"tRNS") is None
    if opaque and all(bool((frame[..., 3] == 255).all()) for frame in stored):
        stored = [frame[..., :3] for frame in stored]
    picture.frames, picture.layers = split_all(stored, orientation, grey=header.colour in (GREY, GREY_ALPHA))
    hidden = bool(image.default_image)
    delays = [_delay(chunk.body) for chunk in chunks if chunk.kind == b"fcTL"]
    if len(delays) < count - hidden:
        raise UnreadableError(f"{picture.name} is damaged: some frames of its animation are missing.")
    plays = int.from_bytes(control[4:8], "big")
    picture.timing = Timing(delays[: count - hidden], plays, hidden)
    return True


def _delay(body: bytes) -> Fraction:
    if len(body) < 26:
        return Fraction(0)
    numerator, denominator = struct.unpack_from(">HH", body, 20)
    return Fraction(numerator, denominator or 100)


def write(
    timing: Timing,
    stored: list[Array],
    target: Header,
    before: list[Chunk],
    after: list[Chunk],
    encode: Callable[[Array], list[Chunk]],
) -> list[Chunk]:
    """The chunks of a whole animated PNG; `encode` gives the IDAT chunks of one frame."""
    shown = len(stored) - timing.hidden_first
    chunks = [target.chunk(), *before, Chunk(b"acTL", struct.pack(">II", shown, timing.plays))]
    durations = iter(timing.durations)
    sequence = 0
    for index, frame in enumerate(stored):
        if index or not timing.hidden_first:
            delay = _fraction(next(durations))
            size = (sequence, target.width, target.height, 0, 0, *delay, 0, 0)
            chunks.append(Chunk(b"fcTL", struct.pack(">IIIIIHHBB", *size)))
            sequence += 1
        for chunk in encode(frame):
            if index == 0:
                chunks.append(chunk)
            else:
                chunks.append(Chunk(b"fdAT", sequence.to_bytes(4, "big") + chunk.body))
                sequence += 1
    return [*chunks, *after, Chunk(b"IEND", b"")]


def _fraction(seconds: Fraction) -> tuple[int, int]:
    """Numerator and denominator of 16 bits, exact where the source had them so."""
    near = seconds.limit_denominator(65535)
    if near.numerator > 65535:
        near = Fraction(min(round(seconds), 65535))
    return near.numerator, near.denominator
