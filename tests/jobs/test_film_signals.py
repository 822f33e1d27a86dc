"""Ctrl-C at the moments at which a picture could be lost or doubled: none is."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drsformer_cli.jobs import film_batch, film_plan
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film import FilmLoop
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_events import Progress, SegmentDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.film_work import Work
from tests.jobs.films import Same, events_of, restore, task_for
from tests.media.clips import X264, film, pictures, shown


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_plan, "LEAST", 10)
    monkeypatch.setattr(film_plan, "MOST", 10)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mp4", *X264, seconds=1.8)


class _Calling:
    """A queue that is interrupted just after its n-th picture came or went."""

    def __init__(self, real: queue.Queue[Any], at: int) -> None:
        self._real, self._left = real, at

    def _count(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._left -= 1
            if self._left == 0:
                signal.raise_signal(signal.SIGINT)

    def get(self, **options: Any) -> Any:
        item = self._real.get(**options)
        self._count()
        return item

    def put(self, item: Any, **options: Any) -> None:
        self._real.put(item, **options)
        self._count()


@pytest.mark.parametrize("name", ["_decoded", "_restored"])
def test_interrupted_between_two_steps(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Loop(FilmLoop):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            setattr(self, name, _Calling(getattr(self, name), 13))

    out = tmp_path / "out.mkv"
    with monkeypatch.context() as patch:
        patch.setattr(film_batch, "FilmLoop", Loop)
        with pytest.raises(KeyboardInterrupt):
            events_of(clip, out, Same(), Wish(codec="ffv1"))
    assert Work(out).earlier_count() == 20
    assert restore(clip, out, Same(), Wish(codec="ffv1")).fresh == 25
    assert shown(out) == shown(clip)
    assert np.array_equal(pictures(out), pictures(clip))


def test_interrupted_while_an_event_is_shown(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    before, safe = signal.getsignal(signal.SIGINT), [0]

    def run() -> None:
        for event in FilmBatch([task_for(clip, out)], Same(), Wish()):
            if event == Progress(13, 13):
                signal.raise_signal(signal.SIGINT)
            if isinstance(event, SegmentDone):
                safe.append(event.pictures)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert (safe[-1], Work(out).earlier_count()) == (20, 20)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_is_not_held(clip: Path, tmp_path: Path) -> None:
    class Impatient(Same):
        def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
            if self.calls >= 13:
                signal.raise_signal(signal.SIGINT)
            return super().restore(rainy)

    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Impatient())
    assert Work(out).earlier_count() == 10


def test_segments_are_told_before_what_went_wrong(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FilmLoop._finish

    def finish(loop: FilmLoop, segment: Any) -> None:
        real(loop, segment)
        raise RuntimeError("out of luck")

    monkeypatch.setattr(FilmLoop, "_finish", finish)
    events = events_of(clip, tmp_path / "out.mp4", Same())
    assert [type(event) for event in events[-2:]] == [SegmentDone, Failed]


def test_a_picture_twice_is_noticed(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop(FilmLoop):
        def _hand_on(self, item: Any) -> None:
            super()._hand_on(item)
            if item is not None and item.seen.shot.index == 7:
                super()._hand_on(item)

    monkeypatch.setattr(film_batch, "FilmLoop", Loop)
    failed = events_of(clip, tmp_path / "out.mp4", Same())[-1]
    assert isinstance(failed, Failed)
    assert "picture 8 of" in failed.reason


def test_held_back_and_raised_at_the_end() -> None:
    seen: list[str] = []

    def block(last: Callable[[], None]) -> None:
        with Held():
            signal.raise_signal(signal.SIGINT)
            seen.append("on")
            last()

    with pytest.raises(KeyboardInterrupt):
        block(lambda: None)
    with pytest.raises(KeyboardInterrupt):
        block(lambda: signal.raise_signal(signal.SIGINT))
    assert seen == ["on", "on"]
