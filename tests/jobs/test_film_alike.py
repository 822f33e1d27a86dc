"""What one process and workers tell alike of a film: how far it is, and what was not computed again."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.jobs import film_plan
from drsformer_cli.jobs.film_crew import FilmTerms
from drsformer_cli.jobs.film_events import FilmAssembling, FilmDone, FilmStarted, Progress, SegmentDone
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.pipeline import restore_frames
from drsformer_cli.media.images import decode
from tests.jobs.films import Negative, Same, events_of, restore
from tests.jobs.test_film_workers import SIZE, ends, running
from tests.media.clips import film, pattern, run


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_plan, "MOST", SIZE)


def test_how_far_it_is_where_gaps_are_filled(tmp_path: Path) -> None:
    source, out, saved = film(tmp_path / "a.mp4", seconds=6), tmp_path / "b" / "out.mp4", tmp_path / "saved"
    out.parent.mkdir()
    for event in running({source: out}):
        if isinstance(event, FilmAssembling):
            shutil.copytree(Work(out).folder, saved)
    shutil.rmtree(out.parent)
    shutil.copytree(saved, Work(out).folder)
    for number in (1, 4):
        (Work(out).folder / f"{number:06}.segment").unlink()
    events = events_of(source, out, Negative())
    assert isinstance(events[0], FilmStarted)
    assert events[0].earlier == 150 - 2 * SIZE
    steps = [one for one in events if isinstance(one, Progress)]
    assert [one.fresh for one in steps] == list(range(1, 2 * SIZE + 1))
    assert [one.pictures for one in steps] == list(range(150 - 2 * SIZE + 1, 151))
    assert [one.pictures for one in events if isinstance(one, SegmentDone)] == [150 - SIZE, 150]
    end = events[-1]
    assert isinstance(end, FilmDone)
    assert end.fresh == 2 * SIZE


def test_equal_pictures_of_an_animation_are_restored_once(tmp_path: Path) -> None:
    source = tmp_path / "still.gif"
    run(
        *pattern(1, 5, "48x32"),
        "-filter_complex",
        "fps=20,split[a][b];[a]palettegen[p];[b][p]paletteuse",
        source,
    )
    picture, model = decode(source.read_bytes(), source.name), Same()
    frames, _, repeated = restore_frames(model, picture)
    assert (model.calls, repeated) == (len(frames) - repeated, len(frames) - 5)
    assert repeated
    alone = restore(source, tmp_path / "one.gif", Negative())
    end = ends(list(running({source: tmp_path / "two.gif"})))["still.gif"]
    assert isinstance(end, FilmDone), end
    assert end.sums.repeated == alone.sums.repeated == repeated
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()


def test_a_signal_waits_while_answers_come_in() -> None:
    """The plan of a film is asked for while segments of others come back: none of them may get lost."""
    held, seen = Held(), []

    class Crew:
        limit = 1 << 30

        def describe(self, size: tuple[int, int], limit: int, held: Held) -> dict[str, Any]:
            signal.raise_signal(signal.SIGINT)
            seen.append((size, limit))
            return {}

    with pytest.raises(KeyboardInterrupt), held, held.exposed():
        FilmTerms(Crew(), held).describe(3, 4)  # type: ignore[arg-type]
    assert seen == [((3, 4), 1 << 30)]
