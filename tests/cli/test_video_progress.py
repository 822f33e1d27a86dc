"""What is said of a run over films, with a clock of its own."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from drsformer_cli.cli import video_progress
from drsformer_cli.cli.video_progress import (
    PACE,
    FilmDisplay,
    FilmTally,
    LiveFilmDisplay,
    PlainFilmDisplay,
    display_for,
)
from drsformer_cli.cli.video_session import FilmSession
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film import Progress as Advance
from drsformer_cli.jobs.film_batch import FilmAssembling, FilmDone, FilmStarted, SegmentDone
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(video_progress, "time", found)
    return found


def film(folder: Path, name: str, size: int = 1000) -> Task:
    path = folder / name
    path.write_bytes(bytes(size))
    return Task(Source(path, PurePath(name), folder, True), folder / "out", PurePath(name))


def plan(task: Task, frames: int | None = 100) -> Any:
    size = SimpleNamespace(width=4, height=3)
    return SimpleNamespace(
        task=task, frames=frames, film=size, notes=["known"], words=lambda: ["all", "of it"]
    )


def started(task: Task, frames: int | None = 100, earlier: int = 0) -> FilmStarted:
    return make(FilmStarted, plan=plan(task, frames), earlier=earlier, words=("of its kind",))


def make(kind: type[Any], **fields: Any) -> Any:
    """Make an event of which only some fields are looked at."""
    event = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(event, name, value)
    return event


def done(task: Task, fresh: int = 100, seconds: float = 50.0) -> FilmDone:
    record = SimpleNamespace(plan={"whole": True, "precision": "fp32"}, notes=["known", "new"])
    sums = SimpleNamespace(pictures=100)
    return make(FilmDone, plan=plan(task), record=record, sums=sums, fresh=fresh, seconds=seconds)


def advance(pictures: int, fresh: int) -> Advance:
    return make(Advance, pictures=pictures, fresh=fresh)


def shown(kind: type[FilmDisplay], tally: FilmTally, **options: Any) -> tuple[FilmDisplay, io.StringIO]:
    text = io.StringIO()
    return kind(Console(file=text, width=60, markup=False, highlight=False), tally, **options), text


def test_what_is_left_is_told_from_what_was_done(clock: Clock, tmp_path: Path) -> None:
    tasks = [film(tmp_path, "a.mp4"), film(tmp_path, "b.mp4", 3000)]
    tally = FilmTally(tasks, Counter())
    assert (tally.film_left(), tally.all_left(), tally.speed()) == (None, None, 0.0)
    tally.take(started(tasks[0], earlier=20))
    clock.now += 10
    tally.take(advance(40, 20))
    assert (tally.film_left() or 0) > 0
    assert tally.all_left() is not None
    display, _ = shown(PlainFilmDisplay, tally)
    assert isinstance(display, PlainFilmDisplay)
    pace = display.pace().split(", ")
    assert pace[0] == "40 of 100 pictures"
    assert [word.split()[-1] for word in pace[1:]] == ["second", "left", "all"]
    clock.now += 30
    tally.take(done(tasks[0], fresh=80))
    tally.take(started(tasks[1], frames=None))
    tally.take(advance(5, 5))
    assert (tally.film_left(), tally.all_left()) == (None, None)
    assert display.pace().startswith("5 pictures")
    assert tally.row() == {
        "status": "summary",
        "done": 1,
        "skipped": 0,
        "failed": 0,
        "left_out": {},
        "frames": 80,
        "seconds": pytest.approx(0, abs=60),
        "interrupted": False,
    }


def test_lines_for_logs(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = film(tmp_path, "a.mp4")
    for verbose, words in ((False, ["of its kind"]), (True, ["all", "of it"])):
        tally = FilmTally([task], Counter({"not a film": 2}))
        display, text = shown(PlainFilmDisplay, tally, verbose=verbose)
        with display:
            for seconds, event in (
                (0.0, started(task, earlier=20)),
                (PACE, advance(30, 10)),  # not more than that: nothing is said
                (1.0, advance(40, 20)),
                (1.0, advance(41, 21)),
                (18.0, done(task, fresh=80, seconds=40.0)),
                (0.0, Skipped(task, "done before")),
                (0.0, Failed(task, "X", "no luck", "first\nsecond")),
            ):
                clock.now += seconds
                tally.take(event)
                display.show(event)
            display.end()
        lines = text.getvalue().splitlines()
        assert lines[: 1 + len(words)] == [
            f"{task.name}: 20 pictures were done before, going on there",
            *(f"{task.name}: {word}" for word in words),
        ]
        rest = lines[1 + len(words) :]
        assert rest[0].startswith(f"  {task.name}: 40 of 100 pictures, ")
        assert rest[1].startswith(f"[1/1] {task.name} -> {Path('out', 'a.mp4')} (100 pictures, ")
        assert rest[2] == f"  {task.name}: new"
        assert (f"[2/1] {task.name}: done before" in rest) == verbose
        sums = next(line for line in rest if line.startswith("1 restored, 1 done before, 1 failed, "))
        assert "2 left out (2 not a film); 80 pictures in " in sums
        assert any("no luck" in line for line in rest)
        assert ("  second" in rest) == verbose


def test_a_line_that_moves_goes_away(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = film(tmp_path, "[b].mp4")
    tally = FilmTally([task], Counter())
    text = io.StringIO()
    console = Console(file=text, width=100, markup=False, highlight=False, force_terminal=True)
    display = LiveFilmDisplay(console, tally)
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(display.progress, "update", lambda _bar, **fields: seen.append(fields))
    with display:
        for event in (started(task), advance(10, 10), make(FilmAssembling, plan=plan(task)), done(task)):
            clock.now += 1
            tally.take(event)
            display.show(event)
    name = f"[1/1] {task.name}"
    assert [(fields["place"], fields["completed"], fields["total"]) for fields in seen] == [
        (name, 0, 100),
        (name, 10, 100),
        (name, 10, 100),
    ]
    assert seen[1]["pace"].startswith("10 of 100 pictures, ")
    assert seen[2]["pace"] == "putting the film together"
    assert f"[1/1] {task.name} -> " in text.getvalue().replace("\n", "")


def test_which_display_a_console_bears(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tally = FilmTally([film(tmp_path, "a.mp4"), film(tmp_path, "gone.mp4")], Counter())
    assert type(display_for(tally, quiet=True, verbose=False)) is FilmDisplay
    assert type(display_for(tally, quiet=False, verbose=False)) is PlainFilmDisplay
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert type(display_for(tally, quiet=False, verbose=True)) is LiveFilmDisplay
    monkeypatch.setenv("TERM", "dumb")
    assert type(display_for(tally, quiet=False, verbose=False)) is PlainFilmDisplay


def test_a_run_in_one_line(clock: Clock, tmp_path: Path) -> None:
    assert FilmTally([], Counter()).sentence() == "no films found."
    tasks = [film(tmp_path, "a.mp4")]
    tally = FilmTally(tasks, Counter({"hidden": 1, "a kind": 2}))
    assert tally.sentence() == "0 restored, 3 left out (2 a kind, 1 hidden)."
    tally.planned = 4
    assert tally.sentence().startswith("4 to do, 3 left out")
    gone = tasks[0].source.path
    assert gone is not None
    gone.unlink()
    assert FilmTally(tasks, Counter()).all_left() is None


def test_what_is_kept_of_several_films(tmp_path: Path) -> None:
    """Workers have films in work side by side: none of them is left out of the sum."""
    tasks = [film(tmp_path, name) for name in ("a.mp4", "b.mp4")]
    tally = FilmTally(tasks, Counter())
    for task, earlier in zip(tasks, (30, 12), strict=True):
        tally.take(started(task, earlier=earlier))
    assert [one.safe for one in tally.in_work] == [30, 12]
    session = SimpleNamespace(_tally=tally)
    words = FilmSession._last_word(session)  # type: ignore[arg-type]
    assert words == (
        "interrupted: 0 of 2 films are through, and 42 pictures of 2 others are kept; "
        "the same command goes on there."
    )


def words_at_the_end(tally: FilmTally) -> str:
    """Return what is said of an interrupted run."""
    return FilmSession._last_word(SimpleNamespace(_tally=tally))  # type: ignore[arg-type]


def test_what_an_interrupted_film_keeps(tmp_path: Path) -> None:
    task = film(tmp_path, "a.mp4")
    for pictures, segment, said in (
        (60, 60, f"60 of 100 pictures of {task.name} are kept; the same command goes on there."),
        (
            75,
            60,
            f"60 of 100 pictures of {task.name} are kept, the last 15 are done again (they are kept in "
            "segments of 60); the same command goes on there.",
        ),
        (
            9,
            None,
            f"0 of 100 pictures of {task.name} are kept, the last 9 are done again (they are kept in "
            "segments of 60); the same command begins this film anew.",
        ),
    ):
        tally = FilmTally([task], Counter())
        begun = started(task)
        begun.plan.as_picture, begun.plan.segment = False, 60
        tally.take(begun)
        if segment is not None:
            tally.take(make(SegmentDone, pictures=segment, plan=begun.plan))
        tally.take(make(Advance, pictures=pictures, fresh=pictures, plan=begun.plan))
        assert words_at_the_end(tally) == f"interrupted: {said}"
    tally.take(done(task))
    assert words_at_the_end(tally) == (
        "interrupted: 1 of 1 films are through; the same command goes on there."
    )


def test_the_pace_of_nothing_is_not_told(clock: Clock, tmp_path: Path) -> None:
    """Between two films, and of one that was whole before this run, there is no speed to tell."""
    task = film(tmp_path, "a.mp4")
    tally = FilmTally([task], Counter())
    display, text = shown(PlainFilmDisplay, tally)
    assert isinstance(display, PlainFilmDisplay)
    assert display.pace() == ""
    for event in (started(task, earlier=100), done(task, fresh=0)):
        tally.take(event)
        display.show(event)
    assert "a second" not in text.getvalue()
    assert "(100 pictures, 50.0 s, whole, fp32)" in text.getvalue()
