"""Tiles against whole pictures: how far apart the answers are, which is nearer the truth, do seams show.

    python -m benchmarks.tiles FOLDER... [--model compact] [--tiles 128,256,512] [--overlap PIXELS]
                               [--precision fp32] [--single]

A folder with `rainy` and `clean` in it is a folder of pairs, by equal stems; of any other every picture is
restored, and there is no truth. A folder that holds folders of pairs stands for all of them. Figures are
means over a folder's pictures; those that are no larger than a tile are left out of that tile's row.

A seam is told by gradients: the mean absolute difference of neighbouring pixels in the middle of the strips
where tiles fade into each other, over that of all others; once of the tiled answer, where the whole answer's
own ratio stands beside it, and once of the difference between the two. About 1 means no seam.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import drsformer_cli as derain
from benchmarks.folders import expand, is_paired, read, words_for
from drsformer_cli.restore.tiles import starts

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
Pixels = NDArray[np.uint8]
HEADINGS = (
    "pictures", "tile", "number", "PSNR to whole, Y", "RGB", "lowest, Y", "whole to truth, Y",
    "tiled to truth, Y", "difference", "seam: tiled", "whole", "of the difference",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One picture at one size of tiles; PSNR in dB, NaN where there is no truth; seams as ratios."""

    luma: float
    colour: float
    whole_truth: float
    tiled_truth: float
    tiled_seam: float
    whole_seam: float
    difference_seam: float


def pictures(folder: Path) -> Iterator[tuple[Path, Path | None]]:
    """List rainy pictures, each with its truth where there is one."""
    paired = is_paired(folder)
    truths = {path.stem: path for path in (folder / "clean").iterdir()} if paired else {}
    for path in sorted((folder / "rainy" if paired else folder).iterdir()):
        if path.suffix.lower() in SUFFIXES:
            yield path, truths.get(path.stem)


def rgb_psnr(a: Pixels, b: Pixels) -> float:
    """PSNR over all three channels in dB."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def borders(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels behind the middles of the strips where neighbouring tiles fade into each other."""
    first = starts(length, tile, overlap)
    return [(after + before + tile) // 2 for before, after in pairwise(first)]


def seams(picture: NDArray[np.floating], rows: list[int], columns: list[int]) -> float:
    """Mean absolute gradient across tile borders over that elsewhere in the same direction; NaN without any.

    Args:
        picture: (H, W, C).
        rows: the first rows of tiles below a border.
        columns: the first columns of tiles to the right of one.
    """
    across, elsewhere = [], []
    for axis, lines in ((0, rows), (1, columns)):
        steps = np.abs(np.diff(picture.astype(np.float64), axis=axis)).mean(axis=(1 - axis, 2))
        at = np.zeros(len(steps), dtype=bool)
        at[[line - 1 for line in lines]] = True
        if lines:
            across.append(steps[at])
            elsewhere.append(steps[~at])
    if not across:
        return math.nan
    rest = float(np.concatenate(elsewhere).mean())
    return float(np.concatenate(across).mean()) / rest if rest else math.nan


def compare(whole: Pixels, tiled: Pixels, truth: Pixels | None, tile: tuple[int, int], overlap: int) -> Row:
    """Compare two answers for one picture; `tile` is (height, width)."""
    lines = [borders(length, side, overlap) for length, side in zip(whole.shape, tile, strict=False)]
    lines = [
        [line for line in side if line < length] for side, length in zip(lines, whole.shape, strict=False)
    ]
    difference = tiled.astype(np.float64) - whole
    return Row(
        luma=derain.psnr(tiled, whole),
        colour=rgb_psnr(tiled, whole),
        whole_truth=math.nan if truth is None else derain.psnr(whole, truth),
        tiled_truth=math.nan if truth is None else derain.psnr(tiled, truth),
        tiled_seam=seams(tiled, *lines),
        whole_seam=seams(whole, *lines),
        difference_seam=seams(difference, *lines),
    )


def cells(rows: list[Row]) -> list[str]:
    """Write the means over pictures as cells; a dash where there is nothing to say."""

    def mean(name: str, form: str = ".2f") -> str:
        values = [value for value in (getattr(row, name) for row in rows) if math.isfinite(value)]
        return format(float(np.mean(values)), form) if values else "–"

    gains = [row.tiled_truth - row.whole_truth for row in rows if math.isfinite(row.tiled_truth)]
    return [
        str(len(rows)),
        mean("luma"),
        mean("colour"),
        f"{min(row.luma for row in rows):.2f}",
        mean("whole_truth"),
        mean("tiled_truth"),
        f"{np.mean(gains):+.3f}" if gains else "–",
        mean("tiled_seam", ".3f"),
        mean("whole_seam", ".3f"),
        mean("difference_seam", ".3f"),
    ]


def main() -> None:
    """Print a table, a row a folder and size of tiles."""
    parser = words_for(__doc__.split("\n")[0])
    parser.add_argument("--tiles", default="128,256,512")
    parser.add_argument("--overlap", type=int)
    options = parser.parse_args()
    keywords = {"precision": options.precision, "overlap": options.overlap}
    whole = derain.load(options.model, tile="off", **keywords)
    tiled = {
        int(side): derain.load(options.model, tile=int(side), **keywords) for side in options.tiles.split(",")
    }
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    for folder in expand(options.folders):
        rows: dict[int, list[Row]] = {side: [] for side in tiled}
        for path, truth in pictures(folder):
            rainy, clean = read(path), None if truth is None else read(truth)
            answer = whole(rainy)
            for side, model in tiled.items():
                result, plan = model.restore(rainy)
                if plan["whole"]:
                    continue
                rows[side].append(compare(answer, result, clean, plan["tile"], plan["overlap"]))
                if options.single:
                    print(f"| · {path.stem} | {side} | {' | '.join(cells(rows[side][-1:]))} |", flush=True)
        for side, of_side in rows.items():
            if of_side:
                print(f"| {folder.name} | {side} | {' | '.join(cells(of_side))} |", flush=True)


if __name__ == "__main__":
    main()
