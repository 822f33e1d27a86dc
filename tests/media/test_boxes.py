"""Boxes of the ISO family: taken apart, gone into, and put together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.media.boxes import Box, read_boxes, walk, write_box, write_boxes

KINDS = st.binary(min_size=4, max_size=4)


def box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def large(kind: bytes, body: bytes) -> bytes:
    """A box whose length stands in eight bytes."""
    return b"\0\0\0\1" + kind + (16 + len(body)).to_bytes(8, "big") + body


@given(st.lists(st.tuples(KINDS, st.binary(max_size=20)), max_size=5))
def test_what_is_written_is_read(content: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(write_box(kind, body[:3], body[3:]) for kind, body in content)
    assert data == b"".join(box(kind, body) for kind, body in content)
    found = list(read_boxes(data))
    assert [(each.kind, each.body) for each in found] == content
    assert all(data[each.start : each.start + len(each.body)] == each.body for each in found)
    assert write_boxes(found) == data


def test_a_length_of_eight_bytes_and_one_up_to_the_end() -> None:
    data = large(b"abcd", b"12345") + box(b"next", b"6") + b"\0\0\0\0last789"
    assert list(read_boxes(data)) == [
        Box(b"abcd", b"12345", 16),
        Box(b"next", b"6", 29),
        Box(b"last", b"789", 38),
    ]


def test_an_empty_box_at_the_end() -> None:
    assert list(read_boxes(large(b"free", b""))) == [Box(b"free", b"", 16)]
    assert list(read_boxes(b"\0\0\0\0last")) == [Box(b"last", b"", 8)]


def test_a_box_that_does_not_fit_ends_it() -> None:
    whole = box(b"abcd", b"12")
    for rest in (
        b"\0\0\0\7free",  # less than its own head
        b"\0\0\0\x09free",  # a byte more than there is
        b"\0\0\0\1free" + (15).to_bytes(8, "big"),
        b"\0\0\0\1free" + (1 << 56 | 16).to_bytes(8, "big"),
        b"\0\0\0\1free\0\0\0\0",
        b"\0\0\0",
    ):
        assert [each.kind for each in read_boxes(whole + rest)] == [b"abcd"]
    assert [each.kind for each in read_boxes(whole + b"\0\0\0\x08free")] == [b"abcd", b"free"]


def test_only_what_lies_between_two_places() -> None:
    data = b"head" + box(b"abcd", b"12") + box(b"next", b"3456")
    assert [each.kind for each in read_boxes(data, 4)] == [b"abcd", b"next"]
    assert list(read_boxes(data, 4, 14)) == [Box(b"abcd", b"12", 12)]
    assert list(read_boxes(data, 4, 13)) == []
    assert list(read_boxes(data, 14, 26)) == [Box(b"next", b"3456", 22)]


def test_walking_goes_into_what_holds_boxes() -> None:
    inner = box(b"colr", b"xy")
    data = box(b"meta", b"\0\0\0\0" + box(b"iprp", box(b"ipco", inner)) + box(b"iinf", b"z")) + box(
        b"mdat", inner
    )
    found = list(walk(data))
    assert [each.kind for each in found] == [b"meta", b"iprp", b"ipco", b"colr", b"iinf", b"mdat"]
    assert found[3] == Box(b"colr", b"xy", data.index(b"xy"))
    assert [each.kind for each in walk(data, len(data) - 18)] == [b"mdat"]
    header = box(b"jp2h", box(b"res ", box(b"resc", b"1"))) + box(b"moov", box(b"trak", box(b"mdia", inner)))
    kinds = [each.kind for each in walk(header)]
    assert kinds == [b"jp2h", b"res ", b"resc", b"moov", b"trak", b"mdia", b"colr"]


class Endless(bytes):
    """Content that says it is as long as it likes."""

    def __len__(self) -> int:
        return (1 << 32) - 8


def test_content_of_four_gigabytes_has_the_long_length() -> None:
    written = write_box(b"mdat", Endless(b"some"))
    assert written == b"\0\0\0\1mdat" + ((1 << 32) + 8).to_bytes(8, "big") + b"some"
