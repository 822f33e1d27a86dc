"""The pictures of a film one after the other, each with its own timestamp, from any of them on."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from drsformer_cli.errors import UnreadableError
from drsformer_cli.media.video import Film, end_tag, open_decoder
from drsformer_cli.media.video_pixels import Pixels, plane_of
from drsformer_cli.media.video_tool import as_url, raise_fault

#: How far before the place to go on from reading begins, in pictures, so that the decoder has all it needs.
RUN_UP = 64
#: Pictures that must be found again, equal byte for byte, before the ones behind them are believed.
PROOF = 16
DIGEST_BYTES = 8
#: Seconds by which a file may end before its time without a word.
SLACK = Fraction(1, 10)


@dataclass(frozen=True)
class Known:
    """A picture that was seen before; `digest` is empty where its time alone is known."""

    pts: int
    digest: str = ""

    def is_(self, pts: int | None, digest: str) -> bool:
        """Tell whether a picture may be this one."""
        return self.pts == pts and self.digest in ("", digest)


@dataclass
class Shot:
    """One decoded picture.

    Attributes:
        index: its number within what is restored, from 0.
        pts, duration: in the film's time base; the duration is 0 if nobody says.
        frame: the picture in planar samples.
        digest: of its samples.
        lost: packets before it that could not be decoded.
        damaged: whether the decoder had to guess parts of it.
        mended: whether its timestamp had to be made up, for want of one that rises.
        repeated: whether its samples are those of the picture before.
    """

    index: int
    pts: int
    duration: int
    frame: Any
    digest: str
    lost: int
    damaged: bool
    mended: bool
    repeated: bool = False


@dataclass
class Ending:
    """How the reading of a film ended; filled in when it has.

    Attributes:
        lost: packets behind the last picture that could not be decoded.
        early: whether the file ends before it says it does, or cannot be read to its end.
        even: whether pictures follow each other at a constant rate for a time that is known: then their
            number is.
        count: how many pictures there were in all; None until the end is reached.
    """

    lost: int = 0
    early: bool = False
    even: bool = False
    count: int | None = None

    def notes(self, pictures: int, lost: int, expected: int | None) -> list[str]:
        """Return in words what is missing, of `expected` pictures, where `pictures` were found."""
        of = f": {pictures} of about {expected} pictures" if expected and expected > pictures else ""
        if self.early:
            return [f"the source ends early{of}"]
        if self.even and expected and pictures + lost < expected - max(2, expected // 50):
            return [f"the source is damaged on the way{of}"]
        return []


class ChangedError(Exception):
    """The film does not show again the pictures that were seen in it."""


class _NotFoundError(Exception):
    """The pictures behind a seek are not those known."""


def shots(
    film: Film,
    pixels: Pixels,
    *,
    start: Fraction | None = None,
    end: Fraction | None = None,
    known: Sequence[Known] = (),
    count: int = 0,
    ending: Ending | None = None,
    only_there: bool = False,
) -> Generator[Shot, None, None]:
    """Yield the pictures with start <= time < end, in seconds, in the order they are shown.

    After an interruption: `count` pictures were seen before, `known` are the last of them (at least `PROOF`,
    or all), and those behind them are yielded. `ending` is filled in at the end. Raises ChangedError if the
    known ones are not found (with `only_there`: not found without reading a long film from its beginning),
    UnreadableError if nothing can be decoded, OSError if the file cannot be read.
    """
    ending = Ending() if ending is None else ending
    reader = _Reader(film, pixels, start, end, ending)
    if count > 2 * RUN_UP:
        try:
            yield from reader.resumed(known, count)
            ending.count = reader.index
            return
        except _NotFoundError:
            if only_there:
                raise ChangedError from None
            # some films cannot be entered in the middle: read them from their beginning
            reader = _Reader(film, pixels, start, end, ending)
    for shot in reader.all():
        if shot.index < count:
            place = shot.index - (count - len(known))
            if place >= 0 and not known[place].is_(shot.pts, shot.digest):
                raise ChangedError
        else:
            yield shot
    if reader.index < count:
        raise ChangedError
    ending.count = reader.index


class _Reader:
    """Decodes once through a film."""

    def __init__(
        self, film: Film, pixels: Pixels, start: Fraction | None, end: Fraction | None, ending: Ending
    ) -> None:
        self.film, self._pixels, self._ending = film, pixels, ending
        self.index = 0
        self._origin = film.start or 0
        self._first = None if start is None else self._origin + start / film.time_base
        self._last = None if end is None else self._origin + end / film.time_base
        self._previous: int | None = None
        self._digest = ""
        self._step = max(1, round(1 / (film.rate * film.time_base))) if film.rate else 1

    def all(self) -> Iterator[Shot]:
        """Yield all pictures of the stretch."""
        for frame, lost, damaged in self._frames(None):
            shot = self._shot(frame, lost, damaged)
            if shot is None:
                return
            if shot.index >= 0:
                yield shot

    def resumed(self, known: Sequence[Known], count: int) -> Iterator[Shot]:
        """Yield what follows the known pictures. Raises _NotFoundError before the first if that cannot be."""
        proof = list(known[-PROOF:])
        target = known[max(0, len(known) - RUN_UP)].pts
        waiting = True
        for frame, lost, damaged in self._frames(target):
            if waiting and (frame.pts is None or frame.pts > proof[0].pts):
                raise _NotFoundError
            if waiting and frame.pts < proof[0].pts:
                continue
            waiting = False
            if proof:
                self._digest = digest_of(self._pixels.planar(frame))
                if not proof.pop(0).is_(frame.pts, self._digest):
                    raise _NotFoundError
                self._previous, self.index = frame.pts, count
                continue
            shot = self._shot(frame, lost, damaged)
            if shot is None:
                return
            yield shot
        if proof:
            raise _NotFoundError

    def _shot(self, frame: Any, lost: int, damaged: bool) -> Shot | None:
        """Number a picture; index -1 if it lies before the stretch, None if behind its end."""
        pts, mended = frame.pts, False
        if pts is None or (self._previous is not None and pts <= self._previous):
            mended = True
            if self._previous is None:
                pts = self._origin
            else:
                pts = self._previous + (self._step if pts is None else 1)
        self._previous = pts
        if self._last is not None and pts >= self._last:
            return None
        duration = int(frame.duration or 0)
        if self._first is not None and pts < self._first:
            return Shot(-1, pts, duration, frame, "", lost, damaged, mended)
        self.index += 1
        planar = self._pixels.planar(frame)
        before, self._digest = self._digest, digest_of(planar)
        repeated = before == self._digest
        return Shot(self.index - 1, pts, duration, planar, self._digest, lost, damaged, mended, repeated)

    def _frames(self, target: int | None) -> Iterator[tuple[Any, int, bool]]:
        """Yield (picture, packets lost before it, whether it is damaged), from a timestamp or the first."""
        film, lost, any_seen = self.film, 0, False
        with av.open(as_url(film.path), metadata_errors="replace") as container:
            stream = container.streams[film.track.index]
            decoder = open_decoder(stream)
            if target is not None:
                try:
                    container.seek(target, stream=stream)
                except av.error.FFmpegError:
                    raise _NotFoundError from None
            elif self._first is not None and self._first > self._origin:
                self._seek_start(container, stream)
            for packet in _packets(film, container, stream, self._ending):
                try:
                    frames = decoder.decode(packet)
                except av.error.FFmpegError:
                    lost += 1
                    continue
                for frame in frames:
                    if (frame.width, frame.height) != (film.width, film.height):
                        raise UnreadableError(
                            f"{film.path} changes its size to {frame.width} x {frame.height} on the way: "
                            "cut it there first (--end)."
                        )
                    any_seen = True
                    yield frame, lost, bool(frame.is_corrupt)
                    lost = 0
        self._ending.lost = lost
        if not any_seen and target is None:
            raise UnreadableError(f"{film.path} is damaged: no picture of it can be decoded.")

    def _seek_start(self, container: Any, stream: Any) -> None:
        """Go to a key picture well before the stretch, if the film can be entered in the middle."""
        assert self._first is not None
        early = self._first - 2 / self.film.time_base
        if early > self._origin:
            try:
                container.seek(int(early), stream=stream)
            except av.error.FFmpegError:
                container.seek(self._origin, stream=stream)


def _packets(film: Film, container: Any, stream: Any, ending: Ending) -> Iterator[Any]:
    """Yield the packets of a stream, as far as the file can be read, and None at the end."""
    latest: dict[int, Fraction] = {}
    try:
        for packet in container.demux():
            if packet.size:
                number, time = packet.stream_index, packet.pts if packet.pts is not None else packet.dts
                if time is not None:
                    end = (time + (packet.duration or 0)) * Fraction(packet.time_base)
                    latest[number] = max(end, latest.get(number, end))
                if number == stream.index:
                    yield packet
    except av.error.FFmpegError as error:
        raise_fault(error, film.path)
        ending.early = True  # damaged: what came before is whole
    own = end_tag(stream)
    ending.even = own is not None and bool(stream.base_rate) and stream.base_rate == stream.average_rate
    if stream.duration:
        own = ((stream.start_time or 0) + stream.duration) * Fraction(stream.time_base)
    seen = latest.get(stream.index)
    if own is None and container.duration:  # of the longest track
        own = Fraction((container.start_time or 0) + container.duration, av.time_base)
        seen = max(latest.values(), default=None)
    if own is not None and seen is not None:
        step = 1 / film.rate if film.rate else Fraction(0)
        ending.early = ending.early or seen + 3 * step + SLACK < own
    yield None


def digest_of(frame: Any) -> str:
    """Return a digest of a planar picture's samples, padding left out."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for index in range(len(frame.planes)):
        digest.update(np.ascontiguousarray(plane_of(frame, index)).data)
    return digest.hexdigest()
