"""How restored pictures are encoded: the codec with its settings, chosen for a film and a container."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from drsformer_cli import machine
from drsformer_cli.errors import UnsupportedError, UsageError
from drsformer_cli.media.video import Film
from drsformer_cli.media.video_pixels import HD_LINES, Pixels

#: Pictures below this side do not come out of x264 alike each time unless its rate control keeps to itself.
_SMALL = 128
#: Threads of an encoder: the bytes of some depend on it, so it is the same everywhere.
THREADS = 4


@dataclass(frozen=True)
class Codec:
    """An encoder: its library, the containers that take it, and what `auto` means for it."""

    library: str
    containers: frozenset[str]
    crf: int | None = None
    most_crf: int = 51
    preset: str | None = None
    presets: tuple[str, ...] = ()
    alpha: bool = False
    even: bool = True


_X26X = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_MP4, _MOV, _MKV, _WEBM = "mp4", "mov", "matroska", "webm"
CODECS: dict[str, Codec] = {
    "h264": Codec("libx264", frozenset({_MP4, _MOV, _MKV}), 16, 51, "medium", _X26X),
    "h265": Codec("libx265", frozenset({_MP4, _MOV, _MKV}), 18, 51, "medium", _X26X),
    "vp9": Codec("libvpx-vp9", frozenset({_MP4, _MKV, _WEBM}), 18, 63, "2", tuple("012345"), True, False),
    "av1": Codec("libsvtav1", frozenset({_MP4, _MKV, _WEBM}), 18, 63, "6", tuple(map(str, range(14)))),
    "prores": Codec("prores_ks", frozenset({_MOV, _MKV}), alpha=True),
    "ffv1": Codec("ffv1", frozenset({_MKV}), alpha=True, even=False),
}
#: The encoder that stays nearest to what a source is in.
_NEAREST = {
    "h264": "h264",
    "hevc": "h265",
    "vp9": "vp9",
    "vp8": "vp9",
    "av1": "av1",
    "prores": "prores",
    "ffv1": "ffv1",
}
#: The container, as the muxer is called, by extension.
CONTAINERS = {".mp4": _MP4, ".m4v": _MP4, ".mov": _MOV, ".mkv": _MKV, ".webm": _WEBM, ".gif": "gif"}


@dataclass(frozen=True)
class Encoding:
    """A codec with all its settings; equal ones make equal bytes of equal pictures."""

    codec: str
    library: str
    pixels: str
    options: Mapping[str, str]
    colour: tuple[int, int, int, int]
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def vessel(self) -> str:
        """The container of segments: one that tells times of decoding, or else the one that holds alpha."""
        if self.codec == "prores":
            return "mov"
        return "matroska" if self.codec == "ffv1" or self.pixels.startswith("yuva") else "mp4"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {
            "codec": self.codec,
            "library": self.library,
            "pixels": self.pixels,
            "options": dict(self.options),
            "colour": list(self.colour),
        }


def container_of(path: Path) -> str:
    """Return the muxer for a result of this name. Raises UsageError for one that cannot be written."""
    kind = CONTAINERS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.name} cannot be written: give a name in .mp4, .mov, .mkv, .webm or .gif.")
    return kind


def choose(
    film: Film,
    pixels: Pixels,
    container: str,
    *,
    codec: str = "auto",
    crf: int | None = None,
    preset: str | None = None,
) -> Encoding:
    """Settle how the pictures are encoded for a container.

    Raises UsageError for what does not go together, UnsupportedError for what no encoder takes.
    """
    name = codec if codec != "auto" else _choose_codec(film, pixels, container)
    chosen = CODECS[name]
    if container != "gif" and container not in chosen.containers:
        fits = ", ".join(key for key, one in CODECS.items() if container in one.containers)
        raise UsageError(f"--codec {name} does not go into {container}: give {fits}, or another file name.")
    format, notes = _choose_pixels(film, pixels, name, container)
    options = _options(name, chosen, crf, preset)
    options.update(_picture_options(film, name, format, notes))
    if name == "vp9" and format.startswith("yuva"):
        options["auto-alt-ref"] = "0"
    encoding = Encoding(name, chosen.library, format, options, _colour(film, pixels, format), tuple(notes))
    _try(film, encoding)
    return encoding


def _try(film: Film, encoding: Encoding) -> None:
    """Raise UnsupportedError if the encoder does not take such pictures."""
    try:
        context: Any = av.CodecContext.create(encoding.library, "w")
        context.options = dict(encoding.options)
        prepare(context, film, encoding)
        with machine.ordinary_priority():
            context.open()
    except av.error.FFmpegError:
        raise UnsupportedError(
            f"{film.path}: {encoding.library} does not take {encoding.pixels} pictures of {film.width} x "
            f"{film.height}: choose another --codec."
        ) from None


def prepare(context: Any, film: Film, encoding: Encoding) -> None:
    """Tell an encoder (of PyAV) what comes."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 would tell its settings on standard error
    context.width, context.height, context.pix_fmt = film.width, film.height, encoding.pixels
    context.time_base = film.time_base
    if film.rate:
        context.framerate = film.rate
    context.thread_count = THREADS
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = encoding.colour


