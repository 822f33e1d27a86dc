"""EXIF blocks: which way is up, and thumbnails taken out without moving a byte of the rest.

Maker notes point into the block by absolute offsets, so a block is patched in place and never written anew.
"""

from __future__ import annotations

import re
import struct

from drsformer_cli.media.ifd import (
    EXIF,
    Directory,
    Layout,
    numbers,
    read_directory,
    read_header,
    write_directory,
)

PREFIX = b"Exif\x00\x00"
ORIENTATION, MAKER_NOTE = 274, 37500
_STRIPS, _STRIP_SIZES, _THUMBNAIL, _THUMBNAIL_SIZE = 273, 279, 513, 514
_JPEG_START = re.compile(rb"\xff\xd8\xff[\xc0\xc4\xdb\xdd\xe0-\xef\xfe]")


def bare(block: bytes) -> bytes:
    """The block from its TIFF header on."""
    return block[len(PREFIX) :] if block.startswith(PREFIX) else block


def read_main(block: bytes) -> tuple[Layout, Directory, int, int] | None:
    """The first directory of a bare block with the next one's offset and where that is stored, or None."""
    try:
        layout, first = read_header(block)
        return (layout, *read_directory(block, layout, first))
    except (ValueError, struct.error):
        return None


def orientation(block: bytes | None) -> int:
    """The orientation of a bare block, 1 to 8; 1 when there is none or it makes no sense."""
    main = read_main(block) if block else None
    if main is None or ORIENTATION not in main[1].entries:
        return 1
    values = numbers(main[1].entries[ORIENTATION], main[0])
    return int(values[0]) if values and values[0] in range(1, 9) else 1


def has_maker_note(block: bytes | None) -> bool:
    """Whether a bare block holds a maker note, which may break when it is moved."""
    main = read_main(block) if block else None
    exif = main[1].children.get(EXIF) if main else None
    return exif is not None and MAKER_NOTE in exif.entries


def without_thumbnails(block: bytes) -> tuple[bytes, bool]:
    """A bare block without its thumbnails, each other byte where it was; and whether there were any.

    The second directory is unlinked, its pixels are blanked (cut off where they end the block), and so are
    previews inside maker notes.
    """
    patched = bytearray(block)
    main = read_main(block)
    found = False
    if main is not None and main[2]:
        layout, _, following, where = main
        patched[where : where + struct.calcsize(layout.pointer)] = bytes(struct.calcsize(layout.pointer))
        found = True
        for start, size in _thumbnail_spans(block, layout, following):
            if start + size >= len(block) - 1:
                del patched[start:]
            else:
                patched[start : start + size] = bytes(size)
    for start, end in embedded_jpegs(bytes(patched)):
        patched[start:end] = bytes(end - start)
        found = True
    return bytes(patched), found


def _thumbnail_spans(block: bytes, layout: Layout, offset: int) -> list[tuple[int, int]]:
    try:
        entries = read_directory(block, layout, offset)[0].entries
    except (ValueError, struct.error):
        return []
    spans: list[tuple[int, int]] = []
    for start_tag, size_tag in ((_THUMBNAIL, _THUMBNAIL_SIZE), (_STRIPS, _STRIP_SIZES)):
        if start_tag in entries and size_tag in entries:
            starts, sizes = (numbers(entries[tag], layout) for tag in (start_tag, size_tag))
            spans += [(int(start), int(size)) for start, size in zip(starts, sizes, strict=False)]
    # from the back, so that a cut does not move what is still to be blanked
    return sorted((span for span in spans if 8 <= span[0] < len(block)), reverse=True)


def embedded_jpegs(block: bytes) -> list[tuple[int, int]]:
    """Where whole JPEG files lie inside a block: (start, end) of each."""
    spans = []
    position = 0
    dead: set[int] = set()
    last = block.rfind(b"\xff\xd9")
    while match := _JPEG_START.search(block, position, max(last, 0)):
        end = _jpeg_end(block, match.start(), last, dead)
        if end:
            spans.append((match.start(), end))
        position = end or match.start() + 2
    return spans


def _jpeg_end(block: bytes, start: int, last: int, dead: set[int]) -> int:
    """The end of the JPEG file that starts at `start`; 0 when its segments do not lead to an end.

    `last` is where the last end mark of the block stands. `dead` collects the places of segments that lead to
    none, so that no way is gone twice.
    """
    at = start + 2
    while at < last and at not in dead and block[at] == 0xFF:
        dead.add(at)
        marker, size = block[at + 1], int.from_bytes(block[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return block.find(b"\xff\xd9", at) + 2
        if marker in (0x00, 0xFF, 0xD8, 0xD9) or size < 2:
            return 0
        at += 2 + size
    return 0


def build(layout: Layout, directory: Directory) -> bytes:
    """A bare block made of one directory and its children."""
    start = b"II*\x00" if layout.order == "<" else b"MM\x00*"
    classic = Layout(layout.order, False)
    return start + struct.pack(layout.order + "I", 8) + write_directory(directory, classic, 8)
