"""What is left to do: compares each task with the manifest and the disk, before anything is decoded."""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from drsformer_cli.errors import OutputError
from drsformer_cli.jobs.manifest import Manifest, Record, sha256_of
from drsformer_cli.jobs.naming import Task, absolute
from drsformer_cli.media.discover import Discovery

OUTPUT_OF_AN_EARLIER_RUN = "output folder"
_MISSING = object()
DONE_BEFORE = "done before"


@dataclass(frozen=True)
class Decision:
    """What to do with a task: `skip` says why it is left out, None that it is to be done.

    `replace` allows the result to take the place of a file.
    """

    skip: str | None = None
    replace: bool = False


def input_path(task: Task) -> str:
    """Return the manifest's name of an input: from the output folder, so that both can move together."""
    if task.source.path is None:
        return "-"
    path = absolute(task.source.path)
    try:
        return PurePath(os.path.relpath(path, task.folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.as_posix()


def file_ids(tasks: Iterable[Task]) -> frozenset[Hashable]:
    """Return the identities on disk of all inputs; all names and links of one file have the same."""
    ids = set()
    for task in tasks:
        if task.source.path is not None:
            try:
                ids.add(_identity(task.source.path, task.source.path.stat()))
            except OSError:
                continue  # reading it will say why
    return frozenset(ids)


def _identity(path: Path, status: os.stat_result) -> Hashable:
    """Return what makes a file the same under all its names, as far as its disk knows."""
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(os.path.realpath(path))


def decide(
    task: Task,
    manifest: Manifest,
    settings: Mapping[str, Any],
    *,
    overwrite: bool,
    inputs: frozenset[Hashable] = frozenset(),
) -> Decision:
    """Tell whether a task is to be done, and whether it may replace what stands at its output.

    A setting that `settings` does not name is left out of the comparison. `inputs` are the `file_ids` that no
    result may replace. Raises OutputError where a file is in the way, and OSError where the input cannot be
    read.
    """
    output = task.output.as_posix()
    try:
        status = task.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if task.path.is_symlink() and not overwrite:
            raise _in_the_way(task) from None
        return Decision(replace=overwrite)
    if _identity(task.path, status) in inputs:
        raise OutputError(
            f"{task.path} is itself an input and is never overwritten: choose another -o or a --suffix."
        )
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{task.path} is a folder: choose another -o or a --suffix.")
    if overwrite:
        return Decision(replace=True)
    if not manifest.claims(output):
        raise _in_the_way(task)
    record = manifest.record(output)
    if record is None or task.source.path is None:
        return Decision(replace=True)
    return _compare(task, task.source.path, record, settings)


def _in_the_way(task: Task) -> OutputError:
    return OutputError(f"{task.path} is there already and was not made by derain: --overwrite replaces it.")


def _compare(task: Task, path: Path, record: Record, settings: Mapping[str, Any]) -> Decision:
    """Compare an input and an output that both stand there with what was recorded of them."""
    same_place = record.input.path == input_path(task)
    seen = record.input
    if not _unchanged(path, seen.size, seen.mtime_ns if same_place else None, seen.sha256):
        if not same_place:
            other = absolute(task.folder / record.input.path)
            raise OutputError(f"{task.path} holds the result of {other}: choose another -o, or --overwrite.")
        return Decision(replace=True)
    if any(record.settings.get(name, _MISSING) != value for name, value in settings.items()):
        return Decision(replace=True)
    written = record.result
    if not _unchanged(task.path, written.size, written.mtime_ns, written.sha256):
        return Decision(replace=True)
    return Decision(skip=DONE_BEFORE)


def _unchanged(path: Path, size: int, mtime_ns: int | None, sha256: str) -> bool:
    """Tell whether a file is as recorded: size and time vouch for it, or its content if the time differs."""
    status = path.stat()
    if status.st_size != size:
        return False
    return status.st_mtime_ns == mtime_ns or sha256_of(path) == sha256


def without_earlier_results(found: Discovery) -> Discovery:
    """Leave out files found by walking that an earlier run wrote: claimed by a manifest in a folder below.

    A folder of results that the user names itself is taken: there, a second pass is what was asked for.
    """
    manifests: dict[Path, frozenset[Path]] = {}
    kept = Discovery(sources=[], skipped=found.skipped.copy())
    for source in found.sources:
        if source.named or source.root is None or source.path is None:
            kept.sources.append(source)
            continue
        root, path = absolute(source.root), absolute(source.path)
        below = [parent for parent in path.parents if parent != root and parent.is_relative_to(root)]
        for folder in below:
            if folder not in manifests:
                manifests[folder] = frozenset(folder / output for output in Manifest.load(folder).outputs())
        if any(path in manifests[folder] for folder in below):
            kept.skipped[OUTPUT_OF_AN_EARLIER_RUN] += 1
        else:
            kept.sources.append(source)
    return kept
