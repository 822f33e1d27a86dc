"""Who does the pictures and films: a model in this process, or workers beside it or on a cluster."""

from __future__ import annotations

import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from drsformer_cli.cli.options import ModelOptions
from drsformer_cli.cli.work import EngineName, Work
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Event
from drsformer_cli.jobs.hands import Hands
from drsformer_cli.jobs.listing import Listing, Tasks, first_of
from drsformer_cli.jobs.naming import absolute
from drsformer_cli.jobs.objects import RemoteStore
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.store import FolderStore, Store
from drsformer_cli.jobs.worker import PictureRecipe, Probe
from drsformer_cli.media.files import make_folder, partial_name, stage

if TYPE_CHECKING:
    from drsformer_cli.jobs.film_events import FilmEvent
    from drsformer_cli.jobs.film_plan import Wish
    from drsformer_cli.jobs.film_worker import FilmRecipe
    from drsformer_cli.jobs.naming import Task
    from drsformer_cli.restore.restorer import Restorer

    Recipe = PictureRecipe | FilmRecipe


class Run(Protocol):
    """A run over pictures; iterating does the work and yields what happens. A context manager."""

    def __iter__(self) -> Iterator[Event]: ...

    def __enter__(self) -> Run: ...

    def __exit__(self, *error: Any) -> None: ...

    def close(self) -> list[Event]:
        """Stop, and return the events that were not yielded."""


class Engine(Protocol):
    """Does pictures with a loaded model or several."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return what decides the results besides the pictures' sizes."""

    def go_on_as(self, plan: Mapping[str, Any], /) -> None:
        """Rest all plans on what an earlier one rested on."""

    def run(self, tasks: Tasks, store: Store, settings: Mapping[str, Any], /) -> Run:
        """Return the run over these tasks, which begins when it is iterated."""


class Alone:
    """One model in this process; `format` and `quality` are those of the files to write.

    `max_pixels` is the most a picture may have, None for the usual.
    """

    def __init__(
        self, model: Restorer, format: str | None, quality: int | None, max_pixels: int | None = None
    ) -> None:
        self._model, self._format, self._quality = model, format, quality
        self._max_pixels = max_pixels

    @property
    def settings(self) -> dict[str, Any]:
        """Return the model's settings."""
        return self._model.settings

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """See `Restorer.go_on_as`."""
        self._model.go_on_as(plan)

    def run(self, tasks: Tasks, store: Store, settings: Mapping[str, Any]) -> Run:
        """Return the run over these tasks."""
        return Pipeline(
            tasks,
            self._model,
            store,
            settings=settings,
            format=self._format,
            quality=self._quality,
            max_pixels=self._max_pixels,
        )


class Together:
    """Workers with a model each."""

    def __init__(self, crew: Crew, tell: Callable[[str], None]) -> None:
        self._crew = crew
        self._facts = crew.start(tell)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of all workers' models."""
        return self._facts.settings

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """See `Crew.go_on_as`."""
        self._crew.go_on_as(plan)

    def run(self, tasks: Tasks, store: Store, settings: Mapping[str, Any]) -> Run:
        """Return the run over these tasks."""
        assert isinstance(store, (FolderStore, RemoteStore))  # streams are refused together with workers
        return self._crew.over(tasks, store, settings)


def open_engine(
    stack: ExitStack,
    options: ModelOptions,
    work: Work,
    tasks: Tasks,
    format: str | None,
    quality: int | None,
    tell: Callable[[str], None],
) -> Engine:
    """Load the model, or have it loaded, and tell if that takes long; what is to be closed goes on the stack.

    Raises SetupError.
    """
    if work.alone:
        return Alone(options.load(), format, quality, work.max_pixels)
    recipe = PictureRecipe(_loader(options), format=format, quality=quality, max_pixels=work.max_pixels)
    crew = stack.enter_context(Crew(_hands(stack, work, recipe, tasks, _most(tasks))))
    return Together(crew, tell)


