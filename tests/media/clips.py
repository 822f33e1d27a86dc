"""Small films of all kinds, made by ffmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from drsformer_cli.media.video_tool import ffmpeg

SIZE = "96x64"
SUBTITLES = "1\n00:00:00,100 --> 00:00:00,400\nrain\n\n2\n00:00:00,500 --> 00:00:00,900\nno rain\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\nartist=Nobody\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=first\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=second\n"
)


def run(*words: object) -> None:
    """Run ffmpeg; what it complains about is the error."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", "-v", "error", "-y", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def pattern(seconds: float = 1.0, rate: object = 25, size: str = SIZE, source: str = "testsrc2") -> list[str]:
    """Words that make ffmpeg draw moving pictures."""
    return ["-f", "lavfi", "-i", f"{source}=size={size}:rate={rate}:duration={seconds}"]


def tone(frequency: int = 440, seconds: float = 1.0) -> list[str]:
    """Words that make ffmpeg play a tone."""
    return ["-f", "lavfi", "-i", f"sine=frequency={frequency}:sample_rate=48000:duration={seconds}"]


X264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1"]


def film(path: Path, *words: object, **options: Any) -> Path:
    """Make a film of one picture track; `words` stand before its name."""
    run(*pattern(**options), *(words or X264), path)
    return path


def rotated(degrees: int, *flips: str) -> Callable[[Path], Path]:
    """Return a maker of a film whose display matrix turns it."""

    def make(path: Path) -> Path:
        plain = film(path.with_name(f"plain{path.suffix}"))
        run("-display_rotation", degrees, *flips, "-i", plain, "-c", "copy", path)
        return path

    return make


def with_words(*words: object, **options: Any) -> Callable[[Path], Path]:
    """Return a maker of a film with options of the encoder."""
    return lambda path: film(path, *words, **options)


def variable(path: Path) -> Path:
    """Make a film whose pictures follow each other at odd times."""
    times = "settb=1/90000,setpts='(N*40+mod(N*N*7,29))/1000/TB'"
    run(*pattern(rate=25), "-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "1:90000", *X264, path)
    return path


def crowded(path: Path) -> Path:
    """Make a film with two sound and two subtitle tracks, chapters, tags and dispositions."""
    folder = path.parent
    (folder / "words.srt").write_text(SUBTITLES)
    (folder / "chapters.txt").write_text(CHAPTERS)
    words = [*pattern(), *tone(440), *tone(880), "-i", folder / "words.srt", "-i", folder / "words.srt"]
    words += ["-i", folder / "chapters.txt", "-map", 0, "-map", 1, "-map", 3, "-map", 2, "-map", 4]
    words += ["-map_metadata", 5, "-map_chapters", 5, *X264, "-c:a", "aac", "-ac", 1]
    words += ["-c:s", "mov_text" if path.suffix in (".mp4", ".mov") else "srt"]
    words += ["-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng"]
    words += ["-metadata:s:s:0", "language=fra", "-disposition:a:1", "comment", "-disposition:s:1", "forced"]
    run(*words, path)
    return path


def attached(path: Path) -> Path:
    """Make a Matroska film with an attachment and cover art."""
    folder = path.parent
    crowded(folder / "crowded.mkv")
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 9)
    run(*pattern(0.04, size="32x32"), "-frames:v", 1, folder / "cover.png")
    words = ["-i", folder / "crowded.mkv", "-map", 0, "-c", "copy"]
    words += ["-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font"]
    words += ["-attach", folder / "cover.png", "-metadata:s:t:1", "mimetype=image/png"]
    run(*words, "-metadata:s:t:1", "filename=cover.png", path)
    return path


def covered(path: Path) -> Path:
    """Make an MP4 film with cover art."""
    folder = path.parent
    run(*pattern(0.04, size="32x32"), "-frames:v", 1, folder / "cover.jpg")
    plain = film(folder / f"plain{path.suffix}")
    run(
        "-i",
        plain,
        "-i",
        folder / "cover.jpg",
        "-map",
        0,
        "-map",
        1,
        "-c",
        "copy",
        "-disposition:v:1",
        "attached_pic",
        path,
    )
    return path


def cut_in(path: Path) -> Path:
    """Make a film that an edit list begins in the middle of a group of pictures."""
    long = path.with_name("long.mp4")
    run(*pattern(2), *tone(440, 2), *X264, "-bf", 2, "-g", 50, "-c:a", "aac", long)
    run("-ss", 0.5, "-i", long, "-c", "copy", path)
    return path


def delayed(path: Path) -> Path:
    """Make a film whose pictures begin later than its sound."""
    plain = film(path.with_name("plain.mp4"))
    run("-itsoffset", 0.52, "-i", plain, *tone(), "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac", path)
    return path


