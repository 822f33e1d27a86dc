"""One worker and its segments: the right pictures or none, in whatever order they are asked for."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.jobs import film_worker
from drsformer_cli.jobs.film_crew import MOST_SEGMENTS
from drsformer_cli.jobs.film_plan import FilmPlan, Wish, plan_film
from drsformer_cli.jobs.film_worker import FilmWorker, Misplaced, SegmentErrand, SegmentMade, SizeErrand
from drsformer_cli.jobs.worker import Refused
from drsformer_cli.media.files import sha256_of
from drsformer_cli.media.video_frames import PROOF, RUN_UP, Known, Shot, shots
from drsformer_cli.media.video_index import times_of
from tests.jobs.films import Negative, task_for
from tests.media.clips import X264, film

SIZE = 24


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> FilmPlan:
    folder = tmp_path_factory.mktemp("film")
    source = film(folder / "a.mp4", *X264, "-bf", 3, "-g", 40, seconds=8.6)
    return plan_film(task_for(source, folder / "b.mp4"), Wish())


@pytest.fixture(scope="module")
def seen(plan: FilmPlan) -> list[Shot]:
    """Return the pictures as one reader sees them."""
    return list(shots(plan.film, plan.pixels))


def by_times(plan: FilmPlan, folder: Path, segment: int, shift: int = 0) -> SegmentErrand:
    times = times_of(plan.film)
    assert times is not None
    first = segment * SIZE
    count = max(0, first - PROOF)
    return SegmentErrand(
        number=segment,
        folder=str(folder),
        temporary=f".segment-{segment}-00.part",
        plan=plan,
        segment=segment,
        first=first,
        size=SIZE,
        count=count,
        known=tuple(Known(time) for time in times[max(0, count - RUN_UP) : count]),
        times=tuple(time + shift for time in times[count : first + SIZE]),
        last=first + SIZE >= len(times),
    )


def by_number(plan: FilmPlan, folder: Path, segment: int, seen: list[Shot], count: int) -> SegmentErrand:
    known = tuple(Known(one.pts, one.digest) for one in seen[max(0, count - RUN_UP) : count])
    return replace(by_times(plan, folder, segment), count=count, known=known, times=None, last=False)


def check(made: Any, errand: SegmentErrand, seen: list[Shot]) -> None:
    """See that a segment holds its pictures, and was told what came before."""
    assert isinstance(made, SegmentMade), made
    assert made.record is not None
    mine = seen[errand.first : errand.first + SIZE]
    assert made.record.digests == [one.digest for one in mine]
    assert made.record.times == [one.pts for one in mine]
    before = seen[max(0, errand.first - PROOF) : errand.first]
    assert made.record.before == [[one.pts, one.digest] for one in before]
    assert sha256_of(errand.place) == made.record.sha256
    assert (made.ending is not None) == (errand.first + SIZE >= len(seen))


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_and_two_at_once(plan: FilmPlan, seen: list[Shot], tmp_path: Path, seed: int) -> None:
    worker, rng = FilmWorker(Negative()), random.Random(seed)
    numbers = list(range(9)) if seed == 0 else rng.sample(range(9), 9)
    errands = [
        by_times(plan, tmp_path, number)
        if rng.random() < 0.7
        else by_number(plan, tmp_path, number, seen, rng.randrange(number + 1) * SIZE)
        for number in numbers
    ]
    with ThreadPoolExecutor(MOST_SEGMENTS) as pool:
        for errand, made in zip(errands, pool.map(worker.do, errands), strict=True):
            check(made, errand, seen)


def test_one_behind_the_other_is_read_once(
    plan: FilmPlan, seen: list[Shot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []

    def counted(*words: Any, **options: Any) -> Any:
        opened.append(options["count"])
        return shots(*words, **options)

    monkeypatch.setattr(film_worker, "shots", counted)
    worker = FilmWorker(Negative())
    for number in (6, 7, 8, 2, 3):
        errand = by_times(plan, tmp_path, number)
        check(worker.do(errand), errand, seen)
    assert opened == [6 * SIZE - PROOF, 2 * SIZE - PROOF]


@pytest.mark.parametrize("segment", [0, 3, 8])
def test_other_times_are_no_segment(plan: FilmPlan, seen: list[Shot], tmp_path: Path, segment: int) -> None:
    worker = FilmWorker(Negative())
    errand = by_times(plan, tmp_path, segment, shift=1)
    assert isinstance(worker.do(errand), Misplaced)
    right = by_times(plan, tmp_path, segment)
    if not right.last:
        assert isinstance(worker.do(replace(right, last=True)), Misplaced)  # the film goes on
    assert right.times is not None
    assert isinstance(worker.do(replace(right, times=(*right.times, 10**9), size=SIZE + 1)), Misplaced)
    wrong = by_number(plan, tmp_path, segment, seen, segment * SIZE)
    known = tuple(replace(one, digest="0" * 16) for one in wrong.known)
    if known:
        assert isinstance(worker.do(replace(wrong, known=known)), Misplaced)
    assert not list(tmp_path.iterdir())
    check(worker.do(right), right, seen)


def test_behind_the_end_there_is_only_the_end(plan: FilmPlan, seen: list[Shot], tmp_path: Path) -> None:
    errand = by_number(plan, tmp_path, 11, seen, 4 * SIZE)
    made = FilmWorker(Negative()).do(errand)
    assert isinstance(made, SegmentMade)
    assert made.record is None
    assert made.ending is not None
    assert made.ending.count == len(seen)
    assert not list(tmp_path.iterdir())


def test_a_film_that_is_gone(plan: FilmPlan, tmp_path: Path) -> None:
    errand = by_times(plan, tmp_path, 0)
    elsewhere = replace(plan, film=replace(plan.film, path=tmp_path / "gone.mp4"))
    worker = FilmWorker(Negative())
    refused = worker.do(replace(errand, plan=elsewhere))
    assert isinstance(refused, Refused)
    assert refused.kind == "FileNotFoundError"
    assert isinstance(worker.do(errand), SegmentMade)
    assert worker.do(SizeErrand(7, size=(64, 96))) == Negative().describe(64, 96)
