"""What a decoded file is made of: upright frames for the network, and all that goes back around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Metadata:
    """What every format can hold in one way or another, as raw bytes.

    exif is the block that starts with the TIFF header ("II*" or "MM*"), without the "Exif" prefix of JPEG;
    iptc the IIM records; dpi dots per inch, horizontal and vertical.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    other: list[str] = field(default_factory=list)  # what only the source's own format can hold, in words


@dataclass
class Layer:
    """What was taken off one frame before the network sees it.

    alpha is (h, w) as stored in the file, not turned; orientation is the EXIF value 1 to 8 that turns the
    stored picture upright.
    """

    grey: bool = False
    alpha: Array | None = None
    orientation: int = 1


@dataclass
class Timing:
    """How an animation runs: seconds each shown frame stays, and how often it plays (0: for ever)."""

    durations: list[Fraction]
    plays: int = 0
    hidden_first: bool = False  # frame 0 is only for viewers that cannot animate, and has no duration


@dataclass
class Picture:
    """A decoded file.

    frames are (H, W, 3), RGB, uint8 | uint16 | float32 in [0, 1], upright; grey is three equal channels.
    `notes` says in words what could not be kept. The rest is how the file is put together again.
    """

    frames: list[Array]
    format: str
    extension: str
    notes: list[str] = field(default_factory=list)
    name: str = ""
    layers: list[Layer] = field(default_factory=list)
    metadata: Metadata = field(default_factory=Metadata)
    timing: Timing | None = None
    lossy: bool = False  # the source had already lost detail, so another loss of that kind is acceptable
    carried: object = None  # what only the codec of `format` understands

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Return (height, width) of each frame in pixels."""
        return tuple((frame.shape[0], frame.shape[1]) for frame in self.frames)

    @property
    def weight(self) -> int:
        """Return the bytes of all frames, rainy and clean: each is soon there twice."""
        return 2 * sum(frame.nbytes for frame in self.frames)

    def note(self, words: str) -> None:
        """Add one sentence to the notes, once."""
        if words not in self.notes:
            self.notes.append(words)


@dataclass(frozen=True)
class Order:
    """What an encoder is asked to write.

    stored: samples (h, w) grey or (h, w, 2..4), as the file will hold them; carried: `picture.carried` when
    the format stays, else None; quality: 1 to 100 for lossy formats, None for the codec's own choice.
    """

    picture: Picture
    stored: list[Array]
    carried: object = None
    quality: int | None = None
