"""The plain network against the engine, and against what else runs it: speed, memory, equality, in one run.

    python -m benchmarks.engine [--size 256] [--pairs 5] [--model full|compact|FILE] [--variant mefc|plain]
                                [--sides plain,engine-fp32,...] [--ceiling]

Run it from the root of a checkout, on Linux. The plain network is the one of tests/literal.py: grouped
convolutions, four attention products, concatenations; eager, (B, C, H, W). Each side is a process of its own
with the default environment and the same threads, loaded and warmed up; then they take turns, forwards and
backwards. Memory is the peak of a fresh process above its loaded model, for one picture. The sides with
OpenVINO and ONNX Runtime need `pip install "drsformer-cli[bench]"`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.sides import NAMES, Side, Worker

DEFAULT = ("plain", "plain-tuned", "engine-fp32", "engine-bf16")
#: Seconds between two runs, for threads that wait by spinning to fall asleep.
PAUSE = 0.3


@dataclass
class Measured:
    """What came out of a side.

    Attributes:
        seconds: of each run.
        memory: peak above the loaded model in bytes.
        difference: largest difference from the plain network's residual, of its largest value.
        psnr: of the restored picture against the plain network's, in dB.
    """

    seconds: list[float] = field(default_factory=list)
    memory: int = 0
    difference: float = math.nan
    psnr: float = math.nan

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)


def measure(sides: list[Side], pairs: int, folder: Path) -> dict[str, Measured]:
    """Measure all sides in turn; the first is what the others are compared with."""
    measured = {side.side: Measured() for side in sides}
    for side in sides:
        worker = Worker(side, warm=False)
        measured[side.side].memory = worker.ask("memory")
        worker.close()
    workers = [Worker(side) for side in sides]
    if len({worker.ready for worker in workers}) > 1:
        raise SystemExit("the sides have different numbers of threads")
    for number in range(pairs):
        for worker in workers if number % 2 == 0 else reversed(workers):
            time.sleep(PAUSE)
            measured[worker.side.side].seconds.append(worker.ask("run"))
    results = [np.load(worker.ask(f"save {folder / worker.side.side}.npy")) for worker in workers]
    for worker in workers:
        worker.close()
    rainy = sides[0].picture()
    for side, result in zip(sides, results, strict=True):
        compare(measured[side.side], result, results[0], rainy)
    return measured


def compare(measured: Measured, result: np.ndarray, plain: np.ndarray, rainy: np.ndarray) -> None:
    """Note how far a result is from the plain network's."""
    largest = np.abs(plain.astype(np.float64) - rainy).max()
    measured.difference = float(np.abs(result.astype(np.float64) - plain).max() / largest)
    error = np.mean((np.clip(result, 0, 1).astype(np.float64) - np.clip(plain, 0, 1)) ** 2)
    measured.psnr = math.inf if error == 0 else -10 * math.log10(error)


def table(measured: dict[str, Measured], size: tuple[int, int]) -> str:
    """Write a Markdown table, a row a side."""
    first = next(iter(measured.values()))
    tuned = measured.get("plain-tuned")
    lines = [
        "| side | seconds, median | min to max | MP/s | faster than plain | than plain, tuned allocator "
        "| peak, MB | of plain's | difference | PSNR, dB |",
        "|" + "---|" * 10,
    ]
    for name, side in measured.items():
        cells = [
            name,
            f"{side.median:.3f}",
            f"{min(side.seconds):.3f} to {max(side.seconds):.3f}",
            f"{size[0] * size[1] / 1e6 / side.median:.4f}",
            f"{first.median / side.median:.2f}",
            f"{tuned.median / side.median:.2f}" if tuned else "",
            f"{side.memory / 1e6:.0f}",
            f"1/{first.memory / side.memory:.1f}" if side.memory > 0 else "",
            f"{side.difference:.1e}",
            f"{side.psnr:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sides_of(options: argparse.Namespace, folder: Path) -> list[Side]:
    """Turn the command line into sides, the plain one first; export the network if one of them needs it."""
    names = dict.fromkeys(["plain", *options.sides.split(",")])
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise SystemExit(f"no such side: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    size = (options.size, options.size)
    base = Side(
        "export",
        options.model,
        options.variant,
        size,
        options.threads,
        str(folder / "plain.onnx"),
        options.device,
    )
    if any(name.startswith(("openvino", "onnxruntime")) for name in names):
        Worker(base).close()
    return [replace(base, side=name) for name in names]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="side of the square picture, a multiple of 8")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--model", default="full", help="full, a name of the catalogue, or a file")
    parser.add_argument("--variant", default="mefc", choices=("mefc", "plain"), help="of the full network")
    parser.add_argument("--sides", default=",".join(DEFAULT), help=f"of {', '.join(NAMES)}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--ceiling", action="store_true", help="how far it is from the machine's best")
    options = parser.parse_args()
    model = f"full {options.variant}" if options.model == "full" else options.model
    print(f"{model} at {options.size} x {options.size}, {options.threads} threads, {options.pairs} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        sides = sides_of(options, Path(folder))
        measured = measure(sides, options.pairs, Path(folder))
    print(table(measured, sides[0].size), flush=True)
    if options.ceiling:
        from benchmarks.ceiling import report

        for side in sides:
            if side.side.startswith("engine-"):
                print("\n" + report(side, measured[side.side].median), flush=True)


if __name__ == "__main__":
    main()
