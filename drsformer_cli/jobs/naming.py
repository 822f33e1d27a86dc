"""Where each result goes, settled for all inputs before the first one starts.

Results mirror the tree below the folder the user named. What would share an output is named apart, by rules
that depend on nothing but the list of inputs, so that a second run finds the results of the first:

* several folders given at once each get a folder of their own, called after them;
* single files of the same name from different folders get a folder called after theirs;
* files of one folder that differ in their extension alone keep their full names: `a.jpg.png`, `a.png.png`;
* whatever still meets (names that differ in case alone, on disks that do not tell case) is numbered.
"""

from __future__ import annotations

import functools
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from drsformer_cli.errors import InputError, UsageError
from drsformer_cli.media.discover import OUTPUT_FOLDER, Source
from drsformer_cli.media.images import SUPPORTED_EXTENSIONS, output_extension
from drsformer_cli.media.remote import join
from drsformer_cli.media.sniff import HEIC_EXTENSIONS


@dataclass(frozen=True)
class Task:
    """One picture to do: `source` goes to `output`, a path below `folder`, where the manifest lies.

    `stream` says that the result has no file at all and goes to standard output; `base` is the URL that takes
    the place of `folder` where results do not go to a disk.
    """

    source: Source
    folder: Path
    output: PurePath
    stream: bool = False
    base: str | None = None

    @property
    def url(self) -> str | None:
        """Where the result will stand, if not on a disk."""
        return None if self.base is None else join(self.base, self.output)

    @property
    def path(self) -> Path:
        """Where the result will stand."""
        return self.folder / self.output

    @property
    def name(self) -> str:
        """How the input is called in messages: as the user would type it."""
        if self.source.url is not None:
            return self.source.url
        return "standard input" if self.source.path is None else str(self.source.path)

    @property
    def place(self) -> str:
        """How the result is called in messages: from where the user stands, if it lies below."""
        if self.stream:
            return "standard output"
        return self.url or from_here(self.path)


@dataclass
class _Entry:
    """A source on its way to a name below `folder`."""

    source: Source
    folder: Path
    label: str = ""
    full: bool = False
    number: int = 0

    def output(self, extension: str, suffix: str) -> PurePath:
        relative = self.source.relative
        stem = relative.name if self.full else relative.stem
        numbered = f"-{self.number}" if self.number > 1 else ""
        return PurePath(self.label) / relative.parent / f"{stem}{suffix}{numbered}{extension}"


def absolute(path: Path | str) -> Path:
    """Return the path from the root of the disk, `..` resolved by name, links left as they are."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps "..", Path.resolve follows links)


def from_here(path: Path) -> str:
    """Return an absolute path as seen from where the user stands, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def real(path: Path | str) -> Path:
    """Return where a path leads in the end, links followed, whether or not anything is there."""
    return Path(os.path.realpath(path))


def kept_out(folders: Iterable[Path], inputs: Iterable[Path]) -> list[Path]:
    """Return those folders for results that a search must not enter: all that hold no input themselves."""
    leads = [real(place) for place in inputs]
    return [folder for folder in folders if not any(lead.is_relative_to(real(folder)) for lead in leads)]


def default_folder(place: Path, *, is_folder: bool) -> Path:
    """Return where results of a named folder, or of files in the folder `place`, go without `-o`."""
    place = absolute(place)
    return (place.parent if is_folder else place) / OUTPUT_FOLDER


def names_a_file(output: str) -> bool:
    """Tell whether `-o output` means a picture file rather than a folder, even one that cannot be written."""
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        return False
    return Path(output).suffix.lower() in SUPPORTED_EXTENSIONS | HEIC_EXTENSIONS


def single_task(source: Source, output: str) -> Task:
    """Return the task that writes one input to the very file `output`, or to standard output for `-`."""
    if output == "-":
        return Task(source, Path.cwd(), PurePath("-"), stream=True)
    path = absolute(output)
    return Task(source, path.parent, PurePath(path.name))


def plan_outputs(
    sources: Sequence[Source], *, output: Path | None, format: str | None = None, suffix: str = ""
) -> list[Task]:
    """Give every source an output of its own.

    `output` is the folder for all results; None puts them into `derained/` beside each folder or file.
    `format` is None to keep each picture's own. The order of the sources is kept; a file named twice is done
    once. Two outputs never differ in case or Unicode form alone. Raises UsageError where results would go
    among the inputs of a folder.
    """
    entries = _entries(sources, output)
    by_folder: dict[Path, list[_Entry]] = defaultdict(list)
    for entry in entries:
        by_folder[entry.folder].append(entry)
    names: dict[int, PurePath] = {}
    for group in by_folder.values():
        _label_roots(group)
        _label_single_files(group, format, suffix)
        for entry, name in zip(group, _settle(group, format, suffix), strict=True):
            names[id(entry)] = name
    tasks = [Task(entry.source, entry.folder, names[id(entry)]) for entry in entries]
    # the default folder of one input may lie among the results of another
    refuse_shared(tasks, lambda task: _key(task.path))
    return tasks


def refuse_shared(tasks: Sequence[Task], place: Callable[[Task], Hashable]) -> None:
    """Raise UsageError where two results have the same place, as `place` tells it."""
    owners: dict[Hashable, Task] = {}
    for task in tasks:
        other = owners.setdefault(place(task), task)
        if other is not task:
            raise UsageError(f"{other.name} and {task.name} would both go to {task.path}: give -o.")


