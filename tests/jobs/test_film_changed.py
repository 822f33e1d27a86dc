"""Films that change while they are restored, and work that tells untruths: told, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drsformer_cli.jobs import film_plan
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent, FilmStarted, SegmentDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_work import MANIFEST, Work
from tests.jobs.films import Negative, restore, task_for
from tests.jobs.test_film_workers import SIZE, ends, running
from tests.media.clips import X264, film

Runner = Callable[[dict[Path, Path], Callable[[], Any]], Iterator[FilmEvent]]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_plan, "MOST", SIZE)


def alone(films: dict[Path, Path], model: Callable[[], Any]) -> Iterator[FilmEvent]:
    """Restore films in this process."""
    yield from FilmBatch([task_for(source, out) for source, out in films.items()], model(), Wish())


RUNNERS = pytest.mark.parametrize("runner", [alone, running], ids=["alone", "workers"])


class Slow(Negative):
    """Leaves the others time."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        time.sleep(0.01)
        return super().restore(rainy)


def _cut(source: Path, _: Path) -> None:
    os.truncate(source, source.stat().st_size * 6 // 10)


def _replace(source: Path, other: Path) -> None:
    shutil.copy(other, source.with_name("new")).replace(source)


@RUNNERS
@pytest.mark.parametrize("change", [_cut, pytest.param(_replace, marks=pytest.mark.slow)])
def test_the_source_changes(tmp_path: Path, runner: Runner, change: Callable[[Path, Path], None]) -> None:
    source = film(tmp_path / "a.mkv", *X264, "-g", 25, seconds=8)
    other = film(tmp_path / "b.mkv", *X264, "-g", 25, "-vf", "negate", seconds=8)
    kept, out = Path(shutil.copy(source, tmp_path / "kept.mkv")), tmp_path / "out.mkv"
    safe: list[int] = []
    for event in runner({source: out}, Slow):
        if isinstance(event, SegmentDone):
            safe.append(event.pictures)
            if len(safe) == 3:
                change(source, other)
    assert isinstance(event, Failed)
    assert f"{source} was changed while it was restored" in event.reason
    assert not out.exists()
    assert Work(out).earlier_count() == safe[-1] < 200
    assert not list(Work(out).folder.glob("*.part"))
    shutil.copy(kept, source)
    done = restore(source, out, Negative())
    assert (done.sums.pictures, done.fresh) == (200, 200 - safe[-1])
    restore(kept, tmp_path / "undisturbed.mkv", Negative())
    assert out.read_bytes() == (tmp_path / "undisturbed.mkv").read_bytes()


@RUNNERS
@pytest.mark.parametrize("shift", [1, -5])
def test_an_end_that_is_none(tmp_path: Path, runner: Runner, shift: int) -> None:
    """The film's end is looked for again; what is restored is kept."""
    source, out = film(tmp_path / "a.mp4", seconds=3), tmp_path / "out.mp4"
    run = alone({source: out}, Negative)
    lines: list[bytes] = []
    while len(lines) < 6:  # the head, four segments, the end
        assert not isinstance(next(run), FilmDone)
        lines = (Work(out).folder / MANIFEST).read_bytes().splitlines() if Work(out).folder.exists() else []
    shutil.copytree(Work(out).folder, tmp_path / "saved")
    run.close()  # type: ignore[attr-defined]
    shutil.rmtree(Work(out).folder)
    shutil.copytree(tmp_path / "saved", Work(out).folder)
    end = json.loads(lines[-1])
    end["end"]["count"] += shift
    (Work(out).folder / MANIFEST).write_bytes(b"\n".join([*lines[:-1], json.dumps(end).encode(), b""]))
    events = list(runner({source: out}, Negative))
    assert isinstance(events[0], FilmStarted)
    assert events[0].earlier == 75
    last = events[-1]
    assert isinstance(last, FilmDone), last
    assert (last.sums.pictures, last.fresh) == (75, 0)


class Limited(Negative):
    """Its results depend on its limit, as a tiled model's do."""

    def __init__(self, limit: int = 1 << 30) -> None:
        super().__init__()
        self.limit = limit

    def describe(self, height: int, width: int) -> dict[str, Any]:
        return {"whole": False, "tile": [height, width], "precision": "fp32", "limit": self.limit}

    def go_on_as(self, plan: Any) -> None:
        self.limit = min(self.limit, plan.get("limit", self.limit))

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        time.sleep(0.005)
        clean = (np.iinfo(rainy.dtype).max - rainy) // 2 + 100 * (self.limit < 1 << 30)
        return clean.astype(rainy.dtype), self.describe(*rainy.shape[:2])


def test_each_film_has_a_memory_limit_of_its_own(tmp_path: Path) -> None:
    """One was begun with less memory, and is gone on with while another is in work."""
    films = {}
    for name, seconds in (("a.mp4", 6.0), ("b.mp4", 3.0), ("c.mp4", 3.0)):
        source = film(tmp_path / name, seconds=seconds)
        films[source] = tmp_path / f"out-{name}"
        restore(source, tmp_path / f"one-{name}", Limited(1 << 29 if name == "b.mp4" else 1 << 30))
    half = list(films)[1]
    run = iter(FilmBatch([task_for(half, films[half])], Limited(1 << 29), Wish()))
    while not isinstance(next(run), SegmentDone):
        pass
    run.close()  # type: ignore[attr-defined]
    found = ends(list(running(films, Limited)))
    for source, out in films.items():
        end = found[source.name]
        assert isinstance(end, FilmDone), end
        assert isinstance(end.record.plan, dict), end.record.plan
        assert end.record.plan["limit"] == (1 << 29 if source == half else 1 << 30)
        assert out.read_bytes() == out.with_name(f"one-{source.name}").read_bytes()


@RUNNERS
def test_another_run_has_one_of_the_films(tmp_path: Path, runner: Runner) -> None:
    """That one fails by name, and the others are done."""
    films = {film(tmp_path / f"{name}.mp4", seconds=3): tmp_path / f"out-{name}.mp4" for name in "abc"}
    with Work(tmp_path / "out-b.mp4"):
        found = ends(list(runner(films, Slow)))
    assert isinstance(found["b.mp4"], Failed)
    assert f"works on {tmp_path / 'out-b.mp4'}: wait for its end" in found["b.mp4"].reason
    assert isinstance(found["a.mp4"], FilmDone)
    assert isinstance(found["c.mp4"], FilmDone)


class Threaded(Limited):
    """Has as many threads as the environment says."""

    def describe(self, height: int, width: int) -> dict[str, Any]:
        return {**super().describe(height, width), "threads": int(os.environ["OMP_NUM_THREADS"])}


def test_other_threads_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = film(tmp_path / "a.mp4", seconds=3), tmp_path / "out.mp4"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for event in alone({source: out}, Threaded):
        if isinstance(event, SegmentDone):
            break
    monkeypatch.delenv("OMP_NUM_THREADS")
    (failed,) = running({source: out}, Threaded)  # each with one thread
    assert isinstance(failed, Failed)
    assert "other settings (threads): give those again (OMP_NUM_THREADS=3) to go on there" in failed.reason
