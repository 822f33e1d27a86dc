"""The work folder of one film: finished segments, and a manifest that tells what they are.

It lies beside the result under a hidden name. Its first line holds all that decides the bytes of a segment;
when anything of that differs, the work begins anew. Each further line is a finished segment: the line is
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
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from drsformer_cli.errors import StorageError
from drsformer_cli.jobs.manifest import plain
from drsformer_cli.media.files import make_folder, sha256_of, sweep_partials, write_atomically
from drsformer_cli.media.video_frames import Known

MANIFEST = "manifest.jsonl"
LOCK = "lock"
VERSION = 1
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


def identity_of(path: Path) -> dict[str, Any]:
    """Return what identifies an input without reading all of it. Raises OSError."""
    status = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(EDGE))
        file.seek(max(0, status.st_size - EDGE))
        digest.update(file.read(EDGE))
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "edges": digest.hexdigest()}


def sweep_work(output: Path) -> None:
    """Remove what a run left that was killed after its film stood complete, unless another run uses it."""
    work = Work(output)
    if work.folder.is_dir():
        with suppress(StorageError), work:
            pass


class Work:
    """The work folder for the result `output`, for one run at a time. A context manager."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f".{output.name}.derain-work"
        self.segments: list[SegmentRecord] = []
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
        """Let go of the folder; without a finished segment it goes away."""
        if not self.segments:
            for path in self.folder.iterdir():
                if path.name != LOCK:
                    path.unlink(missing_ok=True)
        self._lock.release()
        if not self.segments:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- going on

    def earlier_head(self) -> dict[str, Any]:
        """Return what an earlier run noted at its beginning, {} if there is none that can be read."""
        lines = self._lines()
        return lines[0].get("head", {}) if lines else {}

    def begin(self, head: Mapping[str, Any]) -> bool:
        """Take up the segments of an earlier run with the same head, else begin anew.

        Returns whether earlier work had to be thrown away. Raises StorageError.
        """
        head = plain({"v": VERSION, **head})
        lines = self._lines()
        sweep_partials(self.folder)
        if lines and lines[0].get("head") == head:
            self.segments = self._sound(lines[1:])
            self._rewrite(head)
            return len(self.segments) < len(lines) - 1
        self.segments = []
        self.wipe()
        self._rewrite(head)
        return bool(lines)

    def wipe(self) -> None:
        """Throw all finished segments away."""
        self.segments = []
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
        """Return the segments up to the first that is missing or not as it was written."""
        sound: list[SegmentRecord] = []
        for entry in lines:
            try:
                record = SegmentRecord(**entry["segment"])
                path = self.folder / record.file
                if path.stat().st_size != record.size or sha256_of(path) != record.sha256:
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
