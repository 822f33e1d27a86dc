"""Recipes: the bundled one, and what a person may write wrong."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from drsformer_cli.errors import UsageError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.training.recipe import differences, read_recipe

BUNDLED = (resources.files("drsformer_cli.training") / "compact.toml").read_text(encoding="utf-8")


def test_the_bundled_recipe_is_of_a_small_plain_network() -> None:
    recipe = read_recipe()
    assert recipe.network.variant == "plain"
    assert sum(recipe.rain.shares.values()) == pytest.approx(1)
    assert isinstance(recipe.network, DRSformerConfig)


def test_a_copy_reads_the_same(tmp_path: Path) -> None:
    copy = tmp_path / "mine.toml"
    copy.write_text(BUNDLED, encoding="utf-8")
    assert read_recipe(copy) == read_recipe()


def test_what_a_file_leaves_out_is_as_in_the_bundled_recipe(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[schedule]\nsteps = 7\n[rain]\nlines = 1.0\n", encoding="utf-8")
    recipe, bundled = read_recipe(mine), read_recipe()
    assert recipe.network == bundled.network
    assert recipe.schedule == replace(bundled.schedule, steps=7)
    assert recipe.rain.shares == {"lines": 1.0}


def test_the_recipe_in_contributing_is_one_of_a_few_steps(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"`try\.toml`[^\n]*\n\n((?:    [^\n]*\n)+)", page)
    assert found is not None
    mine = tmp_path / "try.toml"
    mine.write_text(textwrap.dedent(found[1]), encoding="utf-8")
    recipe = read_recipe(mine)
    assert (recipe.network.dim, recipe.network.blocks, recipe.schedule.steps) == (8, (1, 1, 1, 1), 20)


def test_what_differs_is_named() -> None:
    recipe = read_recipe()
    schedule = replace(recipe.schedule, steps=6, patches=((0.0, 8, 1), (0.5, 16, 1)))
    other = replace(recipe, schedule=schedule, rain=replace(recipe.rain, veil=0.5))
    assert differences(repr(recipe), repr(recipe)) == []
    before = repr(recipe.schedule.patches)
    assert differences(repr(recipe), repr(other)) == [
        "veil 0.12 -> 0.5",
        "steps 60000 -> 6",
        f"patches {before} -> ((0.0, 8, 1), (0.5, 16, 1))",
    ]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("dim = 16", "dim = 15", "dim must be even"),
        ("dim = 16", "dim = 'wide'", "not usable"),
        ("lines = 0.16", "hail = 0.16", "shares"),
        ("steps = 60000", "steps = 0", "at least 1"),
        ("steps = 60000", "stepps = 60000", "stepps"),
        ("[[0.0, 128, 6]", "[[0.0, 50, 8]", "multiple of 8"),
        ("[[0.0, 128, 6]", "[[0.1, 128, 6]", "start at share 0"),
        ("[network]", "network = 3\n[unused]", "not usable"),
        ("seed = 8", "seed = -1", "must not be negative"),
        ("learning_rate = 5e-4", "learning_rate = 'fast'", "learning_rate must be a number"),
        ("[0.35, 192, 4]", "[0.35, 192.5, 4]", "multiple of 8"),
        ('loss = "psnr"', "loss = 'ssim'", "loss must be one of"),
        ("veil = 0.12", "veil = 1.2", "veil must be a share"),
        ("turned = 0.10", "turned = 'often'", "not usable"),
        ("fourier = 0.0", "pairs = 1.5", "pairs a share"),
        ("[schedule]", "[scheduel]", "no table .scheduel., only network"),
        ("dim = 16", "dim = = 16", "not usable"),
    ],
)
def test_mistakes_are_named_with_the_file(tmp_path: Path, old: str, new: str, word: str) -> None:
    assert old in BUNDLED
    mine = tmp_path / "mine.toml"
    mine.write_text(BUNDLED.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError, match=word) as caught:
        read_recipe(mine)
    assert str(mine) in str(caught.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: No such file or directory$"):
        read_recipe(tmp_path / "none.toml")
