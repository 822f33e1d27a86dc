"""Directories of tags: written and read back in every layout, read as far as they go where hurt."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.media.ifd import (
    EXIF,
    GPS,
    INTEROPERABILITY,
    LONG,
    SHORT,
    Directory,
    Entry,
    Layout,
    make_entry,
    numbers,
    read_directory,
    read_header,
    write_directory,
)

LAYOUTS = [Layout(order, big) for order in "<>" for big in (False, True)]
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def test_headers() -> None:
    assert read_header(b"II*\0\x08\0\0\0") == (Layout("<", False), 8)
    assert read_header(b"MM\0*\0\0\1\2") == (Layout(">", False), 258)
    assert read_header(b"II+\0\x08\0\0\0" + struct.pack("<Q", 1 << 33)) == (Layout("<", True), 1 << 33)
    assert read_header(b"MM\0+\0\x08\0\0" + struct.pack(">Q", 16)) == (Layout(">", True), 16)
    for data in (b"", b"II*\0\x08\0\0", b"XX*\0\x08\0\0\0", b"II+\0\x08\0\0\0" + bytes(7)):
        with pytest.raises(ValueError, match="no TIFF header"):
            read_header(data)


def test_offsets_have_four_bytes_or_eight() -> None:
    assert [layout.pointer for layout in LAYOUTS] == ["<I", "<Q", ">I", ">Q"]


entries = st.dictionaries(
    st.integers(0, 65535).filter(lambda tag: tag not in (EXIF, GPS, INTEROPERABILITY)),
    st.sampled_from(sorted(SIZES)).flatmap(
        lambda kind: st.integers(0, 4).flatmap(
            lambda count: st.binary(min_size=count * SIZES[kind], max_size=count * SIZES[kind]).map(
                lambda raw: Entry(kind, count, raw)
            )
        )
    ),
    max_size=6,
)


@given(entries, entries, entries, st.sampled_from(LAYOUTS), st.integers(8, 40), st.integers(0, 999))
def test_what_is_written_is_read(
    main: dict[int, Entry],
    exif: dict[int, Entry],
    inner: dict[int, Entry],
    layout: Layout,
    offset: int,
    following: int,
) -> None:
    below = Directory(exif, {INTEROPERABILITY: Directory(inner)} if inner else {})
    directory = Directory(main, {EXIF: below} if exif else {})
    data = bytes(offset) + write_directory(directory, layout, offset, following)
    found, after, where = read_directory(data, layout, offset)
    assert (found, after) == (directory, following)
    assert struct.unpack_from(layout.pointer, data, where)[0] == following


@layouts
def test_values_start_on_even_places_and_tags_are_in_order(layout: Layout) -> None:
    texts = {tag: Entry(2, 9, b"%08d\0" % tag) for tag in (700, 3, 271)}
    data = bytes(9) + write_directory(Directory(dict(texts)), layout, 9)
    assert all(data.index(entry.raw) % 2 == 0 for entry in texts.values())
    places = [data.index(texts[tag].raw) for tag in (3, 271, 700)]
    assert places == sorted(places)
    head, width = (8, 20) if layout.big else (2, 12)
    tags = [struct.unpack_from(layout.order + "H", data, 9 + head + i * width)[0] for i in range(3)]
    assert tags == [3, 271, 700]


def test_short_values_stand_in_their_row() -> None:
    for layout, inline in ((Layout("<", False), 4), (Layout("<", True), 8)):
        for size, there in ((inline, True), (inline + 1, False)):
            data = bytes(8) + write_directory(Directory({9: Entry(7, size, b"v" * size)}), layout, 8)
            row = data[8 + (8 if layout.big else 2) :][: 20 if layout.big else 12]
            assert row.endswith(b"v" * inline) == there


def test_numbers_by_type() -> None:
    for order in "<>":
        layout = Layout(order, False)
        for kind, code, values in (
            (1, "B", (0, 255)),
            (3, "H", (1, 65535)),
            (4, "I", (1 << 31, 7)),
            (6, "b", (-1, 127)),
            (8, "h", (-2, 3)),
            (9, "i", (-3, 4)),
            (11, "f", (0.5, -2.0)),
            (12, "d", (0.1, -2.0)),
            (13, "I", (8, 9)),
            (16, "Q", (1 << 63, 1)),
            (17, "q", (-1, 5)),
            (18, "Q", (8, 16)),
        ):
            assert numbers(Entry(kind, 2, struct.pack(f"{order}2{code}", *values)), layout) == values
        for kind in (2, 5, 7, 10):
            assert numbers(Entry(kind, 1, bytes(8)), layout) == ()
        assert make_entry(layout, SHORT, 1, 2, 3) == Entry(3, 3, struct.pack(f"{order}3H", 1, 2, 3))
        assert numbers(make_entry(layout, LONG, 7), layout) == (7,)


def raw(count: int, *rows: bytes, end: bytes = b"\0\0\0\0") -> bytes:
    """A little-endian directory at offset 8, and what stands behind it."""
    return bytes(8) + struct.pack("<H", count) + b"".join(rows) + end


def row(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


PLAIN = Layout("<", False)


def test_rows_that_lead_outside_are_damaged_and_the_rest_is_kept() -> None:
    end = 8 + 2 + 4 * 12 + 4
    data = raw(
        4,
        row(1, 2, 5, end),  # exactly what is there
        row(2, 2, 6, end),  # a byte more
        row(3, 99, 1, 5),  # of no known type
        row(1, 3, 1, 5),  # given twice: the first counts
        end=b"\0\0\0\0text\0",
    )
    directory, following, where = read_directory(data, PLAIN, 8)
    assert directory == Directory({1: Entry(2, 5, b"text\0")}, {}, [2, 3])
    assert (following, where) == (0, end - 4)


def test_the_next_one_is_nowhere_where_the_block_ends() -> None:
    data = raw(1, row(1, 3, 1, 5), end=struct.pack("<I", 77))
    assert read_directory(data, PLAIN, 8)[1:] == (77, 22)
    assert read_directory(data[:-1], PLAIN, 8)[1:] == (0, 22)
    assert read_directory(data[:-4], PLAIN, 8)[0].entries == {1: Entry(3, 1, b"\5\0")}


def test_directories_that_cannot_be() -> None:
    data = raw(1, row(1, 3, 1, 5))
    for offset in (7, 0, len(data) - 1, len(data), 1 << 40):
        with pytest.raises(ValueError, match="outside the file"):
            read_directory(data, PLAIN, offset)
    with pytest.raises(ValueError, match="cut short"):
        read_directory(data[:21], PLAIN, 8)
    assert read_directory(raw(0, end=b""), PLAIN, 8) == (Directory(), 0, 10)


def test_pointers_that_lead_nowhere_are_damaged() -> None:
    data = raw(3, row(EXIF, 4, 1, 4), row(GPS, 4, 0, 8), row(INTEROPERABILITY, 2, 1, 8))
    directory = read_directory(data, PLAIN, 8)[0]
    assert directory == Directory({}, {}, [EXIF, GPS, INTEROPERABILITY])


def test_circles_are_gone_round_three_times() -> None:
    directory = read_directory(raw(1, row(EXIF, 4, 1, 8)), PLAIN, 8)[0]
    depth = 0
    while EXIF in directory.children:
        directory = directory.children[EXIF]
        depth += 1
    assert depth == 3
    assert list(directory.entries) == [EXIF]
