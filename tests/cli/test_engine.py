"""Who works where: the GPUs of this machine, and the places that a cluster must see."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from drsformer_cli.cli import engine
from drsformer_cli.cli.work import Work
from drsformer_cli.jobs.worker import PictureRecipe


def load(**_words: Any) -> None:
    """Stands where a model is loaded."""


def places(work: Work, most: int = sys.maxsize) -> list[tuple[str, float]]:
    """Return the device of each worker, and its share of it."""
    hands: Any = engine._processes(work, PictureRecipe(load), most)
    recipes = [pickle.loads(recipe) for recipe in hands._recipes]
    return [(recipe.load.keywords["device"], recipe.share) for recipe in recipes]


def test_all_gpus_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert places(Work(devices=("auto",), workers=3)) == [("cuda:0", 0.5), ("cuda:1", 1.0), ("cuda:0", 0.5)]
    assert places(Work(devices=("cuda",), workers=None)) == [("cuda:0", 1.0), ("cuda:1", 1.0)]
    assert places(Work(devices=("cuda:1",), workers=2)) == [("cuda:1", 0.5), ("cuda:1", 0.5)]
    assert places(Work(devices=("cpu",), workers=2)) == [("cpu", 0.5), ("cpu", 0.5)]


def test_no_more_models_are_loaded_than_there_is_work() -> None:
    """The machine is shared out among all who were asked for: the bytes must not depend on the work."""
    assert places(Work(devices=("cpu",), workers=4), most=1) == [("cpu", 0.25)]


@pytest.mark.parametrize("there", ["before", "after", "never"])
def test_what_is_left_for_workers_to_find_goes_away(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "out"
    if there == "before":
        folder.mkdir()
    with engine._probe(folder) as probe:
        assert Path(probe.path).parent == folder
        assert Path(probe.path).read_bytes() == probe.content
        if there == "after":
            (folder / "a.png").write_bytes(b"a result")
    assert folder.is_dir() == (there != "never")
    assert [path.name for path in tmp_path.rglob("*.*")] == (["a.png"] if there == "after" else [])
