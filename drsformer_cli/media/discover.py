"""From what the user named to the pictures to do: files, folders with all below them, and patterns."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path, PurePath

from drsformer_cli.errors import UsageError
from drsformer_cli.media.images import SUPPORTED_EXTENSIONS
from drsformer_cli.media.sniff import HEIC_EXTENSIONS, JXL_EXTENSIONS, RAW_EXTENSIONS

OUTPUT_FOLDER = "derained"
HIDDEN, NO_PICTURE = "hidden", "not a picture"
OUTPUT, OUTSIDE, UNREADABLE = "output folder", "link out of the tree", "cannot be read"
#: Links inside the tree: the first leads to what is done already, the second is not followed.
TWICE, LINKED_FOLDER = "link to a picture found anyway", "link to a folder"
_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "$recycle.bin", "@eadir"})
#: Photographs that have to be converted first: what they are counted as, by extension.
CONVERTIBLE = {
    **dict.fromkeys(RAW_EXTENSIONS, "camera raw"),
    **dict.fromkeys(HEIC_EXTENSIONS, "HEIC"),
    **dict.fromkeys(JXL_EXTENSIONS, "JPEG XL"),
}
_KINDS = frozenset(CONVERTIBLE.values())
#: Entries that were passed over are told by name up to so many; those to be converted first, all.
MOST_NAMED = 1000
_MAGIC = re.compile(r"[*?[]")
_MOST_LOOKED_AT = 10_000  # files beside a name that is not there, for the one that was meant
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Source:
    """One picture to do.

    relative says where it stands below `root`, the folder named by the user or the file's own; for a file
    that was named itself it is the name alone. `path` and `root` are None for the standard input, and for
    what is behind `url`. A file that
    a pattern matches is as good as named; for this and all else a pattern leads to, `matched` is the folder
    where the pattern begins.
    """

    path: Path | None
    relative: PurePath
    root: Path | None
    named: bool
    matched: Path | None = None
    url: str | None = None


@dataclass
class Discovery:
    """The pictures to do, in a fixed order, and how many entries were passed over for which reason.

    `passed_over` names the first of them, each with its reason, and `unnamed` counts those that `skip` left
    without a name. `extensions` are those of what is looked for, `other` is the reason why anything else is
    passed over.
    """

    sources: list[Source] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    unnamed: int = 0
    extensions: frozenset[str] = SUPPORTED_EXTENSIONS
    other: str = NO_PICTURE

    def takes(self, path: Path) -> bool:
        """Tell whether a file is of a kind that is looked for."""
        return path.suffix.lower() in self.extensions

    def reason_against(self, path: Path) -> str:
        """Return why a file of another kind is passed over."""
        return CONVERTIBLE.get(path.suffix.lower(), self.other) if self.other == NO_PICTURE else self.other

    def skip(self, path: Path | str, reason: str) -> None:
        """Pass over an entry."""
        to_convert = sum(self.skipped[kind] for kind in _KINDS)
        self.skipped[reason] += 1
        if reason in _KINDS or len(self.passed_over) - to_convert < MOST_NAMED:
            self.passed_over.append((str(path), reason))
        else:
            self.unnamed += 1


def reasons_of(skipped: Mapping[str, int]) -> str:
    """Say how many were passed over for which reason, as one part of a sentence."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))


def discover(
    inputs: Sequence[str],
    *,
    exclude: Sequence[Path] = (),
    extensions: frozenset[str] = SUPPORTED_EXTENSIONS,
    other: str = NO_PICTURE,
) -> Discovery:
    """Find the pictures behind names of files, folders and patterns such as "**/*.jpg"; "-" is stdin.

    `extensions` looks for files of another kind, and `other` is why all else is then passed over.

    Folders are searched with all below them; what is hidden, no picture, in an output folder or in one of
    `exclude` is passed over and counted. A name that stands for a file takes it whatever it is. Nothing is
    taken twice. Raises UsageError for names that match nothing.
    """
    found = Discovery(extensions=extensions, other=other)
    outputs = {_identity(folder) for folder in exclude}
    seen: set[str] = set()
    for name in inputs:
        if name == "-":
            _add(found, Source(None, PurePath("stdin"), None, True), "-", seen)
        elif _exists(name):
            _take(Path(name), None, outputs, found, seen)
        else:
            start, matches = _expand(name)
            for match in matches:
                _take(match, start, outputs, found, seen)
    return found


