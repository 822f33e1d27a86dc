"""From the folders that the user named to pairs of files, and a list of all that has no partner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from drsformer_cli.errors import UsageError
from drsformer_cli.media.discover import HIDDEN, Discovery, Source, discover, reasons_of
from drsformer_cli.media.files import NOTES
from drsformer_cli.media.remote import is_url, local
from drsformer_cli.quality.judge import Pair
from drsformer_cli.quality.pairing import Pairing, pair

Kind = Literal["missing", "extra", "doubled", "sizes", "failed"]


@dataclass(frozen=True)
class Problem:
    """Something that keeps a picture out of the comparison, as one sentence that names it.

    `names` are the pictures of which there is no row, as they are called in tables.
    """

    kind: Kind
    text: str
    names: tuple[str, ...] = ()


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
    ours = names_of(_search(restored, "--pred", work))
    if clean is None:
        work.pairs = [Pair(name.as_posix(), path) for name, path in ours.items()]
    else:
        theirs = names_of(_search(clean, "--gt", work))
        found = _pair(theirs, ours, pattern)
        work.problems += problems_of(found, ours, theirs)
        work.pairs = [
            Pair(name.as_posix(), ours[name], theirs[partner]) for name, partner in found.pairs.items()
        ]
    if rainy is not None:
        _add_rainy(work, names_of(_search(rainy, "--input", work)), pattern)
    return work


def search(name: str, option: str) -> Discovery:
    """Find the pictures in what an option names. Raises UsageError where there are none."""
    if is_url(name):
        raise UsageError(
            f"{option} {name} is a URL, and pictures are compared on this machine: name a copy of it here."
        )
    name = local(name)
    try:
        found: Discovery = discover([name])
    except UsageError as error:
        raise UsageError(f"{option} {error}") from None
    if not found.sources:
        reasons = f" ({reasons_of(found.skipped)})" if found.skipped else ""
        raise UsageError(f"{option} {name} holds no pictures{reasons}.")
    return found


def _search(name: str, option: str, work: Work) -> Sequence[Source]:
    found = search(name, option)
    own = sum((Path(name) / f"{NOTES}.{kind}").is_file() for kind in ("jsonl", "lock"))
    found.skipped[HIDDEN] -= own  # derain's notes beside its results
    work.left_out.update(+found.skipped)
    return found.sources


def names_of(sources: Iterable[Source]) -> dict[PurePath, Path]:
    """Return the files by the names that pairs are found by."""
    return {source.relative: source.path for source in sources if source.path is not None}


def _pair(clean: dict[PurePath, Path], restored: dict[PurePath, Path], pattern: str | None) -> Pairing:
    """Pair by names; two single files belong together whatever they are called."""
    if pattern is None and len(clean) == len(restored) == 1:
        return Pairing(dict(zip(restored, clean, strict=True)))
    return pair(list(clean), list(restored), pattern=pattern)


def problems_of(
    found: Pairing, restored: Mapping[PurePath, Path], clean: Mapping[PurePath, Path]
) -> list[Problem]:
    """Say what has no partner, or too many."""
    problems = [
        Problem("missing", f"{clean[name]} has no restored picture.", (name.as_posix(),))
        for name in found.missing
    ]
    problems += [
        Problem("extra", f"{restored[name]} has no clean picture.", (name.as_posix(),))
        for name in found.extra
    ]
    return problems + doubled_ones(found, {"clean": clean, "restored": restored})


def doubled_ones(
    found: Pairing, files: Mapping[str, Mapping[PurePath, object]], *, clean: str = "clean"
) -> list[Problem]:
    """Name the files of each side of which several would belong to the same; `clean` is what that side is."""
    problems = []
    for side, names in found.doubled:
        *others, last = (str(files[side][name]) for name in names)
        what = clean if side == "clean" else side
        text = f"{', '.join(others)} and {last} would be {what} versions of the same picture."
        problems.append(Problem("doubled", text, tuple(name.as_posix() for name in names)))
    return problems


def _add_rainy(work: Work, rainy: dict[PurePath, Path], pattern: str | None) -> None:
    """Give each pair its rainy picture; here the rainy ones are what has to be there."""
    names = {PurePath(each.name): each for each in work.pairs}
    ours = {name: each.restored for name, each in names.items()}
    found = _pair(rainy, ours, pattern)
    work.problems += doubled_ones(found, {"clean": rainy, "restored": ours}, clean="rainy")
    pairs = []
    for name, each in names.items():
        partner = found.pairs.get(name)
        if partner is None:
            if name in found.extra:
                text = f"{each.restored} has no rainy picture in --input."
                work.problems.append(Problem("missing", text, (each.name,)))
            pairs.append(each)
        else:
            pairs.append(Pair(each.name, each.restored, each.clean, rainy[partner]))
    work.pairs = pairs
    if found.missing:
        work.left_out["rainy without a restored picture"] += len(found.missing)
