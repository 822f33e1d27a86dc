"""What a file is, told from its first bytes; and a sentence for each kind that is refused."""

from __future__ import annotations

from pathlib import PurePath

from drsformer_cli.errors import InputError, UnreadableError, UnsupportedError

_RAW = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw "
    ".nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
RAW_EXTENSIONS = frozenset(_RAW.split())
HEIC_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})
JXL_EXTENSIONS = frozenset({".jxl"})
TGA_EXTENSIONS = frozenset({".tga", ".vda", ".icb", ".vst"})

#: How a Targa file may end; all other kinds show at their start.
TGA_MARK = b"TRUEVISION-XFILE.\x00"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8", "jpeg"),
    (b"GIF8", "gif"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"qoif", "qoi"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\x00", "raw"),
    (b"FOVb", "raw"),
    (b"\x00MRM", "raw"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "raw"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"%!PS", "eps"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"v/1\x01", "exr"),
    (b"#?RADIANCE", "hdr"),
    (b"#?RGBE", "hdr"),
    (b"DDS ", "dds"),
    (b"icns", "icon"),
    (b"gimp xcf", "xcf"),
    (b"BM", "bmp"),
)
_BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"hevc": "heic",
    b"hevx": "heic",
    b"crx ": "raw",
}
_REFUSED = {
    "raw": "is a camera raw file; develop it to TIFF or PNG first.",
    "jxl": "is a JPEG XL file, which is not supported; convert it to PNG or TIFF first.",
    "psd": "is a Photoshop document with layers; export it to TIFF or PNG first.",
    "xcf": "is a GIMP document with layers; export it to TIFF or PNG first.",
    "pdf": "is a PDF document, not a photograph; extract its pictures first.",
    "eps": "is a PostScript drawing, not a photograph; convert it to PNG or TIFF first.",
    "svg": "is a vector drawing, not a photograph; render it to PNG first.",
    "exr": "is a high dynamic range picture without an upper limit; tone-map it to 16-bit TIFF or PNG first.",
    "hdr": "is a high dynamic range picture without an upper limit; tone-map it to 16-bit TIFF or PNG first.",
    "pfm": "is a high dynamic range picture without an upper limit; tone-map it to 16-bit TIFF or PNG first.",
    "dds": "is a texture for games, not a photograph; convert it to PNG first.",
    "icon": "is an icon or a cursor, not a photograph; convert it to PNG first.",
    "pam": "is a PAM picture, which is not supported; convert it to PNG first.",
    "film": "is a film, not a picture: give it to `derain video`.",
}


def sniff(data: bytes, name: str) -> str:
    """Name the format of `data`: one that a codec reads, such as "png".

    Raises UnreadableError for what is no picture, UnsupportedError for kinds that are refused as a whole.
    """
    if not data:
        raise UnreadableError(f"{name} is empty.")
    kind = _kind(data, PurePath(name).suffix.lower())
    if kind is None:
        raise UnreadableError(f"{name} is not a picture of a known kind, or its beginning is damaged.")
    if kind in _REFUSED:
        raise refusal(name, kind)
    return kind


def refusal(name: str, kind: str) -> InputError:
    """The error that refuses a whole kind of file, such as "raw"."""
    return UnsupportedError(f"{name} {_REFUSED[kind]}")


def _kind(data: bytes, extension: str) -> str | None:
    # a Targa file has no mark at its start, and some look like a cursor: there its name decides
    if extension in TGA_EXTENSIONS and _is_targa(data):
        return "tga"
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            is_raw = kind == "tiff" and (extension in RAW_EXTENSIONS or data[8:10] == b"CR")
            return "raw" if is_raw else kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _boxed(data)
    if data[:1] == b"P" and data[1:2] in b"1234567fF" and data[2:3].isspace():
        return {b"7": "pam", b"f": "pfm", b"F": "pfm"}.get(data[1:2], "pnm")
    if data[:4] in (b"\x00\x00\x01\x00", b"\x00\x00\x02\x00") and data[4:6] != b"\x00\x00":
        return "icon"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "svg"
    return "tga" if data.endswith(TGA_MARK) and _is_targa(data) else None


def _boxed(data: bytes) -> str:
    """Formats in ISO boxes: the major brand first, then the compatible ones; anything else is a film."""
    length = min(int.from_bytes(data[:4], "big"), 256, len(data))
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, length, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "film")


def _is_targa(data: bytes) -> bool:
    return len(data) >= 18 and data[1] in (0, 1) and data[2] in (1, 2, 3, 9, 10, 11)
