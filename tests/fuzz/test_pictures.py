"""Hurt pictures by the thousand: each is restored whole, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import pictures, seeds
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Table, cases, run
from tests.fuzz.mutate import ATTACKS, mutate


@pytest.fixture
def cage() -> Iterator[Cage]:
    with Cage(pictures.attempt) as running:
        yield running


def check(table: Table, trials: int) -> None:
    assert not table.failures, "\n".join(f"{case}: {outcome}" for case, outcome in table.failures)
    assert table.trials == trials
    # a mutation that always destroys, or never does, would prove nothing
    whole = sum(row["whole"] for row in table.rows.values())
    assert trials // 20 < whole < trials * 19 // 20
    assert table.rows.keys() == ATTACKS.keys()


def test_a_sample_of_small_pictures(cage: Cage) -> None:
    table = Table()
    run(cage, cases(list(seeds.small().items()), 1, 700), table, minutes=60)
    check(table, 700)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_small_pictures(cage: Cage, seed: int) -> None:
    table = Table()
    run(cage, cases(list(seeds.small().items()), seed, 3000), table, minutes=60)
    check(table, 3000)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_of_the_torture_set(cage: Cage, shared_data: Path) -> None:
    table = Table()
    run(cage, cases(list(seeds.torture(shared_data / "torture")), 200, 3000), table, minutes=90)
    check(table, 3000)


def test_the_sound_ones_are_whole() -> None:
    for name, data in seeds.small().items():
        assert pictures.attempt(name, data) == "whole", name


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_seed_hurts_alike(attack: str) -> None:
    for name, data in seeds.small().items():
        first, second = (mutate(attack, data, data[::-1], f"5/{name}") for _ in range(2))
        assert first == second
    hurt = [mutate(attack, data, data[::-1], name) != data for name, data in seeds.small().items()]
    assert sum(hurt) > len(hurt) // 2
