"""How much cheaper one model is than another: megapixels a second of the engine, in turn, in one run.

    python -m benchmarks.models [--models full,compact] [--size 512] [--rounds 5] [--precisions fp32,bf16]

`full` is the larger published network, `full plain` the smaller one; others are names of the catalogue, or
files. Each model and precision is a process of its own with the default environment, loaded and warmed up.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from benchmarks.engine import PAUSE
from benchmarks.sides import Side, Worker


def side_of(model: str, precision: str, size: int, threads: int) -> Side:
    """Return the engine with a model at a precision, on one square picture."""
    name, _, variant = model.partition(" ")
    if name != "full":
        name, variant = model, ""
    return Side(f"engine-{precision}", name, variant or "mefc", (size, size), threads, "", "cpu")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="full,full plain,compact", help="the first is compared with")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--size", type=int, default=512, help="side of the square picture, a multiple of 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    models, size = options.models.split(","), options.size
    print(f"{size} x {size} pixels, {options.threads} threads, {options.rounds} rounds\n")
    print(f"| model | precision | seconds, median | least to most | MP/s | times {models[0]}'s |")
    print("|---|---|---|---|---|---|")
    for precision in options.precisions.split(","):
        workers = {model: Worker(side_of(model, precision, size, options.threads)) for model in models}
        seconds: dict[str, list[float]] = {model: [] for model in models}
        for _ in range(options.rounds):
            for model, worker in workers.items():
                time.sleep(PAUSE)
                seconds[model].append(worker.ask("run"))
        for worker in workers.values():
            worker.close()
        first = statistics.median(seconds[models[0]])
        for model, each in seconds.items():
            median = statistics.median(each)
            spread = f"{min(each):.3f} to {max(each):.3f}"
            rate = f"{size * size / 1e6 / median:.3f}"
            print(
                f"| {model} | {precision} | {median:.3f} | {spread} | {rate} | {first / median:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
