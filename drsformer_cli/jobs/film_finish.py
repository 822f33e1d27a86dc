"""From finished segments to the film in its place: joined, given company, compared with its source, named."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from drsformer_cli.errors import OutputError, StorageError, UnreadableError
from drsformer_cli.jobs.film_plan import FilmPlan
from drsformer_cli.jobs.film_record import SegmentRecord
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import input_path
from drsformer_cli.media.files import place_finished, sha256_of
from drsformer_cli.media.remux import finish, make_gif
from drsformer_cli.media.video_compare import compare, compare_gif
from drsformer_cli.media.video_join import Part, join

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Sums:
    """What the segments of a film add up to."""

    pictures: int
    lost: int
    damaged: int
    mended: int
    repeated: int
    seconds: float

    @classmethod
    def of(cls, segments: Sequence[SegmentRecord], lost: int = 0) -> Sums:
        """Add segments up; `lost` packets came behind the last picture."""
        return cls(
            pictures=sum(len(one.times) for one in segments),
            lost=lost + sum(one.lost for one in segments),
            damaged=sum(one.damaged for one in segments),
            mended=sum(one.mended for one in segments),
            repeated=sum(one.repeated for one in segments),
            seconds=round(sum(one.seconds for one in segments), 4),
        )

    def notes(self) -> list[str]:
        """Return in words what was not as it should be."""
        words = (
            (self.lost, "packet{s} that could not be decoded left out"),
            (self.damaged, "picture{s} damaged in the source, restored as far as decoded"),
            (self.mended, "timestamp{s} missing or not rising in the source, and made up"),
        )
        return [f"{count} {text.format(s='s' if count > 1 else '')}" for count, text in words if count]


def assemble(plan: FilmPlan, work: Work) -> tuple[Path, list[str]]:
    """Make the whole film in the work folder; return it, and what differs from its source in words.

    Raises StorageError, UnreadableError if there is not one picture, and OutputError; if the segments do not
    go together, they are thrown away.
    """
    if not work.count:
        raise UnreadableError(f"{plan.film.path} has no picture between --start and --end.")
    suffix = plan.task.path.suffix
    pictures, final = work.folder / "pictures", work.folder / f"film{suffix}"
    base, coarse = plan.film.time_base, Fraction(1, 1000)
    flat = [time for one in work.segments for time in one.times]
    last = work.segments[-1].last or (flat[-1] - flat[-2] if len(flat) > 1 else 1)
    if plan.container not in ("mp4", "mov"):
        flat, last, base = (
            rising([round(time * base / coarse) for time in flat]),
            round(last * base / coarse),
            coarse,
        )
    parts, first = [], 0
    for one in work.segments:
        parts.append(Part(work.folder / one.file, flat[first : first + len(one.times)], one.order))
        first += len(one.times)
    try:
        join(parts, pictures, vessel=plan.encoding.vessel, time_base=base, last=max(1, last))
    except (av.error.FFmpegError, UnreadableError, IndexError) as error:
        # the same segments would end every further run here
        work.wipe()
        raise OutputError(
            f"the restored pictures of {plan.film.path} do not go together, and are thrown away ({error}): "
            "run it again."
        ) from error
    if plan.container == "gif":
        make_gif(pictures, final, work.folder)
        return final, compare_gif(final, work.count)
    alpha = "a" in plan.encoding.pixels[3:5]
    name, codec = str(plan.task.path), plan.encoding.codec
    kept, changes = finish(plan.film, pictures, final, plan.company, codec, plan.cut, alpha=alpha, name=name)
    pictures.unlink()
    return final, changes + compare(plan.film, final, kept, plan.cut, [time * base for time in flat])


def rising(times: Sequence[int]) -> list[int]:
    """Return timestamps with those that rounding made equal moved on by one."""
    result: list[int] = []
    for time_ in times:
        result.append(max(time_, result[-1] + 1) if result else time_)
    return result


def deliver(
    plan: FilmPlan,
    finished: Path,
    *,
    settings: Mapping[str, Any],
    how: list[dict[str, Any]],
    seconds: float,
    notes: list[str],
    replace: bool,
    content: str,
) -> Record:
    """Put a finished film into its place and record it in the folder's manifest.

    `content` is the SHA-256 of the source that was restored. Raises StorageError, OutputError, and
    UnreadableError if the source is another one by now.
    """
    task = plan.task
    path = plan.film.path
    status = path.stat()
    if sha256_of(path) != content:
        raise changed(path)
    result = Result(finished.stat().st_size, 0, sha256_of(finished))
    source = Input(input_path(task), status.st_size, status.st_mtime_ns, content)
    with closing(_writer(task.folder)) as manifest:
        output = task.output.as_posix()
        manifest.intend(output, result.sha256)
        place_finished(finished, task.path, replace=replace)
        result = Result(result.size, task.path.stat().st_mtime_ns, result.sha256)
        record = Record(
            output, source, result, dict(settings), how[0] if len(how) == 1 else how, seconds, notes
        )
        manifest.finish(record)
    return record


def changed(path: Path) -> UnreadableError:
    """Return what is said of a source that is another one than that with which its work began."""
    return UnreadableError(
        f"{path} was changed while it was restored, and no result is written: put it back and run it "
        "again, or give --overwrite to begin anew."
    )


def _writer(folder: Path) -> Manifest:
    """Become the writer of a folder's manifest once no other run is; films hold it for moments only."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return Manifest(folder).open()
        except StorageError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
