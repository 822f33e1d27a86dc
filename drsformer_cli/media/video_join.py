"""Segments joined into one picture track, with each picture's own timestamp, and nothing encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from drsformer_cli.errors import StorageError, UnreadableError
from drsformer_cli.media.video_tool import as_url


@dataclass(frozen=True)
class Part:
    """A finished segment: its file, its pictures' timestamps, and their numbers in the order of decoding."""

    path: Path
    times: Sequence[int]
    order: Sequence[int]


def join(parts: Sequence[Part], target: Path, *, vessel: str, time_base: Fraction, last: int) -> None:
    """Write the packets of all parts into one file with a single track, in the parts' own container.

    `last` is how long the last picture is shown. Raises StorageError if the disk is full.
    """
    try:
        _join(parts, target, vessel, time_base, last)
    except OSError as error:
        raise StorageError(
            f"{target} could not be written ({error.strerror or error}): make room, and run it again."
        ) from error


def _join(parts: Sequence[Part], target: Path, format: str, time_base: Fraction, last: int) -> None:
    times = [time for part in parts for time in part.times]
    dts = decoding_times(times, max(reorder_depth(part.order) for part in parts))
    options = {} if format == "matroska" else {"video_track_timescale": str(time_base.denominator)}
    with av.open(as_url(target), "w", format=format, options=options) as out:
        track: Any = None
        header: bytes | None = None
        first = 0
        for part in parts:
            with av.open(as_url(part.path)) as source:
                stream = source.streams.video[0]
                if stream.codec_context is None:
                    raise UnreadableError(f"{part.path} holds no pictures: delete its folder.")
                if track is None:
                    header = stream.codec_context.extradata
                    track = out.add_stream_from_template(stream, opaque=True)
                    track.time_base = time_base
                elif stream.codec_context.extradata != header:
                    raise UnreadableError(
                        f"{part.path} does not continue the segments before it: delete its folder."
                    )
                count = 0
                for index, packet in enumerate(_packets(source, stream)):
                    count += 1
                    shown = first + part.order[index]
                    following = times[shown + 1] if shown + 1 < len(times) else times[shown] + last
                    packet.time_base = time_base
                    packet.pts, packet.dts = times[shown], dts[first + index]
                    packet.duration = following - times[shown]
                    packet.stream = track
                    out.mux_one(packet)
                if count != len(part.order):
                    raise UnreadableError(f"{part.path} holds {count} of {len(part.order)} pictures.")
            first += len(part.times)


def _packets(source: Any, stream: Any) -> Iterator[Any]:
    for packet in source.demux(stream):
        if packet.size:
            yield packet


def reorder_depth(order: Sequence[int]) -> int:
    """Return by how many pictures decoding runs ahead of showing."""
    return max(0, max(index - number for index, number in enumerate(order)))


def decoding_times(times: Sequence[int], depth: int) -> list[int]:
    """Return strictly rising times of decoding, none later than the showing of the same packet."""
    step = times[1] - times[0] if len(times) > 1 else 1
    return [times[0] - (depth - index) * step for index in range(min(depth, len(times)))] + list(
        times[: max(0, len(times) - depth)]
    )
