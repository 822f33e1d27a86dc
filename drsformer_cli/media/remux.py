"""Everything of a film but its restored pictures: what is copied, converted or dropped, and the final file.

What a container takes is not looked up in a list but tried: ffmpeg writes a header with the track, and either
does so or does not.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from drsformer_cli.errors import OutputError
from drsformer_cli.media.video import Film, Track
from drsformer_cli.media.video_tool import ToolError, as_url, run_tool

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
#: Tags that MP4's own boxes hold; others need its free-form list.
_PLAIN_TAGS = frozenset(
    (
        *("title", "artist", "album_artist", "album", "author", "composer", "comment", "copyright", "date"),
        *("year", "genre", "track", "disc", "lyrics", "description", "synopsis", "show", "episode_id"),
        *("network", "keywords", "season_number", "episode_sort", "hd_video", "gapless_playback", "grouping"),
        *("media_type", "encoder", "encoding_tool", "creation_time", "location", "location-eng", "timecode"),
        *("major_brand", "minor_version", "compatible_brands"),
    )
)


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
    if rest and _tried(film, container, [Copy(track) for track in rest]):
        return Company(container, (*(Copy(track) for track in rest), *copies), tuple(notes))
    for track in rest:
        copy, note = _settle(film, container, track)
        if copy is not None:
            copies.append(copy)
        if note:
            notes.append(note)
    return Company(container, tuple(copies), tuple(notes))


def _settle(film: Film, container: str, track: Track) -> tuple[Copy | None, str]:
    if _tried(film, container, [Copy(track)]):
        return Copy(track), ""
    name = _NAMES[container]
    found = _other_way(film, container, track, ("-t", "0.2"), None)
    if found is None:
        return None, f"{track.words} dropped: {name} does not hold it"
    copy, words = found
    return copy, f"{track.words} becomes {words}: {name} does not hold it as it is"


def _other_way(
    film: Film, container: str, track: Track, stretch: Sequence[str], folder: Path | None
) -> tuple[Copy, str] | None:
    """Return what a container takes instead of a track as it is, and its name; None for nothing."""
    instead = _INSTEAD.get((track.kind, container))
    if instead is None:
        return None
    encoder, options, words = instead
    copy = Copy(track, encoder, options)
    if not _tried(film, container, [copy], stretch, folder):
        return None
    return copy, words + (", without its styling" if track.codec in _STYLED else "")


def _tried(
    film: Film,
    container: str,
    copies: Sequence[Copy],
    stretch: Sequence[str] = ("-t", "0.2"),
    folder: Path | None = None,
) -> bool:
    """Tell whether ffmpeg writes a file with these tracks: of their beginning, unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="derain-", dir=folder) as made:
        place = Path(made) / "trial"
        words = [*stretch, "-i", f"file:{film.path}", *_maps(copies, 0), "-f", container, f"file:{place}"]
        try:
            run_tool(words, place)
        except ToolError:
            return False
    return True


def _maps(copies: Sequence[Copy], first: int, source: int = 0) -> Iterator[str]:
    for number, copy in enumerate(copies, first):
        place = f"{source}:s:{copy.track.index}"
        yield from ("-map", f"{source}:{copy.track.index}", f"-c:{number}", copy.encoder)
        yield from (f"-map_metadata:s:{number}", place)
        for option, value in zip(copy.options[::2], copy.options[1::2], strict=True):
            yield from (f"{option}:{number}", value)


def finish(
    film: Film,
    pictures: Path,
    target: Path,
    company: Company,
    codec: str,
    cut: Cut,
    *,
    alpha: bool,
    name: str,
) -> tuple[Company, list[str]]:
    """Write the final film: the restored picture track, and all that goes with it, from the source.

    A track that cannot be copied to its end is converted or dropped. Returns what became of the tracks, and
    of those in words. Raises StorageError if the disk is full, and OutputError, which says `name`, if ffmpeg
    fails.
    """
    try:
        _write(film, pictures, target, company, codec, cut, alpha=alpha)
        return company, []
    except ToolError as error:
        kept, notes = _without_broken(film, company, cut, target.parent)
        if not notes:
            raise OutputError(f"{name} could not be put together (ffmpeg: {error}).") from None
    try:
        _write(film, pictures, target, kept, codec, cut, alpha=alpha)
    except ToolError as error:
        raise OutputError(f"{name} could not be put together (ffmpeg: {error}).") from None
    return kept, notes


def _without_broken(film: Film, company: Company, cut: Cut, folder: Path) -> tuple[Company, list[str]]:
    """Try each track alone, from its beginning to its end; return what is left, and what is not in words."""
    stretch = _stretch(film, cut)
    copies: list[Copy] = []
    notes: list[str] = []
    for copy in company.copies:
        if copy.encoder == ATTACH or _tried(film, company.container, [copy], stretch, folder):
            copies.append(copy)
            continue
        found = None
        if copy.encoder == "copy":
            found = _other_way(film, company.container, copy.track, stretch, folder)
        if found is None:
            notes.append(f"{copy.track.words} dropped: it is damaged, and cannot be written")
        else:
            copies.append(found[0])
            notes.append(f"{copy.track.words} becomes {found[1]}: it is damaged, and cannot be copied")
    return Company(company.container, tuple(copies), company.notes), notes


