"""The gate lets in as many pictures as there is room for, and always at least one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from drsformer_cli.jobs.gate import Gate, byte_budget


@pytest.fixture
def waiter() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def enter_later(gate: Gate, threads: list[threading.Thread]) -> list[bool]:
    """Enter from another thread; the answer appears in the list."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(gate.enter()))
    thread.start()
    threads.append(thread)
    thread.join(0.1)
    return answers


def test_number(waiter: list[threading.Thread]) -> None:
    gate = Gate(2, 1000)
    assert gate.enter()
    assert gate.enter()
    answers = enter_later(gate, waiter)
    assert answers == []
    gate.leave(0)
    waiter[0].join(5)
    assert answers == [True]


def test_bytes(waiter: list[threading.Thread]) -> None:
    gate = Gate(10, 1000)
    assert gate.enter()
    gate.weigh(1000)
    answers = enter_later(gate, waiter)
    assert answers == []
    gate.leave(1000)
    waiter[0].join(5)
    assert answers == [True]


def test_one_picture_however_large() -> None:
    gate = Gate(10, 1000)
    for _ in range(3):
        assert gate.enter()
        gate.weigh(10**9)
        gate.leave(10**9)


def test_places_are_given_back_one_by_one(waiter: list[threading.Thread]) -> None:
    gate = Gate(1, 1000)
    for _ in range(3):
        answers = enter_later(gate, waiter)
        waiter[-1].join(5)
        assert answers == [True]
        gate.leave(0)


def test_close_frees_who_waits(waiter: list[threading.Thread]) -> None:
    gate = Gate(1, 1000)
    assert gate.enter()
    answers = enter_later(gate, waiter)
    gate.close()
    waiter[0].join(5)
    assert answers == [False]
    assert not gate.enter()


def test_bytes_below_the_budget_leave_room(waiter: list[threading.Thread]) -> None:
    gate = Gate(3, 1000)
    assert gate.enter()
    gate.weigh(999)
    assert gate.enter()
    gate.weigh(1)
    answers = enter_later(gate, waiter)
    assert answers == []
    gate.leave(1)
    waiter[0].join(5)
    assert answers == [True]
    gate.leave(999)
    gate.leave(0)


def test_the_budget_is_an_eighth_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, budget in ((8000, 1000), (1 << 40, 1 << 30), (15, 1)):
        monkeypatch.setattr(
            "psutil.virtual_memory", lambda available=available: SimpleNamespace(available=available)
        )
        assert byte_budget() == budget
