"""Chunks of a PNG: what is damaged, what is carried over, and what is fitted to other pixels."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import UnreadableError
from drsformer_cli.media.png_chunks import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    SIGNATURE,
    Chunk,
    Header,
    ancillary,
    find,
    fit,
    read_chunks,
    read_ihdr,
    read_profile,
    read_raw_profile,
    read_xmp,
    write_chunks,
    write_raw_profile,
    write_xmp,
)
from tests.media.builders import png_chunk

END = Chunk(b"IEND", b"")


def header(depth: int = 8, colour: int = RGB) -> Header:
    return Header(3, 2, depth, colour, 0, 0, 0)


@given(st.lists(st.tuples(st.sampled_from([b"IDAT", b"tEXt", b"zzZz"]), st.binary(max_size=9)), max_size=5))
def test_what_is_written_is_read(content: list[tuple[bytes, bytes]]) -> None:
    chunks = [header().chunk(), *(Chunk(*each) for each in content), END]
    data = write_chunks(chunks)
    assert data == SIGNATURE + b"".join(png_chunk(*each) for each in chunks)
    assert read_chunks(data, "a.png") == (chunks, False)
    assert read_chunks(data + b"x", "a.png") == (chunks, True)
    assert read_ihdr(chunks, "a.png") == header()
    for cut in range(len(data)):
        with pytest.raises(UnreadableError, match=r"^a\.png is cut short: it ends in the middle"):
            read_chunks(data[:cut], "a.png")


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"PLTE", b"fcTL", b"fdAT", b"acTL", b"IEND"])
def test_a_wrong_checksum_where_it_matters(kind: bytes) -> None:
    hurt = png_chunk(kind, b"body")[:-1] + b"?"
    words = rf"^a\.png is damaged: the checksum of a {kind.decode()} chunk is wrong\.$"
    with pytest.raises(UnreadableError, match=words):
        read_chunks(SIGNATURE + hurt + png_chunk(*END), "a.png")


def test_a_kind_that_is_no_text_is_told_all_the_same() -> None:
    with pytest.raises(UnreadableError, match=r"the checksum of a \\xffABC chunk is wrong"):
        read_chunks(SIGNATURE + png_chunk(b"\xffABC", b"")[:-1] + b"?", "a.png")


def test_a_wrong_checksum_where_it_does_not_matter() -> None:
    hurt = png_chunk(b"tEXt", b"body")[:-1] + b"?"
    data = SIGNATURE + hurt + png_chunk(b"tIME", b"1234567") + png_chunk(*END)
    assert read_chunks(data, "a.png") == ([Chunk(b"tIME", b"1234567"), END], False)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], "does not begin with a PNG header"),
        ([END], "does not begin with a PNG header"),
        ([Chunk(b"IHDR", bytes(12))], "does not begin with a PNG header"),
        ([Chunk(b"IHDR", bytes(14))], "does not begin with a PNG header"),
        ([header(depth=3).chunk()], "pixels of no known kind"),
        ([header(colour=1).chunk()], "pixels of no known kind"),
        ([header(colour=7).chunk()], "pixels of no known kind"),
    ],
)
def test_headers_that_are_none(chunks: list[Chunk], words: str) -> None:
    with pytest.raises(UnreadableError, match=rf"^a\.png is damaged: .*{words}"):
        read_ihdr(chunks, "a.png")


def test_the_first_of_a_kind_is_found() -> None:
    chunks = [Chunk(b"aaAa", b"1"), Chunk(b"bbBb", b"2"), Chunk(b"bbBb", b"3")]
    assert (find(chunks, b"bbBb"), find(chunks, b"ccCc")) == (b"2", None)


def test_what_is_carried_over() -> None:
    kinds = b"IHDR gAMA PLTE hIST tRNS acTL fcTL iDOT saFe unSA IDAT fdAT fcTL IDAT tEXt saFe unSA zTXt IEND"
    chunks = [Chunk(kind, b"") for kind in kinds.split()]

    def carried(before: bool, keep_palette: bool) -> tuple[bytes, list[str]]:
        kept, dropped = ancillary(chunks, before, keep_palette=keep_palette)
        return b" ".join(chunk.kind for chunk in kept), dropped

    assert carried(True, False) == (b"gAMA saFe", ["unSA"])
    assert carried(True, True) == (b"gAMA PLTE hIST saFe", ["unSA"])
    assert carried(False, True) == (b"tEXt saFe zTXt", ["unSA"])
    assert ancillary([Chunk(b"tEXt", b"")], False, keep_palette=False) == ([], [])
    assert ancillary([Chunk(b"tEXt", b"")], True, keep_palette=False) == ([Chunk(b"tEXt", b"")], [])


@pytest.mark.parametrize(
    ("body", "target", "expected"),
    [
        (b"\5\6\5", header(8, RGB), b"\5\6\5"),
        (b"\5\6\5", header(16, RGB_ALPHA), b"\5\6\5\x10"),
        (b"\5", header(8, GREY_ALPHA), b"\5\x08"),
        (b"\5\6\5\1", header(8, RGB), None),
        (b"\5", header(8, RGB), None),
        (b"\5", header(8, GREY), b"\5"),
    ],
)
def test_significant_bits_for_other_pixels(body: bytes, target: Header, expected: bytes | None) -> None:
    found = fit(Chunk(b"sBIT", body), header(8, RGB), target, None)
    assert found == (None if expected is None else Chunk(b"sBIT", expected))


@pytest.mark.parametrize(
    ("body", "source", "expected"),
    [
        (b"\1", header(8, PALETTE), b"\0\x04\0\x05\0\x06"),
        (b"\0", header(8, PALETTE), b"\0\x01\0\x02\0\x03"),
        (b"\2", header(8, PALETTE), None),
        (b"", header(8, PALETTE), b""),
        (b"\0\3", header(2, GREY), b"\0\xff"),
        (b"\0\1", header(1, GREY), b"\0\xff"),
        (b"\0\1", header(2, GREY), b"\0\x55"),
        (b"\0\7", header(4, GREY), b"\0\x77"),
        (b"\0\x99", header(4, GREY), b"\0\xff"),
        (b"\0\3", header(8, GREY), b"\0\3"),
        (b"\0\1\2", header(4, GREY), b"\0\1\2"),
        (b"\0\1\0\2\0\3", header(8, RGB), b"\0\1\0\2\0\3"),
    ],
)
def test_a_background_for_other_pixels(body: bytes, source: Header, expected: bytes | None) -> None:
    found = fit(Chunk(b"bKGD", body), source, header(8, RGB), b"\1\2\3\4\5\6")
    assert found == (None if expected is None else Chunk(b"bKGD", expected))


def test_other_chunks_are_left_as_they_are() -> None:
    assert fit(Chunk(b"tEXt", b"a"), header(2, GREY), header(), b"abc") == Chunk(b"tEXt", b"a")
    indexed = Chunk(b"bKGD", b"\1")
    assert fit(indexed, header(8, PALETTE), header(), None) == indexed


def test_profiles() -> None:
    packed = zlib.compress(b"profile" * 9)
    assert read_profile(b"name\0\0" + packed) == b"profile" * 9
    assert read_profile(b"n" * 79 + b"\0\0" + packed) == b"profile" * 9
    for body in (None, b"n" * 80 + b"\0\0" + packed, b"name\0\0" + packed[:-5], b"name\0\0garbage", b""):
        assert read_profile(body) is None


def test_a_profile_that_swells_beyond_measure_is_none() -> None:
    bomb = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(bomb.compress(block) for _ in range(65)) + bomb.flush()
    assert len(packed) < 100_000
    assert read_profile(b"name\0\0" + packed) is None


def test_xmp_is_text_that_is_not_packed() -> None:
    packet = b"<x>with \0 in it</x>"
    assert read_xmp(write_xmp(packet).body) == packet
    assert write_xmp(packet).kind == b"iTXt"
    key = b"XML:com.adobe.xmp"
    assert read_xmp(key + b"\0\0\0en\0title\0packet") == b"packet"
    for body in (key + b"\0\1\0\0\0packet", b"Comment\0\0\0\0\0packet", key + b"\0\0\0en\0packet", key):
        assert read_xmp(body) is None


@given(st.binary(max_size=99))
def test_exif_in_hexadecimal(block: bytes) -> None:
    chunk = write_raw_profile(block)
    assert read_raw_profile(chunk) == block
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    assert chunk == Chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


def test_other_texts_are_no_exif() -> None:
    packed = zlib.compress(b"\nexif\n 2\nabcd\n")
    assert read_raw_profile(Chunk(b"zTXt", b"Raw profile type APP1\0\0" + packed)) == b"\xab\xcd"
    for kind, body in (
        (b"tEXt", b"Raw profile type exif\0\0" + packed),
        (b"zTXt", b"Raw profile type iptc\0\0" + packed),
        (b"zTXt", b"Raw profile type exif\0\0garbage"),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 2\nxyz\n")),
        (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 2\n\xff\xff\n")),
    ):
        assert read_raw_profile(Chunk(kind, body)) is None
