"""What is written down of a film in work: its finished segments, and what they were made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from drsformer_cli.media.files import sha256_of
from drsformer_cli.media.video_frames import PROOF, Ending, Known

VERSION = 2
_FILE = re.compile(r"[0-9]{6,9}\.segment")
LARGEST = 1 << 62  # of a timestamp, so that sums of two are none too large for a film either
EDGE = 1 << 20  # bytes at either end of the input that identify it


@dataclass(frozen=True)
class SegmentRecord:
    """A finished segment.

    Attributes:
        file, size, sha256: of its file in the work folder; the name tells its number.
        times: its pictures' timestamps in the film's time base.
        digests: of the pictures as they were decoded.
        order: the pictures' numbers in the order of decoding.
        last: how long the last picture is shown, 0 if the film does not say.
        lost, damaged, mended, repeated: packets that could not be decoded, pictures decoded in part,
            timestamps made up, pictures equal to the one before.
        seconds: the time the model took.
        before: (timestamp, digest) of the last pictures before it as its maker saw them, to be compared with
            those of the segment before; None if one maker did both in turn.
    """

    file: str
    size: int
    sha256: str
    times: list[int]
    digests: list[str]
    order: list[int]
    last: int = 0
    lost: int = 0
    damaged: int = 0
    mended: int = 0
    repeated: int = 0
    seconds: float = 0.0
    plans: list[dict[str, Any]] = field(default_factory=list)
    before: list[list[Any]] | None = None

    @property
    def number(self) -> int:
        """Its place in the film, from 0. Raises ValueError for a name that has none."""
        return int(self.file.partition(".")[0])

    def follows(self, known: list[Known]) -> bool:
        """Tell whether this segment is the one behind the pictures `known`, the last that there are."""
        times = [*(one.pts for one in known[-1:]), *self.times]
        if any(later <= time for time, later in pairwise(times)):
            return False
        return self.before is None or self.before == [[one.pts, one.digest] for one in known[-PROOF:]]


def read_segment(entry: Mapping[str, Any]) -> SegmentRecord:
    """Return a segment as its line tells. Raises ValueError and TypeError for what no run has written."""
    record = SegmentRecord(**entry)
    numbers = (record.size, record.last, record.lost, record.damaged, record.mended, record.repeated)
    if not all(type(number) is int for number in (*numbers, *record.times, *record.order)):
        raise TypeError("a time or a count is no whole number")
    if max(map(abs, (*numbers, *record.times))) >= LARGEST:
        raise ValueError("a time or a count beyond those of films")
    if not all(isinstance(text, str) for text in (record.sha256, *record.digests)):
        raise TypeError("a hash is no text")
    if not all(isinstance(plan, dict) for plan in record.plans) or not isfinite(record.seconds):
        raise TypeError("a plan or the time is none")
    if not all(type(time) is int and isinstance(digest, str) for time, digest in record.before or ()):
        raise TypeError("what comes before is no time and hash")
    count = len(record.times)
    if not _FILE.fullmatch(record.file) or not count == len(record.digests) or not count:
        raise ValueError("not what is written for a segment")
    if sorted(record.order) != list(range(count)):
        raise ValueError("an order that leaves pictures out")
    return record


def read_ending(entry: Mapping[str, Any]) -> Ending:
    """Return a film's end as its line tells. Raises TypeError for what no run has written."""
    end = Ending(**entry)
    if not (type(end.lost) is int and type(end.count) is int):
        raise TypeError("a count is no whole number")
    return end


def segment_name(number: int) -> str:
    """Return the name of a segment's file."""
    return f"{number:06}.segment"


def identity_of(path: Path, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what identifies an input: `known`, if that is what it is still. Raises OSError.

    The time of change vouches for `known` beside the size and both ends; without it the whole content does.
    """
    known = known or {}
    status = path.stat()
    edges = hashlib.sha256()
    with path.open("rb") as file:
        edges.update(file.read(EDGE))
        file.seek(max(0, status.st_size - EDGE))
        edges.update(file.read(EDGE))
    now = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "edges": edges.hexdigest()}
    if all(known.get(key) == value for key, value in now.items()) and "sha256" in known:
        return dict(known)
    content = sha256_of(path)
    return dict(known) if known.get("sha256") == content else {**now, "sha256": content}


def without_memory(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the memory to keep to, which decides nothing where pictures are done whole."""
    return {name: value for name, value in settings.items() if name != "memory"}


def unlike(output: Path, count: int, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in a sentence why finished segments do not go with this run."""
    have = f"{count} pictures of {output} were restored by an earlier run"
    if earlier.get("v") == VERSION and earlier.get("input") != now.get("input"):
        return f"{have}, and the input has changed since: give another -o, or --overwrite to begin anew."
    if any(earlier.get(name) != now.get(name) for name in ("v", "versions", "segment")):
        return f"{have} with another version of derain or its libraries: give --overwrite to begin anew."
    old, new = ({key: each.get(key, {}) for key in ("settings", "plan")} for each in (earlier, now))
    names = list(dict.fromkeys(differences(old, new)))
    words = f" ({', '.join(names)})" if names else ""
    threads = earlier.get("plan", {}).get("threads") if isinstance(earlier.get("plan"), dict) else None
    how = f" (OMP_NUM_THREADS={threads})" if "threads" in names and isinstance(threads, int) else ""
    return (
        f"{have} with other settings{words}: give those again{how} to go on there, another -o, or "
        "--overwrite to begin anew."
    )


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs between two sets of settings, those within others on their own."""
    names: list[str] = []
    for name in sorted({*earlier, *now}):
        old, new = earlier.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += differences(old, new)
        elif old != new or (name in earlier) != (name in now):
            names.append(name)
    return names
