"""What the words of `derain PATHS...` ask for: checked, searched, and given a place each, before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drsformer_cli.cli.work import Work
from drsformer_cli.errors import UsageError

if TYPE_CHECKING:
    from drsformer_cli.cli.truth import TruthOptions
    from drsformer_cli.jobs.listing import Tasks
    from drsformer_cli.jobs.naming import Task
    from drsformer_cli.media.discover import Discovery, Source

STREAM = "-"


@dataclass(frozen=True)
class Plan:
    """What a run does: the pictures and their places, what the search found, the format of the files.

    `where` says in words where the results are to be found, `remote` that this is behind a URL.
    """

    tasks: Tasks
    found: Discovery
    format: str | None
    quality: int | None
    where: str = ""
    remote: bool = False

    def written(self) -> dict[str, str | int | None]:
        """Return what decides the bytes of a file besides its pixels."""
        return {"format": self.format, "quality": self.quality}


@dataclass(frozen=True)
class Order:
    """The paths and the options about files; `format` is such as "png", None to keep each input's."""

    inputs: list[str]
    output: str | None
    format: str | None
    quality: int | None
    suffix: str
    report: str | None
    overwrite: bool
    json_lines: bool
    dry_run: bool
    truth: TruthOptions | None = None
    work: Work = field(default_factory=Work)
    shard: str | None = None

    @property
    def part(self) -> str:
        """Return the name of this run's part of the work, such as "1-of-4"; "" when it does all."""
        from drsformer_cli.jobs.shard import Shard

        return "" if self.shard is None else Shard.parse(self.shard).part

    @property
    def to_stream(self) -> bool:
        """Tell whether the picture goes to standard output."""
        return self.output == STREAM or (self.output is None and self.inputs == [STREAM])

    def check(self) -> None:
        """Raise UsageError for words that make no sense together, before anything is searched or loaded."""
        if STREAM in self.inputs and len(self.inputs) > 1:
            raise UsageError("- (standard input) is one picture and stands alone: leave the other paths out.")
        if any(char in self.suffix for char in "/\\\0"):
            raise UsageError(
                f"--suffix {self.suffix} would change the folder: give a part of a name, such as _clean."
            )
        if self.quality is not None and self.format in ("png", "tif"):
            raise UsageError(f"--quality makes no sense with --format {self.format}, which loses nothing.")
        if self.report is not None:
            from drsformer_cli.cli.report import check_report

            check_report(
                Path(self.report),
                overwrite=self.overwrite,
                dry_run=self.dry_run,
                scored=self.truth is not None,
            )
        if self.truth is not None and self.to_stream:
            raise UsageError("--gt scores the files that are written: give -o FILE or FOLDER.")
        self._check_spread()
        if self.dry_run:
            return
        if self.inputs == [STREAM] and sys.stdin.isatty():
            raise UsageError(
                "- reads a picture from a pipe, but standard input is the keyboard: < FILE feeds it."
            )
        if self.to_stream and self.json_lines:
            raise UsageError("--json and the picture cannot both go to standard output: give -o FILE.")
        if self.to_stream and sys.stdout.isatty():
            raise UsageError("a picture cannot be shown in the terminal: give -o FILE, or > FILE at the end.")

    def _check_spread(self) -> None:
        """Raise UsageError for one picture that several are to share."""
        if self.shard is not None and (self.to_stream or not self.part):
            raise UsageError("--shard makes no sense with a picture that goes to standard output.")
        if (self.to_stream or STREAM in self.inputs) and not self.work.alone:
            raise UsageError("workers read and write files: leave out --workers and --engine with a pipe.")

    def plan(self) -> Plan:
        """Search, and give each input its output.

        A result that is one named file sets the format by its name. What is behind a URL is left to
        `links.plan_links`. Raises UsageError for paths that match nothing, or results that have no place.
        """
        from drsformer_cli.jobs.naming import names_a_file, plan_outputs, single_task
        from drsformer_cli.jobs.resume import refuse_pictures_inside, without_earlier_results
        from drsformer_cli.media.discover import discover

        one = self.to_stream or (self.output is not None and names_a_file(self.output))
        folder = None if one or self.output is None else Path(self.output)
        for name in self.inputs:
            if folder is not None and Path(name).is_dir():
                refuse_pictures_inside(Path(name), folder)
        if not one and self._names_one_folder():
            return self._plan_one_folder(folder)
        found = without_earlier_results(discover(self.inputs, exclude=self.output_folders()), folder)
        sources = found.sources
        if self.to_stream:
            task = single_task(self._the_one(sources), "-")
            return Plan([task], found, self.format, self.quality)
        if one and self.output is not None:
            source = self._the_one(sources)
            if self.suffix:
                raise UsageError(f"--suffix does not go with -o {self.output}: it is the whole name already.")
            format = self.format_of(self.output, source)
            task = single_task(source, self.output)
            return Plan([task], found, format, self.quality, task.place)
        if self.inputs == [STREAM]:
            raise UsageError(
                f"-o {self.output} is a folder, but what comes from a pipe has no name: name a file."
            )
        self._refuse_file()
        tasks = plan_outputs(sources, output=folder, format=self.format, suffix=self.suffix)
        tasks = list(filter(self.owns(found), tasks))  # when all have names: all shards agree on them
        return Plan(tasks, found, self.format, self.quality, _folders_of(tasks))

    def _refuse_file(self) -> None:
        """Raise UsageError for a file in the place of the folder of all results."""
        if self.output is not None and Path(self.output).exists() and not Path(self.output).is_dir():
            raise UsageError(
                f"-o {self.output} is a file that holds no picture: give a folder, or a picture's name."
            )

    def _names_one_folder(self) -> bool:
        """Tell whether the pictures can be listed while they are done: those of several places may meet."""
        alone = len(self.inputs) == 1 and self.inputs[0] != STREAM and Path(self.inputs[0]).is_dir()
        return alone and self.truth is None  # which pairs all pictures before the first one starts

    def _plan_one_folder(self, output: Path | None) -> Plan:
        from drsformer_cli.jobs.listing import FolderListing, Naming, as_tasks, first_of
        from drsformer_cli.jobs.naming import absolute, default_folder, refuse_root
        from drsformer_cli.media.discover import Discovery, Walk

        root = Path(self.inputs[0])
        folder = default_folder(root, is_folder=True) if output is None else absolute(output)
        self._refuse_file()
        naming = Naming(output, folder, self.format, self.suffix)
        found = Discovery()
        walk = Walk(root, self.output_folders(), found)
        listing = FolderListing(walk, naming, found, root=root, owns=self.owns(found))
        tasks = as_tasks(iter(listing), root)
        if tasks:
            refuse_root(root, folder)
        return Plan(tasks, found, self.format, self.quality, _folders_of(first_of(tasks)))

    def owns(self, found: Discovery) -> Callable[[Task], bool]:
        """Return what tells this shard's tasks from the others', which it counts as passed over."""
        if self.shard is None:
            return lambda _: True
        from drsformer_cli.jobs.shard import OTHERS, Shard

        shard = Shard.parse(self.shard)

        def owns(task: Task) -> bool:
            mine = shard.owns(task)
            if not mine:
                found.skipped[OTHERS] += 1
            return mine

        return owns

    def _the_one(self, sources: list[Source]) -> Source:
        if len(sources) != 1 or not (sources[0].named or sources[0].path is None):
            raise UsageError(
                f"-o {self.output or STREAM} is one picture, but the input is not: name a folder instead."
            )
        return sources[0]

    def format_of(self, output: str, source: Source) -> str | None:
        """Return the format that the name of the result asks for, None if it is the input's own."""
        from drsformer_cli.media.images import FORMATS, output_extension

        wanted = Path(output).suffix.lower()
        if self.format is not None:
            if output_extension(wanted, self.format) != wanted:
                raise UsageError(
                    f"-o {output} and --format {self.format} ask for two kinds of files: leave one out."
                )
            return self.format
        if wanted == source.relative.suffix.lower():
            return None
        if wanted[1:] not in FORMATS:
            kind = source.relative.suffix.lower()
            what = f"a {kind} picture" if source.path is not None and kind else "this picture"
            raise UsageError(
                f"-o {output}: {what} cannot be written as {wanted}: "
                "give a name in .png, .jpg, .webp or .tif."
            )
        return wanted[1:]

    def output_folders(self) -> list[Path]:
        """Return the folders that results may go to, which the search must not enter."""
        from drsformer_cli.jobs.naming import absolute, default_folder, kept_out

        places = [absolute(name) for name in self.inputs if name != STREAM]
        if self.output is None:
            folders = [default_folder(p if p.is_dir() else p.parent, is_folder=p.is_dir()) for p in places]
        else:
            folders = [absolute(self.output)]
        return kept_out(folders, places)


def _folders_of(tasks: Sequence[Task]) -> str:
    """Return the folder of the results as the user would type it, or the first and how many more."""
    from drsformer_cli.jobs.naming import from_here

    folders = list(dict.fromkeys(task.folder for task in tasks))
    if not folders:
        return ""
    first = from_here(folders[0]).rstrip(os.sep) + os.sep
    more = len(folders) - 1
    return first + (f" and {more} more folder{'s' if more > 1 else ''}" if more else "")
