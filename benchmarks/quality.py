"""Quality of a model on folders of pictures: mean PSNR of luma (`rain200`), of the input and of the result.

    python -m benchmarks.quality FOLDER... [--model NAME|FILE] [--precision WORD] [--ensemble] [--single]

A folder with `rainy` and `clean` in it is scored as pairs, by equal stems, and what others made of the rainy
pictures is scored beside it if it stands in a third folder there. A folder that holds such folders stands for
all of them. Any other is taken as clean pictures, which a model should leave alone: there the result is
compared with the input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import drsformer_cli as derain
from benchmarks.folders import expand, is_paired, read, words_for
from drsformer_cli.restore.restorer import Restorer


@dataclass(frozen=True)
class Row:
    """One picture: PSNR in dB of the rainy one (NaN where none is), of the result, and of others'."""

    name: str
    rainy: float
    result: float
    others: float = math.nan


def score(folder: Path, model: Restorer) -> list[Row]:
    """Score every picture of a folder."""
    if not is_paired(folder):
        return [
            Row(path.stem, math.nan, derain.psnr(model(picture := read(path)), picture))
            for path in sorted(folder.glob("*.png"))
        ]
    clean = {path.stem: path for path in (folder / "clean").iterdir()}
    rest = [child for child in folder.iterdir() if child.is_dir() and child.name not in ("rainy", "clean")]
    others = {path.stem: path for child in rest[:1] for path in child.iterdir()}
    rows = []
    for path in sorted((folder / "rainy").iterdir()):
        rainy, wanted = read(path), read(clean[path.stem])
        other = derain.psnr(read(others[path.stem]), wanted) if path.stem in others else math.nan
        rows.append(Row(path.stem, derain.psnr(rainy, wanted), derain.psnr(model(rainy), wanted), other))
    return rows


def cells(row: Row) -> str:
    """Write a row's numbers as cells of a table; empty ones where there is nothing to say."""
    gain = row.result - row.rainy
    numbers = [(row.rainy, ".2f"), (row.result, ".2f"), (gain, "+.2f"), (row.others, ".2f")]
    return " | ".join("" if math.isnan(value) else format(value, form) for value, form in numbers)


def main() -> None:
    """Print a table, one row a folder."""
    parser = words_for(__doc__.split("\n")[0])
    parser.add_argument("--ensemble", action="store_true")
    options = parser.parse_args()
    model = derain.load(options.model, precision=options.precision, ensemble=options.ensemble)
    print("| pictures | number | rainy, dB | result, dB | gain, dB | others, dB |\n|---|---|---|---|---|---|")
    for folder in expand(options.folders):
        rows = score(folder, model)
        columns = zip(*((row.rainy, row.result, row.others) for row in rows), strict=True)
        mean = Row(folder.name, *(float(np.mean(column)) for column in columns))
        print(f"| {mean.name} | {len(rows)} | {cells(mean)} |", flush=True)
        for row in rows if options.single else ():
            print(f"| · {row.name} | | {cells(row)} |", flush=True)


if __name__ == "__main__":
    main()