def _choose_codec(film: Film, pixels: Pixels, container: str) -> str:
    if container == "gif":
        return "ffv1"
    nearest = _NEAREST.get(film.track.codec, "h264")
    if container == _WEBM and nearest not in ("vp9", "av1"):
        return "vp9"
    if container not in CODECS[nearest].containers:
        nearest = "h264"
    if nearest == "av1" and "420" not in pixels.format:
        nearest = "h265"
    if nearest == "h264" and pixels.depth > 10:
        nearest = "h265"
    return nearest


def _choose_pixels(film: Film, pixels: Pixels, name: str, container: str) -> tuple[str, list[str]]:
    """Return the nearest pixel format that an encoder takes, and what it loses, in words."""
    chosen = CODECS[name]
    try:
        library = av.codec.Codec(chosen.library, "w")
    except av.error.FFmpegError:
        raise UsageError(
            f"--codec {name}: this build of PyAV has no {chosen.library}; choose another."
        ) from None
    # VP9 of RGB is shown by few
    taken = [one.name for one in library.video_formats or () if not (name == "vp9" and one.is_rgb)]
    notes: list[str] = []
    format = pixels.format
    alpha = len(av.VideoFormat(format).components) == 4
    if alpha and not (chosen.alpha and container not in (_MP4,)):
        format, alpha = format.replace("yuva", "yuv").replace("gbrap", "gbrp"), False
        notes.append(f"alpha dropped: {name} in this container has none")
    odd = chosen.even and (film.width % 2 or film.height % 2)
    if format in taken and not (odd and _halved(format)):
        return format, notes
    depth = pixels.depth
    for bits in [b for b in (8, 10, 12, 16) if b >= depth] + [b for b in (12, 10, 8) if b < depth]:
        for layout in _wider(format, alpha, container, gif=film.container == "gif"):
            candidate = layout if bits == 8 else f"{layout}{bits}le"
            if candidate in taken and not (odd and _halved(candidate)):
                if layout in ("bgra", "bgr0"):  # the same samples, packed
                    return candidate, notes
                what = f"{format} becomes {candidate}, which {name} can take"
                return candidate, [*notes, what + (f"; {depth} bits become {bits}" if bits < depth else "")]
    raise UnsupportedError(
        f"{film.path} has pictures of {film.pixels}, which {name} cannot take: choose another --codec."
    )


def _halved(format: str) -> bool:
    return any(kind in format for kind in ("420", "422", "440", "411", "410"))


def _wider(format: str, alpha: bool, container: str, *, gif: bool) -> list[str]:
    """Return 8-bit layouts that hold at least what a format has, the smallest first.

    `gif` tells that the film is one: few players show other than 4:2:0 of what was made of it.
    """
    a = "a" if alpha else ""
    if format.startswith("gray"):
        return ["gray", "yuv420p"]
    if format.startswith("gbr") and container == "gif":
        return ["bgra" if alpha else "bgr0", f"yuv{a}444p"]
    if format.startswith("gbr") and gif:
        return [f"yuv{a}420p", f"yuv{a}444p"]
    if format.startswith("gbr"):
        return ["gbrap" if alpha else "gbrp", f"yuv{a}444p", f"yuv{a}420p"]
    order = [f"yuv{a}{kind}p" for kind in ("420", "422", "440", "444")]
    for index, kind in enumerate(("420", "422", "440", "444")):
        if kind in format:
            return order[index:] + order[:index][::-1]
    return order[1:] + order[:1]  # 4:1:1 and 4:1:0


