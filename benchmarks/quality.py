"""Quality of a model on folders of pictures: mean PSNR of luma (`rain200`), of the input and of the result.

    python benchmarks/quality.py FOLDER... [--model NAME|FILE] [--precision WORD] [--ensemble]

A folder with `rainy` and `clean` in it is scored as pairs, by equal stems; any other as clean pictures, which
a model should leave alone: there the result is compared with the input.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import drsformer_cli as derain
from drsformer_cli.restore.restorer import Restorer


def read(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def score(folder: Path, model: Restorer, *, single: bool) -> list[tuple[str, float, float]]:
    """Return name, PSNR of the input and PSNR of the result of every picture; NaN where there is no rain."""
    rows = []
    paired = (folder / "rainy").is_dir()
    for path in sorted((folder / "rainy" if paired else folder).iterdir()):
        rainy = read(path)
        clean = read(folder / "clean" / path.name) if paired else rainy
        before = derain.psnr(rainy, clean) if paired else float("nan")
        after = derain.psnr(model(rainy), clean)
        rows.append((path.stem, before, after))
        if single:
            print(f"  {folder.name}/{path.stem}: {before:.2f} -> {after:.2f}", flush=True)
    return rows


def main() -> None:
    """Print a table, one row a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--ensemble", action="store_true")
    parser.add_argument("--single", action="store_true", help="print every picture, too")
    options = parser.parse_args()
    model = derain.load(options.model, precision=options.precision, ensemble=options.ensemble)
    print("| pictures | number | input, dB | result, dB | gain, dB |\n|---|---|---|---|---|")
    for folder in options.folders:
        rows = score(folder, model, single=options.single)
        before, after = (float(np.mean([row[i] for row in rows])) for i in (1, 2))
        known = not np.isnan(before)
        cells = (f"{before:.2f}", f"{after - before:+.2f}") if known else ("clean", "")
        print(f"| {folder.name} | {len(rows)} | {cells[0]} | {after:.2f} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
