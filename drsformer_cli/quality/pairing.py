"""Which restored picture belongs to which clean one, by their names; nothing is ever passed over silently.

Names are compared without extension, below the folder each was found in, in rounds, and each round is for
what the rounds before have left on both sides:

0. the clean one's whole name with one more extension: `a.jpg.png` was made of `a.jpg`, beside `a.png`;
1. the same name in the same sub-folder; where several are called so, equal extensions tell them apart;
2. the same name once the field's habits are taken off: `rain-001` and `norain-001`, `1_DR` and `1_GT`, `1x2`,
   `000gt`, `1_clean`, `1_rainy`, `1_derained`, zeros in front of a number, upper and lower case;
3. several rainy versions of one clean picture: `901_1` to `901_14` belong to `901`. Not guessed at where a
   clean picture that is left looks like a version itself, as `im_1`.

Where the two sides have no sub-folder in common, sub-folders are left out of account, as long as that leaves
all names apart. A pattern of the user's own takes the place of all rounds.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from drsformer_cli.errors import UsageError

_WORDS = (
    "norain|rain|rainy|clean|clear|gt|dr|target|ground[-_ ]?truth|input|in|derain|derained|restored|restore|"
    "result|output|out|pred|prediction|x2"
)
_PREFIX = re.compile(rf"^(?:{_WORDS})[-_. ]+(?=.)", re.IGNORECASE)
_SUFFIX = re.compile(rf"(?<=.)[-_. ]+(?:{_WORDS})$", re.IGNORECASE)
_APPENDED = re.compile(r"(?<=\d)(?:x2|gt)$", re.IGNORECASE)
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_VERSION = re.compile(r"(?<=.)[-_]\d+$")

#: What gives a name its key, None for a name that has none.
Key = Callable[[PurePath], "str | None"]


@dataclass
class Pairing:
    """What belongs together, as names relative to the folders they were found in.

    `pairs` maps restored to clean, in the order of the restored ones. `missing` are clean ones without a
    restored one, `extra` restored ones without a clean one, `doubled` sets of names of which more than one
    would belong to the same: (side, names), where a side is "clean" or "restored".
    """

    pairs: dict[PurePath, PurePath] = field(default_factory=dict)
    missing: list[PurePath] = field(default_factory=list)
    extra: list[PurePath] = field(default_factory=list)
    doubled: list[tuple[str, list[PurePath]]] = field(default_factory=list)


def pair(clean: Sequence[PurePath], restored: Sequence[PurePath], *, pattern: str | None = None) -> Pairing:
    """Find what belongs together.

    `pattern` is a regular expression, searched for in each name (with its sub-folders, `/` between them,
    without extension): its groups are what must be equal. Raises UsageError for a pattern that is none, or
    has no group.
    """
    if pattern is not None:
        return _Matching(clean, restored).rounds(_by_pattern(pattern))
    flat = _are_folders_strange(clean, restored)
    names = (_plain, _habitual)
    keys: list[Key] = [_without_folders(name) if flat else _with_folders(name) for name in names]
    matching = _Matching(clean, restored)
    matching.match_longer(flat=flat)
    matching.match(keys[0], by_extension=True)
    return matching.rounds(keys[1], versions=keys[1])


class _Matching:
    """The names that are still without a partner, and what has been found."""

    def __init__(self, clean: Sequence[PurePath], restored: Sequence[PurePath]) -> None:
        self._order = list(restored)
        self._clean = list(dict.fromkeys(clean))
        self._restored = list(dict.fromkeys(restored))
        self._found = Pairing()

    def rounds(self, *keys: Key, versions: Key | None = None) -> Pairing:
        """Match by one key after the other, last by versions of one clean picture; what is left is said."""
        for key in keys:
            self.match(key)
        if versions is not None:
            self._match_versions(versions)
        found = self._found
        found.pairs = {name: found.pairs[name] for name in self._order if name in found.pairs}
        found.missing, found.extra = self._clean, self._restored
        found.doubled.sort(key=lambda entry: (entry[0], entry[1][0].as_posix()))
        return found

    def match(self, key: Key, *, by_extension: bool = False) -> None:
        """Match by one key; `by_extension` tells apart what has a key in common, where all extensions can."""
        self._join(_grouped(self._clean, key), _grouped(self._restored, key), by_extension)

    def match_longer(self, *, flat: bool) -> None:
        """Match whole names of clean ones with restored ones that have an extension more.

        What has its very equal on the other side is left for that.
        """
        equals = set(map(_whole, self._clean)) & set(map(_whole, self._restored))
        clean = [name for name in self._clean if _whole(name) not in equals]
        restored = [name for name in self._restored if _whole(name) not in equals]
        longer = _without_folders(_plain) if flat else _with_folders(_plain)
        whole: Key = (lambda name: _plain(name.name)) if flat else _whole
        self._join(_grouped(clean, whole), _grouped(restored, longer), by_extension=False)

    def _join(
        self, clean: Mapping[str, list[PurePath]], restored: Mapping[str, list[PurePath]], by_extension: bool
    ) -> None:
        """Pair what has the same key, or tell that there is too much of it; none of it is left."""
        common = clean.keys() & restored.keys()
        for each in common:
            ones, others = clean[each], restored[each]
            own, theirs = ({name.suffix: name for name in names} for names in (ones, others))
            if len(ones) == len(others) == 1:
                self._found.pairs[others[0]] = ones[0]
            elif by_extension and own.keys() == theirs.keys() and len(own) == len(ones) == len(others):
                self._found.pairs.update({theirs[extension]: own[extension] for extension in own})
            else:
                self._found.doubled += [
                    (side, names) for side, names in (("clean", ones), ("restored", others)) if len(names) > 1
                ]
        self._take(*([name for each in common for name in side[each]] for side in (clean, restored)))

    def _match_versions(self, key: Key) -> None:
        """Give `901_1`, `901_2` and so on to `901`; only where no clean name itself looks like a version."""
        clean = _grouped(self._clean, key)
        if any(len(names) > 1 or _VERSION.search(name) for name, names in clean.items()):
            return
        taken: list[PurePath] = []
        for name in self._restored:
            own = key(name)
            base = _VERSION.sub("", own) if own is not None and _VERSION.search(own) else None
            if base is not None and base in clean:
                self._found.pairs[name] = clean[base][0]
                taken.append(name)
        self._take([self._found.pairs[name] for name in taken], taken)

    def _take(self, clean: Sequence[PurePath], restored: Sequence[PurePath]) -> None:
        gone, done = set(clean), set(restored)
        self._clean = [name for name in self._clean if name not in gone]
        self._restored = [name for name in self._restored if name not in done]


def _grouped(names: Sequence[PurePath], key: Key) -> Mapping[str, list[PurePath]]:
    groups: dict[str, list[PurePath]] = defaultdict(list)
    for name in names:
        found = key(name)
        if found is not None:
            groups[found].append(name)
    return groups


def _whole(name: PurePath) -> str:
    return (_folder(name) / _plain(name.name)).as_posix()


def _plain(stem: str) -> str:
    return unicodedata.normalize("NFC", stem)


def _habitual(stem: str) -> str:
    """Take the habits of the field off a name; at least a character is left."""
    name = unicodedata.normalize("NFC", stem).casefold()
    while True:
        shorter = _APPENDED.sub("", _SUFFIX.sub("", _PREFIX.sub("", name)))
        if shorter == name:
            return _LEADING_ZEROS.sub("", name)
        name = shorter


def _with_folders(of_stem: Callable[[str], str]) -> Key:
    return lambda name: (_folder(name) / of_stem(name.stem)).as_posix()


def _without_folders(of_stem: Callable[[str], str]) -> Key:
    return lambda name: of_stem(name.stem)


def _folder(name: PurePath) -> PurePath:
    return PurePath(unicodedata.normalize("NFC", str(name.parent)))


def _are_folders_strange(clean: Sequence[PurePath], restored: Sequence[PurePath]) -> bool:
    """Tell whether the two trees have no folder in common, while names alone tell all apart on each side."""
    here, there = {_folder(name) for name in clean}, {_folder(name) for name in restored}
    return not here & there and all(
        len({_plain(name.stem) for name in names}) == len(set(names)) for names in (clean, restored)
    )


def _by_pattern(pattern: str) -> Key:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--pair {pattern} is no regular expression: {error}.") from None
    if not compiled.groups:
        raise UsageError(
            f"--pair {pattern} has no group: put what must be equal in brackets, as in '0*(\\d+)'."
        )

    def key(name: PurePath) -> str | None:
        match = compiled.search(name.with_suffix("").as_posix())
        if match is None:
            return None
        return "\0".join(group or "" for group in match.groups())

    return key