def _exists(name: str) -> bool:
    """Whether something of this name is there; UsageError when it is nothing that could hold a picture."""
    if not name or not os.path.lexists(name):
        return False
    path = Path(name)
    if not path.exists():
        raise UsageError(f"{name} is a link to something that is not there.")
    if not path.is_dir() and not path.is_file():
        raise UsageError(f"{name} is neither a file nor a folder.")
    return True


def _meant(name: str) -> str:
    """What to do about a name that is not there: the one beside it that it was likely meant to be."""
    path = Path(name)
    try:
        with os.scandir(path.parent) as entries:
            beside = {entry.name.lower(): entry.name for entry in islice(entries, _MOST_LOOKED_AT)}
    except (OSError, ValueError):
        beside = {}
    close = get_close_matches(path.name.lower(), beside, n=1, cutoff=0.75)
    return f"did you mean {path.with_name(beside[close[0]])}?" if close else "check the spelling."


def _expand(name: str) -> tuple[Path, list[Path]]:
    """The folder a pattern begins in, and what it matches, in order; UsageError when that is nothing."""
    if not _MAGIC.search(name):
        raise UsageError(f"{name or 'an empty name'} does not exist; {_meant(name)}")
    names = glob.glob(name, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
    matches = [Path(match) for match in sorted(names, key=natural)]
    if not matches:
        raise UsageError(f"{name} matches nothing; check the spelling.")
    if "**" in name:  # gives the folders on the way as well as all that is in them
        matches = [match for match in matches if not match.is_dir()]
    start = Path(_MAGIC.split(name)[0] + "x").parent
    depth = len(start.parts)
    return start, [match for match in matches if not any(_is_hidden(part) for part in match.parts[depth:])]


def _take(path: Path, matched: Path | None, outputs: set[str], found: Discovery, seen: set[str]) -> None:
    identity = _identity(path)
    named = matched is None
    below = path.relative_to(matched).parts if matched is not None else ()
    in_output = _is_below(identity, outputs) or OUTPUT_FOLDER in below
    if in_output and not (named and path.is_file()):
        found.skip(path, OUTPUT)
    elif path.is_dir():
        _walk(path, matched, outputs, found, seen)
    elif named or found.takes(path):
        _add(found, Source(path, PurePath(path.name), path.parent, True, matched), identity, seen)
    else:
        found.skip(path, found.reason_against(path))


def _add(found: Discovery, source: Source, identity: str, seen: set[str]) -> None:
    if identity not in seen:
        seen.add(identity)
        found.sources.append(source)


@dataclass
class Contents:
    """What is in a folder, by name, in no order: files to do, folders to go on with, what is hidden.

    `links` are some of the files.
    """

    path: Path
    relative: PurePath
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    links: frozenset[str] = frozenset()


class Walk:
    """Looks into the folders below a folder that was named, or matched by a pattern, one at a time.

    Links to folders are not followed: inside the tree they lead to what is found anyway, and could run in
    circles. Links to files inside the tree are taken when their target is not found itself.
    """

    def __init__(self, root: Path, outputs: Iterable[Path | str], found: Discovery) -> None:
        self._root, self._found = root, found
        self._outputs = {_identity(Path(folder)) for folder in outputs}
        self._inside = {_identity(root)}
        self._targets: set[str] = set()

    def begin(self) -> Contents:
        """Return what the folder itself holds."""
        return self.look_into(self._root)

    def enter(self, contents: Contents, name: str) -> Contents:
        """Return what a folder in it holds."""
        return self.look_into(contents.path / name)

    def source(self, contents: Contents, name: str) -> Source:
        """Return a file of a folder as a picture to do."""
        return Source(contents.path / name, contents.relative / name, self._root, False)

    def look_into(self, folder: Path) -> Contents:
        """Return what a folder holds; what is passed over is counted."""
        contents = Contents(folder, folder.relative_to(self._root))
        links: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:  # there may be a million
                    self._sort(entry, folder, contents, links)
        except OSError:
            self._found.skipped[f"folder that {UNREADABLE}: {folder}"] += 1  # nobody knows how much is in it
            return contents
        contents.links = frozenset(name for name in sorted(links) if self._is_new(_identity(folder / name)))
        for name in set(links) - contents.links:
            self._found.skip(folder / name, TWICE)
        contents.files += contents.links
        return contents

    def _sort(self, entry: os.DirEntry[str], folder: Path, contents: Contents, links: list[str]) -> None:
        if self._is_plain_picture(entry):
            contents.files.append(entry.name)
        else:
            reason = _reason_to_skip(entry, folder / entry.name, self._inside, self._outputs, self._found)
            if reason:
                self._found.skip(folder / entry.name, reason)
                if reason == HIDDEN:
                    contents.hidden.append(entry.name)
            elif entry.is_symlink():
                if entry.is_file():
                    links.append(entry.name)
                else:
                    self._found.skip(folder / entry.name, LINKED_FOLDER)
            elif entry.is_dir():
                contents.folders.append(entry.name)
            else:
                contents.files.append(entry.name)

    def _is_plain_picture(self, entry: os.DirEntry[str]) -> bool:
        """Tell quickly of what most entries are, and what `_reason_to_skip` has nothing against."""
        name = entry.name
        return (
            name[name.rfind(".") :].lower() in self._found.extensions
            and entry.is_file(follow_symlinks=False)
            and not _is_hidden(entry.name)
        )

    def _is_new(self, target: str) -> bool:
        """Tell whether the target of a link is neither found by walking nor by a link before."""
        if self._finds(target) or target in self._targets:
            return False
        self._targets.add(target)
        return True

    def _finds(self, target: str) -> bool:
        """Tell whether walking comes by a file: nothing on the way to it is passed over."""
        (root,) = self._inside
        *folders, name = Path(target).relative_to(root).parts
        if any(_is_hidden(part) for part in (*folders, name)) or OUTPUT_FOLDER in folders:
            return False
        kept_out = {each for each in self._outputs if _is_below(each, self._inside) and each != root}
        return self._found.takes(Path(name)) and not _is_below(target, kept_out)


def _walk(root: Path, matched: Path | None, outputs: set[str], found: Discovery, seen: set[str]) -> None:
    """Take all pictures below a folder that was named, or matched by a pattern."""
    walk = Walk(root, outputs, found)
    taken = Discovery()
    waiting = [root]
    while waiting:
        contents = walk.look_into(waiting.pop())
        waiting += [contents.path / name for name in contents.folders]
        place = _identity(contents.path)
        for name in contents.files:
            path = contents.path / name
            identity = _identity(path) if name in contents.links else place + os.sep + os.path.normcase(name)
            _add(taken, Source(path, contents.relative / name, root, False, matched), identity, seen)
    found.sources += sorted(
        taken.sources, key=lambda source: [natural(part) for part in source.relative.parts]
    )


def _reason_to_skip(
    entry: os.DirEntry[str], path: Path, inside: set[str], outputs: set[str], found: Discovery
) -> str:
    """Why something found by walking is passed over; empty when it is not."""
    if _is_hidden(entry.name):
        return HIDDEN
    if entry.is_symlink() and not _is_below(_identity(path), inside):
        return OUTSIDE
    try:
        if entry.is_dir():
            return OUTPUT if entry.name == OUTPUT_FOLDER or _is_below(_identity(path), outputs) else ""
        if not entry.is_file():
            return NO_PICTURE
    except OSError:  # a link that leads to itself
        return UNREADABLE
    return "" if found.takes(path) else found.reason_against(path)


def reason_by_name(name: str, is_folder: bool, found: Discovery) -> str:
    """Why something is passed over whose name alone is known; empty when it is not."""
    if _is_hidden(name):
        return HIDDEN
    if is_folder:
        return OUTPUT if name == OUTPUT_FOLDER else ""
    path = Path(name)
    return "" if found.takes(path) else found.reason_against(path)


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _SYSTEM


def _identity(path: Path) -> str:
    """What makes two names the same file or folder: where they lead in the end."""
    return os.path.normcase(os.path.realpath(path))


def _is_below(identity: str, folders: set[str]) -> bool:
    """Whether something is one of the folders, or inside one."""
    return any(identity == each or identity.startswith(each.rstrip(os.sep) + os.sep) for each in folders)


def natural(name: str) -> str:
    """A key that sorts names as people do: 2 before 10, upper and lower case together.

    One string, for a million of them shall lie in memory: a number is led by a NUL, which no name holds and
    which comes before all else, and by how long it is; the name itself, behind two, tells apart what is left.
    """
    return f"{_DIGITS.sub(_number, name.casefold())}\0\0{name}"


def _number(match: re.Match[str]) -> str:
    digits = str(int(match[0]))
    return f"\0{chr(len(digits))}{digits}"