def check_options(name: str, crf: int | None, preset: str | None) -> None:
    """Raise UsageError for a quality or speed that a codec does not have."""
    chosen = CODECS[name]
    if crf is not None and chosen.crf is None:
        raise UsageError(f"--crf does not go with --codec {name}: leave it out.")
    if crf is not None and crf > chosen.most_crf:
        raise UsageError(f"--crf {crf} is too much for {name}: give a number from 0 to {chosen.most_crf}.")
    if preset is not None and preset not in chosen.presets:
        known = f"give one of {', '.join(chosen.presets)}" if chosen.presets else "leave it out"
        raise UsageError(f"--preset {preset} is not known to {name}: {known}.")


def _options(name: str, chosen: Codec, crf: int | None, preset: str | None) -> dict[str, str]:
    check_options(name, crf, preset)
    quality = str(chosen.crf if crf is None else crf)
    speed = preset or chosen.preset or ""
    if name in ("h264", "h265"):
        return {"crf": quality, "preset": speed}
    if name == "vp9":
        return {"crf": quality, "b": "0", "deadline": "good", "cpu-used": speed, "row-mt": "0"}
    if name == "av1":
        return {"crf": quality, "preset": speed}
    if name == "ffv1":
        return {"level": "3", "g": "1", "slicecrc": "1"}
    return {"profile": "auto", "vendor": "apl0"}


def _picture_options(film: Film, name: str, format: str, notes: list[str]) -> dict[str, str]:
    """Return options that tell the encoder, and the viewer, what the pictures are."""
    options: dict[str, str] = {}
    if film.aspect is not None:
        options["aspect"] = f"{film.aspect.numerator}/{film.aspect.denominator}"
    if film.colour.chroma and "420" in format:
        options["chroma_sample_location"] = film.colour.chroma
    extra = []
    if name == "h265":
        # one picture at a time, each on four threads at most: the same bytes on every machine
        extra += ["log-level=none", "frame-threads=1", f"pools={THREADS}", "open-gop=0"]
    if name == "h264" and min(film.width, film.height) < _SMALL:
        extra.append("mbtree=0")
    if film.fields:
        top = film.fields.startswith("top") or film.fields == "interlaced"
        notes.append("interlaced: both fields of a picture are restored together, as one picture")
        if name == "h264":
            options["flags"] = "+ildct+ilme"
            extra.append("tff=1" if top else "bff=1")
            options["field_order"] = "tt" if top else "bb"
        elif name in ("prores", "ffv1"):
            options["flags"] = "+ildct+ilme"
            options["field_order"] = "tt" if top else "bb"
        else:
            notes.append(f"interlaced: {name} stores the fields woven together and does not say so")
    if name in ("h264", "h265"):
        extra += _light_words(film, name)
        if extra:
            options["x264-params" if name == "h264" else "x265-params"] = ":".join(extra)
    elif film.light:
        notes.append(f"HDR mastering data dropped: they cannot be given to {name} here")
    if film.colour.hdr:
        notes.append("HDR: the values are restored in their own transfer curve, and stay tagged with it")
    return options


def _light_words(film: Film, name: str) -> list[str]:
    """Return HDR10's static metadata as options of x264 and x265."""
    words = []
    mastering = film.light.get("mastering")
    if mastering is not None and len(mastering) >= 88:
        numbers = struct.unpack("<20iii", mastering[:88])
        values = [
            Fraction(a, b) if b else Fraction(0)
            for a, b in zip(numbers[0:20:2], numbers[1:20:2], strict=True)
        ]
        r, g, b, white = (tuple(round(v * 50000) for v in values[i : i + 2]) for i in (0, 2, 4, 6))
        least, most = (round(v * 10000) for v in values[8:10])
        key = "mastering-display" if name == "h264" else "master-display"
        points = "".join(f"{label}({x},{y})" for label, (x, y) in zip("GBR", (g, b, r), strict=True))
        words.append(f"{key}={points}WP({white[0]},{white[1]})L({most},{least})")
    content = film.light.get("content")
    if content is not None and len(content) >= 8:
        most, mean = struct.unpack("<II", content[:8])
        words.append(f"{'cll' if name == 'h264' else 'max-cll'}={most},{mean}")
    return words


def _colour(film: Film, pixels: Pixels, format: str) -> tuple[int, int, int, int]:
    """Return primaries, transfer, matrix and range for the encoder."""
    colour = film.colour
    if pixels.rgb and not av.VideoFormat(format).is_rgb:
        return colour.primaries, colour.transfer, (1 if film.height >= HD_LINES else 6), 1
    return colour.primaries, colour.transfer, colour.matrix, colour.range
