"""Sums over rows: which are the worst, of how many a mean is, and what was compared at all."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from drsformer_cli.quality import summary
from drsformer_cli.quality.folders import Problem
from drsformer_cli.quality.judge import Pair, Row, Settings
from drsformer_cli.quality.summary import Evaluation, Measure, count_of, statistic


def row(name: str, *, truth: bool = True, **values: object) -> Row:
    clean = Path("gt") / name if truth else None
    return Row(Pair(name, Path("out") / name, clean), "scored", **values)  # type: ignore[arg-type]


def test_columns_are_those_that_have_a_value() -> None:
    evaluation = Evaluation("x", Settings(scores=("lpips", "niqe", "brisque")))
    assert evaluation.measures() == []
    evaluation.take(row("a", psnr=30.0, ssim=0.9, others={"niqe": 4.0}))
    evaluation.take(row("b", psnr=31.0, ssim=0.8, others={"lpips": 0.25}))
    found = [(m.key, m.title, m.decimals, m.better) for m in evaluation.measures()]
    assert found == [
        ("psnr", "PSNR", 2, 1),
        ("ssim", "SSIM", 4, 1),
        ("lpips", "LPIPS", 4, -1),
        ("niqe", "NIQE", 2, -1),
    ]
    assert [m.value(evaluation.rows[1]) for m in evaluation.measures()] == [31.0, 0.8, 0.25, None]


def test_the_rows_of_the_rainy_pictures_have_their_own_columns() -> None:
    evaluation = Evaluation("x", Settings())
    evaluation.take(row("a", psnr=30.0, ssim=0.9, rainy_psnr=20.0, rainy_ssim=0.5))
    assert [(m.title, m.decimals, m.value(evaluation.rows[0])) for m in evaluation.measures()] == [
        ("PSNR", 2, 30.0),
        ("SSIM", 4, 0.9),
        ("rainy PSNR", 2, 20.0),
        ("rainy SSIM", 4, 0.5),
    ]


def test_the_worst_are_by_what_the_first_column_holds() -> None:
    evaluation = Evaluation("x", Settings(scores=("niqe",)))
    assert evaluation.worst() == []
    for index, value in enumerate([3.0, 9.0, 1.0, 7.0, 5.0, 8.0]):
        evaluation.take(row(str(index), truth=False, others={"niqe": value}))
    evaluation.take(row("none", truth=False))
    evaluation.take(Row(Pair("bad", Path("bad")), "failed", "why", others={"niqe": 99.0}))
    assert [each.pair.name for each in evaluation.worst()] == ["1", "5", "3", "4", "0"]
    assert [each.pair.name for each in evaluation.worst(2)] == ["1", "5"]
    evaluation.rows[:] = [row(str(value), psnr=value, others={"niqe": value}) for value in (30.0, 0.0, 20.0)]
    assert [each.pair.name for each in evaluation.worst()] == ["0.0", "20.0", "30.0"]


def test_a_gain_is_of_rows_that_have_both() -> None:
    evaluation = Evaluation("x", Settings())
    assert (evaluation.mean_gain(), evaluation.of_how_many()) == (None, "")
    evaluation.take(row("a", psnr=30.0, rainy_psnr=20.0))
    evaluation.take(row("b", psnr=25.0, rainy_psnr=21.0))
    assert (evaluation.mean_gain(), evaluation.of_how_many()) == (7.0, "")
    evaluation.take(row("exact", psnr=math.inf, rainy_psnr=20.0))
    evaluation.take(row("no rain", psnr=30.0))
    evaluation.take(row("no rain in it", psnr=30.0, rainy_psnr=math.inf))
    assert (evaluation.mean_gain(), evaluation.of_how_many()) == (7.0, " of 2 of the 5 pictures")


def test_what_was_compared_has_a_protocol() -> None:
    evaluation = Evaluation("x", Settings("rgb"))
    assert evaluation.protocol == "rgb"
    evaluation.take(row("a", truth=False))
    assert evaluation.protocol is None
    evaluation.take(row("b"))
    assert evaluation.protocol == "rgb"


def test_rows_that_fail_are_problems_and_no_scores() -> None:
    evaluation = Evaluation("x", Settings(), problems=[Problem("missing", "m")], dataset="did")
    evaluation.take(row("a", psnr=1.0, notes=("n", "m")))
    evaluation.take(row("b", psnr=3.0))
    evaluation.take(Row(Pair("c", Path("c")), "failed", "why", psnr=99.0))
    assert [each.pair.name for each in evaluation.scored] == ["a", "b"]
    assert evaluation.problems[1:] == [Problem("failed", "why")]
    assert evaluation.noted == 1
    assert [count_of(evaluation.problems, kind) for kind in ("missing", "failed", "extra")] == [1, 1, 0]
    assert evaluation.published is not None
    assert evaluation.published.title == "DID-Data"
    sums = evaluation.statistic(Measure("psnr", "PSNR", 2, lambda each: each.psnr))
    assert (sums.count, sums.infinite, sums.mean, sums.median) == (2, 0, 2.0, 2.0)
    assert sums.deviation == pytest.approx(math.sqrt(2))


def test_a_single_value_does_not_deviate() -> None:
    assert statistic([4.0]) == summary.Statistic(1, 0, 4.0, 4.0, 0.0)
    nothing = statistic([math.inf, -math.inf, math.nan])
    assert (nothing.count, nothing.infinite) == (0, 1)
    assert all(math.isnan(value) for value in (nothing.mean, nothing.median, nothing.deviation))
