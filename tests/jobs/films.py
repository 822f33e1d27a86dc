"""Models that are quick and whose results are known, and films restored with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source


class Negative:
    """Stands where the network would: turns a picture into its negative, and counts."""

    limit = 1 << 30

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"model": "negative"}
        self.calls = 0

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        self.calls += 1
        return np.iinfo(rainy.dtype).max - rainy, self.describe(*rainy.shape[:2])

    def describe(self, height: int, width: int) -> dict[str, Any]:
        return {"whole": True, "tile": [height, width], "precision": "fp32", "limit": 1}

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        pass


class Same(Negative):
    """Returns its input."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = {"model": "same"}

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        self.calls += 1
        return rainy, self.describe(*rainy.shape[:2])


def task_for(source: Path, out: Path) -> Task:
    return Task(Source(source, PurePath(source.name), source.parent, True), out.parent, PurePath(out.name))


def events_of(
    source: Path, out: Path, model: Any, wish: Wish | None = None, **options: Any
) -> list[FilmEvent]:
    return list(FilmBatch([task_for(source, out)], model, wish or Wish(), **options))


def restore(source: Path, out: Path, model: Any, wish: Wish | None = None, **options: Any) -> FilmDone:
    """Restore one film; its last event, which must be its end."""
    last = events_of(source, out, model, wish, **options)[-1]
    assert isinstance(last, FilmDone), last.reason if isinstance(last, Failed) else last
    return last
