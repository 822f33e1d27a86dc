"""Speed of SSIM and of a whole folder against scikit-image with equivalent settings; values must be equal.

    python benchmarks/metrics.py [--rounds N] [--pairs N] [--folder FOLDER]

One picture: the sides take turns on the same planes of luma, on one thread. A folder (with `clean` and `out`
in it; else one of made-up pictures, 512 x 512): the plain script, one process with Pillow and scikit-image,
against `derain eval` with one process and with one a processor, each a process of its own, in turn.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from drsformer_cli.quality.evaluate import available_processors
from drsformer_cli.quality.protocols import luma
from drsformer_cli.quality.similarity import GAUSSIAN, similarity

SIZES = ((512, 512), (1728, 2304))
EQUAL = 1e-9


def made_up(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a pair: waves with texture, and the same with noise; (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = (127 + 70 * np.sin(x / 17 + seed) + 40 * np.cos(y / 11))[..., None]
    clean = np.clip(waves + random.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    noisy = np.clip(clean + random.normal(0, 9, clean.shape), 0, 255).astype(np.uint8)
    return clean, noisy


def reference(a: np.ndarray, b: np.ndarray) -> float:
    """Return what scikit-image says of two planes of luma."""
    value = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return float(value)


def in_turn(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time each side `rounds` times, in turn, after a round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if turn:
                times[name].append(time.perf_counter() - began)
    return times


def report(title: str, times: dict[str, list[float]], base: str) -> None:
    """Print medians, spread, and ratios to `base`."""
    for name, each in times.items():
        median = statistics.median(each)
        ratio = statistics.median(times[base]) / median
        spread = f"{min(each) * 1e3:.1f} to {max(each) * 1e3:.1f}"
        print(f"| {title} | {name} | {median * 1e3:.1f} | {spread} | {ratio:.2f} |", flush=True)


def pictures(rounds: int) -> None:
    """Compare on single pictures."""
    cv2.setNumThreads(1)
    for height, width in SIZES:
        x, y = (luma(picture, rounded=True) for picture in made_up(height, width, 1))
        difference = abs(similarity(x, y, GAUSSIAN) - reference(x, y))
        if difference > EQUAL:
            sys.exit(f"the values differ by {difference}")
        sides = {
            "scikit-image": lambda x=x, y=y: reference(x, y),
            "derain": lambda x=x, y=y: similarity(x, y, GAUSSIAN),
        }
        report(
            f"SSIM, {width} x {height} (equal to {difference:.0e})", in_turn(sides, rounds), "scikit-image"
        )


def plain_script(folder: Path) -> None:
    """Do what a script does that uses scikit-image; print the means."""
    psnr, ssim = [], []
    for path in sorted((folder / "out").iterdir()):
        planes = [
            luma(np.asarray(Image.open(file).convert("RGB")), rounded=True)
            for file in (folder / "clean" / path.name, path)
        ]
        psnr.append(10 * math.log10(255**2 / np.mean((planes[0] - planes[1]) ** 2)))
        ssim.append(reference(*planes))
    print(json.dumps({"psnr": statistics.fmean(psnr), "ssim": statistics.fmean(ssim)}))


def run(*words: object, threads: int) -> dict[str, float]:
    """Run a process to its end and return the means in its last line."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, *map(str, words)], env=environment, check=True, capture_output=True, text=True
    )
    data = json.loads(done.stdout.splitlines()[-1])
    return {key: data[key]["mean"] if isinstance(data[key], dict) else data[key] for key in ("psnr", "ssim")}


def folders(folder: Path, rounds: int) -> None:
    """Compare on a folder."""
    names = ["-m", "drsformer_cli", "eval", "--gt", folder / "clean", "--pred", folder / "out", "--json"]
    cores = available_processors()
    means: dict[str, dict[str, float]] = {}

    def side(name: str, *words: object, threads: int = 1) -> Callable[[], object]:
        return lambda: means.update({name: run(*words, threads=threads)})

    sides = {
        "plain script": side("plain script", __file__, "--plain", folder),
        "derain, 1 process": side("derain, 1 process", *names, "--workers", 1),
        f"derain, {cores} processes": side(f"derain, {cores} processes", *names, "--workers", cores),
    }
    times = in_turn(sides, rounds)
    for key in ("psnr", "ssim"):
        values = [mean[key] for mean in means.values()]
        if max(values) - min(values) > EQUAL:
            sys.exit(f"the means of {key} differ: {values}")
    report(f"folder of {sum(1 for _ in (folder / 'out').iterdir())}", times, "plain script")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder-rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=200, help="of the made-up folder; 0: no folder")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain is not None:
        plain_script(options.plain)
        return
    print("| what | by | median, ms | least to most | times as fast |\n|---|---|---|---|---|")
    if options.rounds:
        pictures(options.rounds)
    if options.folder is not None:
        folders(options.folder, options.folder_rounds)
    elif options.pairs:
        with tempfile.TemporaryDirectory() as place:
            for index in range(options.pairs):
                for name, picture in zip(("clean", "out"), made_up(512, 512, index), strict=True):
                    (Path(place) / name).mkdir(exist_ok=True)
                    Image.fromarray(picture).save(Path(place) / name / f"{index}.png", compress_level=1)
            folders(Path(place), options.folder_rounds)


if __name__ == "__main__":
    main()
