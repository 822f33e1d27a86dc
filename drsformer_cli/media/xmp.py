"""XMP packets: kept byte for byte, except for pictures inside them and pointers to pictures that are gone."""

from __future__ import annotations

import re
from xml.parsers import expat

_GAIN_MAP = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
_CONTAINER = (b"http://ns.google.com/photos/1.0/container/",)
_CAMERA = (b"http://ns.google.com/photos/1.0/camera/",)
_PICTURE = (b"http://ns.google.com/photos/1.0/image/",)
_BASIC = (b"http://ns.adobe.com/xap/1.0/",)
_EXTENDED = (b"http://ns.adobe.com/xmp/note/",)
_ANY = rb"[\w.-]+"

_RULES: tuple[tuple[tuple[bytes, ...], bytes, str], ...] = (
    (_GAIN_MAP, _ANY, "gain map dropped"),
    (_CONTAINER, _ANY, ""),
    (_CAMERA, rb"(?:MicroVideo|MotionPhoto)\w*", "motion photo dropped"),
    (_PICTURE, _ANY, "embedded original picture dropped"),
    (_BASIC, rb"Thumbnails", "embedded thumbnail dropped"),
)


def has_gain_map(packet: bytes) -> bool:
    """Whether a packet describes a gain map."""
    return any(_prefixes(packet, (uri,)) for uri in _GAIN_MAP)


def clean(packet: bytes) -> tuple[bytes | None, list[str]]:
    """A packet without thumbnails and without pointers to gain maps, films or originals beside the picture.

    Returns the packet, the very same bytes when there was nothing to take out, and what was dropped, in
    words. None when it could not be taken out cleanly: then the packet must go as a whole.
    """
    notes = []
    cleaned = packet
    for namespaces, names, words in _RULES:
        shorter = _strip(cleaned, namespaces, names)
        if shorter != cleaned and words:
            notes.append(words)
        cleaned = shorter
    if cleaned != packet and _well_formed(packet) and not _well_formed(cleaned):
        return None, [*notes, "XMP dropped, for it could not be freed of what it points to"]
    return cleaned, notes


def without_extension(packet: bytes) -> bytes:
    """A packet that no longer announces an extended part."""
    return _strip(packet, _EXTENDED, rb"HasExtendedXMP")


def has_embedded_picture(extended: bytes) -> bool:
    """Whether an extended part holds the picture as it was before some effect, with the rain in it."""
    return b"GImage:Data" in extended or any(uri in extended for uri in _PICTURE)


def _prefixes(packet: bytes, namespaces: tuple[bytes, ...]) -> set[bytes]:
    found: set[bytes] = set()
    for uri in namespaces:
        found |= set(re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(uri) + rb"[\"']", packet))
    return found


def _strip(packet: bytes, namespaces: tuple[bytes, ...], names: bytes) -> bytes:
    """Take out attributes and whole elements of some names in some namespaces."""
    for prefix in _prefixes(packet, namespaces):
        name = re.escape(prefix) + rb":" + names
        packet = re.sub(rb"\s+" + name + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", packet)
        element = rb"<(" + name + rb")(?:\s[^<>]*?)?(?:/>|>.*?</\1\s*>)"
        packet = re.sub(element, b"", packet, flags=re.DOTALL)
    return packet


def _well_formed(packet: bytes) -> bool:
    try:
        expat.ParserCreate().Parse(packet.strip(b"\x00 \r\n\t"), True)
    except expat.ExpatError:
        return False
    return True
