"""Where finished pictures go: into folders that keep a manifest, or to a stream."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.listing import Listing, Tasks, first_of
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import Task, absolute, real
from drsformer_cli.jobs.record import Record
from drsformer_cli.jobs.resume import Decision, decide, file_ids, input_in_the_way
from drsformer_cli.media.files import make_folder, publish, sweep_partials, sync_folder, write_atomically

MOST_LEADS = 1000  # folders


@dataclass(frozen=True)
class Staged:
    """A finished picture under a temporary name, beside the place of its `task`."""

    task: Task
    temporary: Path
    record: Record
    replace: bool


class Store(Protocol):
    """Takes finished pictures."""

    def decide(self, task: Task, /) -> Decision:
        """Tell whether a task is to be done. Raises OutputError if not possible, OSError for the input."""

    def put(self, task: Task, data: bytes, record: Record, /, *, replace: bool) -> Record:
        """Put the bytes where they belong and remember it; return the record, completed.

        Raises OutputError for this picture, and StorageError for what concerns all pictures.
        """


class Publisher(Store, Protocol):
    """Takes pictures that others have finished, too."""

    def publish(self, batch: Sequence[Staged], /) -> list[Record | OutputError]:
        """Give results their names; return, for each, its record or why it has none. Raises StorageError."""


class FolderStore:
    """Writes files into their output folders and keeps the manifests there.

    A context manager, one run at a time. `settings` are what decides a result's bytes; for a mere look, as
    many of them as are known without the model. `part` is such as "1-of-4" where others do the rest.
    """

    def __init__(
        self, tasks: Tasks, settings: Mapping[str, Any], *, overwrite: bool = False, part: str = ""
    ) -> None:
        known = first_of(tasks)
        self._settings = settings
        self._overwrite = overwrite
        self._root = tasks.root if isinstance(tasks, Listing) else None
        self._inputs = frozenset() if self._root else file_ids(known)
        self._parents = {task.path.parent for task in known}
        self._manifests = {
            folder: Manifest(folder, part) for folder in dict.fromkeys(task.folder for task in known)
        }
        self._leads: dict[Path, Path] = {}
        self._stack = ExitStack()

    @property
    def damaged_lines(self) -> int:
        """Return how many lines of the manifests could not be understood."""
        return sum(manifest.damaged_lines for manifest in self._manifests.values())

    def earlier_plan(self) -> dict[str, Any]:
        """Return the plan of a picture that an earlier run did with these settings; {} if there is none."""
        plans = (manifest.plan_for(self._settings) for manifest in self._manifests.values())
        return next((plan for plan in plans if plan), {})

    def look(self) -> None:
        """Read the manifests without becoming their writer, so that `decide` works."""
        self._manifests = {folder: Manifest.load(folder) for folder in self._manifests}

    def __enter__(self) -> FolderStore:
        """Become the one writer of each folder and clear away what killed runs left. Raises StorageError."""
        try:
            for folder, manifest in self._manifests.items():
                self._stack.enter_context(manifest)
                known = {absolute(folder / output).parent for output in manifest.outputs()}
                self._parents |= {parent for parent in known if parent.is_relative_to(folder)}
            for parent in sorted(self._parents):
                if parent.is_dir():
                    sweep_partials(parent)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def decide(self, task: Task) -> Decision:
        """See `resume.decide`."""
        manifest = self._manifests[task.folder]
        if self._root is not None:
            self._meet(task, self._root)
        return decide(task, manifest, self._settings, overwrite=self._overwrite, inputs=self._inputs)

    def _meet(self, task: Task, root: Path) -> None:
        """Do for a picture that was not known before what is done for the others at the beginning.

        Not all inputs are known, so whatever lies in their folder is taken for one. Raises OutputError.
        """
        parent = task.path.parent
        if parent not in self._parents and parent.is_dir():
            sweep_partials(parent)
        self._parents.add(parent)
        place = real(task.path) if task.path.is_symlink() else self._real(parent) / task.path.name
        if place.is_relative_to(self._real(root)) and not place.is_relative_to(self._real(task.folder)):
            raise input_in_the_way(task)

    def _real(self, folder: Path) -> Path:
        """Return where a folder leads in the end; most tasks ask for the same one as the task before."""
        if folder not in self._leads:
            if len(self._leads) > MOST_LEADS:
                self._leads.clear()
            self._leads[folder] = real(folder)
        return self._leads[folder]

    def put(self, task: Task, data: bytes, record: Record, *, replace: bool) -> Record:
        """Write the file, whole or not at all, with the folders it lies in, and enter it in the manifest."""
        manifest = self._manifests[task.folder]
        manifest.intend(record.output, record.result.sha256)
        try:
            make_folder(task.path.parent)
            write_atomically(task.path, data, replace=replace)
        except OutputError as error:
            _check_folder(task, error)
            raise
        record = _completed(task, record)
        manifest.finish(record)
        return record

    def publish(self, batch: Sequence[Staged]) -> list[Record | OutputError]:
        """Do what `put` does for files that stand complete already, as many as there are at once.

        Returns, for each, its record or why it could not have its name. Raises StorageError.
        """
        for folder, manifest in self._manifests.items():
            claims = [
                (each.record.output, each.record.result.sha256)
                for each in batch
                if each.task.folder == folder
            ]
            if claims:
                manifest.intend_all(claims)
        outcomes = [_publish(each) for each in batch]
        for parent in {each.task.path.parent for each in batch}:
            sync_folder(parent)
        for folder, manifest in self._manifests.items():
            records = [
                outcome
                for each, outcome in zip(batch, outcomes, strict=True)
                if each.task.folder == folder and isinstance(outcome, Record)
            ]
            if records:
                manifest.finish_all(records)
        return outcomes


def _publish(staged: Staged) -> Record | OutputError:
    try:
        publish(staged.temporary, staged.task.path, replace=staged.replace)
    except OutputError as error:
        _check_folder(staged.task, error)
        return error
    return _completed(staged.task, staged.record)


def _completed(task: Task, record: Record) -> Record:
    """Return the record with the time that the file which stands there now has."""
    written = dataclasses.replace(record.result, mtime_ns=task.path.stat().st_mtime_ns)
    return dataclasses.replace(record, result=written)


def _check_folder(task: Task, error: OutputError) -> None:
    """Raise StorageError where not one folder below, or one name, cannot be had, but none."""
    if not os.access(task.folder, os.W_OK):
        raise StorageError(f"the folder {task.folder} cannot be written any more.") from error


class StreamStore:
    """Writes pictures to a binary stream, standard output most likely, and keeps no record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def decide(self, _task: Task) -> Decision:
        """Do it: nothing on a stream was done before."""
        return Decision()

    def put(self, _task: Task, data: bytes, record: Record, *, replace: bool) -> Record:  # noqa: ARG002
        """Write all bytes. Raises OutputError when nobody reads them."""
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"standard output does not take the picture: {error.strerror}.") from error
        return record
