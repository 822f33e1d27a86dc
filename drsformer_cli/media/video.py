"""What a film is: its tracks, its pictures' geometry, colour and timing, read before any work is done."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.video_tool import as_url, ffmpeg

#: What is taken for a film when a folder is searched.
FILM_EXTENSIONS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".avi", ".ts", ".mts", ".m2ts"),
        *(".wmv", ".flv", ".mpg", ".mpeg", ".ogv", ".3gp", ".mxf"),
    )
)
#: Demuxers of single pictures, by the end of their names.
_STILL = ("_pipe", "image2", "ico", "apng")
#: Brands of pictures in the boxes of MP4; those of their sequences are not among them.
_STILL_BRANDS = frozenset({"avif", "mif1", "miaf", "heic", "heix", "heim", "heis"})
_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
_DEFINITE = ("top first", "bottom first", "top coded first (swapped)", "bottom coded first (swapped)")
_CHROMA = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_LISTS = {"hls", "concat", "dash", "sdp", "imf", "rtsp", "concatf"}  # a film must not draw in other files
PROBED_PACKETS = 400  # within which the first picture must be found


@dataclass(frozen=True)
class Track:
    """One stream of a file. `kind` is video, audio, subtitle, data or attachment; `cover` a still picture."""

    index: int
    kind: str
    codec: str
    language: str = ""
    cover: bool = False
    disposition: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How the track is called in messages."""
        kind = "cover art" if self.cover else {"video": "picture"}.get(self.kind, self.kind)
        known = ", ".join(part for part in (self.codec, self.language) if part and part != "und")
        return f"{kind} track {self.index}" + (f" ({known})" if known else "")


@dataclass(frozen=True)
class Colour:
    """Numbers of ITU-T H.273 as the stream has them: 2 is unspecified; `range` 1 is limited, 2 is full.

    `chroma` says where chroma samples lie: left, center, topleft and so on; empty if the stream does not.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    chroma: str = ""

    @property
    def hdr(self) -> bool:
        """Tell whether the values are of a high dynamic range (PQ or HLG)."""
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class Film:
    """A file with moving pictures.

    Attributes:
        track: the picture track that is restored; the others are copied.
        width, height: as stored, in samples.
        pixels: the decoder's pixel format, such as yuv420p10le.
        matrix: the nine numbers of the display matrix; None if the pictures are shown as stored.
        turn: (mirrored, quarter turns counter-clockwise) that make the stored pictures upright.
        aspect: width of a sample by its height; None if unspecified.
        fields: how interlaced fields are stored, empty for progressive film.
        light: side data of HDR film: its raw bytes by kind.
        chapters: how many there are.
        ahead: seconds from the container's beginning to that of the picture track.
        frames: how many there seem to be; None if nothing says so.
        cautions: what the reading of the file left open, in words.
    """

    path: Path
    container: str
    tracks: tuple[Track, ...]
    track: Track
    width: int
    height: int
    pixels: str
    alpha: bool
    time_base: Fraction
    start: int | None
    rate: Fraction | None
    seconds: float | None
    frames: int | None
    matrix: tuple[int, ...] | None
    turn: tuple[bool, int]
    aspect: Fraction | None
    colour: Colour
    fields: str
    light: Mapping[str, bytes]
    metadata: Mapping[str, str]
    chapters: int = 0
    ahead: Fraction = Fraction(0)
    cautions: tuple[str, ...] = ()

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width of the pictures as they are shown."""
        return (self.width, self.height) if self.turn[1] % 2 else (self.height, self.width)

    @property
    def extension(self) -> str:
        """The file's extension in small letters."""
        return self.path.suffix.lower()


def probe(path: Path) -> Film:
    """Read what a film is, up to its first picture.

    Raises UnreadableError for what is empty, damaged from the beginning or no film, UnsupportedError for
    sound alone, a single picture, or an encrypted film; OSError if it cannot be opened.
    """
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes).")
    try:
        with av.open(as_url(path), metadata_errors="replace") as container:
            return _read(path, container)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno and error.errno > 0:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise UnreadableError(
            f"{path} is no film, or is damaged from its beginning ({error.strerror})."
        ) from None
    except UnicodeDecodeError:
        raise UnreadableError(f"{path} is damaged: what it says of itself is no text.") from None


