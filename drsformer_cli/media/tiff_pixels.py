"""The pixels of a TIFF page: strips or tiles, decompressed, put together, and read as grey or RGB."""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Any

import numpy as np
from PIL import JpegImagePlugin

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media import tiff_page
from drsformer_cli.media.guard import open_plugin, opencv
from drsformer_cli.media.ifd import LONG, SHORT, Directory, Layout, make_entry, write_directory
from drsformer_cli.media.picture import Array
from drsformer_cli.media.tiff_page import Page, values

_STRIPS, _ROWS, _STRIP_SIZES, _COLOUR_MAP = 273, 278, 279, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _JPEG_TABLES = 322, 323, 324, 325, 347
_LARGEST_TILE = 1 << 24  # pixels of a tile that may be larger than its picture
_LZMA_MEMORY = 256 << 20  # bytes; what the strongest of its usual settings needs is a quarter of it
# tells a JPEG decoder, which sees neither JFIF nor TIFF, whether three channels are RGB (0) or YCbCr (1)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


def read_samples(data: bytes, page: Page, name: str) -> Array:
    """The stored samples of a page, (h, w) or (h, w, 2..4), uint8 | uint16 | float16 | float32.

    Grey is black at 0, palettes have become RGB, 2 and 4 bits have become 8. Raises UnreadableError for
    damaged pixels and UnsupportedError for compressions and values that cannot be handled.
    """
    shape = page.shape
    stored = _assemble(data, page, name)
    if shape.bits < 8:
        stored = _unpack_bits(stored[..., 0], shape.bits, shape.width)[..., np.newaxis]
    if shape.photometric == tiff_page.PALETTE:
        stored = _apply_palette(stored, page, name)
    elif shape.bits < 8:
        stored = stored * np.uint8(255 // (2**shape.bits - 1))
    if shape.photometric == tiff_page.WHITE_IS_ZERO:
        stored[..., :1] = ~stored[..., :1]
    if stored.dtype.kind == "f" and not bool(((stored >= 0) & (stored <= 1)).all()):
        raise UnsupportedError(
            f"{name} has floating-point values outside 0 to 1; scale or tone-map it to that range first."
        )
    return stored[..., 0] if stored.shape[2] == 1 else stored


def _assemble(data: bytes, page: Page, name: str) -> Array:
    """Samples (h, w, s) of all pieces; for fewer than 8 bits, the packed bytes of each row."""
    shape, directory, layout = page.shape, page.directory, page.layout
    tiled = _TILES in directory.entries
    columns = shape.width if shape.bits >= 8 else (shape.width * shape.bits + 7) // 8
    if tiled:
        wide, high = ((values(directory, layout, tag) or (0,))[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        wide = wide if shape.bits >= 8 else (wide * shape.bits + 7) // 8
    else:
        wide, high = columns, min((values(directory, layout, _ROWS) or (shape.height,))[0], shape.height)
    if wide < 1 or high < 1:
        raise UnreadableError(f"{name} is damaged: its strips or tiles have no size.")
    pieces = _pieces(data, page, tiled, name)
    most = max(4 * columns * shape.height, _LARGEST_TILE)
    across, down = -(-columns // wide), -(-shape.height // high)
    planes = shape.samples if shape.separate else 1
    if len(pieces) < across * down * planes or wide * high > most:
        raise UnreadableError(f"{name} is damaged: its strips or tiles do not cover the picture.")
    channels = 1 if shape.separate else shape.samples
    canvas = np.empty((shape.height, columns, shape.samples), _dtype(page))
    for number in range(across * down * planes):
        plane, place = divmod(number, across * down)
        top, left = place // across * high, place % across * wide
        rows = high if tiled else min(high, shape.height - top)
        offset, length = pieces[number]
        piece = _decode(data[offset : offset + length], page, (rows, wide, channels), name)
        where = slice(plane, plane + 1) if shape.separate else slice(None)
        target = canvas[top : top + rows, left : left + wide, where]
        target[...] = piece[: target.shape[0], : target.shape[1]]
    return canvas


def _pieces(data: bytes, page: Page, tiled: bool, name: str) -> list[tuple[int, int]]:
    """Where each strip or tile starts and how long it is."""
    place, size = (_TILES, _TILE_SIZES) if tiled else (_STRIPS, _STRIP_SIZES)
    offsets = values(page.directory, page.layout, place)
    sizes = values(page.directory, page.layout, size)
    if not sizes and len(offsets) == 1:
        sizes = (len(data) - offsets[0],)
    if len(offsets) != len(sizes) or not offsets:
        raise UnreadableError(f"{name} is damaged: it does not say where its pixels are.")
    if any(not 8 <= offset < len(data) for offset in offsets):
        raise UnreadableError(f"{name} is cut short: some of its pixels are missing.")
    # a size that reaches beyond the file may still hold all pixels, which is seen when they are decoded
    return list(zip(offsets, sizes, strict=True))


def _dtype(page: Page) -> np.dtype[Any]:
    shape = page.shape
    return np.dtype(f"{'f' if shape.format == tiff_page.FLOAT else 'u'}{max(shape.bits // 8, 1)}")


def in_order(dtype: np.dtype[Any], order: str) -> np.dtype[Any]:
    """The dtype in a byte order, "<" or ">"."""
    return dtype.newbyteorder("<" if order == "<" else ">")


def _decode(piece: bytes, page: Page, size: tuple[int, int, int], name: str) -> Array:
    """One strip or tile as (rows, columns, channels)."""
    shape = page.shape
    if shape.compression == tiff_page.JPEG:
        return _decode_jpeg(piece, page, size, name)
    dtype = _dtype(page)
    expected = size[0] * size[1] * size[2] * dtype.itemsize
    raw = _decompress(piece, shape.compression, size[0], expected, name)
    if len(raw) < expected:
        raise UnreadableError(f"{name} is cut short: some of its pixels are missing.")
    raw = raw[:expected].translate(_REVERSED) if shape.reversed_bits else raw[:expected]
    if shape.predictor == 3:
        return _undo_float_predictor(raw, dtype, size)
    samples = np.frombuffer(raw, in_order(dtype, page.layout.order)).reshape(size).astype(dtype)
    if shape.predictor == 2 and shape.compression != tiff_page.NONE:
        return np.cumsum(samples, axis=1, dtype=dtype)
    return samples


def _decompress(piece: bytes, compression: int, rows: int, expected: int, name: str) -> bytes:
    if compression == tiff_page.NONE:
        return piece
    if compression in (tiff_page.DEFLATE, tiff_page.OLD_DEFLATE):
        return zlib.decompressobj().decompress(piece, expected)
    if compression == tiff_page.LZW:
        return _decompress_lzw(piece, rows, expected // rows, name)
    if compression == tiff_page.LZMA:
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(piece, expected)
    if compression == tiff_page.PACKBITS:
        import tifffile

        return bytes(tifffile.TIFF.DECOMPRESSORS[compression](piece))
    raise UnsupportedError(
        f"{name} uses TIFF compression {compression}, which is not read here; "
        "save it with LZW or Deflate compression first."
    )


def _decompress_lzw(piece: bytes, rows: int, row_size: int, name: str) -> bytes:
    """LZW through OpenCV: the piece wrapped as a grey picture whose pixels are the bytes wanted."""
    layout = Layout("<", False)
    start = 8 + len(piece) + len(piece) % 2
    short = {258: 8, 259: tiff_page.LZW, 262: tiff_page.BLACK_IS_ZERO, 277: 1, 284: 1}
    long = {256: row_size, 257: rows, _STRIPS: 8, _ROWS: rows, _STRIP_SIZES: len(piece)}
    entries = {tag: make_entry(layout, SHORT, value) for tag, value in short.items()}
    entries.update({tag: make_entry(layout, LONG, value) for tag, value in long.items()})
    head = b"II*\x00" + struct.pack("<I", start)
    wrapped = head + piece.ljust(start - 8, b"\x00") + write_directory(Directory(entries), layout, start)
    cv2 = opencv()
    unpacked = cv2.imdecode(np.frombuffer(wrapped, np.uint8), cv2.IMREAD_UNCHANGED)
    if unpacked is None or unpacked.shape != (rows, row_size) or unpacked.dtype != np.uint8:
        raise UnreadableError(f"{name} is damaged: some of its pixels cannot be decompressed.")
    return bytes(unpacked.tobytes())


def _decode_jpeg(piece: bytes, page: Page, size: tuple[int, int, int], name: str) -> Array:
    tables = page.directory.entries.get(_JPEG_TABLES)
    start = tables.raw[:-2] if tables is not None and tables.raw.endswith(b"\xff\xd9") else b"\xff\xd8"
    transform = b"\x01" if page.shape.photometric == tiff_page.YCBCR else b"\x00"
    image = open_plugin(JpegImagePlugin.JpegImageFile, start + _ADOBE + transform + piece[2:])
    if image.width * image.height > max(4 * size[0] * size[1], _LARGEST_TILE):
        raise UnreadableError(f"{name} is damaged: a strip or tile has another size than it should.")
    samples = np.asarray(image)
    samples = samples[..., np.newaxis] if samples.ndim == 2 else samples
    if samples.shape[0] < size[0] or samples.shape[1] < size[1] or samples.shape[2] != size[2]:
        raise UnreadableError(f"{name} is damaged: a strip or tile has another size than it should.")
    return samples


def _undo_float_predictor(raw: bytes, dtype: np.dtype[Any], size: tuple[int, int, int]) -> Array:
    """Predictor 3: differences of bytes, and in each row all first bytes before all second ones."""
    rows, columns, channels = size
    differences = np.frombuffer(raw, np.uint8).reshape(rows, -1, channels)
    planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, columns * channels)
    joined = np.ascontiguousarray(np.swapaxes(planes, 1, 2))
    return joined.view(dtype.newbyteorder(">")).reshape(size).astype(dtype)


def _unpack_bits(packed: Array, bits: int, width: int) -> Array:
    """Samples of 1, 2 or 4 bits, (h, w), from the packed bytes of each row."""
    singles = np.unpackbits(packed, axis=1)
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint8)
    return (singles.reshape(packed.shape[0], -1, bits) @ weights)[:, :width]


def _apply_palette(stored: Array, page: Page, name: str) -> Array:
    flat = values(page.directory, page.layout, _COLOUR_MAP)
    count = 2**page.shape.bits
    if len(flat) < 3 * count:
        raise UnreadableError(f"{name} is damaged: its palette is missing.")
    table = np.array(flat[: 3 * count], np.uint16).reshape(3, count).T
    # some writers put 8-bit values where 16-bit ones belong
    colours = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
    return np.concatenate([colours[stored[..., 0]], stored[..., 1:]], axis=2)
