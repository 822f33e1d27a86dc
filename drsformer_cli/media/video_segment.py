"""One closed segment of restored pictures after the other, encoded in memory."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import Any

import av

from drsformer_cli import machine
from drsformer_cli.media.video import Film
from drsformer_cli.media.video_codec import Encoding, prepare

#: No encoder keeps more pictures back.
_MOST_KEPT_BACK = 64


class Segment:
    """Encodes pictures into one closed sequence in memory: a small file of its own.

    `order` becomes, for each packet in the order of decoding, the number of its picture in the segment.
    """

    def __init__(self, film: Film, encoding: Encoding) -> None:
        self._encoding = encoding
        self._buffer = BytesIO()
        self._file = av.open(self._buffer, "w", format=encoding.vessel)
        stream: Any = self._file.add_stream(encoding.library, options=dict(encoding.options))
        prepare(stream.codec_context, film, encoding)
        self._stream = stream
        self._numbers: dict[int, int] = {}
        self._first: int | None = None
        self.order: list[int] = []

    def add(self, frame: Any, pts: int) -> None:
        """Encode a planar picture that is shown at `pts`, in the film's time base."""
        encoding = self._encoding
        if frame.format.name != encoding.pixels:
            frame = reformatted(frame, encoding)
        self._first = pts if self._first is None else self._first
        frame.pts = pts - self._first
        frame.time_base = self._stream.codec_context.time_base
        self._numbers[frame.pts] = len(self._numbers)
        with machine.ordinary_priority():  # the first picture opens the encoder
            packets = self._stream.encode(frame)
        self._write(packets)

    def finish(self) -> bytes:
        """End the sequence; return the file."""
        self._write(self._stream.encode(None))
        self._file.close()
        return self._buffer.getvalue()

    def _write(self, packets: Any) -> None:
        for packet in packets:
            number = self._numbers[packet.pts]
            # counted, not timed: the times are given when all segments are joined
            packet.pts, packet.dts = number, len(self.order) - _MOST_KEPT_BACK
            packet.time_base = Fraction(1, 1000)
            packet.duration = 1
            self.order.append(number)
            self._file.mux(packet)


def reformatted(frame: Any, encoding: Encoding) -> Any:
    """Return a planar picture in the pixel format of the encoder: the same colours, of the same range."""
    if frame.format.is_rgb:
        rgb = av.VideoFormat(encoding.pixels).is_rgb
        there = "ITU709" if encoding.colour[2] == 1 else "ITU601"
        # the frame has no matrix of its own
        return frame.reformat(
            format=encoding.pixels,
            dst_colorspace=None if rgb else there,
            dst_color_range=None if rgb else "MPEG",
            interpolation="BICUBIC",
        )
    # any matrix and range will do if they are the same on both sides; grey is of full range to the scaler
    full = encoding.colour[3] == 2 or len(frame.format.components) == 1
    frame.colorspace, frame.color_range = 5, 2 if full else 1
    return frame.reformat(
        format=encoding.pixels,
        src_colorspace="ITU601",
        dst_colorspace="ITU601",
        src_color_range="JPEG" if full else "MPEG",
        dst_color_range="JPEG" if full else "MPEG",
        interpolation="BICUBIC",
    )
