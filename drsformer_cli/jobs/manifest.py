"""What has been done: a file of JSON lines in the output folder, only ever appended to.

Two lines are written for each picture. `intent`, before the finished file gets its name, says which bytes are
about to stand there; `done`, after, records the input, the result, the settings and the plan. Whenever a run
is killed, the files it left are therefore either unnamed, or named and claimed by one of the two lines, and
the next run may replace them for as long as they hold the very bytes that were written; any other file
belongs to the user and is left alone. A last line cut short is dropped.

Each part of a run that is split over machines writes a file of its own, and every run reads the files of all,
so that nothing has to be merged. In memory there is no more of a finished picture than where its line stands.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from drsformer_cli.errors import StorageError
from drsformer_cli.jobs.holder import holder, is_ours, sign, spare
from drsformer_cli.jobs.record import (
    INPUT,
    RECORD,
    RESULT,
    Record,
    read_record,
    text_of,
    unchanged,
)
from drsformer_cli.media.files import NOTES, sha256_of, unwritable

STEM = NOTES
FILE_NAME = f"{STEM}.jsonl"
LOCK_NAME = f"{STEM}.lock"
VERSION = 1
MOST_BYTES = 1 << 34  # a manifest may stand in an input folder, written by anybody
MOST_OF_A_LINE = 1 << 20
_FILE_BITS = 12  # of a line's place in memory: which file it stands in


def file_name(part: str = "") -> str:
    """Return the name of the manifest of a run, or of one part of it, such as "2-of-4"."""
    return f"{STEM}.{part}.jsonl" if part else FILE_NAME


def lock_name(part: str = "") -> str:
    """Return the name of the lock that the writer of `file_name(part)` holds."""
    return f"{STEM}.{part}.lock" if part else LOCK_NAME


class Manifest:
    """The record of one output folder.

    `Manifest.load(folder)` is for looking, `with Manifest(folder) as manifest` for its one writer. One writer
    at a time holds a lock file beside the manifest; the system lets go of it when the writer is killed.
    Parts of one whole ("1-of-4" to "4-of-4") may write at the same time, others may not.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self.folder = folder
        self.path = folder / file_name(part)
        self.damaged_lines = 0
        self._part = part
        self._files = [self.path]
        self._done: dict[str, int] = {}
        self._rivals: dict[str, list[int]] = {}  # earlier lines of other files, as far as clocks tell
        self._intents: dict[str, set[str]] = {}
        self._plans: dict[str, dict[str, Any]] = {}
        self._last_settings: dict[str, Any] | None = None
        self._whole_lines = 0  # bytes
        self._file: FileIO | None = None
        self._lock = FileLock(folder / lock_name(part))
        self._made_folder = False

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read what is recorded in `folder` (nothing, if it has no manifest), to look at only."""
        manifest = cls(folder)
        manifest._read()
        return manifest

    # ---- what it knows

    def record(self, output: str) -> Record | None:
        """Return the last finished result at `output`, if any. Raises StorageError."""
        place = self._done.get(output)
        if place is None:
            return None
        for rival in self._rivals.get(output, ()):
            record = self._record_at(rival)
            if record is not None and self._stands(record):
                return record  # the clock of who wrote the later line was ahead
        return self._record_at(place)

    def _stands(self, record: Record) -> bool:
        """Tell whether a result is, by size and time, the one that stands at its place."""
        try:
            status = (self.folder / record.output).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (record.result.size, record.result.mtime_ns)

    def _record_at(self, place: int) -> Record | None:
        path = self._files[place & ((1 << _FILE_BITS) - 1)]
        try:
            with path.open("rb") as file:
                file.seek(place >> _FILE_BITS)
                return read_record(json.loads(file.readline(MOST_OF_A_LINE)))
        except (
            FileNotFoundError,
            ValueError,
            KeyError,
            TypeError,
            OverflowError,
            RecursionError,
        ):  # it was taken away, cut or altered since
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error

    def plan_for(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan of a picture that was finished with these settings; {} if there is none."""
        return self._plans.get(text_of(settings), {})

    def claims(self, output: str) -> bool:
        """Tell whether the file standing at `output` is, byte for byte, one that a run of ours put there.

        What was altered or replaced since is not: it belongs to who did that. Raises OSError.
        """
        record = self.record(output)
        path = self.folder / output
        if record is not None:
            written = record.result
            if unchanged(path, written.size, written.mtime_ns, written.sha256):
                return True
        intended = self._intents.get(output, ())
        return bool(intended) and sha256_of(path) in intended

    def outputs(self) -> Iterator[str]:
        """Yield all outputs that runs have finished or begun."""
        yield from self._done.keys() | self._intents.keys()

    def _read(self) -> None:
        try:
            others = sorted(self.folder.glob(f"{STEM}*.jsonl"))
        except OSError:
            others = []  # opening its own file says why
        self._files = [self.path, *(path for path in others if path != self.path)][: 1 << _FILE_BITS]
        for number in range(len(self._files)):
            self._read_file(number)

    def _read_file(self, number: int) -> None:
        path = self._files[number]
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                raise StorageError(f"{path} cannot be read: it is no plain file.")
            if status.st_size > MOST_BYTES:
                raise StorageError(f"{path} cannot be read: it is larger than {MOST_BYTES >> 20} MiB.")
            with path.open("rb") as file:
                start = 0
                while line := file.readline(MOST_OF_A_LINE):
                    whole = line.endswith(b"\n")
                    if line.strip() and (whole or number == 0):  # another's last line may be on its way
                        self._take(line, start, number)
                    start += len(line)
                    if whole and number == 0:
                        self._whole_lines = start
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error

    def _take(self, line: bytes, start: int, number: int) -> None:
        """Take in one line; what is cut short or garbled counts as damaged, and its picture is done again."""
        try:
            entry = json.loads(line)
            if entry["v"] != VERSION:
                raise ValueError("written by another version")
            if entry["kind"] == "intent":
                self._intents.setdefault(str(entry["output"]), set()).add(str(entry["sha256"]))
            elif entry["kind"] == "done":
                self._remember(entry, start, number)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self.damaged_lines += 1

    def _remember(self, entry: dict[str, Any], start: int, number: int) -> None:
        """Keep where a finished picture's line stands, unless another file has a later one."""
        output, settings = str(entry["output"]), entry["settings"]
        given, made = dict(entry["input"]), dict(entry["result"])
        if given.keys() != INPUT or made.keys() != RESULT or not entry.keys() >= RECORD:
            raise ValueError("not what is written for a finished picture")
        known = self._done.get(output)
        if known is not None and known & ((1 << _FILE_BITS) - 1) != number:
            other = self._record_at(known)
            if other is not None and other.result.mtime_ns > entry["result"]["mtime_ns"]:
                self._rivals.setdefault(output, []).append(start << _FILE_BITS | number)
                return
            self._rivals.setdefault(output, []).append(known)
        if settings != self._last_settings:  # most often all lines have the same
            record = read_record(entry)
            self._last_settings = record.settings
            if record.plan:
                plan = record.plan[-1] if isinstance(record.plan, list) else record.plan
                self._plans.setdefault(text_of(record.settings), plan)
        self._done[output] = start << _FILE_BITS | number
        self._intents.pop(output, None)  # what stands there now is what is recorded

    # ---- the one writer

    def open(self) -> Manifest:
        """Make the folder, become its only writer, and mend a last line that was cut short.

        Raises StorageError if the folder cannot be written, or another run is writing into it.
        """
        try:
            self._made_folder = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            spare(self.folder / lock_name(self._part), StorageError)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise self._locked_out() from None
        except OSError as error:
            raise unwritable(self.folder, error) from error
        try:
            sign(self.folder / lock_name(self._part))
            if self.path.is_symlink():  # what it leads to may be anything of the user's
                raise StorageError(f"{self.path} is a link, and nothing is written through it: remove it.")
            self._keep_out()
            self._read()
            # unbuffered: what a full disk did not take must not be tried again when the file is closed
            self._file = self.path.open("ab", buffering=0)
            self._mend()
        except OSError as error:
            self.close()
            raise unwritable(self.path, error) from error
        except BaseException:
            self.close()
            raise
        return self

    def _keep_out(self) -> None:
        """Raise StorageError while a run that does not share the work with this one writes here."""
        whole = self._part.rpartition("-of-")[2]
        for path in sorted(self.folder.glob(f"{STEM}*.lock")):
            other = path.name[len(STEM) + 1 : -len(".lock")] if path.name != LOCK_NAME else ""
            if other == self._part or (whole and other.rpartition("-of-")[2] == whole):
                continue
            spare(path, StorageError)
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise self._busy(path) from None
            lock.release()

    def _busy(self, lock: Path) -> StorageError:
        return StorageError(
            f"another run of derain{holder(lock)} writes into {self.folder}: wait for its end, or choose "
            "another -o."
        )

    def _locked_out(self) -> StorageError:
        """Tell why the lock was not had: filelock takes a file that cannot be made for one that is held."""
        lock = self.folder / lock_name(self._part)
        try:
            lock.open("ab").close()
        except OSError as error:
            return unwritable(self.folder, error)
        return self._busy(lock)

    def _mend(self) -> None:
        """Cut off a last line without its end, so that the next one starts a line."""
        assert self._file is not None
        self._file.truncate(self._whole_lines)

    def intend(self, output: str, sha256: str) -> None:
        """Say which bytes are about to stand at `output`. Raises StorageError."""
        self.intend_all([(output, sha256)])

    def intend_all(self, results: Sequence[tuple[str, str]]) -> None:
        """Say which bytes, by their SHA-256, are about to stand at which outputs. Raises StorageError."""
        self._append([{"kind": "intent", "output": output, "sha256": sha256} for output, sha256 in results])
        for output, sha256 in results:
            self._intents.setdefault(output, set()).add(sha256)

    def finish(self, record: Record) -> None:
        """Record a finished picture. Raises StorageError."""
        self.finish_all([record])

    def finish_all(self, records: Sequence[Record]) -> None:
        """Record finished pictures. Raises StorageError."""
        starts = self._append([{"kind": "done", **asdict(record)} for record in records])
        for record, start in zip(records, starts, strict=True):
            self._done[record.output] = start << _FILE_BITS
            self._rivals.pop(record.output, None)
            self._intents.pop(record.output, None)

    def _append(self, entries: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write a line for each entry; return where they stand. They last even after a power cut."""
        if self._file is None:
            raise ValueError("the manifest is not open for writing")
        lines = [
            json.dumps({"v": VERSION, **entry}, separators=(",", ":"), ensure_ascii=True).encode("ascii")
            + b"\n"
            for entry in entries
        ]
        starts = [self._whole_lines]
        for line in lines:
            starts.append(starts[-1] + len(line))
        try:
            left = memoryview(b"".join(lines))
            while left:  # a disk that gets full takes a part
                left = left[self._file.write(left) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):  # or else the next one to write cuts off what is no whole line
                self._mend()
            raise unwritable(self.path, error) from error
        self._whole_lines = starts.pop()
        return starts

    def close(self) -> None:
        """Let go of the folder; one that was made for this run and got nothing goes away again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self._lock.is_locked:
            return
        with suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()
        lock = self.folder / lock_name(self._part)
        with suppress(OSError):  # Windows keeps an open file, and filelock removes it there
            if is_ours(lock):
                lock.unlink()
        self._lock.release()
        if self._made_folder:
            with suppress(OSError):  # it holds results
                self.folder.rmdir()

    def __enter__(self) -> Manifest:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
