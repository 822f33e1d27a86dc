"""From the folders that the user named to pairs of files, and a list of all that has no partner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from drsformer_cli.errors import UsageError
from drsformer_cli.media.discover import Discovery, Source, discover
from drsformer_cli.quality.judge import Pair
from drsformer_cli.quality.pairing import Pairing, pair

Kind = Literal["missing", "extra", "doubled", "sizes", "failed"]


@dataclass(frozen=True)
class Problem:
    """Something that keeps a picture out of the comparison, as one sentence that names it."""

    kind: Kind
    text: str


@dataclass
class Work:
    """What is to be judged, what cannot be, and how much the search passed over, by reason."""

    pairs: list[Pair] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def gather(restored: str, clean: str | None, rainy: str | None, *, pattern: str | None = None) -> Work:
    """Search three folders (or patterns, or single files) and pair what is in them.

    `clean` is None where there is no truth. A rainy picture that is missing is a problem of its pair; rainy
    ones that no pair needs are passed over, and counted. Raises UsageError for names that lead to nothing.
    """
    work = Work()
    ours = _names(_search(restored, "--pred", work))
    if clean is None:
        work.pairs = [Pair(name.as_posix(), path) for name, path in ours.items()]
    else:
        theirs = _names(_search(clean, "--gt", work))
        found = _pair(theirs, ours, pattern)
        _tell(found, ours, theirs, work)
        work.pairs = [
            Pair(name.as_posix(), ours[name], theirs[partner]) for name, partner in found.pairs.items()
        ]
    if rainy is not None:
        _add_rainy(work, _names(_search(rainy, "--input", work)), pattern)
    return work


def _search(name: str, option: str, work: Work) -> Sequence[Source]:
    try:
        found: Discovery = discover([name])
    except UsageError as error:
        raise UsageError(f"{option} {error}") from None
    if not found.sources:
        raise UsageError(f"{option} {name} holds no pictures.")
    work.left_out.update(found.skipped)
    return found.sources


def _names(sources: Iterable[Source]) -> dict[PurePath, Path]:
    return {source.relative: source.path for source in sources if source.path is not None}


def _pair(clean: dict[PurePath, Path], restored: dict[PurePath, Path], pattern: str | None) -> Pairing:
    """Pair by names; two single files belong together whatever they are called."""
    if pattern is None and len(clean) == len(restored) == 1:
        return Pairing(dict(zip(restored, clean, strict=True)))
    return pair(list(clean), list(restored), pattern=pattern)


def _tell(found: Pairing, restored: dict[PurePath, Path], clean: dict[PurePath, Path], work: Work) -> None:
    for name in found.missing:
        work.problems.append(Problem("missing", f"{clean[name]} has no restored picture."))
    for name in found.extra:
        work.problems.append(Problem("extra", f"{restored[name]} has no clean picture."))
    for side, names in found.doubled:
        files = [str((clean if side == "clean" else restored)[name]) for name in names]
        text = f"{', '.join(files[:-1])} and {files[-1]} would be {side} versions of the same picture."
        work.problems.append(Problem("doubled", text))


def _add_rainy(work: Work, rainy: dict[PurePath, Path], pattern: str | None) -> None:
    """Give each pair its rainy picture; here the rainy ones are what has to be there."""
    names = {PurePath(each.name): each for each in work.pairs}
    found = _pair(rainy, {name: each.restored for name, each in names.items()}, pattern)
    pairs = []
    for name, each in names.items():
        partner = found.pairs.get(name)
        if partner is None:
            work.problems.append(Problem("missing", f"{each.restored} has no rainy picture in --input."))
            pairs.append(each)
        else:
            pairs.append(Pair(each.name, each.restored, each.clean, rainy[partner]))
    work.pairs = pairs
    if unused := len(rainy) - len({each.rainy for each in pairs if each.rainy is not None}):
        work.left_out["rainy without a restored picture"] += unused
