"""Sums over many rows: mean, median, standard deviation, and where a method fails."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from drsformer_cli.quality import extra
from drsformer_cli.quality.folders import Problem
from drsformer_cli.quality.judge import Row, Settings
from drsformer_cli.quality.published import DATASETS, Dataset

WORST = 5


@dataclass(frozen=True)
class Statistic:
    """One measure over many pictures: `count` finite values went into it, `infinite` (+∞) were kept out.

    All are NaN where there was no finite value. `deviation` is that of a sample (0 for a single value).
    """

    count: int
    infinite: int
    mean: float
    median: float
    deviation: float


@dataclass(frozen=True)
class Measure:
    """A column of numbers: its key in data, its title, its decimals in print, and how a row gives it.

    `better` is 1 where more is better, -1 where less is.
    """

    key: str
    title: str
    decimals: int
    value: Callable[[Row], float | None]
    better: int = 1


@dataclass
class Evaluation:
    """All that an evaluation has brought: what was asked, the rows in order, and what kept others out.

    `name` is what the method is called; `dataset` a key of DATASETS or None.
    """

    name: str
    settings: Settings
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    dataset: str | None = None

    def take(self, row: Row) -> None:
        """Add a row, and what it tells of problems."""
        self.rows.append(row)
        if row.status != "scored":
            self.problems.append(Problem(row.status, row.reason))

    @property
    def scored(self) -> list[Row]:
        """Return the rows with scores."""
        return [row for row in self.rows if row.status == "scored"]

    @property
    def published(self) -> Dataset | None:
        """Return the data set with its published figures."""
        return None if self.dataset is None else DATASETS[self.dataset]

    def measures(self) -> list[Measure]:
        """Return the columns that have a value anywhere, those of the result first."""
        columns = [
            Measure("psnr", "PSNR", 2, lambda row: row.psnr),
            Measure("ssim", "SSIM", 4, lambda row: row.ssim),
            Measure("rainy_psnr", "rainy PSNR", 2, lambda row: row.rainy_psnr),
            Measure("rainy_ssim", "rainy SSIM", 4, lambda row: row.rainy_ssim),
            *(
                Measure(name, name.upper(), 4 if name == "lpips" else 2, _other(name), extra.better(name))
                for name in self.settings.scores
            ),
        ]
        return [column for column in columns if any(column.value(row) is not None for row in self.rows)]

    def statistic(self, measure: Measure) -> Statistic:
        """Sum up one measure."""
        return statistic(value for row in self.scored if (value := measure.value(row)) is not None)

    def worst(self, count: int = WORST) -> list[Row]:
        """Return the rows with the least PSNR, without a truth the worst of the first score; worst first."""
        measures = self.measures()
        if not measures:
            return []
        first = measures[0]
        rows = [row for row in self.scored if first.value(row) is not None]
        return sorted(rows, key=lambda row: first.better * (first.value(row) or 0.0))[:count]

    def mean_gain(self) -> float | None:
        """Return by how many dB results are nearer to the truth than the rainy pictures, on the average."""
        gains = self._gains()
        return statistics.fmean(gains) if gains else None

    def of_how_many(self) -> str:
        """Return " of 3 of the 5 pictures" where the mean gain is not of all; empty where it is."""
        count, scored = len(self._gains()), len(self.scored)
        return "" if count == scored else f" of {count} of the {scored} pictures"

    def _gains(self) -> list[float]:
        return [row.gain for row in self.scored if row.gain is not None and math.isfinite(row.gain)]

    @property
    def protocol(self) -> str | None:
        """Return the protocol; None where no picture was compared with a clean one."""
        compared = not self.rows or any(row.pair.clean is not None for row in self.rows)
        return self.settings.protocol if compared else None

    @property
    def noted(self) -> int:
        """Return how many pictures were scored with a remark."""
        return sum(bool(row.notes) for row in self.scored)


def _other(name: str) -> Callable[[Row], float | None]:
    return lambda row: row.others.get(name)


def statistic(values: Iterable[float]) -> Statistic:
    """Sum up numbers; infinite ones are counted and kept out, and so are such as are no numbers."""
    everything = list(values)
    finite = [value for value in everything if math.isfinite(value)]
    infinite = sum(value == math.inf for value in everything)
    if not finite:
        return Statistic(0, infinite, math.nan, math.nan, math.nan)
    deviation = statistics.stdev(finite) if len(finite) > 1 else 0.0
    return Statistic(len(finite), infinite, statistics.fmean(finite), statistics.median(finite), deviation)


def count_of(problems: Sequence[Problem], kind: str) -> int:
    """Return how many problems are of a kind."""
    return sum(problem.kind == kind for problem in problems)
