"""One picture from its path to a finished file under a temporary name: what a worker does, wherever it is."""

from __future__ import annotations

import hashlib
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from drsformer_cli import __version__
from drsformer_cli.errors import DeviceError, SetupError, StorageError
from drsformer_cli.jobs.events import words_for
from drsformer_cli.jobs.gate import Gate, byte_budget
from drsformer_cli.jobs.hands import MOST_ERRANDS, Errand
from drsformer_cli.jobs.objects import note_for
from drsformer_cli.jobs.pipeline import Model, restore_frames
from drsformer_cli.jobs.record import Input
from drsformer_cli.jobs.source import read_file, read_url
from drsformer_cli.media.files import make_folder, stage
from drsformer_cli.media.images import MOST_PIXELS, Picture, decode, encode
from drsformer_cli.media.remote import write


class WorkerModel(Model, Protocol):
    """What a worker needs of a restorer."""

    @property
    def limit(self) -> int:
        """Return the memory it may use, in bytes."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return all that decides the result besides the picture's size."""

    def go_on_as(self, plan: Mapping[str, Any], /) -> None:
        """Rest all further plans on what an earlier one rested on."""


@dataclass(frozen=True)
class FileErrand(Errand):
    """Something to do whose result is a hidden file in `folder`, an absolute path.

    It is called `temporary` in its first attempt; a lost worker may still be writing when another does its
    errand, so each attempt has a name of its own. `limit` is the memory in bytes that plans rest on, None for
    the worker's own.
    """

    folder: str = ""
    temporary: str = ""
    limit: int | None = None

    @property
    def place(self) -> Path:
        """Return where this attempt writes."""
        stem, dot, extension = self.temporary.rpartition(".")
        return Path(self.folder) / f"{stem[:-2]}{self.attempt:02x}{dot}{extension}"

    def forget(self) -> None:
        """Clear away what may have been written in vain."""
        with suppress(OSError):  # most often it left nothing
            self.place.unlink()


@dataclass(frozen=True)
class PictureErrand(FileErrand):
    """A picture to do: the file at `path`, absolute, called `name` in messages.

    `is_url` says that `path` is one; `url` is where the result goes if not to a disk: at once, with a note of
    `settings`.
    """

    path: str = ""
    name: str = ""
    url: str | None = None
    replace: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    is_url: bool = False

    def forget(self) -> None:
        """Clear away what may have been written in vain; behind a URL nothing is ever half there."""
        if self.url is None:
            super().forget()


@dataclass(frozen=True)
class Finished:
    """A picture stands complete at the errand's `place`; sizes are (height, width) in pixels, upright.

    `repeated` of its frames were equal to the one before.
    """

    read_bytes: int
    read_mtime_ns: int
    read_sha256: str
    bytes: int
    sha256: str
    sizes: tuple[tuple[int, int], ...]
    plan: dict[str, Any] | list[dict[str, Any]]
    seconds: float
    notes: list[str]
    repeated: int = 0


@dataclass(frozen=True)
class Refused:
    """A picture could not be done, for what `events.Failed` tells."""

    kind: str
    reason: str
    details: str | None


@dataclass(frozen=True)
class Facts:
    """What a worker's results rest on: the model's settings, the memory in bytes it may use, the software."""

    settings: dict[str, Any]
    limit: int
    software: str = ""

    def check_alike(self, other: Facts) -> None:
        """Raise SetupError for another worker whose results would not be those of this one."""
        if other.software != self.software:
            raise SetupError(
                f"the workers are not alike: one has {self.software}, another {other.software}; "
                "install the same on all machines."
            )
        mine, theirs = self.settings, other.settings
        differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
        if differing:
            key = differing[0]
            raise DeviceError(
                f"the workers are not alike: {key} is {mine.get(key)} for one and {theirs.get(key)} for "
                f"another; say which with --{key}."
            )


def software(*modules: str) -> list[str]:
    """Return the version of derain, and those of modules that are in use."""
    versions = [f"{name} {sys.modules[name].__version__}" for name in modules if name in sys.modules]
    return [f"derain {__version__}", *versions]


