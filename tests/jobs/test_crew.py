"""The loop over pictures for workers, with workers of this very process: what becomes of each outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import DeviceError, OutputError, SetupError, StorageError
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.hands import Answer, Lost, Ready, Report
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.resume import DONE_BEFORE, Decision
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.jobs.worker import Facts, PictureErrand, Worker
from tests.jobs.conftest import Inverter, tasks_for

Folder = Callable[[int], Path]


@dataclass
class Here:
    """A real worker for each slot, that does its errand when it is asked; `instead` stands for an outcome."""

    facts: list[Facts] = field(default_factory=lambda: [Worker(Inverter()).facts])
    instead: dict[int, Any] = field(default_factory=dict)  # by the number of the errand
    sent: list[PictureErrand] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    hired: int = 0

    @property
    def count(self) -> int:
        return len(self.facts)

    def hire(self, slot: int) -> int:
        self.reports.append(Ready(self.hired, self.facts[slot]))
        self.hired += 1
        return self.hired - 1

    def send(self, worker: int, errand: PictureErrand) -> None:
        self.sent.append(errand)
        outcome = self.instead.get(errand.number)
        if isinstance(outcome, str):
            Worker(Inverter()).do(errand)  # it dies with the work done and nothing said
            self.reports.append(Lost(worker, outcome))
            return
        if outcome is None:
            outcome = Worker(Inverter()).do(errand)
        self.reports.append(Answer(worker, errand.number, outcome))

    def poll(self, seconds: float) -> list[Report]:
        reports, self.reports = self.reports, []
        return reports

    def close(self) -> None:
        self.reports = []


def run(tasks: list[Task], hands: Here, **options: Any) -> list[Event]:
    with Crew(hands) as crew:
        facts = crew.start()
        crew.go_on_as(options.get("plan", {}))
        with FolderStore(tasks, facts.settings) as store:
            return list(crew.over(tasks, options.get("store") or store, facts.settings))


@pytest.fixture
def tasks(folder: Folder, tmp_path: Path) -> list[Task]:
    return tasks_for(folder(4), tmp_path / "out")


def left_behind(out: Path) -> list[str]:
    return [path.name for path in out.iterdir() if path.name.endswith(".part")]


def test_all_are_done_once(tasks: list[Task], tmp_path: Path) -> None:
    events = run(tasks, Here())
    assert [event.task for event in events if isinstance(event, Started)] == tasks
    assert [event.task for event in events if isinstance(event, Done)] == tasks
    manifest = Manifest.load(tmp_path / "out")
    for event in events:
        if isinstance(event, Done):
            assert manifest.record(event.record.output) == event.record
            assert manifest.claims(event.record.output)
    assert left_behind(tmp_path / "out") == []
    again = run(tasks, Here())
    assert again == [Skipped(task, DONE_BEFORE) for task in tasks]


@pytest.mark.parametrize(
    ("plan", "limit"),
    [
        ({}, 1 << 30),
        ({"limit": 5}, 5),
        ({"limit": 1 << 40}, 1 << 30),
        ({"limit": 0}, 1 << 30),
        ({"limit": "much"}, 1 << 30),
        ({"limit": 1}, 1),
    ],
)
def test_plans_rest_on_the_lesser_limit(tasks: list[Task], plan: dict[str, Any], limit: int) -> None:
    hands = Here()
    run(tasks[:1], hands, plan=plan)
    assert [errand.limit for errand in hands.sent] == [limit]


def test_a_picture_that_kills_its_workers_leaves_nothing(tasks: list[Task], tmp_path: Path) -> None:
    hands = Here(instead={1: "killed"})
    events = run(tasks, hands)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.task, failed.kind) == (tasks[1], "WorkerLostError")
    assert failed.reason == "each worker that took it on died (killed); is there enough memory?"
    assert sorted(event.task.name for event in events if isinstance(event, Done)) == sorted(
        task.name for task in tasks if task is not tasks[1]
    )
    places = {errand.place for errand in hands.sent if errand.number == 1}
    assert len(places) == 3  # each attempt has a place of its own, and all are cleared away
    assert left_behind(tmp_path / "out") == []


def test_what_nobody_expected_is_told_of_the_picture(tasks: list[Task]) -> None:
    events = run(tasks, Here(instead={0: ValueError("odd"), 2: PermissionError(13, "Permission denied")}))
    failed = [(event.task, event.kind, event.reason) for event in events if isinstance(event, Failed)]
    assert failed == [
        (tasks[0], "ValueError", "unexpected ValueError: odd"),
        (tasks[2], "PermissionError", "Permission denied."),
    ]
    assert sum(isinstance(event, Done) for event in events) == 2


def test_what_concerns_all_ends_the_run_after_what_is_finished(tasks: list[Task], tmp_path: Path) -> None:
    hands = Here(instead={1: SetupError("no memory at all"), 2: SetupError("nor here")})
    events: list[Event] = []
    with Crew(hands) as crew:
        settings = crew.start().settings
        with FolderStore(tasks, settings) as store, pytest.raises(SetupError, match="no memory at all"):
            keep(events, crew.over(tasks, store, settings))
    assert [event.task for event in events if isinstance(event, Done)] == [tasks[0]]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["000.png"]


def keep(events: list[Event], crew: Crew) -> None:
    """Keep what is yielded, also before an error."""
    events.extend(crew)


class Refusing(FolderStore):
    def decide(self, task: Task) -> Decision:
        if task.name.endswith("002.png"):
            raise StorageError("the disk is gone")
        if task.name.endswith("001.png"):
            raise OSError(5, "Input/output error")
        return Decision()

    def publish(self, batch: Any) -> Any:
        return [OutputError(f"{each.task.path.name} is taken") for each in batch]


def test_a_store_that_refuses(tasks: list[Task]) -> None:
    hands = Here()
    events: list[Event] = []
    with Crew(hands) as crew:
        settings = crew.start().settings
        store = Refusing(tasks, settings)
        with store, pytest.raises(StorageError, match="the disk is gone"):
            keep(events, crew.over(tasks, store, settings))
    failed = [(event.task, event.reason) for event in events if isinstance(event, Failed)]
    assert failed == [(tasks[1], "Input/output error."), (tasks[0], "000.png is taken")]


def facts(**settings: Any) -> Facts:
    return Facts({"model": "m", "precision": "fp32", **settings}, 1 << 30, "derain 1, torch 2")


def test_workers_must_be_alike() -> None:
    same = Here([facts(), facts()])
    with Crew(same) as crew:
        assert crew.start() == facts()
        crew.idle()
        assert crew.ready == 2
    other = Facts(facts().settings, 1 << 30, "derain 1, torch 3")
    with Crew(Here([facts(), other])) as crew, pytest.raises(SetupError, match="install the same") as caught:
        crew.start()
    assert "one has derain 1, torch 2, another derain 1, torch 3" in str(caught.value)
    words = "precision is fp32 for one and bf16 for another; say which with --precision"
    unlike = Here([facts(), facts(precision="bf16", strength=1)])
    with Crew(unlike) as crew, pytest.raises(DeviceError, match=words):
        crew.start()
    unlike = Here([facts(), facts(device="cpu")])
    with Crew(unlike) as crew, pytest.raises(DeviceError, match="device is None for one and cpu for another"):
        crew.start()
