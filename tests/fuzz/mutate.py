"""Ways to hurt a file: seeded, so that a case can be had again, and aware of how each format is built."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz.chunks import join, split

Random = random.Random
Attack = Callable[[bytes, bytes, Random], bytes]

#: Numbers that break sums, signs and products of 8, 16, 32 and 64 bits.
NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x40000000, 0x7FFFFFFF, 0x80000000)
NUMBERS += (0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 1 << 60, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
HEAD = 400  # bytes in which most headers lie


def _place(size: int, rng: Random) -> int:
    """A place in a file, half of the times in its header."""
    return rng.randrange(min(size, HEAD) if rng.random() < 0.5 else size)


def bits(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Flip up to sixteen bits."""
    hurt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        hurt[_place(len(hurt), rng)] ^= 1 << rng.randrange(8)
    return bytes(hurt)


def runs(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Write a run of zeros, of ones or of noise over some bytes."""
    hurt, at = bytearray(data), _place(len(data), rng)
    length = min(rng.choice((2, 8, 64, 1000)), len(data) - at)
    fill = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    hurt[at : at + length] = fill
    return bytes(hurt)


def cut(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Cut a file short anywhere."""
    return data[: rng.randrange(len(data))]


def splice(data: bytes, other: bytes, rng: Random) -> bytes:
    """Begin as one file and go on as another."""
    return data[: _place(len(data), rng)] + other[_place(len(other), rng) :]


def blocks(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Double, leave out, move or put in a stretch of bytes."""
    begin = _place(len(data), rng)
    end = min(len(data), begin + rng.choice((1, 4, 32, 500)))
    block, rest = data[begin:end], data[:begin] + data[end:]
    where = rng.randrange(len(rest) + 1)
    how = rng.randrange(4)
    if how == 0:
        return data[:end] + block * rng.choice((1, 3, 100)) + data[end:]
    if how == 1:
        return rest
    if how == 2:
        return rest[:where] + block + rest[where:]
    return data[:begin] + rng.randbytes(len(block)) + data[begin:]


def numbers(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Put a number that breaks sums where a length, an offset or a count may stand."""
    hurt = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        width = rng.choice((1, 2, 4, 4, 8))
        at = _place(len(hurt), rng)
        number = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
        raw = number.to_bytes(width, rng.choice(("little", "big")))
        hurt[at : at + width] = raw[: len(hurt) - at]
    return bytes(hurt)


def pieces(data: bytes, other: bytes, rng: Random) -> bytes:
    """Double, leave out, swap, hurt or borrow whole pieces of the format; checksums stay right."""
    kind, parts = split(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not parts:
            break
        one, two, how = rng.randrange(len(parts)), rng.randrange(len(parts)), rng.randrange(6)
        if how == 0:
            parts.insert(two, parts[one])
        elif how == 1:
            del parts[one]
        elif how == 2:
            parts[one], parts[two] = parts[two], parts[one]
        elif how == 3 and parts[one]:
            parts[one] = rng.choice((bits, runs, numbers, blocks))(parts[one], b"", rng)
        elif how == 4 and parts[one]:
            parts[one] = parts[one][: rng.randrange(len(parts[one]))]
        else:
            theirs = split(other)
            if theirs[0] == kind and theirs[1]:
                parts.insert(two, rng.choice(theirs[1]))
    return join(kind, parts)


def lengths(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Let the length that a piece announces lie."""
    kind, parts = split(data)
    if not parts:
        return numbers(data, b"", rng)
    chosen = rng.randrange(len(parts))
    lie = rng.choice((0, 1, len(parts[chosen]) + rng.choice((-8, -1, 1, 100)), *NUMBERS[-10:]))
    return join(kind, parts, lies={chosen: max(0, lie)})


def sizes(data: bytes, _other: bytes, rng: Random) -> bytes:
    """Announce no pixels, or millions, where the format says how many there are."""
    places = list(_size_places(data))
    if not places:
        return numbers(data, b"", rng)
    hurt = bytearray(data)
    for at, code in rng.sample(places, min(len(places), rng.choice((1, 2, 2)))):
        top = (1 << 8 * struct.calcsize(code)) - 1
        struct.pack_into(
            code, hurt, at, rng.choice((0, 1, 7, 300, 10_000, 30_000, 65_535, top >> 1, top)) & top
        )
    kind, parts = split(bytes(hurt))
    return join(kind, parts) if kind == "png" else bytes(hurt)


def _size_places(data: bytes) -> list[tuple[int, str]]:
    """Where width and height stand, and as what numbers."""
    if data.startswith(b"\x89PNG"):
        return [(16, ">I"), (20, ">I")]
    if data.startswith(b"GIF8"):
        frames = [at for at in range(len(data) - 9) if data[at] == 0x2C][:8]
        return [(6, "<H"), (8, "<H"), *((at + by, "<H") for at in frames for by in (5, 7))]
    if data.startswith(b"BM"):
        return [(18, "<I"), (22, "<I")]
    if data.startswith(b"qoif"):
        return [(4, ">I"), (8, ">I")]
    if data.startswith(b"\xff\xd8"):
        marks = [at for at in range(len(data) - 9) if data[at] == 255 and data[at + 1] in (192, 193, 194)]
        return [(at + by, ">H") for at in marks for by in (5, 7)]
    if data.startswith((b"II*\0", b"MM\0*")):
        order = "<" if data[:1] == b"I" else ">"
        tags = [struct.pack(order + "H", tag) for tag in (256, 257, 258, 273, 277, 278, 279, 322, 323, 324)]
        return [(at + 8, order + "I") for at in range(8, len(data) - 12, 2) if data[at : at + 2] in tags]
    marks = {b"ispe": (8, ">I"), b"ihdr": (4, ">I"), b"\xff\x51": (6, ">I"), b"VP8X": (12, "<H")}
    marks |= {b"VP8 ": (14, "<H"), b"VP8L": (9, "<I"), b"ANMF": (14, "<H")}
    found = []
    for mark, (by, code) in marks.items():
        at = data.find(mark)
        if 0 <= at < len(data) - by - 8:
            found += [(at + by, code), (at + by + struct.calcsize(code), code)]
    return found or ([(12, "<H"), (14, "<H")] if data.endswith(b"TRUEVISION-XFILE.\0") else [])


ATTACKS: dict[str, Attack] = {
    "bits flipped": bits,
    "runs overwritten": runs,
    "cut short": cut,
    "two files spliced": splice,
    "blocks doubled, dropped, moved": blocks,
    "numbers out of range": numbers,
    "chunks doubled, dropped, swapped": pieces,
    "lengths that lie": lengths,
    "sizes of zero and of millions": sizes,
}


def mutate(attack: str, data: bytes, other: bytes, seed: str) -> bytes:
    """`data` hurt in one way; the same bytes for the same seed. Empty files stay empty."""
    return ATTACKS[attack](data, other, Random(seed)) if data and other else data
