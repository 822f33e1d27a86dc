"""Checkpoints of trainings, hurt and lying: gone on from as a whole, or refused in a sentence."""

from __future__ import annotations

import pytest

from tests.fuzz import trainings
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Table, cases, edited, run


def check(seed: int, trials: int) -> None:
    sources, table = [("checkpoint.pt", trainings.sound())], Table()
    with Cage(trainings.go_on) as cage:
        run(cage, cases(sources, seed, trials), table, minutes=60)
        run(cage, edited("states that lie", "checkpoint.pt", trainings.lie, seed, trials), table, minutes=60)
    assert not table.failures, "\n".join(f"{case}: {outcome}" for case, outcome in table.failures)
    assert table.trials == 2 * trials


def test_hurt_checkpoints_of_trainings() -> None:
    check(1, 4)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_hurt_checkpoints_of_trainings() -> None:
    check(2, 300)
