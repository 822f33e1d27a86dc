"""Manifests, work of films, records, recipes and logs, edited by hand: none stops derain with a traceback."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from drsformer_cli.training import recipe as recipe_module
from drsformer_cli.weights.catalog import Catalog
from tests.fuzz import records
from tests.fuzz.edits import Edit, change_json, edit_document, edit_lines, edit_text

NUMBERS = ("0", "-1", "1e999", "nan", "inf", "9" * 400, "1e308", "true", '"x"', "[]", "{}", "[" * 3000, "\0")
WORDS = (*NUMBERS, "", "x", "\udcff", "[[0, 8, 1]]", "[[0.5, 64, 8]]", "{a = 1}", "2026-01-01", "0x10", "'''")

KINDS: dict[str, tuple[Callable[[], bytes], Edit, Callable[[bytes], str]]] = {
    "manifest": (records.sound_manifest, edit_lines, records.manifest),
    "film work": (records.sound_work, edit_lines, records.film_work),
    "record of a model": (records.sound_store, change_json, records.store),
    "catalogue of models": (
        lambda: (Path(inspect.getfile(Catalog)).parent / "catalog.json").read_bytes(),
        edit_document,
        records.catalogue,
    ),
    "recipe": (
        lambda: (Path(recipe_module.__file__).parent / "compact.toml").read_bytes(),
        partial(edit_text, values=WORDS),
        records.recipe,
    ),
    "training log": (records.sound_log, partial(edit_text, values=NUMBERS), records.log),
}


def tried(kind: str, seed: int, trials: int) -> dict[str, int]:
    """Edit and use a file so many times; every outcome that is none of ours is raised with its seed."""
    make, edit, use = KINDS[kind]
    sound, outcomes = make(), {"whole": 0, "refused": 0}
    for number in range(trials):
        data = edit(sound, random.Random(f"{kind}/{seed}/{number}"))
        try:
            outcomes[use(data)] += 1
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}, number {number}: {data[:2000]!r}") from error
    return outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_edited_by_hand(kind: str) -> None:
    assert sum(tried(kind, 1, 120).values()) == 120


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_edited_by_many_hands(kind: str) -> None:
    assert sum(tried(kind, 2, 2000).values()) == 2000


@pytest.mark.parametrize("value", [b"1" + b"0" * 400, b"NaN", b"1e999", b'"7"', b"null"])
def test_seconds_that_are_no_time(value: bytes) -> None:
    """Found: a number too large for a float stopped the film."""
    sound = records.sound_work()
    assert sound.count(b'"seconds":0.0') == 2
    assert records.film_work(sound.replace(b'"seconds":0.0', b'"seconds":' + value)) == "whole"
