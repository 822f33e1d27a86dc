"""Workers against one process with all threads, and what handing out costs a file.

    python -m benchmarks.workers [--rounds 5] [--pictures 16] [--size 256] [--frames 130] [--files 300]

First part: the bundled model over the same pictures, by one process with as many threads as there are
processors, and by as many workers with one thread each; models are loaded before the clock starts, the sides
take turns, and medians are printed with the least and the most. Then one film in the same ways, from probing
it to the finished file. Second part: a model that does nothing over
many tiny pictures, so that only reading, writing and handing out are left: by one process, by one worker
beside it, by one actor of Ray if that is installed; and the caller's own share of that, with workers that
answer at once, which bounds how many workers one caller can feed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.video import make_clip
from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.cluster import RayHands
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Done
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_crew import FilmCrew
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_spread import FilmSpread
from drsformer_cli.jobs.film_worker import FilmRecipe
from drsformer_cli.jobs.hands import Answer, Hands, Ready, Report
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.processes import ProcessHands
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.jobs.worker import Facts, Finished, PictureErrand, PictureRecipe
from drsformer_cli.media.discover import Source
from drsformer_cli.restore.restorer import load


class Idle:
    """A model that gives back what it gets."""

    limit = 1 << 30
    settings: Mapping[str, Any] = {"model": "idle"}

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the picture."""
        return rainy, {}

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Do so."""


class Instant:
    """Workers that cost nothing: a byte is written, and the answer is there."""

    count = 1

    def __init__(self) -> None:
        self._reports: list[Report] = []

    def hire(self, _slot: int) -> int:
        """Be ready."""
        self._reports.append(Ready(0, Facts(dict(Idle.settings), 1)))
        return 0

    def send(self, worker: int, errand: PictureErrand) -> None:
        """Write a byte, and have the answer ready."""
        errand.place.write_bytes(b"x")
        done = Finished(1, 1, "0" * 64, 1, "0" * 64, ((8, 8),), {}, 0.0, [])
        self._reports.append(Answer(worker, errand.number, done))

    def poll(self, _seconds: float) -> list[Report]:
        """Return all answers."""
        reports, self._reports = self._reports, []
        return reports

    def close(self) -> None:
        """Do nothing."""


def pictures(folder: Path, count: int, size: int) -> list[Source]:
    """Write pictures of noise."""
    folder.mkdir()
    sources = []
    for index in range(count):
        path = folder / f"{index:05}.png"
        pixels = np.random.default_rng(index).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)
        sources.append(Source(path, PurePath(path.name), folder, False))
    return sources


def tasks_into(sources: Sequence[Source], out: Path) -> list[Task]:
    """Return a task for each picture, and make the folder, so that no side pays for it."""
    out.mkdir(parents=True)
    return [Task(source, out, source.relative) for source in sources]


def by_one_process(model: Any, tasks: list[Task]) -> float:
    """Return the seconds that a pipeline in this process takes."""
    with FolderStore(tasks, model.settings) as store:
        start = time.perf_counter()
        with Pipeline(tasks, model, store, settings=model.settings) as pipeline:
            done = sum(isinstance(event, Done) for event in pipeline)
        seconds = time.perf_counter() - start
    assert done == len(tasks)
    return seconds


def by_workers(hands: Hands, tasks: list[Task]) -> float:
    """Return the seconds from the first hand-out to the last result of workers that are all ready."""
    with Crew(hands) as crew:
        settings = crew.start().settings
        while crew.ready < hands.count:
            crew.idle()
        with FolderStore(tasks, settings) as store, crew.over(tasks, store, settings):
            start, end, done = time.perf_counter(), 0.0, 0
            for event in crew:
                if isinstance(event, Done):
                    end, done = time.perf_counter(), done + 1
    assert done == len(tasks)
    return end - start


@contextmanager
def one_actor() -> Iterator[RayHands | None]:
    """Yield hands with one actor of Ray, None where Ray is not installed."""
    try:
        with RayHands() as hands:
            hands.plan(workers=1, gpus=None, cpu_only=True, threads=1)
            hands.bring(PictureRecipe(Idle), most=1)
            yield hands
    except SetupError as error:
        print(error)
        yield None


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return the median with the least and the most."""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"


