"""What has been done: a file of JSON lines in the output folder, only ever appended to.

Two lines are written for each picture. `intent`, before the finished file gets its name, says which bytes are
about to stand there; `done`, after, records the input, the result, the settings and the plan. Whenever a run
is killed, the files it left are therefore either unnamed, or named and claimed by one of the two lines, and
the next run may replace them for as long as they hold the very bytes that were written; any other file
belongs to the user and is left alone. A last line cut short is dropped.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from drsformer_cli.errors import StorageError
from drsformer_cli.media.files import sha256_of

FILE_NAME = ".derain-manifest.jsonl"
LOCK_NAME = ".derain-manifest.lock"
VERSION = 1
MOST_BYTES = 1 << 29  # a manifest may stand in an input folder, written by anybody
MOST_OF_A_LINE = 1 << 20


@dataclass(frozen=True)
class Input:
    """What an input was when it was read. `path` is relative to the output folder, `-` for standard input."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Result:
    """What was written."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """One finished picture.

    `output` is relative to the output folder, with `/`; `seconds` is the time the model took. `plan` is a
    list where not all frames were done in the same way.
    """

    output: str
    input: Input
    result: Result
    settings: dict[str, Any]
    plan: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def unchanged(path: Path, size: int, mtime_ns: int | None, sha256: str) -> bool:
    """Tell whether a file is as recorded: size and time vouch for it, or its content if the time differs.

    Raises OSError.
    """
    status = path.stat()
    if status.st_size != size:
        return False
    return status.st_mtime_ns == mtime_ns or sha256_of(path) == sha256


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `value` as it reads after a trip through JSON, so that it compares equal to a recorded one."""
    return dict(json.loads(json.dumps(value)))


def _plan(value: Any) -> dict[str, Any] | list[dict[str, Any]]:
    return [dict(plan) for plan in value] if isinstance(value, list) else dict(value)


class Manifest:
    """The record of one output folder.

    `Manifest.load(folder)` is for looking, `with Manifest(folder) as manifest` for its one writer. One writer
    at a time holds a lock file beside the manifest; the system lets go of it when the writer is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged_lines = 0
        self._done: dict[str, Record] = {}
        self._intents: dict[str, set[str]] = {}
        self._whole_lines = 0  # bytes
        self._file: BinaryIO | None = None
        self._lock = FileLock(folder / LOCK_NAME)
        self._made_folder = False

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read what is recorded in `folder` (nothing, if it has no manifest), to look at only."""
        manifest = cls(folder)
        manifest._read()
        return manifest

    # ---- what it knows

    def record(self, output: str) -> Record | None:
        """Return the last finished result at `output`, if any."""
        return self._done.get(output)

    def records(self) -> Iterator[Record]:
        """Yield the finished results, in the order in which they were first finished."""
        yield from self._done.values()

    def claims(self, output: str) -> bool:
        """Tell whether the file standing at `output` is, byte for byte, one that a run of ours put there.

        What was altered or replaced since is not: it belongs to who did that. Raises OSError.
        """
        record = self._done.get(output)
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
        path = self.folder / FILE_NAME
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
                raise StorageError(f"{path} cannot be read: it is no plain file.")
            if status.st_size > MOST_BYTES:
                raise StorageError(f"{path} cannot be read: it is larger than {MOST_BYTES >> 20} MiB.")
            with path.open("rb") as file:
                while line := file.readline(MOST_OF_A_LINE):
                    if line.strip():
                        self._take(line)
                    if line.endswith(b"\n"):
                        self._whole_lines = file.tell()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from error

    def _take(self, line: bytes) -> None:
        """Take in one line; what is cut short or garbled counts as damaged, and its picture is done again."""
        try:
            entry = json.loads(line)
            if entry["v"] != VERSION:
                raise ValueError("written by another version")
            if entry["kind"] == "intent":
                self._intents.setdefault(str(entry["output"]), set()).add(str(entry["sha256"]))
            elif entry["kind"] == "done":
                record = Record(
                    output=str(entry["output"]),
                    input=Input(**entry["input"]),
                    result=Result(**entry["result"]),
                    settings=dict(entry["settings"]),
                    plan=_plan(entry["plan"]),
                    seconds=float(entry["seconds"]),
                    notes=list(entry["notes"]),
                )
                self._done[record.output] = record
        except (ValueError, KeyError, TypeError, RecursionError):
            self.damaged_lines += 1

    # ---- the one writer

    def open(self) -> Manifest:
        """Make the folder, become its only writer, and mend a last line that was cut short.

        Raises StorageError if the folder cannot be written, or another run is writing into it.
        """
        try:
            self._made_folder = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            raise self._locked_out() from None
        except OSError as error:
            raise StorageError(f"the folder {self.folder} cannot be written: {error.strerror}.") from error
        try:
            self._read()
            self._file = (self.folder / FILE_NAME).open("ab")
            self._mend()
        except OSError as error:
            self.close()
            raise StorageError(f"{self.folder / FILE_NAME} cannot be written: {error.strerror}.") from error
        except BaseException:
            self.close()
            raise
        return self

    def _locked_out(self) -> StorageError:
        """Tell why the lock was not had: filelock takes a file that cannot be made for one that is held."""
        try:
            (self.folder / LOCK_NAME).open("ab").close()
        except OSError as error:
            return StorageError(f"the folder {self.folder} cannot be written: {error.strerror}.")
        return StorageError(
            f"another run of derain writes into {self.folder}: wait for its end, or choose another -o."
        )

    def _mend(self) -> None:
        """Cut off a last line without its end, so that the next one starts a line."""
        assert self._file is not None
        self._file.truncate(self._whole_lines)

    def intend(self, output: str, sha256: str) -> None:
        """Say which bytes are about to stand at `output`. Raises StorageError."""
        self._append({"kind": "intent", "output": output, "sha256": sha256})
        self._intents.setdefault(output, set()).add(sha256)

    def finish(self, record: Record) -> None:
        """Record a finished picture. Raises StorageError."""
        self._append({"kind": "done", **asdict(record)})
        self._done[record.output] = record

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the manifest is not open for writing")
        line = json.dumps({"v": VERSION, **entry}, separators=(",", ":"), ensure_ascii=True)
        try:
            self._file.write(line.encode("ascii") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError(f"{self.folder / FILE_NAME} cannot be written: {error.strerror}.") from error

    def close(self) -> None:
        """Let go of the folder; one that was made for this run and got nothing goes away again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self._lock.is_locked:
            return
        path = self.folder / FILE_NAME
        with suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()
        with suppress(OSError):  # Windows keeps an open file, and filelock removes it there
            (self.folder / LOCK_NAME).unlink()
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
