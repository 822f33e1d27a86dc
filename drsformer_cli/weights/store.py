"""Where models are kept between runs: one cache folder of safetensors files, each with a record beside it.

    NAME.safetensors      the tensors, as checked
    NAME.json             the record: where they came from, and the SHA-256 of what came and of what is kept
    .NAME.lock            held while a model is fetched or replaced
    .NAME.partial/        work in progress; never read by anybody, swept by the next who works on NAME

A file gets its own name only by renaming, after everything about it has been checked.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from drsformer_cli.errors import DerainError, StorageError, UsageError, WeightsError
from drsformer_cli.weights.checkpoint import Checkpoint, fingerprint

#: Endings by which a word is taken for a checkpoint file and not for the name of a model.
SUFFIXES = (".pth", ".pt", ".safetensors")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LARGEST_RECORD = 1 << 20  # bytes
#: Names that mean a device on Windows, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@dataclass(frozen=True)
class Record:
    """What is known of a kept model.

    Attributes:
        name: its name in the cache.
        variant: `mefc` or `plain`.
        source: the address, or the name of the file, it came from.
        original_sha256: of the file as it came; later downloads under the name must have the same.
        sha256: of the file that is kept.
        size: of the file that is kept, in bytes.
        added: when, ISO 8601 in UTC.
    """

    name: str
    variant: str
    source: str
    original_sha256: str
    sha256: str
    size: int
    added: str


def cache_folder() -> Path:
    """Return the folder models are kept in, made or not: `DERAIN_CACHE`, else the user's cache folder.

    Raises:
        UsageError: if `DERAIN_CACHE` is no path.
    """
    if chosen := os.environ.get("DERAIN_CACHE"):
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError:
            raise UsageError(f"DERAIN_CACHE is {chosen}, but there is no such user") from None
    from platformdirs import user_cache_path

    return user_cache_path("derain", appauthor=False)


def check_name(name: str) -> str:
    """Return `name` if a model can be kept under it.

    Raises:
        UsageError: if not.
    """
    if not _NAME.fullmatch(name) or _DEVICES.fullmatch(name) or name.endswith((".", *SUFFIXES)):
        raise UsageError(
            f"{name!r} cannot be the name of a model: use small letters, digits, '.', '_' and '-', begin "
            f"with a letter or digit, and leave out endings such as {SUFFIXES[0]}"
        )
    return name


class Store:
    """The models kept in one folder, `cache_folder()` by default. Creates nothing until something is kept."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder()

    def path(self, name: str) -> Path:
        """Return where the model `name` is or would be kept."""
        return self.folder / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        """Whether a model is kept under `name`."""
        return _NAME.fullmatch(name) is not None and self.path(name).is_file()

    def names(self) -> list[str]:
        """Return the names of all kept models, sorted."""
        if not self.folder.is_dir():
            return []
        return sorted(path.stem for path in self.folder.glob("*.safetensors") if self.has(path.stem))

    def record(self, name: str) -> Record | None:
        """Return the record of `name`, or None if there is none.

        Raises:
            WeightsError: if there is one that cannot be read.
        """
        path = self._record_path(name)
        try:
            with path.open("rb") as file:
                record = Record(**json.loads(file.read(_LARGEST_RECORD)))
            if any(
                type(value) is not (int if key == "size" else str) for key, value in asdict(record).items()
            ):
                raise TypeError("a record of other values")
            return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError):
            raise WeightsError(
                f"the record {path} is damaged; type `derain weights get {name} --force`, "
                f"or import the model again with --force"
            ) from None

    def is_whole(self, name: str) -> bool:
        """Whether the kept file of `name` is, byte for byte, the one its record tells of."""
        record = self.record(name)
        if record is None or not self.has(name):
            return False
        path = self.path(name)
        return path.stat().st_size == record.size and fingerprint(path) == record.sha256

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the right to change `name`; calls `waiting` once if another process has it, and waits.

        Raises:
            StorageError: if the cache folder cannot be made or written.
        """
        from filelock import FileLock, Timeout

        path = self.folder / f".{name}.lock"
        with _storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0.2)
            except Timeout:
                if waiting is not None:
                    waiting()
                lock.acquire()
        try:
            yield
        finally:
            # Nobody is locked out by a missing file: who waits on it notices and starts anew.
            with suppress(OSError):
                path.unlink()
            lock.release()

    @contextmanager
    def workshop(self, name: str) -> Iterator[Path]:
        """An empty folder beside the kept files to make `name` in; gone afterwards. Only under its lock."""
        folder = self.folder / f".{name}.partial"
        with _storage_errors(self.folder):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what stays behind is swept by the next one

    def keep(
        self, name: str, checkpoint: Checkpoint, bench: Path, *, source: str, original_sha256: str
    ) -> Record:
        """Keep a checked checkpoint as `name`, in place of what was there. Only in its `workshop`, `bench`.

        Raises:
            StorageError: if it cannot be written.
        """
        from safetensors.torch import save

        variant = checkpoint.config.variant
        described = {
            **checkpoint.metadata,
            "format": "pt",
            "name": name,
            "variant": variant,
            "source": source,
        }
        made, note = bench / "model", bench / "record"
        with _storage_errors(self.folder):
            # Cloned: tensors of a .pth may share memory, which the format refuses.
            own = {key: value.clone() for key, value in checkpoint.tensors.items()}
            made.write_bytes(save(own, metadata=described))
            _flush(made)
            record = Record(
                name=name,
                variant=variant,
                source=source,
                original_sha256=original_sha256,
                sha256=fingerprint(made),
                size=made.stat().st_size,
                added=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            note.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
            _flush(note)
            # The record first: should we die in between, it tells of a file that is not there, and the next
            # download mends that; a file without a record is not loaded.
            note.replace(self._record_path(name))
            made.replace(self.path(name))
        return record

    def _record_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except DerainError:
        raise
    except OSError as error:
        full = error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        raise StorageError(
            f"cannot write to the cache folder {folder}: {reason}; set DERAIN_CACHE to use another folder"
        ) from None


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
