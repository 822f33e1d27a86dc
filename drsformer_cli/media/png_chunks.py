"""The chunks of a PNG file: read with their checksums, fitted to what is written, and written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from drsformer_cli.errors import UnreadableError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
XMP_KEY = b"XML:com.adobe.xmp"
_PIXELS = {b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS"}
_ANIMATION = {b"acTL", b"fcTL", b"fdAT"}
_KNOWN = set(b"cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT eXIf tIME iTXt tEXt zTXt".split())
_RAW_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")
_LARGEST_PROFILE = 64 << 20


class Chunk(NamedTuple):
    """One chunk without its length and checksum."""

    kind: bytes
    body: bytes


class Header(NamedTuple):
    """The fields of IHDR."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlace: int

    def chunk(self) -> Chunk:
        """The IHDR chunk."""
        return Chunk(b"IHDR", struct.pack(">IIBBBBB", *self))


def read_chunks(data: bytes, name: str) -> tuple[list[Chunk], bool]:
    """All chunks up to IEND, and whether something follows it.

    Ancillary chunks with a wrong checksum are left out. Raises UnreadableError when the file is cut short or
    a critical chunk is damaged.
    """
    chunks: list[Chunk] = []
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            break
        sound = zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        if sound:
            chunks.append(Chunk(kind, data[at + 8 : end - 4]))
        elif not kind[:1].islower() or kind in _ANIMATION:
            raise UnreadableError(f"{name} is damaged: the checksum of a {_text(kind)} chunk is wrong.")
        at = end
        if kind == b"IEND":
            return chunks, at < len(data)
    raise UnreadableError(f"{name} is cut short: it ends in the middle of a PNG picture.")


def read_ihdr(chunks: list[Chunk], name: str) -> Header:
    """The header, which must be the first chunk."""
    if not chunks or chunks[0].kind != b"IHDR" or len(chunks[0].body) != 13:
        raise UnreadableError(f"{name} is damaged: it does not begin with a PNG header.")
    header = Header(*struct.unpack(">IIBBBBB", chunks[0].body))
    if header.colour not in CHANNELS or header.depth not in (1, 2, 4, 8, 16):
        raise UnreadableError(f"{name} is damaged: its PNG header announces pixels of no known kind.")
    return header


def write_chunks(chunks: Iterable[Chunk]) -> bytes:
    """A whole PNG file."""
    parts = [SIGNATURE]
    for kind, body in chunks:
        checksum = zlib.crc32(body, zlib.crc32(kind))
        parts += [len(body).to_bytes(4, "big"), kind, body, checksum.to_bytes(4, "big")]
    return b"".join(parts)


def find(chunks: Iterable[Chunk], kind: bytes) -> bytes | None:
    """The body of the first chunk of a kind."""
    return next((chunk.body for chunk in chunks if chunk.kind == kind), None)


def ancillary(chunks: list[Chunk], before: bool, *, keep_palette: bool) -> tuple[list[Chunk], list[str]]:
    """The chunks to carry over from before or after the pixels, and the names of those that cannot be.

    Chunks the PNG standard does not know are carried when they say of themselves that they are safe to copy.
    """
    first = next((i for i, chunk in enumerate(chunks) if chunk.kind == b"IDAT"), len(chunks))
    kept: list[Chunk] = []
    dropped: list[str] = []
    for chunk in chunks[:first] if before else chunks[first:]:
        kind = chunk.kind
        if kind in (b"PLTE", b"hIST"):
            if keep_palette:
                kept.append(chunk)
        elif kind in _PIXELS or kind in _ANIMATION or kind == b"iDOT":  # iDOT: where Apple's IDAT chunks lie
            continue
        elif kind in _KNOWN or kind[3:4].islower():
            kept.append(chunk)
        else:
            dropped.append(_text(kind))
    return kept, dropped


def fit(chunk: Chunk, source: Header, target: Header, palette: bytes | None) -> Chunk | None:
    """A chunk whose body depends on the kind of pixels, for other pixels; None when it cannot be."""
    if chunk.kind == b"sBIT":
        missing = CHANNELS[target.colour] - len(chunk.body)
        return Chunk(b"sBIT", chunk.body + bytes([target.depth]) * missing) if missing in (0, 1) else None
    if chunk.kind != b"bKGD":
        return chunk
    if source.colour == PALETTE and palette is not None and chunk.body:
        colour = palette[chunk.body[0] * 3 : chunk.body[0] * 3 + 3]
        return Chunk(b"bKGD", b"".join(bytes([0, value]) for value in colour)) if len(colour) == 3 else None
    if source.depth < 8 and len(chunk.body) == 2:
        level = int.from_bytes(chunk.body, "big") * 255 // (2**source.depth - 1)
        return Chunk(b"bKGD", min(level, 255).to_bytes(2, "big"))
    return chunk


def read_profile(body: bytes | None) -> bytes | None:
    """The ICC profile of an iCCP chunk; None when it is damaged or absurdly large."""
    if body is None or b"\0" not in body[:80]:
        return None
    packed = body[body.index(b"\0") + 2 :]
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed, _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if inflater.eof else None


def read_xmp(body: bytes) -> bytes | None:
    """The XMP packet of an iTXt chunk; None when it holds other text or is compressed."""
    if not body.startswith(XMP_KEY + b"\0\0"):
        return None
    parts = body[len(XMP_KEY) + 3 :].split(b"\0", 2)
    return parts[2] if len(parts) == 3 else None


def write_xmp(packet: bytes) -> Chunk:
    """An iTXt chunk with an XMP packet."""
    return Chunk(b"iTXt", XMP_KEY + b"\0\0\0\0\0" + packet)


def read_raw_profile(chunk: Chunk) -> bytes | None:
    """The EXIF block that older programs put into a text chunk in hexadecimal; None in any other chunk."""
    for key in _RAW_PROFILES:
        if chunk.kind == b"zTXt" and chunk.body.startswith(key + b"\0\0"):
            inflater = zlib.decompressobj()
            try:
                text = inflater.decompress(chunk.body[len(key) + 2 :], _LARGEST_PROFILE)
                return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
            except (zlib.error, ValueError):
                return None
    return None


def write_raw_profile(block: bytes) -> Chunk:
    """The chunk that `read_raw_profile` reads."""
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    return Chunk(b"zTXt", _RAW_PROFILES[0] + b"\0\0" + zlib.compress(text))


def _text(kind: bytes) -> str:
    """A kind as it may be shown: what is no letter in a damaged file is written out as escapes."""
    return ascii(kind.decode("latin-1"))[1:-1]
