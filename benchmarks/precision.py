"""How near half precision comes to fp32: PSNR between the two results, by folder of pictures.

    python benchmarks/precision.py FOLDER... [--model NAME|FILE] [--precision bf16]

`auto` may take the faster precision for a model where the least of these is 50 dB or more.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np
from PIL import Image

import drsformer_cli as derain
from drsformer_cli.restore.restorer import Restorer

KINDS = (".png", ".jpg")


def agreement(path: Path, exact: Restorer, fast: Restorer) -> float:
    """Return PSNR in dB, peak 1, between both results for a picture, neither rounded to 8 bits."""
    with Image.open(path) as image:
        rainy = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
    return float(-10 * np.log10(np.mean((exact(rainy) - fast(rainy)) ** 2, dtype=np.float64)))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--precision", default="bf16")
    words = parser.parse_args()
    exact, fast = (
        derain.load(words.model, device="cpu", precision=precision) for precision in ("fp32", words.precision)
    )
    print(f"| pictures | number | {words.precision} from fp32, dB: least | median |\n|---|---|---|---|")
    for folder in words.folders:
        paths = sorted(path for path in folder.iterdir() if path.suffix in KINDS)
        values = [agreement(path, exact, fast) for path in paths]
        name = f"{folder.parent.name}/{folder.name}" if folder.name == "rainy" else folder.name
        print(f"| {name} | {len(values)} | {min(values):.1f} | {statistics.median(values):.1f} |", flush=True)


if __name__ == "__main__":
    main()
