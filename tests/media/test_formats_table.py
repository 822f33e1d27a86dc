"""The table of formats in README, row by row: what it says is what happens."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from drsformer_cli.media import heic
from drsformer_cli.media.picture import Array
from tests.media.builders import (
    again,
    noise,
    opened,
    pillow_bytes,
    png_chunk,
    raw_png,
    refusal,
    saved,
    smooth,
    tiny_jpeg,
)
from tests.media.test_animations import animated, few_colours
from tests.media.test_tiff import packed_palette, written

PAGE = Path(__file__).parents[2] / "README.md"
Maker = Callable[[], list[bytes]]


def palette(format: str) -> list[bytes]:
    image = Image.fromarray(noise(9, 9)).convert("P")
    image.putpalette(noise(768).tobytes())
    return [pillow_bytes(image, format)]


def modes(format: str, *channels: int) -> list[bytes]:
    return [saved(smooth(16, 16, count), format) for count in channels]


def one_bit(format: str) -> list[bytes]:
    return [pillow_bytes(Image.new("1", (9, 9)), format)]


def wide(channels: int) -> Array:
    return noise(9, 9, channels, dtype=np.uint16)


def wide_apng() -> list[bytes]:
    control = png_chunk(b"acTL", (2).to_bytes(4, "big") + bytes(4))
    frame = png_chunk(b"fcTL", bytes(4) + (9).to_bytes(4, "big") * 2 + bytes(8) + b"\0\1\0\2\0\0")
    return [raw_png(wide(3), 16, 2, control, frame)]


def deep_jpeg() -> list[bytes]:
    twelve = bytearray(tiny_jpeg())
    twelve[twelve.index(b"\xff\xc0") + 4] = 12
    lossless = bytearray(tiny_jpeg())
    lossless[lossless.index(b"\xff\xc0") + 1] = 0xC3
    return [bytes(twelve), bytes(lossless)]


def deep_avif() -> list[bytes]:
    data = bytearray(saved(smooth(16, 16), "AVIF"))
    data[data.index(b"av1C") + 6] |= 0x40
    return [bytes(data)]


def grey_tiff(bits: int) -> bytes:
    data = packed_palette(pillow_p(2**bits), bits)
    return data.replace(struct.pack("<HHII", 262, 3, 1, 3), struct.pack("<HHII", 262, 3, 1, 1))


def pillow_p(colours: int) -> Image.Image:
    image = Image.fromarray((noise(9, 9) % colours).astype(np.uint8)).convert("P")
    image.putpalette(noise(3 * colours).tobytes())
    return image


def twelve_bit_tiff() -> bytes:
    data = written(noise(9, 12))
    return data.replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 1, 12))


def jpeg_2000_of_16_bits() -> list[bytes]:
    data = saved(noise(16, 16, 3), "JPEG2000", no_jp2=True)
    return [data[:42] + b"\x0f\1\1" * 3 + data[51:]]


def boxed(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"mif1"


ROWS: dict[tuple[str, str], Maker] = {
    ("PNG", "8-bit grey, RGB, with or without alpha"): lambda: modes("PNG", 1, 2, 3, 4),
    ("PNG", "16-bit grey, RGB, with or without alpha"): lambda: [
        raw_png(wide(count), 16, colour) for count, colour in ((1, 0), (2, 4), (3, 2), (4, 6))
    ],
    ("PNG", "palette"): lambda: palette("PNG"),
    ("PNG", "one transparent colour"): lambda: [raw_png(noise(9, 9), 8, 0, png_chunk(b"tRNS", b"\0\7"))],
    ("PNG", "2- and 4-bit grey"): lambda: [raw_png(noise(9, 9), 2, 0), raw_png(noise(9, 9), 4, 0)],
    ("PNG", "1-bit grey"): lambda: one_bit("PNG"),
    ("PNG", "animated (APNG), 8-bit"): lambda: [animated([few_colours(9, 9, i) for i in range(3)], "PNG")],
    ("PNG", "animated (APNG), 16-bit"): wide_apng,
    ("JPEG", "grey or colour, baseline or progressive"): lambda: [
        *modes("JPEG", 1, 3),
        saved(smooth(9, 9), "JPEG", progressive=True),
    ],
    ("JPEG", "CMYK or YCCK"): lambda: [pillow_bytes(Image.new("CMYK", (9, 9)), "JPEG")],
    ("JPEG", "12-bit or lossless"): deep_jpeg,
    ("JPEG", "Ultra HDR, MPF or motion photo"): lambda: [tiny_jpeg() + tiny_jpeg()],
    ("WebP", "lossy or lossless, with or without alpha"): lambda: [
        *modes("WEBP", 3, 4),
        saved(smooth(9, 9, 4), "WEBP", lossless=True),
    ],
    ("WebP", "animated"): lambda: [animated([few_colours(9, 9, i) for i in range(3)], "WEBP")],
    ("GIF", "still or animated"): lambda: [
        animated([few_colours(9, 9, i) for i in range(n)], "GIF") for n in (1, 3)
    ],
    ("AVIF", "8-bit, still or animated"): lambda: [
        *modes("AVIF", 1, 3, 4),
        animated([smooth(16, 16)] * 2, "AVIF"),
    ],
    ("AVIF", "10- or 12-bit"): deep_avif,
    ("TIFF", "8- and 16-bit grey or RGB, with or without alpha"): lambda: [
        *modes("TIFF", 1, 3, 4),
        *(written(wide(count)) for count in (2, 3, 4)),
    ],
    ("TIFF", "16- and 32-bit floating point from 0 to 1"): lambda: [
        written(noise(9, 9, 3, dtype=kind)) for kind in (np.float16, np.float32)
    ],
    ("TIFF", "floating point beyond 0 to 1"): lambda: [written(noise(9, 9, 3, dtype=np.float32) * 2)],
    ("TIFF", "palette"): lambda: palette("TIFF"),
    ("TIFF", "YCbCr with JPEG compression"): lambda: [saved(smooth(32, 32), "TIFF", compression="jpeg")],
    ("TIFF", "2- and 4-bit grey"): lambda: [grey_tiff(2), grey_tiff(4)],
    ("TIFF", "1-bit (fax)"): lambda: one_bit("TIFF"),
    ("TIFF", "CMYK or Lab"): lambda: [
        pillow_bytes(Image.new("CMYK", (9, 9)), "TIFF"),
        pillow_bytes(Image.new("LAB", (9, 9)), "TIFF"),
    ],
    ("TIFF", "12-bit, 32-bit integer, signed, 64-bit, complex"): lambda: [
        twelve_bit_tiff(),
        *(written(noise(9, 9).astype(kind)) for kind in (np.uint32, np.int16, np.float64, np.complex64)),
    ],
    ("BMP", "8-bit grey, RGB, RGBA"): lambda: modes("BMP", 1, 3),
    ("BMP", "palette"): lambda: palette("BMP"),
    ("BMP", "1-bit black and white"): lambda: one_bit("BMP"),
    ("Targa", "grey, RGB, with or without alpha"): lambda: modes("TGA", 1, 2, 3, 4),
    ("PPM, PGM", "up to 16 bits, plain or binary"): lambda: [
        *modes("PPM", 1, 3),
        b"P2\n2 1\n1023\n0 1023\n",
        b"P5\n2 1\n65535\n\0\1\2\3",
    ],
    ("PBM", "1-bit"): lambda: one_bit("PPM"),
    ("QOI", "RGB, RGBA"): lambda: modes("QOI", 3, 4),
    ("JPEG 2000", "8-bit, and 16-bit grey"): lambda: [
        *modes("JPEG2000", 1, 2, 3, 4),
        saved(noise(9, 9, dtype=np.uint16), "JPEG2000"),
    ],
    ("JPEG 2000", "16-bit colour, CMYK"): jpeg_2000_of_16_bits,
    ("HEIC", "8- and 10-bit"): lambda: [boxed(b"heic")],
    ("JPEG XL", "any"): lambda: [b"\xff\x0a" + bytes(30)],
    ("Camera raw", "DNG, CR2, CR3, NEF, ARW, RAF, ORF, …"): lambda: [
        b"II*\0\x10\0\0\0CR\2\0",
        boxed(b"crx "),
        b"FUJIFILMCCD-RAW ",
        b"IIRO\x08\0\0\0",
        written(smooth(9, 9), extratags=[(50706, 1, 4, b"\1\4\0\0", True)]),
    ],
    ("PSD, EXR, HDR, PFM, DDS, ICO, PDF, EPS, SVG", "any"): lambda: [
        *(
            b"8BPS\0\1",
            b"v/1\1",
            b"#?RADIANCE",
            b"PF\n1 1\n",
            b"DDS ",
            b"\0\0\1\0\1\0",
            b"%PDF",
            b"%!PS",
            b"<svg>",
        ),
    ],
    ("Any", "damaged or cut short"): lambda: [saved(smooth(32, 32), "PNG")[:99], b"", b"no picture"],
}


def table() -> dict[tuple[str, str], str]:
    """What the page says of each format and content: kept, widened or refused."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \| \*\*(\w+)\*\*.* \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {(format, content): outcome for format, content, outcome in rows}