def throughput(place: Path, *, rounds: int, count: int, size: int) -> None:
    """Print pictures a second, side by side."""
    cores = torch.get_num_threads()
    sources = pictures(place / "large", count, size)
    model = load("compact", device="cpu")
    by_one_process(model, tasks_into(sources[:2], place / "warm"))
    recipe = PictureRecipe(partial(load, "compact", device="cpu"))
    one, many = [], []
    for index in range(rounds):
        one.append(count / by_one_process(model, tasks_into(sources, place / f"one{index}")))
        hands = ProcessHands([recipe] * cores, threads=1)
        many.append(count / by_workers(hands, tasks_into(sources, place / f"many{index}")))
    print(f"{count} pictures of {size} x {size}, {rounds} rounds in turn; pictures a second")
    print(f"  one process, {cores} threads:   {spread(one)}")
    print(f"  {cores} workers, 1 thread each: {spread(many)}")
    print(f"  ratio in each round:      {spread([b / a for a, b in zip(one, many, strict=True)])}")


def film(place: Path, *, rounds: int, frames: int) -> None:
    """Print pictures a second of one film, side by side."""
    cores = torch.get_num_threads()
    path = make_clip(place / "film.mp4", frames)
    source = Source(path, PurePath(path.name), place, True)
    model = load("compact", device="cpu")
    recipe = FilmRecipe(partial(load, "compact", device="cpu"))
    one, many = [], []
    for index in range(rounds):
        one.append(_film_speed(FilmBatch([Task(source, place, PurePath(f"one{index}.mp4"))], model, Wish())))
        with FilmCrew(ProcessHands([recipe] * cores, threads=1)) as crew:
            crew.start()
            while crew.ready < cores:
                crew.idle()
            task = Task(source, place, PurePath(f"many{index}.mp4"))
            many.append(_film_speed(FilmSpread([task], crew, Wish())))
    print(f"a film of {frames} pictures of 640 x 480, {rounds} rounds in turn; pictures a second")
    print(f"  one process, {cores} threads:   {spread(one)}")
    print(f"  {cores} workers, 1 thread each: {spread(many)}")
    print(f"  ratio in each round:      {spread([b / a for a, b in zip(one, many, strict=True)])}")


def _film_speed(run: Iterable[FilmEvent]) -> float:
    start = time.perf_counter()
    *_, last = run
    assert isinstance(last, FilmDone)
    return last.fresh / (time.perf_counter() - start)


def overhead(place: Path, *, rounds: int, files: int) -> None:
    """Print milliseconds a file that are no model's."""
    sources = pictures(place / "tiny", files, 8)
    sides: dict[str, Callable[[list[Task]], float]] = {
        "one process": partial(by_one_process, Idle()),
        "one worker": lambda tasks: by_workers(ProcessHands([PictureRecipe(Idle)], threads=1), tasks),
        "the caller alone": lambda tasks: by_workers(Instant(), tasks),
    }
    with one_actor() as actor:
        if actor is not None:
            sides["one actor of Ray"] = lambda tasks: by_workers(actor, tasks)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for index in range(rounds):
            for name, side in sides.items():
                seconds = side(tasks_into(sources, place / f"{name} {index}"))
                times[name].append(1000 * seconds / files)
    print(f"{files} files of 8 x 8, {rounds} rounds in turn; milliseconds a file")
    for name, values in times.items():
        print(f"  {name + ':':<18} {spread(values)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--frames", type=int, default=130)
    parser.add_argument("--only", choices=["throughput", "film", "overhead"])
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if words.only in (None, "throughput"):
            throughput(Path(place), rounds=words.rounds, count=words.pictures, size=words.size)
        if words.only in (None, "film"):
            film(Path(place), rounds=words.rounds, frames=words.frames)
        if words.only in (None, "overhead"):
            overhead(Path(place), rounds=words.rounds, files=words.files)


if __name__ == "__main__":
    from benchmarks.workers import main as run  # workers find the model that does nothing under this name

    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    run()
