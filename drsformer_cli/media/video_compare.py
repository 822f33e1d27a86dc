"""A finished film compared with its source, packet by packet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from drsformer_cli.errors import OutputError
from drsformer_cli.media.video import Film
from drsformer_cli.media.video_tool import as_url, raise_fault
from drsformer_cli.media.video_tracks import ATTACH, Company, Copy, Cut

#: Differences of timestamps that are none, in seconds: a tick of an ordinary time base, and one of Matroska.
_EXACT, _COARSE = Fraction(1, 90000), Fraction(1, 1000)
#: Packets that a stretch may have more or less than its times say, at both ends together.
_EDGES = 4
#: Containers whose packets carry headers that others leave out.
_STREAMS = ("mpegts", "mpeg")


@dataclass
class _Sum:
    """What the packets of a track add up to; `first` is the time of the first one, in seconds."""

    count: int = 0
    size: int = 0
    first: Fraction = Fraction(0)


def compare(film: Film, finished: Path, company: Company, cut: Cut, times: Sequence[Fraction]) -> list[str]:
    """Read a finished film and its source packet by packet; return in words what is not as it should be.

    `times` are those of the restored pictures, in seconds. Raises OutputError if pictures are missing.
    """
    arranged = company.arranged(film)
    before = arranged.index(None)
    there, shown = _packets_of(finished, before)
    shown.sort()
    if len(shown) != len(times):
        raise OutputError(f"{finished.name} came out with {len(shown)} pictures instead of {len(times)}.")
    shift = cut.start or Fraction(0)
    words = []
    worst = max(abs(time - shift - seen) for time, seen in zip(times, shown, strict=True))
    if worst > _EXACT:
        words.append(f"timestamps of pictures differ from the source by up to {float(worst) * 1000:.3f} ms")
    if not cut.whole:
        return words + _compare_cut(film, arranged, there, cut)
    here, _ = _packets_of(film.path)
    for number, copy in enumerate(arranged):
        if copy is None or copy.track.kind == "attachment" or copy.encoder == ATTACH:
            continue
        mine, theirs = there[number], here[copy.track.index]
        if copy.encoder == "copy" and (mine.count != theirs.count or not _as_large(film, copy, mine, theirs)):
            words.append(
                f"{copy.track.words}: {mine.count} of {theirs.count} packets, "
                f"{mine.size} of {theirs.size} bytes"
            )
        elif copy.encoder == "copy" and mine.count and abs(mine.first - theirs.first) > _COARSE:
            words.append(
                f"{copy.track.words} begins at {float(mine.first):.3f} s "
                f"instead of {float(theirs.first):.3f} s"
            )
    return words


def _compare_cut(
    film: Film, arranged: Sequence[Copy | None], there: Mapping[int, _Sum], cut: Cut
) -> list[str]:
    """Tell of sound that has other than the packets of the stretch; others begin where they can."""
    origin = (film.start or 0) * film.time_base
    begin = None if cut.start is None else origin + cut.start
    here, _ = _packets_of(film.path, begin=begin, end=None if cut.end is None else origin + cut.end)
    words = []
    for number, copy in enumerate(arranged):
        if copy is None or copy.encoder != "copy" or copy.track.kind != "audio":
            continue
        mine = there[number].count if number in there else 0
        theirs = here[copy.track.index].count if copy.track.index in here else 0
        if abs(mine - theirs) > _EDGES:
            words.append(f"{copy.track.words}: {mine} packets instead of {theirs}")
    return words


def compare_gif(finished: Path, pictures: int) -> list[str]:
    """Tell in words whether a GIF has other than so many pictures."""
    sums, _ = _packets_of(finished)
    return [] if sums[0].count == pictures else [f"{sums[0].count} pictures instead of {pictures}"]


def _as_large(film: Film, copy: Copy, mine: _Sum, theirs: _Sum) -> bool:
    """Tell whether packets have the bytes they had, but for what a stream needs and a file does not."""
    if film.container in _STREAMS and copy.track.codec == "aac":
        headers = theirs.size - mine.size  # of ADTS
        return headers == 0 or 7 * mine.count <= headers <= 9 * mine.count
    if film.container in _STREAMS and copy.track.kind == "video":
        return True  # start codes become lengths, and parameters move into the header
    return mine.size == theirs.size


def _packets_of(
    path: Path, track: int = -1, *, begin: Fraction | None = None, end: Fraction | None = None
) -> tuple[dict[int, _Sum], list[Fraction]]:
    """Return what the packets of each track add up to, as far as a file can be read; and one track's times.

    `begin` and `end` leave out what is before and behind, in seconds.
    """
    sums: dict[int, _Sum] = defaultdict(_Sum)
    times: list[Fraction] = []
    with av.open(as_url(path), metadata_errors="replace") as container:
        try:
            for packet in container.demux():
                if not packet.size:
                    continue
                stamp = packet.pts if packet.pts is not None else packet.dts or 0
                time = stamp * Fraction(packet.time_base)
                if (begin is not None and time < begin) or (end is not None and time >= end):
                    continue
                one = sums[packet.stream_index]
                if packet.stream_index == track:
                    times.append(time)
                if not one.count:
                    one.first = time
                one.count, one.size = one.count + 1, one.size + packet.size
        except av.error.FFmpegError as error:
            raise_fault(error, path)  # else it is the end of a source that is cut short
    return sums, times