def open_films(
    stack: ExitStack,
    options: ModelOptions,
    work: Work,
    tasks: Sequence[Task],
    wish: Wish,
    *,
    overwrite: bool,
    tell: Callable[[str], None],
) -> Iterable[FilmEvent]:
    """Return the run over films, by a model in this process or by workers; see `open_engine`."""
    from drsformer_cli.jobs.film_batch import FilmBatch
    from drsformer_cli.jobs.film_crew import FilmCrew
    from drsformer_cli.jobs.film_spread import FilmSpread
    from drsformer_cli.jobs.film_worker import FilmRecipe

    if work.alone:
        return FilmBatch(tasks, options.load(), wish, overwrite=overwrite)
    hands = _hands(stack, work, FilmRecipe(_loader(options)), list(tasks), sys.maxsize)
    crew = stack.enter_context(FilmCrew(hands))
    crew.start(tell)
    return FilmSpread(tasks, crew, wish, overwrite=overwrite)


def _hands(stack: ExitStack, work: Work, recipe: Recipe, tasks: Tasks, most: int) -> Hands:
    """Return the workers that are asked for; no more than `most` of them are of use."""
    if work.engine is EngineName.LOCAL:
        return _processes(work, recipe, most)
    return _actors(stack, work, recipe, tasks, most)


def _loader(options: ModelOptions) -> Callable[..., Restorer]:
    """Return what loads the model elsewhere: by its catalogue name, or from the file's full path."""
    from drsformer_cli import weights
    from drsformer_cli.restore.restorer import load

    weights.resolve(options.model)  # what is not there is said before anything is started
    path = Path(options.model)
    return partial(load, str(path.absolute()) if path.exists() else options.model, **options.keywords())


def _most(tasks: Tasks) -> int:
    """Return how many workers are of use at most."""
    return sys.maxsize if isinstance(tasks, Listing) else len(tasks)


def _processes(work: Work, recipe: Recipe, most: int) -> Hands:
    """Return processes of this machine, which share its processors, and the memory of what they work on."""
    import torch

    from drsformer_cli.jobs.processes import THREADS, ProcessHands
    from drsformer_cli.restore.device import limit_threads

    devices = work.devices
    if devices[0] in ("auto", "cuda") and torch.cuda.is_available():
        devices = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    count = work.workers or len(devices)
    places = [devices[index % len(devices)] for index in range(count)]
    sharing = Counter(places)
    recipes = [
        replace(recipe, load=partial(recipe.load, device=place), share=1 / sharing[place])
        for place in places[:most]  # all count when the machine is shared out; more than work are not loaded
    ]
    limit_threads()
    threads = None if THREADS in os.environ else max(1, torch.get_num_threads() // count)
    return ProcessHands(recipes, threads=threads)


def _actors(stack: ExitStack, work: Work, recipe: Recipe, tasks: Tasks, most: int) -> Hands:
    """Return actors of a Ray cluster, which see the same files as this process or say that they do not."""
    from drsformer_cli.jobs.cluster import RayHands
    from drsformer_cli.jobs.processes import THREADS

    first = first_of(tasks)
    hands = stack.enter_context(RayHands(work.ray_address))
    named = os.environ.get(THREADS, "")
    layout = hands.plan(
        workers=work.workers,
        gpus=work.gpus_per_worker,
        cpu_only=work.devices == ("cpu",),
        threads=int(named) if named.isdecimal() else None,
    )
    if not layout.gpus:
        recipe = replace(recipe, load=partial(recipe.load, device="cpu"))
    probes = [Probe(str(absolute(task.source.path))) for task in first[:1] if task.source.path is not None]
    folders = dict.fromkeys(task.folder for task in first if task.base is None)
    probes += [stack.enter_context(_probe(folder)) for folder in folders]
    hands.bring(replace(recipe, share=layout.share, probes=tuple(probes)), most=most)
    return hands


@contextmanager
def _probe(folder: Path) -> Iterator[Probe]:
    """Leave a file where results go, for workers elsewhere to find."""
    made = not folder.exists()
    make_folder(folder)
    token = secrets.token_hex(8)
    path = folder / partial_name(token)
    stage(path, token.encode())
    try:
        yield Probe(str(path), token.encode())
    finally:
        path.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # it holds results
                folder.rmdir()
