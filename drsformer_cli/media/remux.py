"""Everything of a film but its restored pictures: what is copied, converted or dropped, and the final file.

What a container takes is not looked up in a list but tried: ffmpeg writes a header with the track, and either
does so or does not.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from drsformer_cli.errors import OutputError
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
#: Differences of timestamps that are none, in seconds: a tick of an ordinary time base, and one of Matroska.
_EXACT, _COARSE = Fraction(1, 90000), Fraction(1, 1000)
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
    instead = _INSTEAD.get((track.kind, container))
    if instead is not None:
        encoder, options, words = instead
        copy = Copy(track, encoder, options)
        if _tried(film, container, [copy]):
            loss = ", without its styling" if track.codec in _STYLED else ""
            return copy, f"{track.words} becomes {words}{loss}: {name} does not hold it as it is"
    return None, f"{track.words} dropped: {name} does not hold it"


def _tried(film: Film, container: str, copies: Sequence[Copy]) -> bool:
    """Tell whether ffmpeg writes a file with these tracks."""
    with tempfile.TemporaryDirectory(prefix="derain-") as folder:
        place = Path(folder) / "trial"
        words = ["-t", "0.2", "-i", f"file:{film.path}", *_maps(copies, 0), "-f", container, f"file:{place}"]
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
    film: Film, pictures: Path, target: Path, company: Company, codec: str, cut: Cut, *, alpha: bool
) -> None:
    """Write the final film: the restored picture track, and all that goes with it, from the source.

    Raises StorageError if the disk is full, and OutputError if ffmpeg fails.
    """
    container, arranged = company.container, company.arranged(film)
    place = arranged.index(None)
    words = [*_display(film), "-i", f"file:{pictures}", *_stretch(cut), "-i", f"file:{film.path}"]
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
        words += ["-output_ts_offset", f"{-float(cut.start):.6f}", "-copypriorss", "0"]
    words += _container_words(film, container, codec, place)
    try:
        run_tool([*words, "-f", container, f"file:{target}"], target)
    except ToolError as error:
        raise OutputError(f"{target.name} could not be put together (ffmpeg: {error}).") from None


def _display(film: Film) -> list[str]:
    """Options of the restored track's file that give it the display matrix of the source."""
    mirrored, quarters = film.turn
    if film.matrix is None:
        return []
    # ffmpeg mirrors after it has turned
    words = ["-display_rotation", str((-90 if mirrored else 90) * quarters)]
    return words + (["-display_hflip"] if mirrored else [])


def _stretch(cut: Cut) -> list[str]:
    words = []
    if cut.start is not None:
        words += ["-ss", f"{float(cut.start):.6f}"]
    if cut.end is not None:
        words += ["-to", f"{float(cut.end):.6f}"]
    return words


def _disposition(track: Track) -> str:
    names = [flag.name for flag in av.stream.Disposition if track.disposition & flag.value and flag.name]
    return "+".join(names) or "0"


def _attach(film: Film, track: Track, number: int, folder: Path) -> list[str]:
    """Options that attach a cover picture, which is written out for that."""
    kind = {"mjpeg": "jpg"}.get(track.codec, track.codec)
    path = folder / f"cover{number}.{kind}"
    with av.open(str(film.path), metadata_errors="replace") as container:
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
        words += ["-default_mode", "passthrough"]
    return words


def make_gif(pictures: Path, target: Path, folder: Path) -> None:
    """Turn a lossless picture track into a GIF with the best colours for all of it, dithered.

    Raises StorageError and OutputError.
    """
    palette = folder / "palette.png"
    source = ["-i", f"file:{pictures}"]
    colours = "palettegen=stats_mode=full"
    try:
        run_tool([*source, "-vf", colours, "-frames:v", "1", "-f", "image2", f"file:{palette}"], palette)
        dither = "[0:v][1:v]paletteuse=dither=floyd_steinberg"
        words = [*source, "-i", f"file:{palette}", "-lavfi", dither, "-fps_mode", "passthrough"]
        run_tool([*words, "-enc_time_base", "1:100", "-loop", "0", "-f", "gif", f"file:{target}"], target)
    except ToolError as error:
        raise OutputError(f"{target.name} could not be put together (ffmpeg: {error}).") from None


def compare(film: Film, finished: Path, company: Company, cut: Cut, times: Sequence[Fraction]) -> list[str]:
    """Read a finished film and its source packet by packet; return in words what is not as it should be.

    `times` are those of the restored pictures, in seconds. Raises OutputError if pictures are missing.
    """
    arranged = company.arranged(film)
    before = arranged.index(None)
    there = _packets_of(finished)
    shown = sorted(time for time, _ in there[before])
    if len(shown) != len(times):
        raise OutputError(f"{finished.name} came out with {len(shown)} pictures instead of {len(times)}.")
    shift = cut.start or Fraction(0)
    words = []
    worst = max(abs(time - shift - seen) for time, seen in zip(times, shown, strict=True))
    if worst > _EXACT:
        words.append(f"timestamps of pictures differ from the source by up to {float(worst) * 1000:.3f} ms")
    if not cut.whole:
        return words
    here = _packets_of(film.path)
    for number, copy in enumerate(arranged):
        if copy is None or copy.track.kind == "attachment" or copy.encoder == ATTACH:
            continue
        mine, theirs = there.get(number, []), here.get(copy.track.index, [])
        if copy.encoder == "copy" and (len(mine) != len(theirs) or _bytes(mine) != _bytes(theirs)):
            words.append(
                f"{copy.track.words}: {len(mine)} of {len(theirs)} packets, "
                f"{_bytes(mine)} of {_bytes(theirs)} bytes"
            )
        elif copy.encoder == "copy" and mine and abs(mine[0][0] - theirs[0][0]) > _COARSE:
            words.append(
                f"{copy.track.words} begins at {float(mine[0][0]):.3f} s "
                f"instead of {float(theirs[0][0]):.3f} s"
            )
    return words


def _bytes(packets: Sequence[tuple[Fraction, int]]) -> int:
    return sum(size for _, size in packets)


def _packets_of(path: Path) -> dict[int, list[tuple[Fraction, int]]]:
    """Return (time in seconds, size) of each packet by track, as far as a file can be read."""
    packets: dict[int, list[tuple[Fraction, int]]] = defaultdict(list)
    with av.open(str(path), metadata_errors="replace") as container:
        try:
            for packet in container.demux():
                if packet.size:
                    time = packet.pts if packet.pts is not None else packet.dts or 0
                    packets[packet.stream_index].append((time * Fraction(packet.time_base), packet.size))
        except av.error.FFmpegError:
            pass  # the end of a source that is cut short
    return packets
