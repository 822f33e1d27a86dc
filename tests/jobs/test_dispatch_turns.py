"""Who gets the next errand, turn by turn, and what is left when all is closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from drsformer_cli.errors import DeviceError, SetupError
from drsformer_cli.jobs.dispatch import MOST_STILLBORN, POLL_SECONDS, Dispatcher, WorkerLostError
from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Lost, Ready, Report, Unfit


@dataclass
class Told:
    """Workers that report what they are told to."""

    count: int
    reports: list[list[Report]] = field(default_factory=list)
    hired: list[int] = field(default_factory=list)
    sent: list[tuple[int, int, int]] = field(default_factory=list)  # worker, errand, attempt
    waits: list[float] = field(default_factory=list)
    closed: int = 0

    def hire(self, slot: int) -> int:
        self.hired.append(slot)
        return len(self.hired) - 1

    def send(self, worker: int, errand: Errand) -> None:
        self.sent.append((worker, errand.number, errand.attempt))

    def poll(self, seconds: float) -> list[Report]:
        self.waits.append(seconds)
        return self.reports.pop(0) if self.reports else []

    def close(self) -> None:
        self.closed += 1


def begun(count: int, *, facts: list[Any] | None = None) -> tuple[Told, Dispatcher, list[Errand]]:
    """Return workers that have all begun, their dispatcher, and what it forgets."""
    hands = Told(count, [[Ready(worker, "same") for worker in range(count)]])
    forgotten: list[Errand] = []
    seen = [] if facts is None else facts
    dispatcher = Dispatcher(hands, agree=seen.append, forget=forgotten.append)
    dispatcher.start(lambda _: None)
    return hands, dispatcher, forgotten


def test_all_are_hired_and_one_is_enough_to_begin() -> None:
    facts: list[Any] = []
    hands = Told(3, [[], [Ready(1, "mine")]])
    dispatcher = Dispatcher(hands, agree=facts.append, forget=facts.append)
    assert not dispatcher.has_room()
    dispatcher.start(lambda _: None)
    assert (hands.hired, facts, dispatcher.ready, dispatcher.busy) == ([0, 1, 2], ["mine"], 1, False)
    assert hands.waits == [POLL_SECONDS] * 2
    hands.reports = [[Ready(0, "other"), Ready(2, "third")]]
    assert dispatcher.wait() == []
    assert (facts, dispatcher.ready) == (["mine", "other", "third"], 3)


def test_nobody_has_two_before_everybody_has_one() -> None:
    hands, dispatcher, _ = begun(2)
    given = 0
    while dispatcher.has_room():
        dispatcher.give(Errand(given))
        given += 1
    assert [worker for worker, *_ in hands.sent] == [0, 1] * MOST_ERRANDS
    assert given == 2 * MOST_ERRANDS
    assert [errand.number for errand in dispatcher.in_flight()] == [*range(0, given, 2), *range(1, given, 2)]
    assert dispatcher.busy
    hands.reports = [[Answer(0, 0, "a"), Answer(0, 2, "b")]]
    assert [(errand.number, outcome) for errand, outcome in dispatcher.wait()] == [(0, "a"), (2, "b")]
    dispatcher.give(Errand(9))
    assert hands.sent[-1] == (0, 9, 0)
    assert dispatcher.has_room()


def test_an_errand_whose_worker_is_lost_is_done_again_alone() -> None:
    hands, dispatcher, forgotten = begun(1)
    for number in range(MOST_ERRANDS):
        dispatcher.give(Errand(number))
    hands.reports = [[Lost(0, "killed")]]
    assert dispatcher.wait() == []
    assert [errand.number for errand in forgotten] == list(range(MOST_ERRANDS))
    assert (hands.hired, dispatcher.ready, dispatcher.busy, dispatcher.has_room()) == ([0, 0], 0, True, False)
    hands.reports = [[Ready(1, "same")], *([Answer(1, number, "done")] for number in range(MOST_ERRANDS))]
    for number in range(MOST_ERRANDS):
        dispatcher.wait()
        assert hands.sent[MOST_ERRANDS + number :] == [(1, number, 1)]
        assert not dispatcher.has_room()  # alone means alone
    assert [outcome for _, outcome in dispatcher.wait()] == ["done"]
    assert not dispatcher.busy
    assert dispatcher.has_room()


def test_the_third_death_is_the_errands_outcome() -> None:
    hands, dispatcher, forgotten = begun(1)
    dispatcher.give(Errand(7))
    finished: list[Any] = []
    for worker in range(3):
        hands.reports = [[Lost(worker, f"reason {worker}")], [Ready(worker + 1, "same")]]
        finished += dispatcher.wait()
        finished += dispatcher.wait()
    ((errand, outcome),) = finished
    assert (errand.number, errand.attempt, type(outcome), str(outcome)) == (7, 2, WorkerLostError, "reason 2")
    assert [lost.attempt for lost in forgotten] == [0, 1, 2]
    assert not dispatcher.busy


def test_reports_of_those_given_up_are_not_listened_to() -> None:
    hands, dispatcher, _ = begun(1)
    dispatcher.give(Errand(0))
    hands.reports = [[Lost(0, "killed"), Answer(0, 0, "late"), Lost(0, "again"), Ready(1, "same")]]
    assert dispatcher.wait() == []
    assert hands.hired == [0, 0]
    hands.reports = [[Answer(1, 55, "never given"), Answer(1, 0, "done")]]
    assert [(errand.number, outcome) for errand, outcome in dispatcher.wait()] == [(0, "done")]


def test_deaths_in_a_row_before_any_begins_end_it() -> None:
    hands, dispatcher, _ = begun(1)
    hands.reports = [[Lost(0, "killed")], [Lost(1, "killed")], [Lost(2, "killed")]]
    for _ in range(MOST_STILLBORN):  # the first of them had begun
        dispatcher.wait()
    hands.reports = [[Ready(3, "same")], [Lost(3, "killed")], [Lost(4, "killed")], [Lost(5, "killed")]]
    for _ in range(4):  # one that begins is a new beginning
        dispatcher.wait()
    hands.reports = [[Lost(6, "out of memory")]]
    with pytest.raises(SetupError, match=r"die while they start \(out of memory\)"):
        dispatcher.wait()


def test_the_first_that_could_not_begin_says_why() -> None:
    hands, dispatcher, _ = begun(2)
    hands.reports = [[Unfit(0, DeviceError("no GPU"))], [Unfit(1, DeviceError("no memory"))]]
    assert dispatcher.wait() == []
    assert dispatcher.ready == 1
    with pytest.raises(DeviceError, match="no GPU"):
        dispatcher.wait()


def test_what_is_finished_when_all_is_closed_counts() -> None:
    hands, dispatcher, forgotten = begun(2)
    for number in range(3):
        dispatcher.give(Errand(number))
    hands.reports = [
        [Answer(0, 0, "done"), Answer(0, 44, "never given"), Answer(9, 1, "whose"), Lost(1, "k")]
    ]
    assert [(errand.number, outcome) for errand, outcome in dispatcher.close()] == [(0, "done")]
    assert hands.waits[-1] == 0
    assert (hands.closed, sorted(errand.number for errand in forgotten)) == (1, [1, 2])
    assert (dispatcher.busy, dispatcher.ready, dispatcher.in_flight()) == (False, 0, [])
