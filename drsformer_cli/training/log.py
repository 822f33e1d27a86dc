"""What a training writes down: a CSV row at each validation, and a picture of it to look at."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from drsformer_cli.errors import StorageError
from drsformer_cli.media.files import write_atomically

#: Columns before the scores.
COLUMNS = ("step", "minutes", "learning_rate", "loss")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 56, 120, 36, 44
COLOURS = ("#1f6fb4", "#d1622b", "#2f8f4e", "#8a4fa3", "#7a5a3a", "#c03a5b", "#4a4a4a", "#0f9a9a")

_MOST = 1e12  # this refuses NaN, too

Rows = list[dict[str, float]]


class Log:
    """The file `log.csv` of a training's folder, and its plot `log.svg`.

    Args:
        folder: where both are.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.plot = folder / "log.csv", folder / "log.svg"

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row. Rows of later steps, left by a training that was cut after its last checkpoint, go.

        Raises:
            StorageError: if the file there is no log, or cannot be written.
        """
        rows = [old for old in self.rows() if old["step"] < row["step"]] + [dict(row)]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(row), restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.7g}" for name, value in old.items()} for old in rows)
        write_atomically(self.file, text.getvalue().encode(), replace=True)
        write_atomically(self.plot, draw(rows).encode(), replace=True)

    def rows(self) -> Rows:
        """Read the rows so far; none if there is no file.

        Raises:
            StorageError: if the file cannot be read, or is no log.
        """
        if self.file.exists() and not self.file.is_file():  # reading a pipe would wait for ever
            raise StorageError(f"{self.file} is no log of a training; move it away")
        try:
            with self.file.open(newline="", encoding="utf-8") as file:
                rows = [
                    {name: float(value) for name, value in row.items() if value}
                    for row in csv.DictReader(file)
                ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise StorageError(f"{self.file} is no log of a training; move it away: {error}") from error
        # edited by hand, it may hold what can neither be drawn nor gone on from
        if not all("step" in row and all(abs(value) < _MOST for value in row.values()) for row in rows):
            raise StorageError(f"{self.file} is no log of a training; move it away")
        return rows


def draw(rows: Sequence[Mapping[str, float]]) -> str:
    """Draw the scores over the steps as an SVG picture: a line for each kind of rain, dB upwards."""
    names = [name for name in rows[-1] if name not in COLUMNS]
    values = [row[name] for row in rows for name in names if name in row]
    bottom, top = math.floor(min(values)), math.ceil(max(values) + 1e-9)
    last = rows[-1]["step"]

    def place(step: float, score: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (score - bottom) / (top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="14">Held-out pictures: PSNR of luma, dB, by kind of rain</text>',
    ]
    for score in _ticks(bottom, top):
        (x, y), (end, _) = place(0, score), place(last, score)
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{end:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{score:g}</text>')
    for step in _ticks(0, last):
        x, y = place(step, bottom)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{step:g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">steps</text>')
    for index, name in enumerate(names):
        colour = COLOURS[index % len(COLOURS)]
        points = [place(row["step"], row[name]) for row in rows if name in row]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        label = f"{escape(name)} {rows[-1][name]:.2f}"
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _ticks(low: float, high: float) -> list[float]:
    """Choose round numbers between two, four to ten of them."""
    rough = (high - low) / 5
    step = 10 ** math.floor(math.log10(rough))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]
