"""Films by workers whose every answer is known: what is kept of it, what is done again, and what is said."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, SetupError, StorageError, UsageError
from drsformer_cli.jobs import film_allot, film_job, film_plan
from drsformer_cli.jobs.dispatch import WorkerLostError
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_allot import IN_TURN
from drsformer_cli.jobs.film_crew import FilmCrew, FilmTerms
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent, FilmStarted
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.film_spread import FilmSpread
from drsformer_cli.jobs.film_work import MANIFEST, Work
from drsformer_cli.jobs.film_worker import FilmWorker, Misplaced, SegmentErrand, SegmentMade, SizeErrand
from drsformer_cli.jobs.hands import Errand
from drsformer_cli.media.files import partial_name
from tests.jobs.films import Negative, restore, task_for
from tests.media.clips import X264, film, pattern, run

SIZE = 24
Answer = Callable[[SegmentErrand, Any], Any]


class Crew:
    """Does errands one at a time as they were given; what comes of a segment passes through `answer`."""

    def __init__(self, answer: Answer = lambda _errand, outcome: outcome, limit: int = 1 << 30) -> None:
        model = Negative()
        self.settings, self.limit, self.whole = model.settings, limit, True
        self._worker, self._answer = FilmWorker(model), answer
        self._numbers = itertools.count()
        self._given: list[Errand] = []

    def describe(self, size: tuple[int, int], limit: int, held: Held) -> dict[str, Any]:
        return {**Negative().describe(*size), "whole": self.whole, "limit": limit}

    def has_room(self) -> bool:
        return len(self._given) < 3

    def next_worker(self) -> int:
        return 0

    def keywords(self) -> dict[str, Any]:
        name = partial_name(secrets.token_hex(8))
        return {"number": next(self._numbers), "temporary": name, "limit": self.limit}

    def give(self, errand: Errand) -> None:
        self._given.append(errand)

    def wait(self) -> list[tuple[Errand, Any]]:
        if not self._given:
            return []
        errand = self._given.pop(0)
        outcome = self._worker.do(errand)
        return [(errand, self._answer(errand, outcome) if isinstance(errand, SegmentErrand) else outcome)]

    def end(self) -> list[tuple[Errand, Any]]:
        self._given.clear()
        return []


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_plan, "MOST", SIZE)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return a film of three segments, the last of two pictures."""
    return film(tmp_path / "a.mp4", *X264, size="48x32", seconds=2)


@pytest.fixture
def whole(clip: Path, tmp_path: Path) -> bytes:
    """Return what one process makes of it."""
    (tmp_path / "one").mkdir()
    return restore(clip, tmp_path / "one" / "b.mp4", Negative()).plan.task.path.read_bytes()


def events_of(source: Path, out: Path, answer: Answer | None = None) -> Iterator[FilmEvent]:
    crew: Any = Crew() if answer is None else Crew(answer)
    return iter(FilmSpread([task_for(source, out)], crew, Wish()))


def once(number: int, change: Answer) -> Answer:
    """Change what comes of a segment the first time it is made."""
    left = [number]

    def answer(errand: SegmentErrand, outcome: Any) -> Any:
        if errand.segment in left:
            left.remove(errand.segment)
            return change(errand, outcome)
        return outcome

    return answer


def nothing_left(out: Path) -> bool:
    """Tell whether a film stands in its folder with the manifest alone beside it."""
    return [path.name for path in out.parent.iterdir() if path.suffix != ".jsonl"] == [out.name]


