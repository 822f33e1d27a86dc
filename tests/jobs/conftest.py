"""Pictures to work on, and a model that is quick and whose results are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source


class Inverter:
    """Stands where the network would: turns a picture into its negative."""

    settings: dict[str, Any] = {"model": "inverter", "strength": 1.0}  # noqa: RUF012  (a constant)
    limit = 1 << 30

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        return 255 - rainy, {"tile": "off", "size": list(rainy.shape[:2])}

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        self.limit = min(self.limit, plan.get("limit", self.limit))


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 16)) -> Path:
    """Write a picture of noise, (height, width) pixels large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def tasks_for(folder: Path, out: Path) -> list[Task]:
    """Return a task for each file of a folder, in the order of their names, with no search and no naming."""
    sources = [Source(p, PurePath(p.name), folder, False) for p in sorted(folder.iterdir())]
    return [Task(source, out, source.relative) for source in sources]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that makes a folder of so many pictures."""

    def make(count: int) -> Path:
        for index in range(count):
            write_picture(tmp_path / "photos" / f"{index:03}.png", index)
        return tmp_path / "photos"

    return make
