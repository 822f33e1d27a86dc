"""TIFF: every page, 8 and 16 bits and floating point, with all tags that do not describe the pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from drsformer_cli.media import exif, metadata, tiff_page
from drsformer_cli.media.guard import check_size
from drsformer_cli.media.ifd import EXIF, LONG, LONG8, SHORT, SUBFILES, Directory, Entry, Layout, make_entry
from drsformer_cli.media.ifd import write_directory as pack_directory
from drsformer_cli.media.photoshop import without_thumbnails
from drsformer_cli.media.picture import Array, Metadata, Order, Picture
from drsformer_cli.media.pixels import split
from drsformer_cli.media.tiff_page import Page, read_pages, values
from drsformer_cli.media.tiff_pixels import in_order, read_samples

_XMP, _IPTC, _RESOURCES, _ICC, _LAYERS = 700, 33723, 34377, 34675, 37724
_ACROSS, _DOWN, _UNIT, _TRANSFER = 282, 283, 296, 301
# tags that describe how pixels were stored, which is decided anew, or statistics over them
_STRUCTURE = {
    *(*range(255, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 317, 320),
    *(*range(322, 329), SUBFILES, *range(338, 342), 347, 400, *range(512, 522), *range(529, 533), 559),
}
# what the first directory of an EXIF block may hold
_DESCRIPTIVE = {270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 33432, *range(40091, 40096)}
_STRIP_SIZE = 1 << 18
_LEVEL = 4  # of compression: half the time of the usual 6, for files about 1 % larger
_LARGEST_CLASSIC = 4_000_000_000


@dataclass
class CarriedPage:
    """What one page keeps around its pixels."""

    tags: Directory
    dtype: np.dtype[np.generic]
    white_is_zero: bool = False
    extra_kind: int = 2
    compressed: bool = True


@dataclass
class Carried:
    """What a TIFF file keeps around its pixels."""

    layout: Layout
    pages: list[CarriedPage]


def read(data: bytes, picture: Picture, max_pixels: int) -> None:
    """Decode all pages of a TIFF file into `picture`."""
    pages = read_pages(data, picture.name)
    for page in pages:
        tiff_page.check(page.shape, picture.name)
    area = sum(page.shape.width * page.shape.height for page in pages)
    check_size(picture.name, pages[0].shape.width, pages[0].shape.height, 1, max_pixels)
    check_size(picture.name, area, 1, 1, max_pixels)
    carried = Carried(pages[0].layout, [])
    for page in pages:
        samples = read_samples(data, page, picture.name)
        own = CarriedPage(
            _kept_tags(page, picture),
            samples.dtype,
            page.shape.photometric == tiff_page.WHITE_IS_ZERO,
            page.extra_kind,
            page.shape.compression != tiff_page.NONE,
        )
        if samples.dtype == np.float16:
            samples = samples.astype(np.float32)
        frame, layer = split(samples, page.orientation)
        picture.frames.append(frame)
        picture.layers.append(layer)
        carried.pages.append(own)
    picture.carried = carried
    picture.lossy = any(page.shape.compression == tiff_page.JPEG for page in pages)
    picture.metadata = _metadata(carried.pages[0].tags, pages[0])


def write(order: Order) -> bytes:
    """Encode stored samples as TIFF, page by page, without loss."""
    own = order.carried if isinstance(order.carried, Carried) else _from_metadata(order.picture, order.stored)
    big = own.layout.big or sum(samples.nbytes for samples in order.stored) > _LARGEST_CLASSIC
    layout = Layout(own.layout.order, big)
    body = bytearray(16 if big else 8)
    directories = []
    for samples, page in zip(order.stored, own.pages, strict=True):
        directories.append(_write_pixels(body, samples, page, layout))
    body += bytes(len(body) % 2)
    first = len(body)
    for index, directory in enumerate(directories):
        size = len(pack_directory(directory, layout, len(body)))
        size += size % 2
        following = len(body) + size if index + 1 < len(directories) else 0
        body += pack_directory(directory, layout, len(body), following).ljust(size, b"\x00")
    mark = b"II" if layout.order == "<" else b"MM"
    if big:
        body[:16] = mark + struct.pack(layout.order + "HHHQ", 43, 8, 0, first)
    else:
        body[:8] = mark + struct.pack(layout.order + "HI", 42, first)
    return bytes(body)


def _kept_tags(page: Page, picture: Picture) -> Directory:
    """The tags to carry over, without what shows rain or points at what is gone."""
    source = page.directory
    entries = {tag: entry for tag, entry in source.entries.items() if tag not in _STRUCTURE}
    if SUBFILES in source.entries:
        picture.note("smaller copies inside the file (SubIFDs) dropped")
    if entries.pop(_LAYERS, None) is not None:
        picture.note("Photoshop layers dropped")
    if page.shape.bits < 8 or page.shape.photometric == tiff_page.PALETTE:
        entries.pop(_TRANSFER, None)
    if source.damaged:
        picture.note("damaged TIFF tags dropped")
    if _XMP in entries:
        packet = metadata.clean_xmp(picture, entries[_XMP].raw)
        _replace(entries, _XMP, packet)
    if _RESOURCES in entries:
        block, found = without_thumbnails(entries[_RESOURCES].raw)
        if found:
            picture.note(metadata.THUMBNAIL)
            _replace(entries, _RESOURCES, block or None)
    return Directory(entries, source.children)


def _replace(entries: dict[int, Entry], tag: int, raw: bytes | None) -> None:
    """Give a tag of bytes other content, or take it out."""
    entry = entries.pop(tag)
    if raw is not None:
        entries[tag] = entry if raw == entry.raw else Entry(7, len(raw), raw)


def _metadata(tags: Directory, page: Page) -> Metadata:
    def raw(tag: int) -> bytes | None:
        return tags.entries[tag].raw if tag in tags.entries else None

    meta = Metadata(icc=raw(_ICC), xmp=raw(_XMP), iptc=raw(_IPTC))
    described = {tag: entry for tag, entry in tags.entries.items() if tag in _DESCRIPTIVE}
    if described or tags.children:
        meta.exif = exif.build(page.layout, Directory(described, tags.children))
    unit = (values(tags, page.layout, _UNIT) or (2,))[0]
    across, down = (_fraction(raw(tag), page.layout) for tag in (_ACROSS, _DOWN))
    if unit in (2, 3) and across and down:
        scale = 1.0 if unit == 2 else 2.54
        meta.dpi = (across * scale, down * scale)
    if any(tag not in _DESCRIPTIVE | {254, _XMP, _IPTC, _ICC} for tag in tags.entries):
        meta.other.append("TIFF tags")
    return meta


def _fraction(raw: bytes | None, layout: Layout) -> float:
    if raw is None or len(raw) < 8:
        return 0.0
    top, bottom = struct.unpack_from(layout.order + "II", raw)
    return top / bottom if bottom else 0.0


def _write_pixels(body: bytearray, samples: Array, page: CarriedPage, layout: Layout) -> Directory:
    """Append the strips of a page to `body`; returns its whole directory."""
    planes = samples[..., np.newaxis] if samples.ndim == 2 else samples
    if page.dtype == np.float16:
        planes = planes.astype(np.float16)
    height, width, channels = planes.shape
    colours = 3 if channels >= 3 else 1
    if channels > colours and page.extra_kind == 1:
        planes = np.minimum(planes, planes[..., -1:])  # premultiplied colours cannot exceed their alpha
    if page.white_is_zero:
        planes = np.concatenate([~planes[..., :1], planes[..., 1:]], axis=2)
    predict = page.compressed and planes.dtype.kind == "u"
    rows = max(1, _STRIP_SIZE // (width * channels * planes.itemsize))
    offsets, sizes = [], []
    for top in range(0, height, rows):
        strip = planes[top : top + rows]
        if predict:
            strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
        raw = strip.astype(in_order(strip.dtype, layout.order)).tobytes()
        raw = zlib.compress(raw, _LEVEL) if page.compressed else raw
        offsets.append(len(body))
        sizes.append(len(raw))
        body += raw
    photometric = tiff_page.RGB if colours == 3 else int(not page.white_is_zero)
    short = {
        258: [planes.itemsize * 8] * channels,
        259: [tiff_page.DEFLATE if page.compressed else tiff_page.NONE],
        262: [photometric],
        277: [channels],
        284: [1],
        339: [tiff_page.FLOAT if planes.dtype.kind == "f" else tiff_page.UNSIGNED] * channels,
    }
    if predict:
        short[317] = [2]
    if channels > colours:
        short[338] = [page.extra_kind]
    long = {256: [width], 257: [height], 278: [min(rows, height)], 279: sizes}
    entries = dict(page.tags.entries)
    entries.update(_entries(layout, SHORT, short.items()))
    entries.update(_entries(layout, LONG, long.items()))
    entries[273] = make_entry(layout, LONG8 if layout.big else LONG, *offsets)
    return Directory(entries, page.tags.children)


def _entries(layout: Layout, kind: int, tags: Iterable[tuple[int, list[int]]]) -> dict[int, Entry]:
    return {tag: make_entry(layout, kind, *found) for tag, found in tags}


def _from_metadata(picture: Picture, stored: list[Array]) -> Carried:
    """Tags for a picture that came in another format; the directories of its EXIF block become the file's."""
    meta = picture.metadata
    layout, tags = Layout("<", False), Directory()
    main = exif.read_main(meta.exif) if meta.exif is not None else None
    if main is not None:
        layout = Layout(main[0].order, False)
        entries = {tag: entry for tag, entry in main[1].entries.items() if tag not in _STRUCTURE}
        tags = Directory(entries, main[1].children)
        exif_tags = main[1].children.get(EXIF)
        if exif_tags is not None and exif.MAKER_NOTE in exif_tags.entries:
            picture.note(metadata.MAKER_NOTE)
    profile = metadata.icc_for(picture, grey=stored[0].ndim == 2 or stored[0].shape[2] == 2)
    for tag, kind, raw in ((_ICC, 7, profile), (_XMP, 1, meta.xmp), (_IPTC, 7, meta.iptc)):
        if raw is not None:
            tags.entries[tag] = Entry(kind, len(raw), raw)
    if meta.dpi is not None:
        for tag, value in zip((_ACROSS, _DOWN), meta.dpi, strict=True):
            tags.entries[tag] = Entry(5, 1, struct.pack(layout.order + "II", round(value * 10000), 10000))
        tags.entries[_UNIT] = make_entry(layout, SHORT, 2)
    return Carried(layout, [CarriedPage(tags, samples.dtype) for samples in stored])
