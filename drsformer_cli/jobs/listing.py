"""The pictures of one folder, named folder by folder while the search goes on: work starts before it ends.

Outputs can only meet where inputs lie in one folder, or in folders whose names differ in case or Unicode form
alone. So a folder's names are settled as soon as it has been looked into, and no more is in memory than the
names in the folders on the way, however many pictures there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np

from drsformer_cli.jobs.manifest import STEM, Manifest
from drsformer_cli.jobs.naming import Task, absolute, file_key, plain_name, plan_outputs
from drsformer_cli.jobs.resume import is_result, manifest_in
from drsformer_cli.media.discover import OUTPUT, Contents, Discovery, Source, natural

MANY = 20_000  # pictures; fewer are listed before the first one starts


class Listing:
    """More tasks than anybody wants to wait for: the first of them, and the rest as it is found.

    Iterating goes once through all. `len` is how many were found so far, `complete` whether that is all.
    """

    def __init__(self, known: Sequence[Task], rest: Iterator[Task], root: Path | None) -> None:
        self.known = known
        self.root = root
        self.complete = False
        self._rest = rest
        self._count = len(known)

    def __iter__(self) -> Iterator[Task]:
        yield from self.known
        for task in self._rest:
            self._count += 1
            yield task
        self.complete = True

    def __len__(self) -> int:
        return self._count


Tasks = Sequence[Task] | Listing


def first_of(tasks: Tasks) -> Sequence[Task]:
    """Return the tasks that are known before any work starts: all, unless they are a `Listing`."""
    return tasks.known if isinstance(tasks, Listing) else tasks


def as_tasks(found: Iterator[Task], root: Path | None, many: int = MANY) -> Tasks:
    """Return a list of the tasks, or a `Listing` where there are many."""
    known = list(islice(found, many))
    more = list(islice(found, 1))
    return Listing(known, chain(more, found), root) if more else known


class Walks(Protocol):
    """Looks into the folders of a tree, one at a time."""

    def begin(self) -> Contents:
        """Return what the folder itself holds."""

    def enter(self, contents: Contents, name: str, /) -> Contents:
        """Return what a folder in it holds."""

    def source(self, contents: Contents, name: str, /) -> Source:
        """Return a file of a folder as a picture to do."""


@dataclass
class Naming:
    """Where the results of one folder go; `output` is as in `plan_outputs`, `folder` where that leads."""

    output: Path | None
    folder: Path
    format: str | None = None
    suffix: str = ""


@dataclass
class _Visit:
    """A folder on the way, and the manifests above that may say which of its files are results."""

    contents: Contents
    manifests: tuple[Manifest, ...]


class FolderListing:
    """The search through one folder that the user named.

    Args:
        walk: looks into folders.
        naming: where results go.
        found: counts what is passed over.
        root: the folder, if it is on a disk, where earlier results may lie.
        owns: whether a task is for this run; the others are passed over without a word.
    """

    def __init__(
        self,
        walk: Walks,
        naming: Naming,
        found: Discovery,
        *,
        root: Path | None = None,
        owns: Callable[[Task], bool] = lambda _: True,
    ) -> None:
        self._walk, self._naming, self._found, self._root, self._owns = walk, naming, found, root, owns

    def __iter__(self) -> Iterator[Task]:
        """Yield the tasks in the order of `discover`."""
        above = self._naming.folder
        named = self._root is not None and self._naming.output is not None
        inside = named and absolute(self._root or "").is_relative_to(above)
        stack = [self._visit(_Visit(self._walk.begin(), self._look(above) if inside else ()))]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, Task):
                if self._owns(item):
                    yield item
            else:
                stack.append(self._visit(item))

    def _look(self, folder: Path) -> tuple[Manifest, ...]:
        manifest = manifest_in(folder, self._found)
        return () if manifest is None else (manifest,)

    def _enter(self, above: Contents, name: str, manifests: tuple[Manifest, ...]) -> _Visit:
        contents = self._walk.enter(above, name)
        if any(name.startswith(STEM) and name.endswith(".jsonl") for name in contents.hidden):
            manifests += self._look(absolute(contents.path))
        return _Visit(contents, manifests)

    def _visit(self, visit: _Visit) -> Iterator[Task | _Visit]:
        """Yield what is in a folder: tasks, and the folders in it, in order."""
        contents = visit.contents
        if visit.manifests:
            contents.files = [
                name for name in contents.files if not self._is_result(contents.path / name, visit)
            ]
        names = self._names(contents)
        alike: dict[str, list[str]] = defaultdict(list)
        for name in sorted(contents.folders, key=natural):
            alike[file_key(name)].append(name)
        together: dict[str, list[Task]] = {}
        folders = set(contents.folders)
        contents.files += contents.folders
        contents.files.sort(key=natural)
        for name in contents.files:
            if name not in folders:
                yield self._task(contents, name, names)
                continue
            siblings = alike[file_key(name)]
            if len(siblings) == 1:
                yield self._enter(contents, name, visit.manifests)
                continue
            if name not in together:  # the first of them
                together |= self._settle_together(contents, siblings, visit.manifests)
            yield from together.pop(name)

    def _is_result(self, path: Path, visit: _Visit) -> bool:
        """Tell whether a file is the result of an earlier run, and then pass it over."""
        if any(is_result(path, manifest) for manifest in visit.manifests):
            self._found.skip(path, OUTPUT)
            return True
        return False

    def _names(self, contents: Contents) -> dict[str, PurePath]:
        """Return the outputs of a folder's files where they are not what each alone would have."""
        naming = self._naming
        keys = (hash(file_key(plain_name(name, naming.format, naming.suffix))) for name in contents.files)
        hashes = np.fromiter(keys, np.int64, len(contents.files))  # of a million names: 8 MB
        hashes.sort()
        if (hashes[1:] != hashes[:-1]).all():
            return {}
        sources = [self._walk.source(contents, name) for name in contents.files]
        sources.sort(key=lambda source: natural(source.relative.name))
        return {task.source.relative.name: task.output for task in self._plan(sources)}

    def _plan(self, sources: Sequence[Source]) -> list[Task]:
        naming = self._naming
        return plan_outputs(sources, output=naming.output, format=naming.format, suffix=naming.suffix)

    def _task(self, contents: Contents, name: str, names: dict[str, PurePath]) -> Task:
        naming = self._naming
        plain = names.get(name) or contents.relative / plain_name(name, naming.format, naming.suffix)
        return Task(self._walk.source(contents, name), naming.folder, plain)

    def _settle_together(
        self, contents: Contents, siblings: Sequence[str], manifests: tuple[Manifest, ...]
    ) -> dict[str, list[Task]]:
        """Return the tasks of all that is below folders whose names differ in case or form alone."""
        sources: list[Source] = []
        for name in siblings:
            sources += self._sources_below(self._enter(contents, name, manifests))
        depth = len(contents.relative.parts)
        tasks: dict[str, list[Task]] = {name: [] for name in siblings}
        for task in self._plan(sources):
            tasks[task.source.relative.parts[depth]].append(task)
        return tasks

    def _sources_below(self, visit: _Visit) -> list[Source]:
        contents, found = visit.contents, []
        folders = set(contents.folders)
        for name in sorted(chain(contents.files, contents.folders), key=natural):
            if name in folders:
                found += self._sources_below(self._enter(contents, name, visit.manifests))
            elif not self._is_result(contents.path / name, visit):
                found.append(self._walk.source(contents, name))
        return found