def pixels_of(path: Path) -> int:
    """Return the pixels of all pictures of a film, about, as its head tells them; 0 if it does not.

    Raises UnreadableError for what is no film, and OSError if it cannot be opened.
    """
    try:
        with av.open(as_url(path), metadata_errors="replace") as container:
            streams = [stream for stream in container.streams.video if stream.codec_context is not None]
            if not streams:
                return 0
            stream = streams[0]
            seconds, rate = _seconds(container, stream), stream.average_rate
            frames = stream.frames or (round(seconds * rate) if seconds and rate else 0)
            return int(frames * stream.codec_context.width * stream.codec_context.height)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno and error.errno > 0:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise UnreadableError(f"{path} is no film ({error.strerror}).") from None


def _read(path: Path, container: Any) -> Film:
    if container.format.name in _LISTS:
        raise UnsupportedError(f"{path} holds no pictures but the names of other files: give those.")
    tracks = tuple(_track(stream) for stream in container.streams)
    brand = container.metadata.get("major_brand", "").strip()
    if container.format.name.endswith(_STILL) or brand in _STILL_BRANDS:
        raise UnsupportedError(f"{path} is a single picture: give it to derain without the word video.")
    pictures = [track for track in tracks if track.kind == "video" and not track.cover]
    if not pictures:
        what = "sound only" if any(track.kind == "audio" for track in tracks) else "no pictures"
        raise UnsupportedError(f"{path} holds {what}, no film to restore.")
    track = next((one for one in pictures if one.disposition & 1), pictures[0])
    stream = container.streams[track.index]
    tag = _tag(stream)
    if tag in ("encv", "drmi") or _is_encrypted(path, track.index):
        raise UnsupportedError(f"{path} is encrypted: decrypt it first.")
    if stream.codec_context is None:
        raise UnsupportedError(f"{path} has pictures in a codec that is not known here ({tag or 'no name'}).")
    frame = first_frame(container, stream)
    if frame is None:
        raise UnreadableError(f"{path} is damaged: none of its first pictures can be decoded.")
    matrix = _matrix(frame)
    told = _told_by_tool(path, track.index)
    fields = told.get("fields") or ("interlaced" if frame.interlaced_frame else "")
    seconds = _seconds(container, stream)
    rate = stream.average_rate or stream.guessed_rate
    layout = frame.format
    return Film(
        path=path,
        container=container.format.name,
        tracks=tracks,
        track=track,
        width=frame.width,
        height=frame.height,
        pixels=layout.name,
        alpha=any(component.is_alpha for component in layout.components) or layout.has_palette,
        time_base=stream.time_base,
        start=stream.start_time,
        rate=rate,
        seconds=seconds,
        frames=stream.frames or (round(seconds * rate) if seconds and rate else None),
        matrix=matrix,
        turn=orientation(matrix),
        aspect=stream.codec_context.sample_aspect_ratio or None,
        colour=_colour(stream.codec_context, frame, told.get("chroma", "")),
        fields=fields,
        light=_light(frame),
        metadata=dict(container.metadata),
        chapters=len(container.chapters()),
        ahead=_ahead(container, stream),
        cautions=tuple(_cautions(frame, matrix)),
    )


def _track(stream: Any) -> Track:
    disposition = int(stream.disposition.value)
    context = stream.codec_context
    name = stream.type
    # a decoder is called otherwise than what it decodes: mp3float, libdav1d
    codec = context.codec.canonical_name if context is not None else _tag(stream)
    return Track(
        index=stream.index,
        kind=name,
        codec=codec,
        language=stream.metadata.get("language", ""),
        cover=bool(disposition & av.stream.Disposition.attached_pic.value),
        disposition=disposition,
        metadata=dict(stream.metadata),
    )


def _tag(stream: Any) -> str:
    try:
        return str(stream.codec_tag).rstrip("\x00 ")
    except (AttributeError, UnicodeDecodeError):
        return ""


