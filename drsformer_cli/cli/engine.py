"""Who does the pictures: a model in this process, or workers beside it or on a cluster."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from drsformer_cli.cli.options import ModelOptions
from drsformer_cli.cli.work import Work
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Event
from drsformer_cli.jobs.hands import Hands
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.store import FolderStore, Store
from drsformer_cli.jobs.worker import PictureRecipe

if TYPE_CHECKING:
    from drsformer_cli.restore.restorer import Restorer


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

    def run(self, tasks: Sequence[Task], store: Store, settings: Mapping[str, Any], /) -> Run:
        """Return the run over these tasks, which begins when it is iterated."""


class Alone:
    """One model in this process; `format` and `quality` are those of the files to write."""

    def __init__(self, model: Restorer, format: str | None, quality: int | None) -> None:
        self._model, self._format, self._quality = model, format, quality

    @property
    def settings(self) -> dict[str, Any]:
        """Return the model's settings."""
        return self._model.settings

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """See `Restorer.go_on_as`."""
        self._model.go_on_as(plan)

    def run(self, tasks: Sequence[Task], store: Store, settings: Mapping[str, Any]) -> Run:
        """Return the run over these tasks."""
        return Pipeline(
            tasks, self._model, store, settings=settings, format=self._format, quality=self._quality
        )


class Together:
    """Workers with a model each."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._facts = crew.start()

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of all workers' models."""
        return self._facts.settings

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """See `Crew.go_on_as`."""
        self._crew.go_on_as(plan)

    def run(self, tasks: Sequence[Task], store: Store, settings: Mapping[str, Any]) -> Run:
        """Return the run over these tasks."""
        assert isinstance(store, FolderStore)  # streams are refused together with workers
        return self._crew.over(tasks, store, settings)


def open_engine(
    stack: ExitStack,
    options: ModelOptions,
    work: Work,
    tasks: Sequence[Task],
    format: str | None,
    quality: int | None,
) -> Engine:
    """Load the model, or have it loaded; what is to be closed goes on the stack. Raises SetupError."""
    if work.alone:
        return Alone(options.load(), format, quality)
    hands = _processes(options, work, len(tasks), format, quality)
    return Together(stack.enter_context(Crew(hands)))


def _processes(
    options: ModelOptions, work: Work, most: int, format: str | None, quality: int | None
) -> Hands:
    """Return processes of this machine, which share its processors, and the memory of what they work on."""
    import torch

    from drsformer_cli import weights
    from drsformer_cli.jobs.processes import THREADS, ProcessHands
    from drsformer_cli.restore.device import limit_threads
    from drsformer_cli.restore.restorer import load

    weights.resolve(options.model)  # what is not there is said before anything is started
    devices = work.devices
    if devices[0] in ("auto", "cuda") and torch.cuda.is_available():
        devices = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    count = work.workers or len(devices)
    places = [devices[index % len(devices)] for index in range(count)]
    sharing = Counter(places)
    model = str(Path(options.model).absolute()) if Path(options.model).exists() else options.model
    recipes = [
        PictureRecipe(
            partial(load, model, **{**options.keywords(), "device": place}),
            format,
            quality,
            1 / sharing[place],
        )
        for place in places[
            :most
        ]  # how many share a machine decides the plans; more than work are not loaded
    ]
    limit_threads()
    threads = None if THREADS in os.environ else max(1, torch.get_num_threads() // count)
    return ProcessHands(recipes, threads=threads)
