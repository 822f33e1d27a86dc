"""What a person is told of the time that films still take."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePath

import pytest

from drsformer_cli.cli import video_tally
from drsformer_cli.cli.video_tally import FilmTally
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_events import FilmStarted, Progress
from drsformer_cli.jobs.film_plan import Wish, plan_film
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import OUTSIDE, Source
from drsformer_cli.media.video import pixels_of
from tests.media.clips import X264, film


def task(path: Path) -> Task:
    return Task(
        Source(path, PurePath(path.name), path.parent, False), path.parent, PurePath(f"done_{path.name}")
    )


def test_pixels_are_those_of_all_pictures(tmp_path: Path) -> None:
    assert pixels_of(film(tmp_path / "a.mp4", *X264, size="48x32", seconds=0.4)) == 10 * 48 * 32
    assert pixels_of(film(tmp_path / "b.mkv", *X264, size="96x64", seconds=2)) == 50 * 96 * 64


@pytest.mark.skipif(os.name == "nt", reason="no name has a colon there")
def test_a_name_that_begins_like_a_protocol_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "a.mp4", *X264, size="48x32", seconds=0.4).rename("concat:a.mp4")
    assert pixels_of(Path("concat:a.mp4")) == 10 * 48 * 32


def test_what_is_left_is_told_by_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1.0]
    monkeypatch.setattr(video_tally.time, "perf_counter", lambda: clock[0])
    small = film(tmp_path / "a.mp4", *X264, size="48x32", seconds=0.4)  # 10 pictures
    large = film(tmp_path / "b.mp4", *X264, size="96x64", seconds=0.8)  # 20 pictures of four times the pixels
    broken = tmp_path / "c.mp4"
    broken.write_bytes(bytes(10**6))  # bytes tell nothing
    tally = FilmTally([task(small), task(large), task(broken)], Counter())
    assert tally.all_left() is None
    tally.take(FilmStarted(plan_film(task(small), Wish()), 0, ()))
    clock[0] = 6.0
    tally.take(Progress(5, 5))
    assert tally.film_left() == pytest.approx(5)
    assert tally.all_left() == pytest.approx(5 + 20 * 4)
    tally.take(Failed(task(small), "OutputError", "the disk is away"))
    tally.take(FilmStarted(plan_film(task(large), Wish()), 10, ()))
    clock[0] = 10.0
    tally.take(Progress(11, 1))
    assert tally.film_left() == pytest.approx(9 * 4)
    assert tally.all_left() == pytest.approx(
        9 * 9
    )  # by the pace of the whole run; the last one tells nothing


def test_a_folder_of_links_says_how_they_are_taken() -> None:
    said = "no films found, 2 left out (2 link out of the tree). Links that lead out of a folder are taken"
    assert FilmTally([], Counter({OUTSIDE: 2})).sentence().startswith(said)
    assert FilmTally([], Counter({"hidden": 2})).sentence() == "no films found, 2 left out (2 hidden)."
