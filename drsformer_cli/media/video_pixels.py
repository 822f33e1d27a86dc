"""From a stored film picture to upright RGB, and a restoration back into the stored samples.

What comes back is the difference alone: YUV = stored YUV + M (restored - RGB). Samples that the model leaves
alone stay as they were bit for bit, colours beyond RGB's cube are not cut, and chroma is not blurred by a
trip through RGB.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.media.video import Film

Array = NDArray[Any]

#: Weights of red and blue in luma, and the scaler's name, by the number of a matrix in ITU-T H.273.
_MATRICES = {
    1: (0.2126, 0.0722, "bt709"),
    4: (0.30, 0.11, "fcc"),
    5: (0.299, 0.114, "bt470bg"),
    6: (0.299, 0.114, "smpte170m"),
    7: (0.212, 0.087, "smpte240m"),
    9: (0.2627, 0.0593, "bt2020"),
    10: (0.2627, 0.0593, "bt2020"),  # of constant luminance: near enough for differences
}
_REFUSED = {8: "YCgCo", 11: "Y'D'zD'x", 13: "chromaticity-derived", 14: "ICtCp"}
#: Lines of a picture from which unspecified colour is taken for that of HDTV.
HD_LINES = 720
#: Planar formats of the same samples, for packed ones. Palettes become their colours.
_PLANAR = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p410le": "yuv444p10le",
    "y210le": "yuv422p10le",
    "pal8": "gbrap",
    "ya8": "gbrap",
    "ya16le": "gbrap16le",
    "gray": "gray",
    "monob": "gray",
    "monow": "gray",
}
_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
#: Taps that bring chroma to half its resolution: samples lie on every second pixel, or between two.
_COSITED, _BETWEEN = np.array([0.25, 0.5, 0.25], np.float32), np.array([0.5, 0.5], np.float32)


def planar_format(pixels: str) -> str:
    """Return the planar format whose samples hold a pixel format's without loss."""
    name = pixels.replace("yuvj", "yuv")
    if name in _PLANAR:
        return _PLANAR[name]
    layout = av.VideoFormat(name)
    depth = max(component.bits for component in layout.components)
    alpha = any(component.is_alpha for component in layout.components)
    if layout.is_rgb:
        planar = name.startswith("gbr") and "p" in name and not name.endswith("be")
        return name if planar else ("gbrap" if alpha else "gbrp") + ("16le" if depth > 8 else "")
    return name[:-2] + "le" if name.endswith("be") else name


