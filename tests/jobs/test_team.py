"""What workers of all kinds have in common, with workers in name only: what is told and kept, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import UnreadableError
from drsformer_cli.jobs import dispatch
from drsformer_cli.jobs.dispatch import WorkerLostError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.hands import Answer, Errand, Ready, Report
from drsformer_cli.jobs.team import Team, failed
from drsformer_cli.jobs.worker import Refused
from tests.jobs.films import task_for

TASK = task_for(Path("a.mp4"), Path("out") / "a.mp4")


class Facts:
    """What all workers agree on."""

    def check_alike(self, other: Facts) -> None:
        assert other is self


class Told:
    """One worker that reports what it is told to, poll by poll."""

    count, waiting = 1, "they think"

    def __init__(self, *reports: list[Report]) -> None:
        self.reports, self.closed = list(reports), 0

    def hire(self, slot: int) -> int:
        return slot

    def send(self, worker: int, errand: Errand) -> None:
        self.reports.append([Answer(worker, errand.number, "done")])

    def poll(self, seconds: float) -> list[Report]:
        return self.reports.pop(0) if self.reports else []

    def close(self) -> None:
        self.closed += 1


def test_who_starts_a_team_learns_that_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE_SECONDS", 0)
    facts, told = Facts(), []
    hands: Any = Told([], [], [Ready(0, facts)])
    with Team(hands) as team:
        assert team.start(told.append) is facts is team.facts
        assert (team.ready, hands.closed) == (1, 0)
    assert told == ["no worker has begun after 0 s: they think; the work begins as soon as one has."]
    assert hands.closed == 1


def test_what_comes_back_while_nobody_asks_is_kept() -> None:
    hands: Any = Told([Ready(0, Facts())])
    first, second = Errand(1), Errand(2)
    with Team(hands, most=2) as team:
        team.start()
        for errand in (first, second):
            team._dispatcher.give(errand)
        assert not team._dispatcher.has_room()
        team.idle()
        team.idle()
        assert team.wait() == [(first, "done"), (second, "done")]
        assert team.wait() == []


def test_why_an_errand_was_not_done() -> None:
    refused = Refused("UnreadableError", "a.mp4 is cut short.", "at its end")
    assert failed(TASK, refused) == Failed(TASK, "UnreadableError", "a.mp4 is cut short.", "at its end")
    for what in ((), ("a part of it",)):
        assert failed(TASK, WorkerLostError("killed"), *what) == Failed(
            TASK,
            "WorkerLostError",
            f"each worker that took {what[0] if what else 'it'} on died (killed); is there enough memory?",
        )
    assert failed(TASK, UnreadableError("no film.")) == Failed(TASK, "UnreadableError", "no film.")
