"""Distributions as shapes for an SVG: where the bars stand, and what is written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drsformer_cli.quality.formats import printed
from drsformer_cli.quality.summary import Evaluation, Measure

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 4, 4, 20, 28
MOST_BARS = 30


@dataclass(frozen=True)
class Bar:
    """A bar in pixels of the drawing, and what it says."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One distribution; `rainy` are the bars of the rainy pictures on the same axis, `mean` is (x, text)."""

    title: str
    text: str
    bars: list[Bar]
    rainy: list[Bar]
    ticks: list[tuple[float, str]]
    mean: tuple[float, str]
    width: int = WIDTH
    height: int = HEIGHT
    floor: int = HEIGHT - BOTTOM


def charts(evaluation: Evaluation) -> list[Chart]:
    """Draw the distribution of each measure of the results, that of the rainy pictures behind it."""
    measures = {measure.key: measure for measure in evaluation.measures()}
    drawn = []
    for key, measure in measures.items():
        if key.startswith("rainy_"):
            continue
        values = _finite(evaluation, measure)
        behind = measures.get(f"rainy_{key}")
        if values:
            drawn.append(_chart(measure, values, _finite(evaluation, behind) if behind else []))
    return drawn


def _finite(evaluation: Evaluation, measure: Measure) -> list[float]:
    values = (measure.value(row) for row in evaluation.scored)
    return [value for value in values if value is not None and math.isfinite(value)]


def _chart(measure: Measure, values: list[float], rainy: list[float]) -> Chart:
    low, high = min(values + rainy), max(values + rainy)
    count = max(6, min(MOST_BARS, round(2 * len(values) ** 0.5)))
    if high - low < 10.0**-measure.decimals:
        low, high = low - 0.5 * 10.0**-measure.decimals, high + 0.5 * 10.0**-measure.decimals
    ours, theirs = (_counts(each, low, high, count) for each in (values, rainy))
    most = max(*ours, *theirs)
    span = WIDTH - LEFT - RIGHT

    def bars(counts: Sequence[int], what: str) -> list[Bar]:
        return [
            _bar(index, number, most, count, f"{_span(measure, low, high, index, count)}: {number} {what}")
            for index, number in enumerate(counts)
            if number
        ]

    mean = sum(values) / len(values)
    ticks = [
        (LEFT + span * share, printed(low + (high - low) * share, measure.decimals)) for share in (0, 0.5, 1)
    ]
    said = f"from {printed(min(values), measure.decimals)} to {printed(max(values), measure.decimals)}"
    text = f"{measure.title} of {len(values)} pictures, {said}, mean {printed(mean, measure.decimals)}"
    if rainy:
        text += f"; of the rainy ones, mean {printed(sum(rainy) / len(rainy), measure.decimals)}"
    return Chart(
        measure.title,
        text,
        bars(ours, "restored"),
        bars(theirs, "rainy"),
        ticks,
        (LEFT + span * (mean - low) / (high - low), f"mean {printed(mean, measure.decimals)}"),
    )


def _counts(values: Sequence[float], low: float, high: float, count: int) -> list[int]:
    counts = [0] * count
    for value in values:
        counts[min(count - 1, int((value - low) / (high - low) * count))] += 1
    return counts


def _bar(index: int, number: int, most: int, count: int, text: str) -> Bar:
    width = (WIDTH - LEFT - RIGHT) / count
    height = max(2.0, (HEIGHT - TOP - BOTTOM) * number / most)
    return Bar(LEFT + index * width + 1, HEIGHT - BOTTOM - height, max(1.0, width - 2), height, text)


def _span(measure: Measure, low: float, high: float, index: int, count: int) -> str:
    ends = (low + (high - low) * (index + each) / count for each in (0, 1))
    return " to ".join(printed(end, measure.decimals) for end in ends)
