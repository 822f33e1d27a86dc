"""What is left to do: compares each task with the manifest and the disk, before anything is decoded."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from drsformer_cli.errors import OutputError, StorageError, UsageError
from drsformer_cli.jobs.manifest import STEM, Manifest
from drsformer_cli.jobs.naming import Task, absolute, from_here, real
from drsformer_cli.jobs.record import Input, Record, unchanged
from drsformer_cli.media.discover import NO_PICTURE, OUTPUT, OUTPUT_FOLDER, Discovery, Source, reason_by_name
from drsformer_cli.media.remote import look, read

BAD_MANIFEST = "manifest that cannot be read"
_MISSING = object()
DONE_BEFORE = "done before"
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Decision:
    """What to do with a task: `skip` says why it is left out, None that it is to be done.

    `replace` allows the result to take the place of a file. `again` says in words which settings of an
    earlier result differ, where that alone is why it is made again.
    """

    skip: str | None = None
    replace: bool = False
    again: str = ""


def input_path(task: Task) -> str:
    """Return the manifest's name of an input: from the output folder, so that both can move together.

    What is, or goes, behind a URL has its full name.
    """
    if task.source.url is not None:
        return task.source.url
    if task.source.path is None:
        return "-"
    path = absolute(task.source.path)
    if task.base is not None:
        return path.as_posix()
    try:
        return PurePath(os.path.relpath(path, task.folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.as_posix()


def file_ids(tasks: Iterable[Task]) -> frozenset[Hashable]:
    """Return the identities on disk of all inputs; all names and links of one file have the same.

    A file that was redirected to the standard input is one of them.
    """
    ids = set()
    for task in tasks:
        path = task.source.path
        if task.source.url is not None:
            continue
        try:
            ids.add(_identity(path, os.fstat(0) if path is None else path.stat()))
        except OSError:
            continue  # reading it will say why
    return frozenset(ids)


def _identity(path: Path | None, status: os.stat_result) -> Hashable:
    """Return what makes a file the same under all its names, as far as its disk knows."""
    if status.st_ino or path is None:
        return status.st_dev, status.st_ino
    return os.path.normcase(os.path.realpath(path))


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
            raise in_the_way(task) from None
        return Decision(replace=overwrite)
    if _identity(task.path, status) in inputs:
        raise input_in_the_way(task)
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{task.path} is a folder: choose another name with -o.")
    if overwrite:
        return Decision(replace=True)
    record = manifest.record(output)
    if not manifest.claims(output):
        if record is None:
            raise in_the_way(task)
        raise OutputError(
            f"{task.path} has changed since derain wrote it: delete the file to have it made again, or give "
            "--overwrite to replace it."
        )
    if record is None or (task.source.path is None and task.source.url is None):
        return Decision(replace=True)
    return _compare(task, record, settings)


def input_in_the_way(task: Task) -> OutputError:
    """Return the error for a result whose place is that of an input."""
    place = task.url or task.path
    return OutputError(f"{place} is itself an input and is never overwritten: choose another name with -o.")


def in_the_way(task: Task) -> OutputError:
    """Return the error for a result in whose place something stands that no run of ours made."""
    place = task.url or task.path
    return OutputError(f"{place} is there already and was not made by derain: --overwrite replaces it.")


def same_input(task: Task, seen: Input, *, same_place: bool) -> bool:
    """Tell whether an input is what was recorded of it. Raises OSError and StorageError."""
    url, path = task.source.url, task.source.path
    if url is None:
        assert path is not None
        return unchanged(path, seen.size, seen.mtime_ns if same_place else None, seen.sha256)
    now = look(url)
    if now is None:
        raise FileNotFoundError(errno.ENOENT, "No such object", url)
    if now.size != seen.size:
        return False
    if now.sha256:
        return now.sha256 == seen.sha256
    known = same_place and now.mtime_ns and now.mtime_ns == seen.mtime_ns
    return bool(known) or hashlib.sha256(read(url)).hexdigest() == seen.sha256


def differing(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return in words which of the settings are not those that were recorded; "" if none."""
    words = []
    for name, value in settings.items():
        before = recorded.get(name, _MISSING)
        if before != value:
            words.append("another model" if name == "model" else f"{name} {_word(before)} -> {_word(value)}")
    return ", ".join(words)


