"""Cleaning of metadata that every format shares: what would still show the rain, or point at what is gone."""

from __future__ import annotations

from drsformer_cli.media import exif, xmp
from drsformer_cli.media.picture import Picture

THUMBNAIL, GAIN_MAP, MOTION_PHOTO = xmp.THUMBNAIL, xmp.GAIN_MAP, xmp.MOTION_PHOTO
BEHIND = "data behind the end of the picture dropped"
MAKER_NOTE = "the maker note in EXIF was moved, and some programs may no longer read it"
CREDENTIALS = "content credentials dropped, for they sign the picture before restoration"


def clean_exif(picture: Picture, block: bytes) -> bytes:
    """An EXIF block (with or without prefix) without thumbnails; noted when there were any."""
    prefix = block[: len(block) - len(exif.bare(block))]
    cleaned, found = exif.without_thumbnails(exif.bare(block))
    if found:
        picture.note(THUMBNAIL)
    return prefix + cleaned


def clean_xmp(picture: Picture, packet: bytes) -> bytes | None:
    """An XMP packet without thumbnails and dead pointers; None when it has to go as a whole. Noted."""
    cleaned, notes = xmp.clean(packet)
    for words in notes:
        picture.note(words)
    return cleaned


def icc_for(picture: Picture, *, grey: bool) -> bytes | None:
    """The ICC profile if it fits grey or RGB samples; a profile of the other kind is dropped and noted."""
    profile = picture.metadata.icc
    if profile is None:
        return None
    space = profile[16:20]
    if (space == b"GRAY" and not grey) or (space == b"RGB " and grey):
        picture.note("colour profile dropped, for it does not fit the channels written")
        return None
    return profile