def _entries(sources: Iterable[Source], output: Path | None) -> list[_Entry]:
    seen: set[Path] = set()
    entries = []
    for source in sources:
        if source.path is not None:
            path = absolute(source.path)
            if path in seen:
                continue
            seen.add(path)
        folder = absolute(output) if output is not None else _default_folder_of(source)
        if not source.named and source.root is not None:
            refuse_root(source.root, folder)
        entries.append(_Entry(source, folder))
    return entries


def refuse_root(root: Path, folder: Path) -> None:
    """Raise UsageError where the results of a folder would go among its own files."""
    if real(folder) == real(root):
        raise UsageError(f"the results of {root} would go among its own files: choose another -o.")


def _default_folder_of(source: Source) -> Path:
    if source.root is None:
        return absolute(OUTPUT_FOLDER)
    return default_folder(source.root, is_folder=not source.named)


def _extension(source: Source, format: str | None) -> str:
    """Return the result's extension; an input of no known kind keeps its own, and fails when it is read."""
    return _extension_for(source.relative.suffix, format)


@functools.lru_cache(256)
def _extension_for(extension: str, format: str | None) -> str:
    try:
        return output_extension(extension, format)
    except InputError:
        return extension


def _key(path: PurePath) -> str:
    """Return the same string for all paths that some file system takes for the same file."""
    return file_key(path.as_posix())


def file_key(name: str) -> str:
    """Return the same string for all names that some file system takes for the same."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def plain_name(name: str, format: str | None, suffix: str) -> str:
    """Return what the result of a file would be called if there were no other file in its folder."""
    stem, dot, extension = name.rpartition(".")  # far faster than PurePath, for a million names
    if not stem.strip(".") or not extension:
        path = PurePath(name)
        return f"{path.stem}{suffix}{_extension_for(path.suffix, format)}"
    return f"{stem}{suffix}{_extension_for(dot + extension, format)}"


def _label_roots(entries: Sequence[_Entry]) -> None:
    """Give each walked folder a folder of its own where there are several."""
    roots = {absolute(e.source.root) for e in entries if not e.source.named and e.source.root is not None}
    if len(roots) < 2:
        return
    labels = _labels(roots)
    for entry in entries:
        if not entry.source.named and entry.source.root is not None:
            entry.label = labels[absolute(entry.source.root)]


def _label_single_files(entries: Sequence[_Entry], format: str | None, suffix: str) -> None:
    """Put single files whose name also comes from another folder into a folder called after their own."""
    meeting: dict[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        meeting[_key(entry.output(_extension(entry.source, format), suffix))].append(entry)
    apart = [
        entry
        for group in meeting.values()
        if len({_root_of(entry) for entry in group}) > 1
        for entry in group
        if entry.source.named
    ]
    labels = _labels({_root_of(entry) for entry in apart})
    for entry in apart:
        entry.label = labels[_root_of(entry)]


def _root_of(entry: _Entry) -> Path:
    return absolute(entry.source.root or "")


def _labels(roots: Iterable[Path]) -> dict[Path, str]:
    """Return a short name for each folder, longer by the folders above it only where needed."""
    ordered = sorted(roots)
    depth = dict.fromkeys(ordered, 1)
    while True:
        labels = {root: "_".join(root.parts[1:][-depth[root] :]) or "root" for root in ordered}
        count = Counter(_key(PurePath(label)) for label in labels.values())
        longer = [r for r in ordered if count[_key(PurePath(labels[r]))] > 1 and depth[r] < len(r.parts) - 1]
        if not longer:
            break
        for root in longer:
            depth[root] += 1
    taken: set[str] = set()
    for root in ordered:  # equal up to case: nothing but a number tells them apart
        label, number = labels[root], 1
        while _key(PurePath(labels[root])) in taken:
            number += 1
            labels[root] = f"{label}-{number}"
        taken.add(_key(PurePath(labels[root])))
    return labels


def _settle(entries: Sequence[_Entry], format: str | None, suffix: str) -> list[PurePath]:
    """Return one name for each entry of one output folder, no two alike."""
    extensions = {id(entry): _extension(entry.source, format) for entry in entries}
    while True:
        names = [entry.output(extensions[id(entry)], suffix) for entry in entries]
        groups: dict[str, list[_Entry]] = defaultdict(list)
        for entry, name in zip(entries, names, strict=True):
            groups[_key(name)].append(entry)
        clashes = [group for group in groups.values() if len(group) > 1]
        if not clashes:
            return names
        taken = set(groups)
        for group in clashes:
            _separate(group, taken, extensions, suffix)


def _separate(group: Sequence[_Entry], taken: set[str], extensions: dict[int, str], suffix: str) -> None:
    """Name the members of a clash apart: by their full names where that tells any apart, else by number."""
    plain = [entry for entry in group if not entry.full]
    if plain and (len(plain) < len(group) or len({_key(entry.source.relative) for entry in plain}) > 1):
        for entry in plain:
            entry.full = True
        return
    for entry in group[1:]:
        entry.number = max(entry.number, 1)
        while (key := _key(entry.output(extensions[id(entry)], suffix))) in taken:
            entry.number += 1
        taken.add(key)
