"""What every file goes through: sniffing, limits, refusals by name, silence."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drsformer_cli.errors import OutputError, UnreadableError, UnsupportedError
from drsformer_cli.media import heic
from drsformer_cli.media.guard import quiet
from drsformer_cli.media.images import FORMATS, SUPPORTED_EXTENSIONS, decode, encode, output_extension
from tests.media.builders import noise, pillow_bytes, png_chunk, png_with, refusal, saved, smooth

FORMATS_OF_PILLOW = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "QOI", "JPEG2000", "AVIF", "TGA"]


@pytest.mark.parametrize("format", FORMATS_OF_PILLOW[:-1])
def test_the_content_decides_and_not_the_name(format: str) -> None:
    picture = decode(saved(smooth(20, 20), format), "wrong.JPG")
    assert picture.format == {"JPEG2000": "jp2", "PPM": "pnm"}.get(format, format.lower())
    assert picture.extension == ".JPG"


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"8BPS\0\1" + bytes(40), "a.psd", "Photoshop document"),
        (b"%PDF-1.7", "a.pdf", "PDF"),
        (b"%!PS-Adobe", "a.eps", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "a.eps", "PostScript"),
        (b"<svg xmlns=''/>", "a.svg", "vector drawing"),
        (b"<?xml version='1.0'?>\n<svg/>", "a.svg", "vector drawing"),
        (b"v/1\x01" + bytes(20), "a.exr", "tone-map"),
        (b"#?RADIANCE\n", "a.hdr", "tone-map"),
        (b"Pf\n1 1\n-1.0\n" + bytes(4), "a.pfm", "tone-map"),
        (b"P7\nWIDTH 1\n", "a.pam", "PAM"),
        (b"DDS " + bytes(20), "a.dds", "texture"),
        (b"\0\0\1\0\1\0" + bytes(20), "a.ico", "icon"),
        (b"\0\0\2\0\1\0" + bytes(20), "a.cur", "icon"),
        (b"\xff\x0a" + bytes(20), "a.jxl", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a.jxl", "JPEG XL"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(20), "a.cr2", "develop it"),
        (b"FUJIFILMCCD-RAW 0201", "a.raf", "develop it"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a.cr3", "develop it"),
        (b"IIRO\x08\0\0\0", "a.orf", "develop it"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a.mp4", "is a film"),
        (b"gimp xcf v011", "a.xcf", "GIMP"),
    ],
)
def test_other_kinds_are_refused_with_what_to_do(data: bytes, name: str, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words) as caught:
        decode(data, name)
    assert str(caught.value).startswith(f"{name} is ")
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
@pytest.mark.skipif(heic.available(), reason="the extra is installed")
def test_heic_names_the_extra(brand: bytes) -> None:
    data = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
    with pytest.raises(UnsupportedError, match=r'iphone\.heic.*pip install "drsformer-cli\[heic\]"'):
        decode(data, "iphone.heic")
    assert ".heic" not in SUPPORTED_EXTENSIONS


@pytest.mark.parametrize(
    "data", [b"", b"x", b"<html>", b"\x89PNG", b"\0" * 100, b"RIFF\0\0\0\0WAVE", b"P9 1 1 1 1"]
)
def test_what_is_no_picture_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"strange\.png is"):
        decode(data, "strange.png")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FORMATS_OF_PILLOW),
    st.integers(0, 3000),
    st.binary(min_size=1, max_size=12),
    st.booleans(),
)
def test_damage_anywhere_never_raises_anything_else(format: str, at: int, hurt: bytes, cut: bool) -> None:
    data = HEALTHY[format]
    at %= len(data)
    damaged = data[:at] if cut else data[:at] + hurt + data[at + len(hurt) :]
    name = "hurt.tga" if format == "TGA" else "hurt.x"
    words = refusal(damaged, name, max_pixels=100_000)
    if words is not None:
        assert name in words
        assert "\n" not in words
        return
    picture = decode(damaged, name)
    with contextlib.suppress(OutputError, UnsupportedError):
        encode(picture, picture.frames)


HEALTHY = {format: saved(smooth(24, 24), format) for format in FORMATS_OF_PILLOW}


def test_the_limit_is_checked_on_the_header() -> None:
    header = (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    bomb = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    )
    with pytest.raises(UnsupportedError, match=r"bomb\.png announces 60000 x 60000 pixels"):
        decode(bomb, "bomb.png")


@pytest.mark.parametrize("format", FORMATS_OF_PILLOW)
def test_the_limit_holds_for_every_format(format: str) -> None:
    name = "a.tga" if format == "TGA" else "a"
    data = saved(smooth(20, 30), format)
    assert decode(data, name, max_pixels=600).frames[0].shape == (20, 30, 3)
    with pytest.raises(UnsupportedError, match="more than the 599 allowed"):
        decode(data, name, max_pixels=599)


def test_pillows_own_limit_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    # two plugins check each frame again themselves
    for format in set(FORMATS_OF_PILLOW) - {"GIF", "WEBP"}:
        name = "a.tga" if format == "TGA" else "a"
        picture = decode(saved(smooth(20, 30), format), name)
        assert encode(picture, picture.frames)


def test_names_are_taken_as_they_are() -> None:
    for name in ("-rf", "new\nline.png", "caf\udce9.png", "ünïcode.PNG"):
        with pytest.raises(UnreadableError) as caught:
            decode(b"", name)
        assert str(caught.value) == f"{name} is empty."


def test_failures_of_an_encoder_are_output_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = decode(saved(smooth(9, 9), "BMP"), "a.bmp")

    def fail(*_: object, **__: object) -> None:
        raise OSError("encoder error -2\nmore")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match=r"a\.bmp cannot be written as webp \(encoder error -2\)\."):
        encode(picture, picture.frames, format="webp")


def test_warnings_are_held_back_in_all_threads_and_come_back_after() -> None:
    def warn(n: int) -> None:
        namespace = {"__name__": "PIL.Fake", "warnings": warnings}
        for _ in range(50):
            with quiet():
                exec("warnings.warn('from Pillow')", namespace)

    before = list(warnings.filters)
    threads = [threading.Thread(target=warn, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    with pytest.raises(UserWarning, match="from Pillow"):
        exec("warnings.warn('from Pillow')", {"__name__": "PIL.Fake", "warnings": warnings})


def test_many_threads_at_once_give_what_one_gives() -> None:
    sources = {f: saved(noise(40, 40, 3), f) for f in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")}
    expected = {f: roundtrip(data) for f, data in sources.items()}
    wrong = []

    def work() -> None:
        for _ in range(5):
            wrong.extend(f for f, data in sources.items() if roundtrip(data) != expected[f])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def roundtrip(data: bytes) -> bytes:
    picture = decode(data, "a")
    return encode(picture, picture.frames)


def test_nothing_is_said_on_the_terminal(tmp_path: Path, shared_data: Path) -> None:
    """Python's own warnings are shown at their default, C libraries write to the descriptor itself."""
    code = (
        "import sys, pathlib\n"
        "from drsformer_cli.media.images import decode, encode\n"
        "from drsformer_cli.errors import DerainError\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
        "    if path.is_file() and path.stat().st_size < 100_000:\n"
        "        data = path.read_bytes()\n"
        "        for part in (data, data[: len(data) // 2]):\n"
        "            try:\n"
        "                picture = decode(part, path.name)\n"
        "                encode(picture, picture.frames)\n"
        "            except DerainError:\n"
        "                pass\n"
    )
    command = [sys.executable, "-W", "default", "-c", code, str(shared_data / "torture")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stderr == ""
    assert done.stdout == ""


def test_formats_and_extensions_agree() -> None:
    assert set(FORMATS) == {"png", "jpg", "jpeg", "webp", "tif", "tiff"}
    for name in FORMATS:
        assert output_extension(".x", name) in SUPPORTED_EXTENSIONS
    assert all(
        extension == extension.lower() and extension.startswith(".") for extension in SUPPORTED_EXTENSIONS
    )
    assert not {".pbm", ".psd", ".ico", ".nef", ".mp4", ".txt"} & SUPPORTED_EXTENSIONS


def test_a_frame_is_writable_and_whole() -> None:
    for format in FORMATS_OF_PILLOW:
        frame = decode(saved(smooth(9, 7), format), "a.tga" if format == "TGA" else "a").frames[0]
        assert frame.flags.c_contiguous
        assert isinstance(frame, np.ndarray)


def test_text_bombs_in_chunks_do_no_harm() -> None:
    import zlib

    packed = zlib.compress(bytes(80_000_000), 9)
    source = png_with(saved(smooth(9, 9), "PNG"), png_chunk(b"zTXt", b"bomb\0\0" + packed))
    picture = decode(source, "a.png")
    assert packed in encode(picture, picture.frames)
    profile = png_with(saved(smooth(9, 9), "PNG"), png_chunk(b"iCCP", b"bomb\0\0" + packed))
    assert decode(profile, "a.png").metadata.icc is None


def test_one_bit_through_every_door() -> None:
    for format in ("PNG", "TIFF", "BMP"):
        with pytest.raises(UnsupportedError, match="one bit a pixel"):
            decode(pillow_bytes(Image.new("1", (5, 5)), format), "a")
