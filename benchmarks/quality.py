"""Quality of a model on folders of pictures: mean PSNR of luma (`rain200`), of the input and of the result.

    python benchmarks/quality.py FOLDER... [--model NAME|FILE] [--precision WORD] [--ensemble] [--single]

A folder with `rainy` and `clean` in it is scored as pairs, by equal stems, and what others made of the rainy
pictures is scored beside it if it stands in a third folder there. A folder that holds such folders stands for
all of them. Any other is taken as clean pictures, which a model should leave alone: there the result is
compared with the input.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import drsformer_cli as derain
from drsformer_cli.restore.restorer import Restorer


@dataclass(frozen=True)
class Row:
    """One picture: PSNR in dB of the rainy one (NaN where none is), of the result, and of others'."""

    name: str
    rainy: float
    result: float
    others: float = math.nan


def read(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def is_paired(folder: Path) -> bool:
    """Whether a folder holds pairs."""
    return (folder / "rainy").is_dir() and (folder / "clean").is_dir()


def expand(folder: Path) -> list[Path]:
    """List the folders that one folder stands for."""
    inside = [child for child in sorted(folder.iterdir()) if child.is_dir() and is_paired(child)]
    return [folder] if is_paired(folder) or not inside else inside


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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--ensemble", action="store_true")
    parser.add_argument("--single", action="store_true", help="print every picture, too")
    options = parser.parse_args()
    model = derain.load(options.model, precision=options.precision, ensemble=options.ensemble)
    print("| pictures | number | rainy, dB | result, dB | gain, dB | others, dB |\n|---|---|---|---|---|---|")
    for folder in (child for named in options.folders for child in expand(named)):
        rows = score(folder, model)
        columns = zip(*((row.rainy, row.result, row.others) for row in rows), strict=True)
        mean = Row(folder.name, *(float(np.mean(column)) for column in columns))
        print(f"| {mean.name} | {len(rows)} | {cells(mean)} |", flush=True)
        for row in rows if options.single else ():
            print(f"| · {row.name} | | {cells(row)} |", flush=True)


if __name__ == "__main__":
    main()
