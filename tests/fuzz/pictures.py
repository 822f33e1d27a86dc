"""What becomes of one hurt picture: a Picture that can be written and read again, or an error of ours."""

from __future__ import annotations

import math
from pathlib import PurePath

import numpy as np

from drsformer_cli.errors import DerainError, InputError, OutputError
from drsformer_cli.media.images import Picture, decode, encode

HALF, WORDS, SENSELESS = "half", "words", "senseless"


def attempt(name: str, data: bytes) -> str:
    """Decode, write and read again; returns what happened in a word.

    "whole" and "refused" are as it should be; "half" is a result that does not hold what it was made of,
    "words" an error that is no clear sentence, "senseless" a Picture that is none. What else is raised is not
    caught here.
    """
    try:
        picture = decode(data, name)
    except InputError as error:
        return _judged("refused", name, error)
    if flaw := _flaw(picture):
        return f"{SENSELESS}: {flaw}"
    try:
        result = encode(picture, picture.frames)
    except (InputError, OutputError) as error:
        return _judged("refused", name, error)
    try:
        again = decode(result, name)
    except DerainError as error:
        return f"{HALF}: what was written cannot be read: {error}"
    return "whole" if _like(picture, again) else f"{HALF}: other frames than were written"


def _judged(outcome: str, name: str, error: DerainError) -> str:
    """The outcome, if the error is one clear sentence about the file."""
    text = str(error)
    sound = text.endswith(".") and "\n" not in text and text.isprintable() and len(text) < 1000
    if sound and PurePath(name).name in text:
        return f"{outcome} ({type(error).__name__})"
    return f"{WORDS}: {text[:300]!r}"


def _flaw(picture: Picture) -> str:
    if not picture.frames or len(picture.frames) != len(picture.layers):
        return f"{len(picture.frames)} frames, {len(picture.layers)} layers"
    for frame in picture.frames:
        if frame.ndim != 3 or frame.shape[2] != 3 or not math.prod(frame.shape):
            return f"a frame of {frame.shape}"
        if frame.dtype not in (np.uint8, np.uint16, np.float32):
            return f"samples of {frame.dtype}"
        if frame.dtype == np.float32 and not ((frame >= 0) & (frame <= 1)).all():
            return "samples beyond 0 to 1"
    return ""


def _like(one: Picture, other: Picture) -> bool:
    shapes = [[(frame.shape, frame.dtype) for frame in picture.frames] for picture in (one, other)]
    return shapes[0] == shapes[1] and one.timing == other.timing
