"""The work folder of one film: finished segments, and a manifest that tells what they are.

It lies beside the result under a hidden name. Its first line holds all that decides the bytes of a segment;
when anything of that differs, its segments are of no use, and are given up only when that is asked for. Each
further line is a finished segment: the line is
written when the file stands complete. A last line cut short is dropped, with its segment.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.manifest import plain
from drsformer_cli.media.files import make_folder, sha256_of, sweep_partials, write_atomically
from drsformer_cli.media.video_frames import Known

MANIFEST = "manifest.jsonl"
LOCK = "lock"
VERSION = 2
EDGE = 1 << 20  # bytes at either end of the input that identify it


@dataclass(frozen=True)
class SegmentRecord:
    """A finished segment.

    Attributes:
        file, size, sha256: of its file in the work folder.
        times: its pictures' timestamps in the film's time base.
        digests: of the pictures as they were decoded.
        order: the pictures' numbers in the order of decoding.
        last: how long the last picture is shown, 0 if the film does not say.
        lost, damaged, mended, repeated: packets that could not be decoded, pictures decoded in part,
            timestamps made up, pictures equal to the one before.
        seconds: the time the model took.
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


def sweep_work(output: Path, settings: Mapping[str, Any]) -> None:
    """Remove what a run left that was killed after its film stood complete, unless another run uses it.

    Segments of other settings than the film's are somebody's unfinished work, and stay.
    """
    work = Work(output)
    if work.folder.is_dir():
        with suppress(StorageError), work:
            earlier = work.earlier_head().get("settings", {})
            if not work.earlier_count() or without_memory(earlier) == without_memory(settings):
                work.wipe()


class Work:
    """The work folder for the result `output`, for one run at a time. A context manager."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f".{output.name}.derain-work"
        self.segments: list[SegmentRecord] = []
        self._begun = False
        self._lock = FileLock(self.folder / LOCK)

    def __enter__(self) -> Work:
        """Take the folder. Raises StorageError if another run has it, OutputError if it cannot be made."""
        make_folder(self.folder)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise StorageError(
                f"another run of derain works on {self.output}: wait for its end, or give another -o."
            ) from None
        except OSError as error:
            raise StorageError(f"the folder {self.folder} cannot be written: {error.strerror}.") from error
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder; without a finished segment it goes away.

        What lies there that was not taken up, because something came between, is left as it is.
        """
        empty = not self.segments and (self._begun or not (self.folder / MANIFEST).exists())
        if empty:
            for path in self.folder.iterdir():
                if path.name != LOCK:
                    path.unlink(missing_ok=True)
        self._lock.release()
        if empty:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- going on

    def earlier_head(self) -> dict[str, Any]:
        """Return what an earlier run noted at its beginning, {} if there is none that can be read."""
        lines = self._lines()
        return lines[0].get("head", {}) if lines else {}

    def earlier_count(self) -> int:
        """Return how many pictures an earlier run finished, as its manifest says."""
        return sum(len(line.get("segment", {}).get("times", ())) for line in self._lines()[1:])

    def begin(self, head: Mapping[str, Any], *, anew: bool = False) -> bool:
        """Take up the segments of an earlier run with the same head; without any, begin.

        `anew` throws those of another head away. Returns whether earlier work is lost. Raises OutputError for
        segments of another head otherwise, and StorageError.
        """
        head = plain({"v": VERSION, **head})
        lines = self._lines()
        sweep_partials(self.folder)
        fits = bool(lines) and lines[0].get("head") == head
        count = self.earlier_count()
        if count and not fits and not anew:
            raise OutputError(_unlike(self.output, count, lines[0].get("head", {}), head))
        segments = self._sound(lines[1:]) if fits else []
        if not fits:
            self.wipe()
        self.segments = segments
        self._rewrite(head)
        self._begun = True
        return len(segments) < len(lines) - 1

    def wipe(self) -> None:
        """Throw all finished segments away; the manifest goes first, so that none is missed in it."""
        self.segments = []
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != LOCK:
                with suppress(OSError):
                    path.unlink()

    def _lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        try:
            text = (self.folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return lines
        except OSError as error:
            raise StorageError(f"{self.folder / MANIFEST} cannot be read: {error.strerror}.") from error
        for line in text.split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                break  # cut short, or the end
            if not isinstance(entry, dict):
                break
            lines.append(entry)
        return lines

    def _sound(self, lines: list[dict[str, Any]]) -> list[SegmentRecord]:
        """Return the segments up to the first that is missing, not as it was written, or not in its turn."""
        sound: list[SegmentRecord] = []
        times: list[int] = []
        for entry in lines:
            try:
                record = SegmentRecord(**entry["segment"])
                path = self.folder / record.file
                if path.stat().st_size != record.size or sha256_of(path) != record.sha256:
                    break
                times = [*times[-1:], *record.times]
                if any(later <= time for time, later in pairwise(times)):
                    break
            except (OSError, KeyError, TypeError):
                break
            sound.append(record)
        return sound

    def _rewrite(self, head: Mapping[str, Any]) -> None:
        entries: list[dict[str, Any]] = [{"head": head}, *({"segment": asdict(one)} for one in self.segments)]
        text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        write_atomically(self.folder / MANIFEST, text.encode("ascii"), replace=True)
        kept = {MANIFEST, LOCK, *(one.file for one in self.segments)}
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()

    # ---- what is done

    @property
    def count(self) -> int:
        """How many pictures the finished segments hold."""
        return sum(len(segment.times) for segment in self.segments)

    def known(self, most: int) -> list[Known]:
        """Return the last pictures of the finished segments."""
        known: list[Known] = []
        for segment in reversed(self.segments):
            known[:0] = [Known(*pair) for pair in zip(segment.times, segment.digests, strict=True)]
            if len(known) >= most:
                break
        return known[-most:]

    def next_file(self) -> str:
        """Return the name of the segment that comes next."""
        return f"{len(self.segments):06}.segment"

    def add(self, record: SegmentRecord, data: bytes) -> None:
        """Write a segment, and enter it when it stands complete. Raises StorageError and OutputError."""
        write_atomically(self.folder / record.file, data, replace=True)
        line = json.dumps({"segment": asdict(record)}, separators=(",", ":")) + "\n"
        try:
            with (self.folder / MANIFEST).open("ab") as file:
                file.write(line.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self.folder / MANIFEST} cannot be written: {error.strerror}.") from error
        self.segments.append(record)

    def remove(self) -> None:
        """Remove the folder; the finished film stands in its place."""
        self.segments = []


def _unlike(output: Path, count: int, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in a sentence why finished segments do not go with this run."""
    have = f"{count} pictures of {output} were restored by an earlier run"
    if earlier.get("v") == VERSION and earlier.get("input") != now.get("input"):
        return f"{have}, and the input has changed since: give another -o, or --overwrite to begin anew."
    if any(earlier.get(name) != now.get(name) for name in ("v", "versions", "segment")):
        return f"{have} with another version of derain or its libraries: give --overwrite to begin anew."
    names = [*differences(earlier.get("settings", {}), now.get("settings", {}))]
    names += [name for name in differences(earlier.get("plan", {}), now.get("plan", {})) if name not in names]
    words = f" ({', '.join(names)})" if names else ""
    return (
        f"{have} with other settings{words}: give those again to go on there, another -o, or --overwrite "
        "to begin anew."
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
