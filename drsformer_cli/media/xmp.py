"""XMP packets: kept byte for byte, except for pictures inside them and pointers to pictures that are gone."""

from __future__ import annotations

import re
from bisect import bisect
from xml.parsers import expat

_GAIN_MAP_SPACES = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
_CONTAINER = (b"http://ns.google.com/photos/1.0/container/",)
_CAMERA = (b"http://ns.google.com/photos/1.0/camera/",)
_PICTURE = (b"http://ns.google.com/photos/1.0/image/",)
_BASIC = (b"http://ns.adobe.com/xap/1.0/",)
_EXTENDED = (b"http://ns.adobe.com/xmp/note/",)
#: What is noted of what goes.
GAIN_MAP, THUMBNAIL = "gain map dropped", "embedded thumbnail dropped"
MOTION_PHOTO = "motion photo dropped"
_ANY = rb"[\w.-]+"
_MOST_PREFIXES = 8  # for one namespace; more are an attack on the time it takes

_RULES: tuple[tuple[tuple[bytes, ...], bytes, str], ...] = (
    (_GAIN_MAP_SPACES, _ANY, GAIN_MAP),
    (_CONTAINER, _ANY, ""),
    (_CAMERA, rb"(?:MicroVideo|MotionPhoto)\w*", MOTION_PHOTO),
    (_PICTURE, _ANY, "embedded original picture dropped"),
    (_BASIC, rb"Thumbnails", THUMBNAIL),
)


def has_gain_map(packet: bytes) -> bool:
    """Whether a packet describes a gain map."""
    return any(_prefixes(packet, (uri,)) for uri in _GAIN_MAP_SPACES)


def clean(packet: bytes) -> tuple[bytes | None, list[str]]:
    """A packet without thumbnails and without pointers to gain maps, films or originals beside the picture.

    Returns the packet, the very same bytes when there was nothing to take out, and what was dropped, in
    words. None when it could not be taken out cleanly: then the packet must go as a whole.
    """
    dropped = "XMP dropped, for it could not be freed of what it points to"
    if any(len(_prefixes(packet, namespaces)) > _MOST_PREFIXES for namespaces, _, _ in _RULES):
        return None, [dropped]
    notes = []
    cleaned = packet
    for namespaces, names, words in _RULES:
        shorter = _strip(cleaned, namespaces, names)
        if shorter != cleaned and words:
            notes.append(words)
        cleaned = shorter
    if cleaned != packet and _well_formed(packet) and not _well_formed(cleaned):
        return None, [*notes, dropped]
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
    """Take out attributes and whole elements of some names in some namespaces, in time linear in the size."""
    for prefix in sorted(_prefixes(packet, namespaces))[:_MOST_PREFIXES]:
        name = re.escape(prefix) + rb":" + names
        packet = re.sub(rb"(?<!\s)\s+" + name + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", packet)
        packet = _without_elements(packet, name)
    return packet


def _without_elements(packet: bytes, name: bytes) -> bytes:
    """Take out elements, each up to the nearest end of its name; one without an end stays."""
    ends: dict[bytes, list[tuple[int, int]]] = {}
    for end in re.finditer(rb"</(" + name + rb")\s*>", packet):
        ends.setdefault(end[1], []).append(end.span())
    kept, at = [], 0
    for begin in re.finditer(rb"<(" + name + rb")(?:\s[^<>]*?)?(/?)>", packet):
        if begin.start() < at:
            continue
        stop = begin.end()
        if not begin[2]:
            spans = ends.get(begin[1], [])
            following = bisect(spans, (stop,))
            if following == len(spans):
                continue
            stop = spans[following][1]
        kept.append(packet[at : begin.start()])
        at = stop
    return b"".join([*kept, packet[at:]])


def _well_formed(packet: bytes) -> bool:
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(packet.strip(b"\x00 \r\n\t"), True)
    except (expat.ExpatError, ValueError):
        return False
    return True


def _refuse(*_: object) -> None:
    """Entities can stand for gigabytes of text; no XMP packet needs them."""
    raise ValueError("a packet that declares entities")
