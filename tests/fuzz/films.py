"""What becomes of a hurt film: decoded and put together again, or refused; no crash, no half a film."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from drsformer_cli.errors import DerainError, InputError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_batch import FilmDone
from drsformer_cli.media.video import probe
from drsformer_cli.media.video_frames import Ending, shots
from drsformer_cli.media.video_pixels import Pixels
from tests.jobs.films import Negative, events_of

#: Kinds of films: suffix and the words that ffmpeg makes them with.
KINDS: dict[str, tuple[object, ...]] = {
    "mp4": ("-c:v", "libx264", "-preset", "ultrafast", "-threads", 1, "-g", 4),
    "mkv": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-threads", 1),
    "avi": ("-c:v", "mpeg4", "-threads", 1),
    "ts": ("-c:v", "mpeg2video", "-threads", 1),
    "mov": ("-c:v", "mjpeg", "-threads", 1),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", 8, "-threads", 1),
    "gif": (),
}


def look(name: str, data: bytes) -> str:
    """Open a film and decode it to its end; "whole" or "refused"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            film = probe(path)
            ending = Ending()
            times = [shot.pts for shot in shots(film, Pixels(film), ending=ending)]
            ending.notes(len(times), ending.lost, film.frames)
        except (InputError, OSError) as error:
            return _judged(str(error))
        if any(later <= time for time, later in pairwise(times)):
            return "senseless: times that do not rise"
        return "whole"


def redo(name: str, data: bytes) -> str:
    """Restore a film with a stand-in for the network; the result must be readable to its end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        target = name if path.suffix not in (".avi", ".ts") else f"{name}.mkv"  # those two are not written
        out = Path(folder) / "out" / target
        path.write_bytes(data)
        try:
            last: Any = events_of(path, out, Negative())[-1]
        except DerainError as error:
            return _judged(str(error))
        if isinstance(last, Failed):
            if out.exists():
                return "half: a failed film stands at its place"
            return _judged(last.reason) if last.details is None else f"words: {last.details[-600:]}"
        if not isinstance(last, FilmDone):
            return f"senseless: it ends with {type(last).__name__}"
        film = probe(out)
        count = sum(1 for _ in shots(film, Pixels(film), ending=Ending()))
        return "whole" if count == last.sums.pictures else f"half: {count} of {last.sums.pictures} pictures"


def _judged(text: str) -> str:
    return "refused" if np.all([char.isprintable() for char in text]) else f"words: {text[:300]!r}"
