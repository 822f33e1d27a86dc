"""Which films are to be done and where each result goes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import (
    Task,
    absolute,
    default_folder,
    file_key,
    kept_out,
    plan_outputs,
    refuse_shared,
    single_task,
)
from drsformer_cli.jobs.resume import manifest_in, refuse_pictures_inside, without_earlier_results
from drsformer_cli.media.discover import OUTPUT, Discovery, Source, discover
from drsformer_cli.media.video import FILM_EXTENSIONS
from drsformer_cli.media.video_codec import CONTAINERS

SUFFIX = "_derained"
NO_FILM = "not a film"


@dataclass(frozen=True)
class FilmTasks:
    """The films to do, how many entries the search left out, by reason, and the first of them by name.

    `unnamed` counts those of them that are not named for their number.
    """

    tasks: list[Task]
    left_out: Counter[str]
    passed_over: list[tuple[str, str]]
    unnamed: int


def find_films(inputs: Sequence[str], output: str | None) -> FilmTasks:
    """Search for films and give each its place.

    Without `output`, a file's result stands beside it (`clip_derained.mp4`), and those of a folder go to
    `derained/` beside the folder. Raises UsageError for names that match nothing, and for results that
    have no place.
    """
    if "-" in inputs:
        raise UsageError("a film cannot be read from a pipe: give a file.")
    one = output is not None and _names_a_film(output)
    folder = None if output is None or one else Path(output)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(
            f"-o {output} is a file that holds no film: give a folder, or a name in .mp4, .mov, .mkv, .webm."
        )
    if folder is not None and folder.suffix and not folder.exists() and not str(output).endswith(("/", "\\")):
        raise UsageError(
            f"-o {output} cannot be written: give a name in .mp4, .mov, .mkv, .webm or .gif, or {output}/."
        )
    for name in inputs:
        if folder is not None and Path(name).is_dir():
            wanted = Discovery(extensions=FILM_EXTENSIONS, other=NO_FILM)
            refuse_pictures_inside(Path(name), folder, wanted)
    found = discover(
        inputs, exclude=_output_folders(inputs, output), extensions=FILM_EXTENSIONS, other=NO_FILM
    )
    manifests: dict[Path, Manifest | None] = {}
    found = _without_results_beside(without_earlier_results(found, folder, manifests), manifests)
    if one and output is not None:
        if len(found.sources) != 1 or not found.sources[0].named:
            raise UsageError(f"-o {output} is one film, but the input is not: name a folder instead.")
        tasks = [single_task(found.sources[0], output)]
    else:
        tasks = _numbered(_tasks(found.sources, folder))
    refuse_shared(tasks, lambda task: task.path)
    return FilmTasks(tasks, found.skipped, found.passed_over, found.unnamed)


def _names_a_film(output: str) -> bool:
    return (
        not output.endswith(("/", "\\"))
        and not Path(output).is_dir()
        and Path(output).suffix.lower() in CONTAINERS
    )


def _output_folders(inputs: Sequence[str], output: str | None) -> list[Path]:
    """Return the folders that results may go to, which the search must not enter."""
    places = [absolute(name) for name in inputs]
    folders = (
        [default_folder(p, is_folder=True) for p in places if p.is_dir()]
        if output is None
        else [absolute(output)]
    )
    return kept_out(folders, places)


def _without_results_beside(found: Discovery, manifests: dict[Path, Manifest | None]) -> Discovery:
    """Leave out results that stand beside their sources, where a pattern or a folder brought both."""
    if len(found.sources) < 2:
        return found
    kept = dataclasses.replace(found, sources=[])
    for source in found.sources:
        assert source.path is not None
        path = absolute(source.path)
        if path.parent not in manifests:
            manifests[path.parent] = manifest_in(path.parent, kept)
        manifest = manifests[path.parent]
        if path.stem.endswith(SUFFIX) and manifest is not None and manifest.record(path.name) is not None:
            kept.skip(source.path, OUTPUT)
        else:
            kept.sources.append(source)
    return kept


def _tasks(sources: Sequence[Source], folder: Path | None) -> list[Task]:
    beside = [source for source in sources if folder is None and source.named]
    others = [source for source in sources if folder is not None or not source.named]
    tasks = {id(task.source): _kept(task) for task in plan_outputs(others, output=folder)}
    for source in beside:
        assert source.path is not None
        path = absolute(source.path)
        name = _writable(PurePath(path.stem + SUFFIX + path.suffix), path.suffix)
        tasks[id(source)] = Task(source, path.parent, name)
    return [tasks[id(source)] for source in sources if id(source) in tasks]


def _kept(task: Task) -> Task:
    return dataclasses.replace(task, output=_writable(task.output, task.output.suffix))


def _writable(name: PurePath, extension: str) -> PurePath:
    """Return the name, as Matroska's where a container cannot be written: it holds whatever others hold."""
    return name if extension.lower() in CONTAINERS else name.with_name(name.name + ".mkv")


def _numbered(tasks: Sequence[Task]) -> list[Task]:
    """Number the names that became Matroska's where another film has the name already."""
    taken = {_place(task) for task in tasks if not _renamed(task)}
    result = []
    for task in tasks:
        output, number = task.output, 1
        while _renamed(task) and _place(task) in taken:
            number += 1
            name = f"{output.stem}-{number}{output.suffix}"
            task = dataclasses.replace(task, output=output.with_name(name))
        if _renamed(task):
            taken.add(_place(task))
        result.append(task)
    return result


def _renamed(task: Task) -> bool:
    return task.source.path is not None and task.source.path.suffix.lower() not in CONTAINERS


def _place(task: Task) -> tuple[str, str]:
    return str(task.folder), file_key(task.output.as_posix())