class Pixels:
    """The way of a film's pictures to RGB and back. Not for several threads at once in one direction.

    Attributes:
        format: the planar pixel format that `back` returns.
        depth: bits of a sample.
        notes: what was taken for granted about colour, in words.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        self.format = planar_format(film.pixels)
        layout = av.VideoFormat(self.format, film.width, film.height)
        self.depth = max(component.bits for component in layout.components)
        if "f32" in film.pixels or "f16" in film.pixels or layout.is_bit_stream or self.depth > 16:
            raise UnsupportedError(f"{film.path} has pictures of {film.pixels}, which cannot be kept.")
        self.rgb, self.grey = layout.is_rgb, len(layout.components) <= 2 and not layout.is_rgb
        self._wide = self.depth > 8
        self.notes: list[str] = []
        self._kr, self._kb, self._name = self._choose_matrix()
        self._full = film.colour.range == 2 or self.rgb
        if not (self.rgb or self.grey):
            chroma = layout.components[1]
            self._half = (2 * chroma.height <= film.height + 1, 2 * chroma.width <= film.width + 1)
            self._quarter = 4 * chroma.width <= film.width + 3
            self._towards = self._difference_matrix()
            self._to_wide = self._matrix_to_wide()
        self._graph: Any = None

    def __reduce__(self) -> tuple[type[Pixels], tuple[Film]]:
        """Travel to another process as the film, of which all follows."""
        return Pixels, (self.film,)

    def _choose_matrix(self) -> tuple[float, float, str]:
        number, film = self.film.colour.matrix, self.film
        if self.rgb or self.grey:
            return _MATRICES[1]
        if number in _REFUSED:
            raise UnsupportedError(
                f"{film.path} has its colours as {_REFUSED[number]}, which cannot be turned into RGB: "
                "convert it first."
            )
        if number not in _MATRICES:
            hd = max(film.height, film.width * 9 // 16) >= HD_LINES
            self.notes.append(
                f"colour matrix unspecified: taken for BT.{709 if hd else 601}, and left unspecified"
            )
            return _MATRICES[1 if hd else 6]
        return _MATRICES[number]

    def _matrix_to_wide(self) -> Array:
        """Return (3, 4) from 16-bit Y, Cb, Cr of the film's range to 16-bit RGB."""
        kr, kb = self._kr, self._kb
        kg = 1 - kr - kb
        rows = np.array(
            [
                [1, 0, 2 * (1 - kr)],
                [1, -2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg],
                [1, 2 * (1 - kb), 0],
            ]
        )
        step = 1 << 8
        spans = np.array([65535.0] * 3 if self._full else [219 * step, 224 * step, 224 * step])
        zeros = np.array([0 if self._full else 16 * step, 128 * step, 128 * step])
        scaled = rows * (65535 / spans)
        return np.column_stack([scaled, -scaled @ zeros]).astype(np.float32)

    def _difference_matrix(self) -> Array:
        """Return (3, 3) from differences of RGB, in its levels, to those of Y, Cb and Cr in the film's."""
        kr, kb = self._kr, self._kb
        luma = np.array([kr, 1 - kr - kb, kb])
        rows = np.stack(
            [
                luma,
                (np.array([0, 0, 1]) - luma) / (2 * (1 - kb)),
                (np.array([1, 0, 0]) - luma) / (2 * (1 - kr)),
            ]
        )
        top = (1 << self.depth) - 1
        step = 1 << (self.depth - 8)
        spans = np.array([top] * 3 if self._full else [219 * step, 224 * step, 224 * step], float)
        matrix: Array = (rows * spans[:, None] / (65535 if self._wide else 255)).astype(np.float32)
        return matrix

    # ---- to RGB

    def planar(self, frame: Any) -> Any:
        """Return a decoded picture in planar samples."""
        name = frame.format.name.replace("yuvj", "yuv")
        if name == self.format or frame.format.name == self.format:
            return frame
        return frame.reformat(format=self.format)

    def upright(self, frame: Any) -> Array:
        """Return a planar picture as (H, W, 3) RGB, upright; uint8, or uint16 for more than 8 bits."""
        if self.rgb:
            green, blue, red = (plane_of(frame, index) for index in range(3))
            stored = np.stack([self._stretch(plane) for plane in (red, green, blue)], axis=2)
        elif self.grey:
            stored = np.repeat(self._stretch(plane_of(frame, 0))[..., np.newaxis], 3, axis=2)
        else:
            stored = self._convert(frame)
        return np.ascontiguousarray(turn(stored, self.film.turn))

    def _stretch(self, plane: Array) -> Array:
        """Levels of a plane to those of RGB."""
        if self._full and self.depth in (8, 16):
            return plane
        step, top = 1 << (self.depth - 8), (1 << self.depth) - 1
        black, span = (0, top) if self._full else (16 * step, 219 * step)
        white = 65535 if self._wide else 255
        values: Array = np.rint((plane.astype(np.float32) - black) * (white / span))
        stretched: Array = np.clip(values, 0, white).astype(np.uint16 if self._wide else np.uint8)
        return stretched

    def _convert(self, frame: Any) -> Array:
        if self._graph is None:
            self._graph = self._make_graph(frame)
        source, sink = self._graph[1:]
        source.push(frame)
        result = sink.pull()
        if not self._wide:
            array: Array = result.to_ndarray()
            return array
        # the scaler's own way to 16-bit RGB is darker than it should be, by two levels of 10 bits
        samples = np.stack([plane_of(result, index) for index in range(3)], axis=2).astype(np.float32)
        values: Array = np.rint(cv2.transform(samples, self._to_wide))
        wide: Array = np.clip(values, 0, 65535).astype(np.uint16)
        return wide

    def _make_graph(self, frame: Any) -> tuple[Any, Any, Any]:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        range = "full" if self._full else "limited"
        options = f"flags={_FLAGS}:in_range={range}"
        if self._wide:
            options += f":in_color_matrix={self._name}:out_color_matrix={self._name}:out_range={range}"
        else:
            options += f":in_color_matrix={self._name}:out_range=full"
        if self.film.colour.chroma:
            options += f":in_chroma_loc={self.film.colour.chroma}"
        scale = graph.add("scale", options)
        kind = graph.add("format", "yuv444p16le" if self._wide else "rgb24")
        sink = graph.add("buffersink")
        source.link_to(scale)
        scale.link_to(kind)
        kind.link_to(sink)
        graph.configure()
        return graph, source, sink

    # ---- and back

    def back(self, frame: Any, seen: Array, restored: Array) -> Any:
        """Return a new planar picture: `frame` plus what `restored` differs from `seen`, both upright RGB."""
        result = av.VideoFrame(frame.width, frame.height, self.format)
        count = len(frame.planes)
        for index in range(count):
            np.copyto(plane_of(result, index), plane_of(frame, index))
        if self._wide:
            change = cv2.subtract(restored, seen, dtype=cv2.CV_32F)
        else:
            change = cv2.subtract(restored, seen, dtype=cv2.CV_16S)
        change = np.ascontiguousarray(turn_back(change, self.film.turn))
        if not change.any():
            return result
        if self.rgb:
            self._add_rgb(result, change)
        elif self.grey:
            luma = cv2.transform(change.astype(np.float32), self._grey_row())
            self._add(result, 0, luma)
        else:
            self._add(result, 0, cv2.transform(change, self._towards[:1]))
            chroma = cv2.transform(self._shrink(change), self._towards[1:])
            self._add(result, 1, chroma[..., 0])
            self._add(result, 2, chroma[..., 1])
        return result

    def _grey_row(self) -> Array:
        step, top = 1 << (self.depth - 8), (1 << self.depth) - 1
        span = top if self._full else 219 * step
        return np.full((1, 3), span / (65535 if self._wide else 255) / 3, np.float32)

    def _add_rgb(self, result: Any, change: Array) -> None:
        scale = ((1 << self.depth) - 1) / (65535 if self._wide else 255)
        for index, channel in enumerate((1, 2, 0)):
            self._add(result, index, change[..., channel] * np.float32(scale))

    def _add(self, result: Any, index: int, change: Array) -> None:
        """Add to one plane, and keep within what its samples can hold."""
        plane = plane_of(result, index)
        top = (1 << self.depth) - 1
        if self.depth == 8:
            np.copyto(plane, cv2.add(plane, change, dtype=cv2.CV_8U))  # rounds, and stops at 0 and 255
        else:
            np.copyto(plane, np.clip(np.rint(plane + change), 0, top).astype(plane.dtype))

    def _shrink(self, change: Array) -> Array:
        """Bring a full-resolution difference to the places of the chroma samples."""
        change = change.astype(np.float32)
        down, across = self._half
        place = self.film.colour.chroma or "left"
        if across:
            change = _halve(change, 1, cosited=place in ("left", "topleft", "bottomleft"))
            if self._quarter:
                change = _halve(change, 1, cosited=False)
        if down:
            change = _halve(change, 0, cosited=place in ("topleft", "top"))
        return change