def piped(path: Path) -> Path:
    """Make a film whose file says nothing of its length, as a pipe leaves it."""
    words = [
        *pattern(),
        *tone(),
        "-c:v",
        "libvpx-vp9",
        "-cpu-used",
        8,
        "-deadline",
        "realtime",
        "-c:a",
        "libopus",
    ]
    command = [ffmpeg(), "-v", "error", *map(str, words), "-f", "webm", "-live", "1", "pipe:1"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


def fragmented(path: Path) -> Path:
    """Make an MP4 film in fragments."""
    flags = "frag_keyframe+empty_moov+default_base_moof"
    run(*pattern(), *tone(), *X264, "-g", 10, "-c:a", "aac", "-movflags", flags, path)
    return path


def with_sound(*words: object, **options: Any) -> Callable[[Path], Path]:
    """Return a maker of a film with sound."""

    def make(path: Path) -> Path:
        run(*pattern(**options), *tone(), *words, path)
        return path

    return make


def see_through(path: Path) -> Path:
    """Make a film with alpha."""
    words = ["-vf", "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='mod(X*4,256)'"]
    run(*pattern(0.6), *words, "-c:v", "libvpx-vp9", "-cpu-used", 8, "-auto-alt-ref", 0, path)
    return path


TAGS_709 = ("-vf", "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv")
TAGS_601 = ("-vf", "setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m")
TAGS_2020 = ("-vf", "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv")
X265 = ("-c:v", "libx265", "-preset", "ultrafast")
MASTERING = (
    "-x265-params",
    "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    ":max-cll=1000,400",
)

#: Name of the file, and how it is made.
CLIPS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": with_sound(*X264, "-c:a", "aac"),
    "variable.mp4": variable,
    "variable.mkv": variable,
    "rotated90.mp4": rotated(90),
    "rotated180.mov": rotated(180),
    "rotated270.mp4": rotated(270),
    "rotated90.mkv": rotated(90),
    "mirrored.mp4": rotated(0, "-display_hflip"),
    "upended.mp4": rotated(0, "-display_vflip"),
    "turned.mov": rotated(90, "-display_hflip"),
    "tens.mp4": with_words(*X264, "-pix_fmt", "yuv420p10le"),
    "tens422.mov": with_words(*X264, "-pix_fmt", "yuv422p10le"),
    "hevc10.mp4": with_words(*X265, "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none"),
    "twelve.mkv": with_words(*X265, "-pix_fmt", "yuv422p12le", "-x265-params", "log-level=none"),
    "full444.mp4": with_words(*X264, "-pix_fmt", "yuv444p"),
    "fullrange.mp4": with_words("-vf", "scale=out_range=pc", *X264, "-color_range", "pc"),
    "bt601.mp4": with_words(*X264, *TAGS_601),
    "bt709.mkv": with_words(*X264, *TAGS_709),
    "hdr.mp4": with_words(*X265, "-pix_fmt", "yuv420p10le", *TAGS_2020, *MASTERING),
    "grey.mp4": with_words(*X264, "-pix_fmt", "gray"),
    "topleft.mp4": with_words(*X264, "-chroma_sample_location", "topleft"),
    "bframes.mp4": with_sound(*X264, "-bf", "8", "-b_strategy", "2", "-c:a", "aac", seconds=2),
    "ntsc.mp4": with_words(*X264, rate="30000/1001"),
    "anamorphic.mp4": with_words("-vf", "setsar=16/11", *X264),
    "interlaced.mp4": with_words(
        "-vf", "tinterlace=interleave_top", *X264, "-flags", "+ildct+ilme", size="96x128"
    ),
    "editlist.mp4": cut_in,
    "delayed.mp4": delayed,
    "delayed.mkv": delayed,
    "crowded.mp4": crowded,
    "crowded.mov": crowded,
    "crowded.mkv": crowded,
    "attached.mkv": attached,
    "cover.mp4": covered,
    "noduration.webm": piped,
    "fragmented.mp4": fragmented,
    "timecode.mov": with_sound(*X264, "-timecode", "01:02:03:04", "-c:a", "pcm_s16le"),
    "odd.webm": with_words("-c:v", "libvpx-vp9", "-cpu-used", "8", size="97x61"),
    "alpha.webm": see_through,
    "prores.mov": with_words("-c:v", "prores_ks", "-profile:v", "hq"),
    "lossless.mkv": with_words("-c:v", "ffv1", "-pix_fmt", "yuv422p10le"),
    "opus.mkv": with_sound(*X264, "-c:a", "libopus"),
    "flac.mp4": with_sound(*X264, "-c:a", "flac"),
}


def shown(path: Path, track: int | None = None) -> list[Fraction]:
    """Return the times in seconds of a film's decoded pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if track is None else container.streams[track]
        stream.codec_context.thread_type = "SLICE"
        times = []
        for packet in container.demux(stream):
            try:
                times += [frame.pts * Fraction(stream.time_base) for frame in packet.decode()]
            except av.error.FFmpegError:
                continue
        return times


def pictures(path: Path, most: int = 10**6) -> list[NDArray[Any]]:
    """Return a film's decoded pictures as (H, W, 3) uint8, as stored."""
    with av.open(str(path)) as container:
        frames = []
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == most:
                break
        return frames


def raw(path: Path, *words: object) -> bytes:
    """Return a film's pictures as ffmpeg shows them, upright, as RGB bytes."""
    exactly = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
    kind = ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    command = [ffmpeg(), "-v", "error", "-i", path, *words, *exactly, *kind]
    return subprocess.run([str(word) for word in command], capture_output=True, check=True).stdout


def upright(path: Path, height: int, width: int, *words: object) -> NDArray[Any]:
    """Return (N, height, width, 3) of what ffmpeg shows."""
    return np.frombuffer(raw(path, *words), np.uint8).reshape(-1, height, width, 3)
