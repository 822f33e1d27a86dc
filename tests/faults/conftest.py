"""What all faults need: commands to disturb, pictures to lose, and an account of what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from tests.faults.ledger import VARIABLE, Ledger, table
from tests.faults.nursery import Nursery
from tests.faults.state import results
from tests.networks import small_network

COUNT = 6  # pictures of a job
_LEDGER = Ledger(Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)


def sampled(values: Iterable[Any], *often: Any) -> list[Any]:
    """Return parameters, of which those named often are in every run of the tests, and the others slow."""
    return [
        pytest.param(
            value, id=str(getattr(value, "name", value)), marks=[] if value in often else [pytest.mark.slow]
        )
        for value in values
    ]


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return _LEDGER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _LEDGER.trials:
        terminalreporter.section("faults")
        terminalreporter.write_line(table(_LEDGER.trials))


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory, model: list[str]) -> Iterator[Nursery]:
    if not hasattr(os, "fork"):
        pytest.skip("processes are forked here, and this system does not do that")
    scratch = tmp_path_factory.mktemp("streams")
    scratch.chmod(0o777)
    photo = picture(tmp_path_factory.mktemp("warm") / "a.png", 0)
    with Nursery(scratch, [photo, "-o", photo.parent / "out", "-q", *model]) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of the smallest network."""
    folder = tmp_path_factory.mktemp("model")
    network = small_network()
    save_file(network.state_dict(), folder / "small.safetensors")
    return folder / "small.safetensors"


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> list[str]:
    """Return the words for a network small enough to run at once."""
    return ["-m", str(checkpoint), "--device", "cpu", "--precision", "fp32"]


@dataclass(frozen=True)
class Job:
    """A command over pictures, and its results when nobody disturbs it."""

    photos: Path
    words: list[str]
    expected: dict[str, bytes]


@pytest.fixture(scope="session")
def job(nursery: Nursery, model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    photos = write_pictures(folder / "photos", COUNT)
    ended = nursery.run(photos, "-o", folder / "out", *model)
    assert ended.status == 0, ended.err
    return Job(photos, model, results(folder / "out"))


def write_pictures(folder: Path, count: int, size: tuple[int, int] = (24, 32), seed: int = 0) -> Path:
    """Write pictures of noise in several formats, some in a folder below; return the folder."""
    for index in range(count):
        place = folder / ("deep" if index % 3 == 2 else "") / f"{index:02}.{('png', 'bmp', 'jpg')[index % 3]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture(place, seed + index, size)
    return folder


def picture(path: Path, seed: int, size: tuple[int, int] = (24, 32)) -> Path:
    """Write a picture of noise, (height, width) pixels large."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