def open_decoder(stream: Any) -> Any:
    """Return a decoder for a stream's packets, on one thread: damage then decodes alike on every machine.

    Alpha of VP8 and VP9 is decoded by libvpx alone.
    """
    context = stream.codec_context
    name = _ALPHA_DECODERS.get(context.name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if name is not None and tags.get("alpha_mode") == "1":
        context = av.CodecContext.create(name, "r")
    context.thread_count = 1  # the network is far slower than any decoder
    return context


def first_frame(container: Any, stream: Any) -> Any:
    """Return the first picture that can be decoded; None if there is none near the beginning."""
    decoder = open_decoder(stream)
    for count, packet in enumerate(container.demux(stream)):
        try:
            for frame in decoder.decode(packet if packet.size else None):
                return frame
        except av.error.FFmpegError:  # damage at the beginning: the next picture may be whole
            pass
        if count > PROBED_PACKETS or not packet.size:
            break
    return None


def _is_encrypted(path: Path, index: int) -> bool:
    """Tell whether the packets of a track say that they are encrypted."""
    with av.open(as_url(path), metadata_errors="replace") as container:
        try:
            packet = next(container.demux(container.streams[index]))
        except av.error.FFmpegError:  # damaged at its beginning; decoding will tell
            return False
        return bool(packet.has_sidedata("encryption_info") or packet.has_sidedata("encryption_init_info"))


def _seconds(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    end = end_tag(stream)
    if end is not None:  # the container's is that of the longest track
        return max(0.0, float(end - (stream.start_time or 0) * stream.time_base)) or None
    return container.duration / av.time_base if container.duration else None


def _ahead(container: Any, stream: Any) -> Fraction:
    if container.start_time is None:
        return Fraction(0)
    begin = (stream.start_time or 0) * Fraction(stream.time_base)
    return max(Fraction(0), begin - Fraction(container.start_time, av.time_base))


def end_tag(stream: Any) -> Fraction | None:
    """Return the time in seconds at which a track ends, as Matroska notes it; None if it does not."""
    text = stream.metadata.get("DURATION", "")
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return None


def _matrix(frame: Any) -> tuple[int, ...] | None:
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            values = tuple(int(value) for value in np.frombuffer(bytes(side), np.int32))
            return None if values == _UPRIGHT else values
    return None


def orientation(matrix: tuple[int, ...] | None) -> tuple[bool, int]:
    """Return (mirrored, quarter turns counter-clockwise): first mirror left to right, then turn.

    Turns that are no quarters are taken for none: pictures that are not on their side stay as they are.
    """
    if matrix is None:
        return False, 0
    a, b, c, d = (np.sign(matrix[i]) if abs(matrix[i]) > 1 << 15 else 0 for i in (0, 1, 3, 4))
    known = {
        (1, 0, 0, 1): (False, 0),
        (0, -1, 1, 0): (False, 1),
        (-1, 0, 0, -1): (False, 2),
        (0, 1, -1, 0): (False, 3),
        (-1, 0, 0, 1): (True, 0),
        (0, 1, 1, 0): (True, 1),
        (1, 0, 0, -1): (True, 2),
        (0, -1, -1, 0): (True, 3),
    }
    return known.get((int(a), int(b), int(c), int(d)), (False, 0))


def _colour(context: Any, frame: Any, chroma: str) -> Colour:
    full = (
        int(context.color_range) == 2 or int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    )
    return Colour(
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
        matrix=int(context.colorspace),
        range=2 if full else int(context.color_range) or int(frame.color_range),
        chroma=chroma,
    )


def _light(frame: Any) -> dict[str, bytes]:
    kinds = {"MASTERING_DISPLAY_METADATA": "mastering", "CONTENT_LIGHT_LEVEL": "content"}
    return {kinds[side.type.name]: bytes(side) for side in frame.side_data if side.type.name in kinds}


def _cautions(frame: Any, matrix: tuple[int, ...] | None) -> Iterator[str]:
    names = {side.type.name for side in frame.side_data}
    if names & {"DOVI_RPU_BUFFER", "DOVI_METADATA"}:
        yield "Dolby Vision's own data dropped: they describe the pictures before restoration"
    if "DYNAMIC_HDR_PLUS" in names:
        yield "HDR10+ dynamic data dropped: they describe the pictures before restoration"
    if "A53_CC" in names:
        yield "closed captions inside the pictures (CEA-608/708) dropped"
    if matrix is not None and orientation(matrix) == (False, 0):
        yield "a rotation that is no quarter turn: the pictures are restored as they are stored"


def _told_by_tool(path: Path, index: int) -> dict[str, str]:
    """Return the field order and chroma location of a track, which the library does not tell, from ffmpeg."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", "-v", "verbose", "-i", f"file:{path}"]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stderr.decode("utf-8", "replace")
    line = re.search(rf"^\s*Stream #0:{index}\D.*?: Video: (.*)$", text, re.MULTILINE)
    told: dict[str, str] = {}
    for group in re.findall(r"\(([^()]*(?:\(swapped\))?[^()]*)\)", line[1]) if line else ():
        for word in (part.strip() for part in group.split(",")):
            if word in _DEFINITE:
                told["fields"] = word
            elif word in _CHROMA:
                told["chroma"] = word
    return told