def _halve(values: Array, axis: int, *, cosited: bool) -> Array:
    """Every second sample along an axis, weighted from its neighbours; the last of an odd number stays."""
    if cosited:
        taps, anchor = _COSITED, 1
    else:
        taps, anchor = _BETWEEN, 0
    one = np.ones(1, np.float32)
    across = axis == 1
    spread: Array = cv2.sepFilter2D(
        values,
        cv2.CV_32F,
        taps if across else one,
        one if across else taps,
        anchor=(anchor, 0) if across else (0, anchor),
        borderType=cv2.BORDER_REPLICATE,
    )
    return spread[:, ::2] if across else spread[::2]


def plane_of(frame: Any, index: int) -> Array:
    """Return a view of one plane's samples (H, W), uint8 or uint16, without its padding."""
    plane = frame.planes[index]
    kind = np.dtype(np.uint16 if max(part.bits for part in frame.format.components) > 8 else np.uint8)
    rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return rows[:, : plane.width]


def turn(stored: Array, way: tuple[bool, int]) -> Array:
    """Make a stored picture upright: mirror it, then turn it counter-clockwise by quarters."""
    mirrored, quarters = way
    return np.rot90(stored[:, ::-1] if mirrored else stored, quarters)


def turn_back(upright: Array, way: tuple[bool, int]) -> Array:
    """Undo `turn`."""
    mirrored, quarters = way
    stored = np.rot90(upright, -quarters)
    return stored[:, ::-1] if mirrored else stored