def test_an_animation_is_one_errand(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    run(*pattern(0.4, size="48x32"), source)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one = restore(source, tmp_path / "one" / "b.gif", Negative())
    *_, started, _assembling, done = events_of(source, tmp_path / "two" / "b.gif")
    assert isinstance(started, FilmStarted)
    assert isinstance(done, FilmDone)
    assert (tmp_path / "two" / "b.gif").read_bytes() == (tmp_path / "one" / "b.gif").read_bytes()
    assert done.sums.pictures == one.sums.pictures == 10
    assert done.record.notes == one.record.notes


@pytest.mark.parametrize("stops", [False, True])
def test_what_a_film_has_is_kept_when_its_workers_die(
    clip: Path, whole: bytes, tmp_path: Path, stops: bool
) -> None:
    """A film that kills its workers fails alone; what is wrong with them all ends the run."""
    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    fault = SetupError("no memory is left.") if stops else WorkerLostError("killed")
    events = []
    run = events_of(clip, out, once(1, lambda *_: fault))
    if stops:
        with pytest.raises(SetupError, match=r"no memory is left\."):
            events += run
    else:
        *events, last = run
        assert isinstance(last, Failed)
        assert last.task == task_for(clip, out)
        assert (last.kind, last.reason) == (
            "WorkerLostError",
            "each worker that took a part of it on died (killed); is there enough memory?",
        )
    assert not out.exists()
    assert Work(out).earlier_count() >= SIZE
    started, *_, done = events_of(clip, out)
    assert isinstance(started, FilmStarted)
    assert isinstance(done, FilmDone)
    assert started.earlier >= SIZE
    assert (out.read_bytes(), nothing_left(out)) == (whole, True)


def test_a_film_keeps_to_the_memory_that_it_was_begun_with(clip: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    little: Any = Crew(once(1, lambda *_: SetupError("no memory is left.")), limit=1 << 29)
    little.whole = False  # in tiles, as large as the memory allows
    with pytest.raises(SetupError, match="no memory"):
        list(FilmSpread([task_for(clip, out)], little, Wish()))
    limits: list[int | None] = []

    def note(errand: SegmentErrand, outcome: Any) -> Any:
        limits.append(errand.limit)
        return outcome

    more: Any = Crew(note)
    more.whole = False
    started, *_, done = FilmSpread([task_for(clip, out)], more, Wish())
    assert isinstance(started, FilmStarted)
    assert isinstance(done, FilmDone)
    assert started.earlier >= SIZE
    assert limits
    assert set(limits) == {1 << 29}
    assert out.read_bytes() == whole


def test_what_comes_back_at_the_end_is_kept_and_hides_nothing(
    clip: Path, whole: bytes, tmp_path: Path
) -> None:
    """The first error is the one that is told; segments that were finished meanwhile stand."""

    class Closing(Crew):
        def end(self) -> list[tuple[Errand, Any]]:
            given, self._given = self._given, []
            made = [(errand, self._worker.do(errand)) for errand in given[:-1]]
            return [*made, *((errand, SetupError("the second.")) for errand in given[-1:])]

    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    crew: Any = Closing(once(0, lambda *_: SetupError("the first.")))
    with pytest.raises(SetupError, match=r"^the first\.$"):
        list(FilmSpread([task_for(clip, out)], crew, Wish()))
    assert Work(out).earlier_count() == SIZE  # the second of three
    *_, done = events_of(clip, out)
    assert isinstance(done, FilmDone)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("plan", [None, "whole", [1], {}, {"limit": "all"}])
def test_work_whose_plan_was_edited_goes_with_nothing(clip: Path, tmp_path: Path, plan: Any) -> None:
    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    with pytest.raises(SetupError, match="no memory"):
        list(events_of(clip, out, once(1, lambda *_: SetupError("no memory is left."))))
    manifest = Work(out).folder / MANIFEST
    head, *rest = manifest.read_text().splitlines()
    edited = json.loads(head)
    edited["head"]["plan"] = plan
    manifest.write_text("\n".join([json.dumps(edited), *rest]) + "\n")
    (event,) = events_of(clip, out)
    assert isinstance(event, Failed)
    assert event.reason.startswith("24 pictures of ")
    assert "were restored by an earlier run with other settings (" in event.reason


def test_a_result_is_made_anew_where_that_is_asked(clip: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    assert isinstance(list(events_of(clip, out))[-1], FilmDone)
    (skipped,) = events_of(clip, out)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "done before"
    anew: Any = Crew()
    *_, done = FilmSpread([task_for(clip, out)], anew, Wish(), overwrite=True)
    assert isinstance(done, FilmDone)
    assert done.fresh == 50
    assert (out.read_bytes(), nothing_left(out)) == (whole, True)


def test_no_film_rests_on_more_memory_than_there_is() -> None:
    crew: Any = Crew(limit=100)
    terms = FilmTerms(crew, Held())
    for told, kept in (({}, 100), ({"limit": 40}, 40), ({"limit": 0}, 100), ({"limit": 400}, 100)):
        terms.go_on_as(told)
        assert terms.describe(20, 30)["limit"] == kept


def test_a_segment_that_does_not_follow_is_made_again(clip: Path, whole: bytes, tmp_path: Path) -> None:
    """A worker that saw other pictures before its segment than there are may have made others, too."""

    def strange(_errand: SegmentErrand, outcome: SegmentMade) -> SegmentMade:
        assert outcome.record is not None
        before = [[time, "0" * 32] for time, _ in outcome.record.before or ()]
        assert before
        return replace(outcome, record=replace(outcome.record, before=before))

    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    *_, done = events_of(clip, out, once(1, strange))
    assert isinstance(done, FilmDone)
    assert IN_TURN in done.record.notes
    assert (out.read_bytes(), nothing_left(out)) == (whole, True)


@pytest.mark.parametrize("always", [False, True])
def test_a_film_that_shows_other_pictures_is_begun_anew_once(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    monkeypatch.setattr(film_allot, "times_of", lambda *_, **__: None)

    def answer(errand: SegmentErrand, outcome: Any) -> Any:
        errand.forget()
        return Misplaced()

    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    again = (lambda errand, made: answer(errand, made) if errand.segment == 1 else made) if always else None
    events = list(events_of(clip, out, again or once(1, answer)))
    _, second = (event for event in events if isinstance(event, FilmStarted))
    assert second.earlier == 0
    assert any(word.startswith("the film does not show again the 24 pictures") for word in second.words)
    last = events[-1]
    if always:
        assert isinstance(last, Failed)
        assert last.reason == f"{clip} does not show the same pictures whenever it is read."
        assert not out.exists()
    else:
        assert isinstance(last, FilmDone)
        assert (out.read_bytes(), nothing_left(out)) == (whole, True)


@pytest.mark.parametrize("fault", [OutputError("no room for it."), StorageError("the disk is full.")])
def test_a_film_that_cannot_be_put_together(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_words: object) -> None:
        raise fault

    monkeypatch.setattr(film_job, "assemble", fail)
    out = tmp_path / "two" / "b.mp4"
    out.parent.mkdir()
    events = []
    if isinstance(fault, SetupError):  # the next film would meet it, too
        with pytest.raises(StorageError, match="the disk is full"):
            events += events_of(clip, out)
    else:
        *events, last = events_of(clip, out)
        assert isinstance(last, Failed)
        assert last.reason == "no room for it."
    assert not out.exists()
    assert Work(out).earlier_count() == 50


def test_a_wish_that_cannot_be_is_wrong_usage_for_one_film_and_a_failure_among_several(
    clip: Path, tmp_path: Path
) -> None:
    crew: Any = Crew()
    wish = Wish(codec="prores")  # which MP4 does not hold
    task = task_for(clip, tmp_path / "b.mp4")
    with pytest.raises(UsageError, match="prores"):
        list(FilmSpread([task], crew, wish))
    tasks = [task, task_for(clip, tmp_path / "c.mov")]
    first, *_, last = FilmSpread(tasks, Crew(), wish)  # type: ignore[arg-type]
    assert isinstance(first, Failed)
    assert first.task == task
    assert "prores" in first.reason
    assert isinstance(last, FilmDone)


class Dispatcher:
    """Has room when asked again, and brings back what it is told to."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes, self.asked = list(outcomes), 0
        self.given: list[Errand] = []

    def has_room(self) -> bool:
        self.asked += 1
        return self.asked > 1

    def give(self, errand: Errand) -> None:
        self.given.append(errand)

    def wait(self) -> list[tuple[Errand, Any]]:
        if not self.given:
            return []
        outcome = self.outcomes.pop(0)
        return [(Errand(99), outcome) if outcome == "another" else (self.given[0], outcome)]


def asked(*outcomes: Any) -> tuple[FilmCrew, Callable[[], dict[str, Any]]]:
    """Return a crew, and what asks it how pictures of 30 x 20 are done."""
    crew = object.__new__(FilmCrew)
    crew._dispatcher = Dispatcher(*outcomes)  # type: ignore[assignment]
    crew._plans, crew._back, crew._numbers = {}, [], itertools.count()
    return crew, lambda: crew.describe((20, 30), 1 << 30, Held())


def test_a_crew_that_is_asked_loses_nothing_that_comes_back_meanwhile() -> None:
    crew, ask = asked("another", {"whole": True})
    assert ask() == ask() == {"whole": True}
    dispatcher: Any = crew._dispatcher
    (errand,) = dispatcher.given  # the same is not asked twice
    assert isinstance(errand, SizeErrand)
    assert (errand.size, errand.limit) == ((20, 30), 1 << 30)
    assert crew.wait() == [(Errand(99), "another")]


def test_a_crew_that_cannot_answer_says_why() -> None:
    _, ask = asked(WorkerLostError("killed"))
    with pytest.raises(SetupError, match=r"^the workers die \(killed\); see derain doctor\.$"):
        ask()
    _, ask = asked(SetupError("no such device."))
    with pytest.raises(SetupError, match="no such device"):
        ask()
