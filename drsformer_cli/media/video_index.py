"""The times of a film's pictures, read off its packets: nothing is decoded, so a long film takes seconds."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av

from drsformer_cli.media.video import Film
from drsformer_cli.media.video_tool import as_url, raise_fault


def times_of(film: Film, *, start: Fraction | None = None, end: Fraction | None = None) -> list[int] | None:
    """Return the timestamps of the pictures with start <= time < end, in seconds, as the packets have them.

    They are in the film's time base, in the order of showing. None where they do not tell: some are missing,
    equal or out of turn, or the file is damaged. What can be decoded may still be others: compare. Raises
    OSError if the file cannot be read.
    """
    times: list[int] = []
    latest: int | None = None
    with av.open(as_url(film.path), metadata_errors="replace") as container:
        try:
            for packet in container.demux(container.streams[film.track.index]):
                if not packet.size or packet.is_discard:
                    continue
                pts, dts = packet.pts, packet.dts
                if pts is None or (dts is not None and latest is not None and dts <= latest):
                    return None
                latest = dts
                times.append(pts)
        except av.error.FFmpegError as error:
            raise_fault(error, film.path)
            return None  # damaged
    origin = film.start or 0
    times.sort()
    if any(later == time for time, later in pairwise(times)):
        return None
    return [
        time
        for time in times
        if (start is None or time >= origin + start / film.time_base)
        and (end is None or time < origin + end / film.time_base)
    ]
