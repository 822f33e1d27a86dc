"""The clock of a training, and its learning rate."""

from __future__ import annotations

import pytest

from drsformer_cli.training import schedule
from drsformer_cli.training.recipe import read_recipe
from drsformer_cli.training.schedule import Clock, learning_rate


def test_the_rate_warms_up_and_falls() -> None:
    plan = read_recipe().schedule
    rates = [learning_rate(share / 1000, plan) for share in range(1001)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(plan.learning_rate)
    assert abs(top / 1000 - plan.warmup) < 0.01
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(plan.final_learning_rate)


def test_the_clock_passes_over_a_stop_but_not_over_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now)
    clock = Clock(5)
    for _ in range(10):
        now += 6
        clock.tick()
    assert clock.minutes == pytest.approx(6)
    now += 3600  # stopped for an hour
    assert clock.tick() == pytest.approx(6.1)
    now += 30  # five times as long as usual is only slow
    assert clock.tick() == pytest.approx(6.6)
    now += 120  # a validation
    clock.pause()
    now += 6
    assert clock.tick() == pytest.approx(8.7)
