"""The folders of pictures that benchmarks score, and the words that name them.

A folder with `rainy` and `clean` in it holds pairs, by equal stems. One that holds such folders stands for
all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def words_for(description: str) -> argparse.ArgumentParser:
    """Return a parser of the words that these benchmarks have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--single", action="store_true", help="print every picture, too")
    return parser


def expand(named: Sequence[Path]) -> Iterator[Path]:
    """List the folders that those named stand for."""
    for folder in named:
        inside = [child for child in sorted(folder.iterdir()) if child.is_dir() and is_paired(child)]
        yield from [folder] if is_paired(folder) or not inside else inside


def is_paired(folder: Path) -> bool:
    """Whether a folder holds pairs."""
    return (folder / "rainy").is_dir() and (folder / "clean").is_dir()


def read(path: Path) -> NDArray[np.uint8]:
    """Read a picture as (H, W, 3) uint8."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