@dataclass(frozen=True)
class Probe:
    """A file that a worker elsewhere must see as the caller does; `content` is None where that is long."""

    path: str
    content: bytes | None = None

    def check(self, where: str) -> None:
        """Raise StorageError if this machine, called `where`, does not see it."""
        path = Path(self.path)
        try:
            seen = path.exists() if self.content is None else path.read_bytes() == self.content
        except OSError:
            seen = False
        if not seen:
            raise StorageError(
                f"{where} does not see the folder {path.parent}: inputs and results must lie on a file "
                "system that all machines share under the same path."
            )


@dataclass(frozen=True)
class ModelRecipe:
    """What workers of all kinds are made of: what loads the model, its share of the memory there is.

    `probes` are files that the worker must see.
    """

    load: Callable[..., Any]
    share: float = 1.0
    probes: tuple[Probe, ...] = field(default=())

    def model(self) -> Any:
        """Load the model. Raises SetupError."""
        for probe in self.probes:
            probe.check(platform.node())
        model = self.load()
        model.go_on_as({"limit": int(model.limit * self.share)})
        return model


@dataclass(frozen=True)
class PictureRecipe(ModelRecipe):
    """How to make a Worker; `format` and `quality` are those of the files to write.

    `max_pixels` is the most a picture may announce; None: the usual limit.
    """

    format: str | None = None
    quality: int | None = None
    max_pixels: int | None = None

    def make(self) -> Worker:
        """Load the model. Raises SetupError."""
        return Worker(self.model(), format=self.format, quality=self.quality, max_pixels=self.max_pixels)


class Worker:
    """A loaded model that takes errands from several threads at once.

    One errand reads while another is with the model and a third is written; the model itself does one picture
    at a time, always in the same thread, and a gate bounds the pixels in memory.
    """

    def __init__(
        self,
        model: WorkerModel,
        *,
        format: str | None = None,
        quality: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self._model = model
        self._max_pixels = max_pixels or MOST_PIXELS
        self._format, self._quality = format, quality
        self._gate = Gate(MOST_ERRANDS, byte_budget())
        self._decoding = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "model")
        self._limit: int | None = None

    @property
    def facts(self) -> Facts:
        """Return what the results rest on."""
        return Facts(self._model.settings, self._model.limit, ", ".join(software("torch")))

    def do(self, errand: PictureErrand) -> Finished | Refused:
        """Do one picture. Raises SetupError for what concerns all pictures."""
        try:
            return self._do(errand)
        except SetupError:
            raise
        except Exception as error:  # this picture's misfortune must not stop the others
            return Refused(*words_for(error))

    def _do(self, errand: PictureErrand) -> Finished:
        data, mtime_ns = read_url(errand.path) if errand.is_url else read_file(Path(errand.path), errand.name)
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
        weight = 0
        with self._decoding:  # sizes are known after decoding only: one at a time goes through the gate
            self._gate.enter()
            try:
                picture = decode(data, errand.name, max_pixels=self._max_pixels)
                weight = picture.weight
                self._gate.weigh(weight)
            except BaseException:
                self._gate.leave(0)
                raise
        del data
        try:
            return self._finish(errand, picture, (size, mtime_ns, digest))
        finally:
            self._gate.leave(weight)

    def _finish(self, errand: PictureErrand, picture: Picture, read: tuple[int, int, str]) -> Finished:
        frames, plan, repeated, seconds = self._thread.submit(self._restore, picture, errand.limit).result()
        notes = picture.notes
        data = encode(picture, frames, format=self._format, quality=self._quality)
        sha256 = hashlib.sha256(data).hexdigest()
        if errand.url is None:
            make_folder(errand.place.parent)
            stage(errand.place, data)
        else:
            note = note_for(Input(errand.path, *read), sha256, errand.settings)
            write(errand.url, data, note, replace=errand.replace)
        return Finished(
            *read,
            bytes=len(data),
            sha256=sha256,
            sizes=picture.sizes,
            plan=plan,
            seconds=round(seconds, 4),
            notes=list(notes),
            repeated=repeated,
        )

    def _restore(
        self, picture: Picture, limit: int | None
    ) -> tuple[list[NDArray[Any]], dict[str, Any] | list[dict[str, Any]], int, float]:
        if limit is not None and limit != self._limit:
            self._model.go_on_as({"limit": limit})
            self._limit = limit
        start = time.perf_counter()
        frames, plan, repeated = restore_frames(self._model, picture)
        return frames, plan, repeated, time.perf_counter() - start
