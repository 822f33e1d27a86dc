"""The final film: the restored pictures, and all that goes with them, put together by ffmpeg."""

from __future__ import annotations

import math
from pathlib import Path

import av

from drsformer_cli.errors import OutputError
from drsformer_cli.media.video import Film, Track
from drsformer_cli.media.video_tool import ToolError, as_url, run_tool
from drsformer_cli.media.video_tracks import ATTACH, Company, Copy, Cut, maps, other_way, tried

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
        if copy.encoder == ATTACH or tried(film, company.container, [copy], stretch, folder):
            copies.append(copy)
            continue
        found = None
        if copy.encoder == "copy":
            found = other_way(film, company.container, copy.track, stretch, folder)
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
            words += maps([copy], number, 1)
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
