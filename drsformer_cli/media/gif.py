"""GIF: every frame as it is shown, given new colours of its own, in the container of the source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import numpy as np
from PIL import GifImagePlugin, Image

from drsformer_cli.errors import UnreadableError
from drsformer_cli.media import metadata
from drsformer_cli.media.gif_blocks import (
    APPLICATION,
    COMMENT,
    GRAPHIC_CONTROL,
    PLAIN_TEXT,
    Block,
    control,
    delay,
    read_gif,
    with_own_palette,
)
from drsformer_cli.media.guard import check_size, open_plugin
from drsformer_cli.media.picture import Array, Order, Picture, Timing
from drsformer_cli.media.pixels import is_grey, split_all

_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_CLEAR, _KEEP = 2, 1  # what happens to a frame before the next: back to transparent, or left standing


@dataclass
class Carried:
    """What a GIF file keeps around its pixels: extensions by the frame they stand before."""

    aspect: int
    extensions: list[tuple[int, bytes]]
    delays: list[int | None]


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode a GIF file into `picture`."""
    gif = read_gif(data, picture.name)
    images = gif.images
    extents = [image.extent for image in images]
    width = max([gif.width, *(extent[0] for extent in extents)])
    height = max([gif.height, *(extent[1] for extent in extents)])
    check_size(picture.name, width, height, len(images), max_pixels)
    image = open_plugin(GifImagePlugin.GifImageFile, data)
    if image.n_frames != len(images):
        raise UnreadableError(f"{picture.name} is damaged: its frames cannot be told apart.")
    stored: list[Array] = []
    for index in range(len(images)):
        image.seek(index)
        stored.append(np.asarray(image.convert("RGBA")))
    if len({frame.shape for frame in stored}) > 1:
        raise UnreadableError(f"{picture.name} is damaged: its frames lie outside its screen.")
    if all(bool((frame[..., 3] == 255).all()) for frame in stored):
        stored = [frame[..., :3] for frame in stored]
    picture.frames, picture.layers = split_all(stored, grey=is_grey(stored))
    picture.carried = carried = _carry(gif.blocks, picture)
    carried.aspect = gif.aspect
    if gif.end < len(data) and data[gif.end :].strip(b"\x00;"):
        picture.note(metadata.BEHIND)
    if len(images) > 1:
        delays = [Fraction(hundredths or 0, 100) for hundredths in carried.delays]
        picture.timing = Timing(delays, _plays(gif.blocks))


def write(order: Order) -> bytes:
    """Encode stored samples as GIF."""
    own = order.carried if isinstance(order.carried, Carried) else Carried(0, [], [None])
    height, width = order.stored[0].shape[:2]
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    parts = [b"GIF89a", size, b"\x70\x00", bytes([own.aspect])]
    several = len(order.stored) > 1
    see_through = any(samples.ndim == 3 and samples.shape[2] in (2, 4) for samples in order.stored)
    standing: dict[int, list[bytes]] = {}
    for place, raw in own.extensions:
        standing.setdefault(min(place, len(order.stored)), []).append(raw)
    for index, samples in enumerate(order.stored):
        parts += standing.get(index, [])
        image, palette, transparent = _encode(samples, see_through)
        hundredths = own.delays[index]
        if several or hundredths is not None or transparent is not None:
            # a frame covers the whole screen, so the one before must go where this one is transparent
            disposal = (_CLEAR if see_through else _KEEP) if several else 0
            parts.append(control(hundredths or 0, disposal, transparent))
        parts.append(with_own_palette(image, palette))
    return b"".join([*parts, *standing.get(len(order.stored), []), b"\x3b"])


def _carry(blocks: list[Block], picture: Picture) -> Carried:
    extensions: list[tuple[int, bytes]] = []
    delays: list[int | None] = []
    pending: int | None = None
    for block in blocks:
        if block.label == 0:
            delays.append(pending)
            pending = None
        elif block.label == GRAPHIC_CONTROL:
            pending = delay(block)
        elif block.label in (COMMENT, APPLICATION):
            extensions.append((len(delays), block.raw))
            if block.raw[3:14] not in _LOOPS:
                picture.metadata.other.append("GIF extension or comment")
        elif block.label == PLAIN_TEXT:
            picture.note("text drawn over the animation (plain text extension) dropped")
    profile = next((block.raw for block in blocks if block.raw[3:14] == b"ICCRGBG1012"), None)
    picture.metadata.icc = _join_parts(profile[14:]) if profile is not None else None
    return Carried(0, extensions, delays)


def _join_parts(raw: bytes) -> bytes:
    joined = bytearray()
    at = 0
    while at < len(raw) and raw[at]:
        joined += raw[at + 1 : at + 1 + raw[at]]
        at += raw[at] + 1
    return bytes(joined)


def _plays(blocks: list[Block]) -> int:
    """How often the animation plays: once unless an extension says otherwise, 0 for ever."""
    for block in blocks:
        if block.label == APPLICATION and block.raw[3:14] in _LOOPS and block.raw[15:16] == b"\x01":
            repeats = int.from_bytes(block.raw[16:18], "little")
            return repeats + 1 if repeats else 0
    return 1


def _encode(samples: Array, see_through: bool) -> tuple[Block, bytes, int | None]:
    """One frame as a GIF image block, its palette, and the index that is transparent.

    In an animation with transparency anywhere, every frame announces a transparent index: some viewers clear
    frames without one to a colour.
    """
    planes = samples[..., np.newaxis] if samples.ndim == 2 else samples
    holes = planes[..., -1] < 128 if planes.shape[2] in (2, 4) else None
    if holes is None and see_through:
        holes = np.zeros(planes.shape[:2], bool)
    colour = planes[..., :3] if planes.shape[2] >= 3 else np.repeat(planes[..., :1], 3, axis=2)
    indices, palette = _palettise(np.ascontiguousarray(colour), holes)
    image = Image.fromarray(indices).convert("P")
    image.putpalette(palette)
    buffer = BytesIO()
    options = {} if holes is None else {"transparency": 255}
    image.save(buffer, "GIF", optimize=False, interlace=0, **options)
    gif = read_gif(buffer.getvalue(), "")
    controls = [block.raw for block in gif.blocks if block.label == GRAPHIC_CONTROL]
    transparent = controls[0][6] if holes is not None and controls else None
    return gif.images[0], gif.palette, transparent


def _palettise(colour: Array, holes: Array | None) -> tuple[Array, bytes]:
    """Indices (h, w) and palette for RGB pixels: exact when the colours are few enough, else dithered.

    Index 255 is kept for the holes when there are any.
    """
    room = 256 if holes is None else 255
    packed = colour.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    if holes is not None:
        shown = packed[~holes]
        packed = np.where(holes, shown[0] if shown.size else 0, packed)
    values, indices = np.unique(packed, return_inverse=True)
    if len(values) <= room:
        table = (values[:, np.newaxis] >> np.array([16, 8, 0])) & 255
        chosen = indices.reshape(packed.shape).astype(np.uint8)
        palette = table.astype(np.uint8).tobytes()
    else:
        image = Image.fromarray(colour)
        reduced = image.quantize(room, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        dithered = image.quantize(palette=reduced, dither=Image.Dither.FLOYDSTEINBERG)
        chosen = np.array(dithered)
        palette = bytes(reduced.getpalette() or b"")[: room * 3]
    if holes is not None:
        chosen[holes] = 255
        palette = palette.ljust(768, b"\x00")
    return chosen, palette