def _write(
    film: Film, pictures: Path, target: Path, company: Company, codec: str, cut: Cut, *, alpha: bool
) -> None:
    """Put everything together. Raises ToolError and StorageError."""
    container, arranged = company.container, company.arranged(film)
    place = arranged.index(None)
    words = [*_display(film), "-i", f"file:{pictures}", *_stretch(film, cut), "-i", f"file:{film.path}"]
    for number, copy in enumerate(arranged):
        if copy is None:
            words += ["-map", "0:v:0", f"-c:{number}", "copy"]
            words += [f"-map_metadata:s:{number}", f"1:s:{film.track.index}"]
        elif copy.encoder == ATTACH:
            words += _attach(film, copy.track, number, target.parent)
        else:
            words += _maps([copy], number, 1)
        if copy is None or copy.encoder != ATTACH:
            words += [f"-disposition:{number}", _disposition(film.track if copy is None else copy.track)]
    words += ["-map_metadata:g", "1:g", "-map_chapters", "1" if cut.whole else "-1"]
    if alpha and container in ("webm", "matroska"):
        words += [f"-metadata:s:{place}", "alpha_mode=1"]
    words += ["-copyts", "-avoid_negative_ts", "disabled"]
    if cut.start is not None:
        words += ["-output_ts_offset", f"{-float(cut.start):.6f}", "-copypriorss", "0", *_end(film, cut)]
    words += _container_words(film, container, codec, place)
    run_tool([*words, "-f", container, f"file:{target}"], target)


def _display(film: Film) -> list[str]:
    """Options of the restored track's file that give it the display matrix of the source."""
    if film.matrix is None:
        return []
    a, b, _, c, d = film.matrix[:5]
    mirrored = a * d - b * c < 0
    # ffmpeg mirrors after it has turned
    degrees = math.degrees(math.atan2(-b, -a if mirrored else a))
    return ["-display_rotation", f"{degrees:.6f}", *(["-display_hflip"] if mirrored else [])]


def _stretch(film: Film, cut: Cut) -> list[str]:
    """Options of the source that cut it: ffmpeg counts from the container's beginning, not the pictures'.

    What a seek brings too early is left out by comparing bare timestamps with -ss: it has to be one of them
    where the container does not begin at 0.
    """
    words = []
    if cut.start is not None and _begins_late(film):
        start = (film.start or 0) * film.time_base + cut.start
        return ["-seek_timestamp", "1", "-ss", f"{float(start):.6f}"]
    if cut.start is not None:
        words += ["-ss", f"{float(cut.start + film.ahead):.6f}"]
    if cut.end is not None:
        words += ["-to", f"{float(cut.end + film.ahead):.6f}"]
    return words


def _begins_late(film: Film) -> bool:
    return (film.start or 0) * film.time_base > film.ahead


def _end(film: Film, cut: Cut) -> list[str]:
    """Options of the result that end it, for a source that `_stretch` could not end."""
    if cut.start is None or cut.end is None or not _begins_late(film):
        return []
    return ["-to", f"{float((film.start or 0) * film.time_base + cut.end):.6f}"]


def _disposition(track: Track) -> str:
    names = [flag.name for flag in av.stream.Disposition if track.disposition & flag.value and flag.name]
    return "+".join(names) or "0"


def _attach(film: Film, track: Track, number: int, folder: Path) -> list[str]:
    """Options that attach a cover picture, which is written out for that."""
    kind = {"mjpeg": "jpg"}.get(track.codec, track.codec)
    path = folder / f"cover{number}.{kind}"
    with av.open(as_url(film.path), metadata_errors="replace") as container:
        packets = container.demux(container.streams[track.index])
        path.write_bytes(next((bytes(packet) for packet in packets if packet.size), b""))
    tags = {key.lower(): value for key, value in track.metadata.items()}
    mime = tags.get("mimetype", {"jpg": "image/jpeg"}.get(kind, f"image/{kind}"))
    name = tags.get("filename", f"cover.{kind}")
    words = ["-attach", f"file:{path}", f"-metadata:s:{number}", f"mimetype={mime}"]
    return [*words, f"-metadata:s:{number}", f"filename={name}"]


def _container_words(film: Film, container: str, codec: str, place: int) -> list[str]:
    words: list[str] = []
    if container in ("mp4", "mov"):
        flags = "+faststart"
        if not {key.lower() for key in film.metadata} <= _PLAIN_TAGS:
            flags += "+use_metadata_tags"
        words += ["-movflags", flags]
        if codec == "h265":
            words += [f"-tag:{place}", "hvc1"]  # players of Apple know no other
    if container in ("matroska", "webm"):
        # without the last, it gives itself and its tracks numbers at random: no two results would be equal
        words += ["-default_mode", "passthrough", "-fflags", "+bitexact"]
    return words


def make_gif(pictures: Path, target: Path, folder: Path) -> None:
    """Turn a lossless picture track into a GIF with the best colours for all of it, dithered.

    Raises StorageError and OutputError.
    """
    palette = folder / "palette.png"
    source = ["-i", f"file:{pictures}"]
    colours = "palettegen=stats_mode=full"
    try:
        # of a name with %d in it FFmpeg would make many; the options say that it is a name
        single = ["-frames:v", "1", "-f", "image2", "-update", "1", f"file:{palette}"]
        run_tool([*source, "-vf", colours, *single], palette)
        dither = "[0:v][1:v]paletteuse=dither=floyd_steinberg"
        read = ["-f", "image2", "-pattern_type", "none", "-i", f"file:{palette}"]
        words = [*source, *read, "-lavfi", dither, "-fps_mode", "passthrough"]
        run_tool([*words, "-enc_time_base", "1:100", "-loop", "0", "-f", "gif", f"file:{target}"], target)
    except ToolError as error:
        raise OutputError(f"{target.name} could not be put together (ffmpeg: {error}).") from None
