"""The work folder of one film: finished segments, and a manifest that tells what they are.

It lies beside the result under a hidden name. Its first line holds all that decides the bytes of a segment;
when anything of that differs, its segments are of no use, and are given up only when that is asked for. Each
further line is a finished segment, or tells the film's end: the line is
written when the file stands complete. A last line cut short is dropped, with its segment.

Segments come in the order of the film where one process makes them; workers' come as they are finished, and
wait `ahead` until those before them are there and are seen to be what they follow.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.film_record import (
    VERSION,
    SegmentRecord,
    read_ending,
    read_segment,
    segment_name,
    unlike,
    without_memory,
)
from drsformer_cli.jobs.holder import holder, sign, spare
from drsformer_cli.jobs.record import plain
from drsformer_cli.media.files import (
    make_folder,
    place_finished,
    sha256_of,
    sweep_partials,
    unwritable,
    write_atomically,
)
from drsformer_cli.media.video_frames import PROOF, ChangedError, Ending, Known

MANIFEST = "manifest.jsonl"
LOCK = "lock"


def sweep_work(output: Path, settings: Mapping[str, Any]) -> None:
    """Remove what a run left that was killed after its film stood complete, unless another run uses it.

    Segments of other settings than the film's are somebody's unfinished work, and stay.
    """
    work = Work(output)
    if work.folder.is_dir():
        with suppress(StorageError, OutputError), work:
            earlier = work.earlier_head().get("settings", {})
            if not work.earlier_count() or without_memory(earlier) == without_memory(settings):
                work.wipe()


class Work:
    """The work folder for the result `output`, for one run at a time. A context manager."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f".{output.name}.derain-work"
        self.segments: list[SegmentRecord] = []
        self.ahead: dict[int, SegmentRecord] = {}
        self.end: Ending | None = None
        self._begun = False
        self._lock = FileLock(self.folder / LOCK)

    def __enter__(self) -> Work:
        """Take the folder. Raises OutputError if another run has it or it cannot be made, StorageError."""
        if self.folder.is_symlink():  # what it leads to may be anything of the user's, and is cleared away
            raise OutputError(f"{self.folder} is a link, and nothing is written through it: remove it.")
        make_folder(self.folder)
        spare(self.folder / LOCK, OutputError)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise OutputError(
                f"another run of derain{holder(self.folder / LOCK)} works on {self.output}: wait for its "
                "end, or give another -o."
            ) from None
        except OSError as error:
            raise unwritable(self.folder, error) from error
        sign(self.folder / LOCK)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder; without a finished segment it goes away.

        What lies there that was not taken up, because something came between, is left as it is.
        """
        taken_up = self._begun or not (self.folder / MANIFEST).exists()
        empty = taken_up and not self.segments and not self.ahead
        if not empty:
            self._lock.release()
            return
        self._clear()
        lock = self.folder / LOCK
        with suppress(OSError):  # while it is held: whoever takes it next makes another
            lock.unlink()
        self._lock.release()
        with suppress(OSError):
            if os.name == "nt":  # a file that is open stays there, so nobody else's can be removed
                lock.unlink(missing_ok=True)
        with suppress(OSError):  # another run has begun there
            self.folder.rmdir()

    def _clear(self, *kept: str) -> None:
        """Remove all but the lock and files of these names."""
        for path in self.folder.iterdir():
            if path.name not in {LOCK, *kept}:
                with suppress(OSError):  # a folder that somebody made here is not ours to remove
                    path.unlink()

    # ---- going on

    def earlier_head(self) -> dict[str, Any]:
        """Return what an earlier run noted at its beginning, {} if there is none that can be read.

        What should be a table in it and is none is left out.
        """
        lines = self._lines()
        head = lines[0].get("head") if lines else None
        if not isinstance(head, dict):
            return {}
        tables = ("input", "settings", "plan")
        return {name: value for name, value in head.items() if name not in tables or isinstance(value, dict)}

    def earlier_count(self) -> int:
        """Return how many pictures an earlier run finished, as its manifest says."""
        found = [line.get("segment") for line in self._lines()[1:]]
        times = {str(one.get("file")): one.get("times") for one in found if isinstance(one, dict)}
        return sum(len(each) for each in times.values() if isinstance(each, list))

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
            raise OutputError(unlike(self.output, count, self.earlier_head(), head))
        if fits:
            self._take_up(lines[1:])
        else:
            self.wipe()
        self._rewrite(head)
        self._begun = True
        return self.done < count

    def wipe(self) -> None:
        """Throw all finished segments away; the manifest goes first, so that none is missed in it."""
        self._forget()
        (self.folder / MANIFEST).unlink(missing_ok=True)
        self._clear()

    def _lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        try:
            path = self.folder / MANIFEST
            if not _is_plain(path) and not path.is_dir():  # of a folder, reading tells
                return lines
            text = path.read_bytes()
        except FileNotFoundError:
            return lines
        except OSError as error:
            raise StorageError(f"{self.folder / MANIFEST} cannot be read: {error.strerror}.") from error
        for line in text.split(b"\n"):
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                break  # cut short, garbled, or the end
            if not isinstance(entry, dict):
                break
            lines.append(entry)
        return lines

    def _take_up(self, lines: list[dict[str, Any]]) -> None:
        """Keep the segments that stand as they were written, up to the first that is missing.

        Behind that, those that can be compared with what comes before them stay, too.
        """
        self._forget()
        for entry in lines:
            with suppress(OSError, KeyError, TypeError, ValueError, OverflowError):
                if "end" in entry:
                    self.end = read_ending(entry["end"])
                    continue
                record = read_segment(entry["segment"])
                self.ahead.pop(record.number, None)
                path = self.folder / record.file
                if not _is_plain(path) or path.stat().st_size != record.size:
                    continue
                if sha256_of(path) == record.sha256:
                    self.ahead[record.number] = record
        self.settle()
        self.ahead = {number: one for number, one in self.ahead.items() if one.before is not None}
        if not self.complete:
            self.end = None  # it is looked for again when all before it is there

    def _forget(self) -> None:
        self.segments, self.ahead, self.end = [], {}, None

    def _rewrite(self, head: Mapping[str, Any]) -> None:
        kept = [*self.segments, *self.ahead.values()]
        entries: list[dict[str, Any]] = [{"head": head}, *({"segment": asdict(one)} for one in kept)]
        if self.end is not None:
            entries.append({"end": asdict(self.end)})
        text = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries)
        write_atomically(self.folder / MANIFEST, text.encode("ascii"), replace=True)
        self._clear(MANIFEST, *(one.file for one in kept))

    # ---- what is done

    @property
    def count(self) -> int:
        """How many pictures the finished segments hold, from the film's beginning to the first gap."""
        return sum(len(segment.times) for segment in self.segments)

    @property
    def done(self) -> int:
        """How many pictures stand finished, those behind a gap too."""
        return self.count + sum(len(segment.times) for segment in self.ahead.values())

    @property
    def complete(self) -> bool:
        """Tell whether all pictures are there."""
        return self.end is not None and self.end.count == self.count

    def known(self, most: int) -> list[Known]:
        """Return the last pictures of the finished segments, up to the first gap."""
        known: list[Known] = []
        for segment in reversed(self.segments):
            known[:0] = [Known(*pair) for pair in zip(segment.times, segment.digests, strict=True)]
            if len(known) >= most:
                break
        return known[-most:]

    def next_file(self) -> str:
        """Return the name of the segment that comes next."""
        return segment_name(len(self.segments))

    def add(self, record: SegmentRecord, data: bytes) -> None:
        """Write the segment that comes next, and enter it when it stands complete.

        Raises StorageError and OutputError.
        """
        write_atomically(self.folder / record.file, data, replace=True)
        self._enter({"segment": asdict(record)})
        self.segments.append(record)

    def take(self, record: SegmentRecord, staged: Path) -> None:
        """Enter a segment that a worker has written; `settle` puts it into its turn.

        Raises StorageError and OutputError.
        """
        place_finished(staged, self.folder / record.file, replace=True)
        self._enter({"segment": asdict(record)})
        self.ahead[record.number] = record

    def settle(self) -> int | None:
        """Take up the segments ahead whose turn it is; return the number of one that does not follow.

        That one is forgotten: it has to be made again.
        """
        while (record := self.ahead.pop(len(self.segments), None)) is not None:
            if not record.follows(self.known(PROOF)):
                return len(self.segments)
            self.segments.append(record)
        return None

    def close(self, ending: Ending) -> None:
        """Enter how the film ends, once that has been seen.

        Raises StorageError, and ChangedError for an end that is not that of the finished segments.
        """
        if ending.count != self.count:
            raise ChangedError
        if self.end is None:
            self._enter({"end": asdict(ending)})
            self.end = ending

    def _enter(self, entry: Mapping[str, Any]) -> None:
        """Write a line of the manifest, to last."""
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        try:
            with (self.folder / MANIFEST).open("ab") as file:
                file.write(line.encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.folder / MANIFEST, error) from error

    def remove(self) -> None:
        """Remove the folder; the finished film stands in its place."""
        self._forget()


def _is_plain(path: Path) -> bool:
    """Tell whether this is a file and no link, folder or pipe, which would be waited for. Raises OSError."""
    return stat.S_ISREG(path.lstat().st_mode)
