"""Every errand comes back once, whoever dies when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import DeviceError, SetupError
from drsformer_cli.jobs.dispatch import MOST_ATTEMPTS, Dispatcher, WorkerLostError
from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Lost, Ready, Report, Unfit


@dataclass
class Script:
    """Workers in name only: `play` says what each report is to be, and what it is about."""

    count: int
    deadly: frozenset[int] = frozenset()  # errands that kill
    rolls: deque[int] = field(default_factory=deque)
    had: dict[int, list[Errand]] = field(default_factory=dict)
    born: deque[int] = field(default_factory=deque)
    stillborn: bool = False
    closed: bool = False
    most_at_once: int = 0
    waiting: str = "they think"

    def hire(self, slot: int) -> int:
        worker = len(self.had)
        self.had[worker] = []
        self.born.append(worker)
        return worker

    def send(self, worker: int, errand: Errand) -> None:
        self.had[worker].append(errand)
        self.most_at_once = max(self.most_at_once, len(self.had[worker]))

    def poll(self, seconds: float) -> list[Report]:
        if self.born:
            worker = self.born.popleft()
            return [Lost(worker, "killed")] if self.stillborn else [Ready(worker, "same")]
        busy = [worker for worker, errands in self.had.items() if errands]
        if not busy:
            return []
        roll = self.rolls.popleft() if self.rolls else 0
        worker = busy[roll % len(busy)]
        dies = roll % 5 == 4 or self.had[worker][0].number in self.deadly
        if dies:
            self.had[worker] = []
            return [Lost(worker, "killed")]
        return [Answer(worker, self.had[worker].pop(0).number, "done")]

    def close(self) -> None:
        self.closed = True


def all_the_same(facts: Any) -> None:
    if facts != "same":
        raise DeviceError("unlike")


def told_nothing(text: str) -> None:
    raise AssertionError(text)


def work(script: Script, count: int) -> tuple[list[tuple[Errand, Any]], list[Errand]]:
    """Return what came back, and what was forgotten."""
    forgotten: list[Errand] = []
    dispatcher = Dispatcher(script, agree=all_the_same, forget=forgotten.append)
    dispatcher.start(told_nothing)
    waiting = deque(Errand(number) for number in range(count))
    back = []
    for _ in range(100_000):
        while waiting and dispatcher.has_room():
            dispatcher.give(waiting.popleft())
        if not waiting and not dispatcher.busy:
            break
        back += dispatcher.wait()
    assert dispatcher.close() == []
    assert script.closed
    return back, forgotten


@given(
    st.integers(1, 5),
    st.integers(0, 30),
    st.lists(st.integers(0, 99), max_size=60),
    st.frozensets(st.integers(0, 29), max_size=3),
)
def test_each_comes_back_once(count: int, errands: int, rolls: list[int], deadly: frozenset[int]) -> None:
    script = Script(count, deadly, deque(rolls))
    back, forgotten = work(script, errands)
    assert sorted(errand.number for errand, _ in back) == list(range(errands))
    assert script.most_at_once <= MOST_ERRANDS
    for errand, outcome in back:
        if errand.number in deadly:
            assert isinstance(outcome, WorkerLostError)
        tries = [lost.attempt for lost in forgotten if lost.number == errand.number]
        assert tries == list(range(len(tries)))
        assert isinstance(outcome, WorkerLostError) == (len(tries) == MOST_ATTEMPTS)


def test_a_deadly_errand_takes_no_other_with_it() -> None:
    back, forgotten = work(Script(2, frozenset({4})), 12)
    failed = [errand.number for errand, outcome in back if outcome != "done"]
    assert failed == [4]
    assert max(lost.attempt for lost in forgotten if lost.number != 4) == 0


def test_workers_that_die_while_they_start() -> None:
    dispatcher = Dispatcher(Script(2, stillborn=True), agree=all_the_same, forget=lambda _: None)
    with pytest.raises(SetupError, match=r"die while they start \(killed\)"):
        dispatcher.start(told_nothing)


def test_a_long_wait_for_the_first_worker_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Script):
        def poll(self, seconds: float) -> list[Report]:
            clock.append(clock[-1] + 20)  # at 20, 40, ..., 100 s nobody; then the worker
            return super().poll(seconds) if len(clock) > 6 else []

    clock, told = [0.0], list[str]()
    monkeypatch.setattr("drsformer_cli.jobs.dispatch.time.monotonic", lambda: clock[-1])
    Dispatcher(Late(1), agree=all_the_same, forget=lambda _: None).start(told.append)
    assert len(clock) == 7
    assert len(told) == 1
    assert told[0] == "no worker has begun after 30 s: they think; the work begins as soon as one has."


class Choosy(Script):
    """The first worker cannot begin."""

    unfit: frozenset[int] = frozenset({0})

    def poll(self, seconds: float) -> list[Report]:
        if self.born and self.born[0] in self.unfit:
            return [Unfit(self.born.popleft(), DeviceError("no GPU here"))]
        return super().poll(seconds)


def test_one_that_cannot_begin_is_done_without() -> None:
    back, _ = work(Choosy(2), 5)
    assert len(back) == 5


def test_none_that_can_begin() -> None:
    with pytest.raises(DeviceError, match="no GPU here"):
        work(Choosy(1), 5)


class Mixed(Script):
    def poll(self, seconds: float) -> list[Report]:
        if len(self.born) == 1:
            return [Ready(self.born.popleft(), "other")]
        return super().poll(seconds)


class Crowded(Script):
    """The second worker is another, and tells so between two answers of the first."""

    def poll(self, seconds: float) -> list[Report]:
        if len(self.had[0]) < 2:
            return super().poll(seconds)
        first, second = self.had[0]
        return [Answer(0, first.number, "done"), Ready(1, "other"), Answer(0, second.number, "done")]


def test_what_came_back_beside_an_error_is_returned_at_the_end() -> None:
    forgotten: list[Errand] = []
    dispatcher = Dispatcher(Crowded(1), agree=all_the_same, forget=forgotten.append)
    dispatcher.start(told_nothing)
    dispatcher._hire(1)
    for number in range(2):
        dispatcher.give(Errand(number))
    with pytest.raises(DeviceError, match="unlike"):
        dispatcher.wait()
    assert dispatcher.close() == [(Errand(0), "done"), (Errand(1), "done")]
    assert not forgotten


def test_workers_that_are_not_alike() -> None:
    with pytest.raises(DeviceError, match="unlike"):
        work(Mixed(2), 5)