def _word(value: Any) -> str:
    """Return a setting's value as it is typed, as far as it is typed at all."""
    if value is _MISSING:
        return "unknown"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and value >= _MEBIBYTE:  # no pixels are so many: it is the memory
        return f"{value / _MEBIBYTE:.0f}M"
    return "as it comes" if value is None else str(value)


def _compare(task: Task, record: Record, settings: Mapping[str, Any]) -> Decision:
    """Compare an input and an output that both stand there with what was recorded of them."""
    same_place = record.input.path == input_path(task)
    seen = record.input
    if not same_input(task, seen, same_place=same_place):
        if not same_place:
            other = absolute(task.folder / record.input.path)
            raise OutputError(f"{task.path} holds the result of {other}: choose another -o, or --overwrite.")
        return Decision(replace=True)
    if again := differing(record.settings, settings):
        return Decision(replace=True, again=again)
    written = record.result
    if not unchanged(task.path, written.size, written.mtime_ns, written.sha256):
        return Decision(replace=True)
    return Decision(skip=DONE_BEFORE)


def refuse_pictures_inside(root: Path, folder: Path, found: Discovery | None = None) -> None:
    """Raise UsageError where results would go to a folder inside `root` that holds pictures of the user's.

    They would be left out as if they were results, and results lie among them. A folder that holds a manifest
    is taken for one of results; `found` says what is looked for.
    """
    inner, found = real(folder), found or Discovery()
    outer = real(root)
    if inner == outer or not inner.is_relative_to(outer) or OUTPUT_FOLDER in inner.relative_to(outer).parts:
        return
    if any(inner.glob(f"{STEM}*.jsonl")):
        return
    for place, folders, files in os.walk(inner):
        folders[:] = [name for name in folders if not reason_by_name(name, True, found)]
        if any(not reason_by_name(name, False, found) for name in files):
            at, what = from_here(absolute(place)), "pictures" if found.other == NO_PICTURE else "films"
            raise UsageError(
                f"-o {folder} lies in {root}, and the {what} in {at} would be left out: choose another -o."
            )


def without_earlier_results(
    found: Discovery, output: Path | None = None, manifests: dict[Path, Manifest | None] | None = None
) -> Discovery:
    """Leave out files that an earlier run wrote and nobody changed since, as the manifests beside them say.

    That is done for what was found by walking, or by a pattern, in folders below the one where the search
    began; and for all files in `output`, the folder this run writes to. A folder of results that the user
    names itself is taken: there, a second pass is what was asked for. `manifests` keeps those looked into.
    """
    manifests = {} if manifests is None else manifests
    kept = replace(found, sources=[], skipped=found.skipped.copy(), passed_over=[*found.passed_over])
    for source in found.sources:
        for folder in _folders_of_results(source, output):
            if folder not in manifests:
                manifests[folder] = manifest_in(folder, kept)
            manifest = manifests[folder]
            if manifest is not None and source.path is not None and is_result(source.path, manifest):
                kept.skip(source.path, OUTPUT)
                break
        else:
            kept.sources.append(source)
    return kept


def _folders_of_results(source: Source, output: Path | None) -> list[Path]:
    """Return the folders whose manifests may say that a source is a result."""
    if source.path is None:
        return []
    path = absolute(source.path)
    top = source.matched or (None if source.named else source.root)
    below = absolute(top) if top is not None else path  # nothing is below a file
    return [
        folder
        for folder in path.parents
        if (folder != below and folder.is_relative_to(below)) or (output and folder == absolute(output))
    ]


def manifest_in(folder: Path, found: Discovery) -> Manifest | None:
    """Return the manifest of a folder to look at; None for one that cannot be read, which is passed over."""
    try:
        return Manifest.load(folder)
    except (StorageError, OSError):  # it may be anybody's: what stands beside it is done all the same
        found.skip(folder / f"{STEM}*.jsonl", BAD_MANIFEST)  # a shard's, perhaps
        return None


def is_result(path: Path, manifest: Manifest) -> bool:
    """Tell whether a file below a manifest's folder is what a run of ours put there."""
    try:
        return manifest.claims(absolute(path).relative_to(manifest.folder).as_posix())
    except OSError:
        return False  # reading it will say why
