"""The blocks of a GIF file: images and extensions, told apart without decoding."""

from __future__ import annotations

from typing import NamedTuple

from drsformer_cli.errors import UnreadableError

GRAPHIC_CONTROL, COMMENT, PLAIN_TEXT, APPLICATION = 0xF9, 0xFE, 0x01, 0xFF


class Block(NamedTuple):
    """An extension (label 1 to 255) or an image (label 0), with all its bytes."""

    label: int
    raw: bytes

    @property
    def extent(self) -> tuple[int, int]:
        """How far an image reaches to the right and down, in pixels from the screen's corner."""
        left, top, width, height = (int.from_bytes(self.raw[i : i + 2], "little") for i in (1, 3, 5, 7))
        return left + width, top + height


class Gif(NamedTuple):
    """A file taken apart."""

    width: int
    height: int
    aspect: int
    palette: bytes
    blocks: list[Block]
    end: int

    @property
    def images(self) -> list[Block]:
        """The images in order."""
        return [block for block in self.blocks if block.label == 0]


def read_gif(data: bytes, name: str) -> Gif:
    """Take a GIF file apart; UnreadableError when it is cut short."""
    try:
        return _read(data)
    except IndexError:
        raise UnreadableError(f"{name} is cut short: it ends in the middle of a GIF picture.") from None


def _read(data: bytes) -> Gif:
    packed = data[10]
    start = 13 + _table_size(packed)
    width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    blocks: list[Block] = []
    at = start
    while data[at] != 0x3B:
        begin = at
        if data[at] == 0x21:
            label = data[at + 1]
            at = _skip_parts(data, at + 2)
            blocks.append(Block(label, data[begin:at]))
        elif data[at] == 0x2C:
            at += 10 + _table_size(data[at + 9])
            at = _skip_parts(data, at + 1)  # one byte for the code size
            blocks.append(Block(0, data[begin:at]))
        else:  # some writers pad between blocks
            at += 1
    return Gif(width, height, data[12], data[13:start], blocks, at + 1)


def _table_size(packed: int) -> int:
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _skip_parts(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def delay(block: Block) -> int:
    """Hundredths of a second in a graphic control extension."""
    return int.from_bytes(block.raw[4:6], "little") if len(block.raw) >= 8 else 0


def control(hundredths: int, disposal: int, transparent: int | None) -> bytes:
    """A graphic control extension."""
    packed = disposal << 2 | (transparent is not None)
    delay_bytes = min(hundredths, 65535).to_bytes(2, "little")
    return b"\x21\xf9\x04" + bytes([packed]) + delay_bytes + bytes([transparent or 0, 0])


def with_own_palette(image: Block, palette: bytes) -> bytes:
    """The bytes of an image that used the file's palette, given that palette as its own."""
    bits = (len(palette) // 3).bit_length() - 2
    packed = image.raw[9] & 0x78 | 0x80 | bits
    return image.raw[:9] + bytes([packed]) + palette + image.raw[10:]
