"""Which worker makes which segment: all are made once, most of them one behind the other."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.jobs import film_allot
from drsformer_cli.jobs.film_allot import RUN, AllottedFilm
from drsformer_cli.jobs.film_job import FilmJob
from drsformer_cli.jobs.film_plan import Wish, plan_film
from drsformer_cli.jobs.film_worker import SegmentErrand, SegmentMade
from drsformer_cli.jobs.worker import Refused
from drsformer_cli.media.video_frames import PROOF, Ending
from tests.jobs.films import Negative, task_for
from tests.media.clips import film


class Crew:
    """Names the worker whose turn it is."""

    def __init__(self) -> None:
        self.turn, self.numbers = 0, itertools.count()

    def next_worker(self) -> int:
        return self.turn

    def keywords(self) -> dict[str, Any]:
        return {"number": next(self.numbers), "temporary": ".a-00.part", "limit": None}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [24 * 50 - 7, 24 * 10, 5])
def test_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, seed: int) -> None:
    source = film(tmp_path / "a.mp4", seconds=0.2, size="1024x768")  # large pictures: 25 are a segment
    times = [3 * number for number in range(count)]
    monkeypatch.setattr(film_allot, "times_of", lambda *_, **__: times)
    plan = plan_film(task_for(source, tmp_path / "b.mp4"), Wish())
    size, crew, rng = plan.segment, Crew(), random.Random(seed)
    assert size == 25
    given: list[tuple[int, int]] = []
    with FilmJob(plan, Negative(), replace=False, anew=False) as job:
        allotted = AllottedFilm(job)
        allotted.begin()
        at_work: list[tuple[int, SegmentErrand]] = []
        while allotted.wants() or at_work:
            crew.turn = rng.randrange(4)
            if allotted.wants() and len(at_work) < 8:
                errand: Any = allotted.next_errand(crew)  # type: ignore[arg-type]
                first = errand.segment * size
                assert errand.times == tuple(times[max(0, first - PROOF) : first + size])
                assert errand.last == (first + size >= count)
                given.append((crew.turn, errand.segment))
                at_work.append((crew.turn, errand))
            if at_work and (len(at_work) == 8 or not allotted.wants()):
                _, errand = at_work.pop(rng.randrange(len(at_work)))
                allotted.job.work.ahead[errand.segment] = None  # type: ignore[assignment]
                del allotted._out[errand.number]
    numbers = [number for _, number in given]
    segments = -(-count // size)
    assert sorted(numbers) == list(range(segments))
    stride = RUN // size
    own = sum((worker, number - 1) in given for worker, number in given if number % stride)
    assert segments <= stride + 1 or own > segments / 2


def test_the_end_is_looked_for_where_only_it_is_missing(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", seconds=0.4)
    plan, crew = plan_film(task_for(source, tmp_path / "b.mp4"), Wish()), Crew()
    with FilmJob(plan, Negative(), replace=False, anew=False) as job:
        allotted = AllottedFilm(job)
        allotted.begin()
        errand: Any = allotted.next_errand(crew)  # type: ignore[arg-type]
        assert (errand.first, len(errand.times), errand.last) == (0, 10, True)
        assert not allotted.wants()
        assert not list(allotted.take(errand, SegmentMade(None, None)))  # neither pictures nor an end
        errand = allotted.next_errand(crew)  # type: ignore[arg-type]
        assert list(allotted.take(errand, SegmentMade(None, Ending(count=0)))) == []
        assert allotted.over


@pytest.mark.parametrize("changed", [True, False])
def test_a_worker_that_cannot_read_a_changed_film(tmp_path: Path, changed: bool) -> None:
    source = film(tmp_path / "a.mp4", seconds=0.4)
    plan, crew = plan_film(task_for(source, tmp_path / "b.mp4"), Wish()), Crew()
    with FilmJob(plan, Negative(), replace=False, anew=False) as job:
        allotted = AllottedFilm(job)
        allotted.begin()
        errand: Any = allotted.next_errand(crew)  # type: ignore[arg-type]
        if changed:
            source.write_bytes(source.read_bytes()[:100])
        assert not list(allotted.take(errand, Refused("InvalidDataError", "cannot be read.", None)))
    assert allotted.failure is not None
    reason = f"{source} was changed while it was restored" if changed else "cannot be read."
    assert allotted.failure.reason.startswith(reason)