def test_the_page_and_the_tests_name_the_same_kinds() -> None:
    assert set(table()) == set(ROWS)


@pytest.mark.parametrize(("format", "content"), list(ROWS))
def test_what_the_page_says_is_what_happens(format: str, content: str) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    outcome = table()[format, content]
    if format == "HEIC":
        if heic.available():
            pytest.skip("the extra is installed, and has tests of its own")
        outcome = "refused"
    name = "a.tga" if format == "Targa" else "a.x"
    for source in ROWS[format, content]():
        if outcome == "refused":
            assert (refusal(source, name) or "").startswith(name)
            continue
        picture, result = again(source, name)
        if outcome == "kept":
            check_kept(source, result, name, several=len(picture.frames) > 1)
        else:
            assert pixel_kind(source) != pixel_kind(result)
            assert opened(source).size == opened(result).size


def check_kept(source: bytes, result: bytes, name: str, *, several: bool) -> None:
    before, after = again(source, name)[0], again(result, name)[0]
    assert [f.dtype for f in before.frames] == [f.dtype for f in after.frames]
    assert [f.shape for f in before.frames] == [f.shape for f in after.frames]
    assert [(v.grey, v.alpha is None) for v in before.layers] == [
        (v.grey, v.alpha is None) for v in after.layers
    ]
    assert before.timing == after.timing
    assert before.format == after.format
    assert several == (len(after.frames) > 1)


def pixel_kind(data: bytes) -> tuple[str, bytes]:
    """Mode, and where Pillow shows the same for different depths or compressions, the header that tells."""
    image = opened(data)
    if image.format == "PNG":
        return image.mode, data[24:26]
    if image.format == "TIFF":
        return image.mode, repr((image.tag_v2[258], image.tag_v2[262], image.tag_v2.get(259))).encode()
    return image.mode, b""
