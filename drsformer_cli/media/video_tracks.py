"""What becomes of everything in a film but its restored pictures: copied, converted or dropped.

What a container takes is not looked up in a list but tried: ffmpeg writes a header with the track, and either
does so or does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from drsformer_cli.media.video import Film, Track
from drsformer_cli.media.video_tool import ToolError, run_tool

#: What a track becomes that a container does not take as it is, by kind: (encoder, its options, in words).
_INSTEAD: dict[tuple[str, str], tuple[str, tuple[str, ...], str]] = {
    ("subtitle", "mp4"): ("mov_text", (), "timed text"),
    ("subtitle", "mov"): ("mov_text", (), "timed text"),
    ("subtitle", "matroska"): ("srt", (), "SubRip"),
    ("subtitle", "webm"): ("webvtt", (), "WebVTT"),
    ("audio", "mp4"): ("aac", ("-b", "256k"), "AAC, 256 kbit/s"),
    ("audio", "mov"): ("aac", ("-b", "256k"), "AAC, 256 kbit/s"),
    ("audio", "matroska"): ("flac", (), "FLAC"),
    ("audio", "webm"): ("libopus", ("-b", "192k"), "Opus, 192 kbit/s"),
}
_NAMES = {"mp4": "MP4", "mov": "QuickTime", "matroska": "Matroska", "webm": "WebM"}
_STYLED = ("ass", "ssa")
#: Matroska keeps cover art as an attachment.
ATTACH = "attach"


@dataclass(frozen=True)
class Copy:
    """A track that goes along; `encoder` is "copy", or a converter, or ATTACH for cover art."""

    track: Track
    encoder: str = "copy"
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Company:
    """What becomes of all tracks but the restored one, decided before the work starts."""

    container: str
    copies: tuple[Copy, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions as plain values."""
        return {
            "container": self.container,
            "copies": [[copy.track.index, copy.encoder] for copy in self.copies],
        }

    def arranged(self, film: Film) -> list[Copy | None]:
        """Return all tracks in the order of the finished film, None for the restored one."""
        copies = sorted(self.copies, key=_rank)
        place = sum(_rank(copy) == 0 and copy.track.index < film.track.index for copy in copies)
        return [*copies[:place], None, *copies[place:]]


def _rank(copy: Copy) -> int:
    """Tracks come first, then what is attached, then what becomes attached."""
    return 2 if copy.encoder == ATTACH else int(copy.track.kind == "attachment")


@dataclass(frozen=True)
class Cut:
    """A stretch of a film, in seconds from its beginning; None for its own beginning or end."""

    start: Fraction | None = None
    end: Fraction | None = None

    @property
    def whole(self) -> bool:
        """Tell whether nothing is cut off."""
        return self.start is None and self.end is None


def keep_company(film: Film, container: str) -> Company:
    """Decide what becomes of each further track in a container, by trying."""
    others = [track for track in film.tracks if track.index != film.track.index]
    if container == "gif":
        dropped = [f"{track.words} dropped: GIF holds pictures only" for track in others]
        return Company(container, (), tuple(dropped))
    copies: list[Copy] = []
    notes: list[str] = []
    rest = []
    for track in others:
        if track.cover and container == "matroska":
            copies.append(Copy(track, ATTACH))
        elif track.kind == "data" and film.chapters and container in ("mp4", "mov"):
            notes.append(f"{track.words} is made anew from the chapters")
        elif track.cover and container == "webm":
            notes.append(f"{track.words} dropped: WebM does not hold it")
        elif track.codec.startswith("tmcd") or (track.kind == "data" and "timecode" in track.metadata):
            if container in ("mp4", "mov") and "timecode" in film.track.metadata:
                notes.append(f"{track.words} is made anew from the time code of the picture track")
            else:
                notes.append(f"{track.words} (time code) dropped")
        else:
            rest.append(track)
    if rest and tried(film, container, [Copy(track) for track in rest]):
        return Company(container, (*(Copy(track) for track in rest), *copies), tuple(notes))
    for track in rest:
        copy, note = _settle(film, container, track)
        if copy is not None:
            copies.append(copy)
        if note:
            notes.append(note)
    return Company(container, tuple(copies), tuple(notes))


def _settle(film: Film, container: str, track: Track) -> tuple[Copy | None, str]:
    if tried(film, container, [Copy(track)]):
        return Copy(track), ""
    name = _NAMES[container]
    found = other_way(film, container, track, ("-t", "0.2"), None)
    if found is None:
        return None, f"{track.words} dropped: {name} does not hold it"
    copy, words = found
    return copy, f"{track.words} becomes {words}: {name} does not hold it as it is"


def other_way(
    film: Film, container: str, track: Track, stretch: Sequence[str], folder: Path | None
) -> tuple[Copy, str] | None:
    """Return what a container takes instead of a track as it is, and its name; None for nothing."""
    instead = _INSTEAD.get((track.kind, container))
    if instead is None:
        return None
    encoder, options, words = instead
    copy = Copy(track, encoder, options)
    if not tried(film, container, [copy], stretch, folder):
        return None
    return copy, words + (", without its styling" if track.codec in _STYLED else "")


def tried(
    film: Film,
    container: str,
    copies: Sequence[Copy],
    stretch: Sequence[str] = ("-t", "0.2"),
    folder: Path | None = None,
) -> bool:
    """Tell whether ffmpeg writes a file with these tracks: of their beginning, unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="derain-", dir=folder) as made:
        place = Path(made) / "trial"
        words = [*stretch, "-i", f"file:{film.path}", *maps(copies, 0), "-f", container, f"file:{place}"]
        try:
            run_tool(words, place)
        except ToolError:
            return False
    return True


def maps(copies: Sequence[Copy], first: int, source: int = 0) -> Iterator[str]:
    """Yield the words that tell ffmpeg to take tracks along, numbered from `first` on in the result."""
    for number, copy in enumerate(copies, first):
        place = f"{source}:s:{copy.track.index}"
        yield from ("-map", f"{source}:{copy.track.index}", f"-c:{number}", copy.encoder)
        yield from (f"-map_metadata:s:{number}", place)
        for option, value in zip(copy.options[::2], copy.options[1::2], strict=True):
            yield from (f"{option}:{number}", value)
