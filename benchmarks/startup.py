"""Start-up of `derain --help` against the import of typer and rich, in turn, 20 times each."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 20
COMMANDS = {
    "import typer, rich": [sys.executable, "-c", "import typer, rich"],
    "derain --help": [sys.executable, "-m", "drsformer_cli", "--help"],
}


def main() -> None:
    """Print the median and the range of both, and the ratio of the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(RUNS + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if run:  # the first warms the file cache
                seconds[name].append(time.perf_counter() - start)
    for name, values in seconds.items():
        print(f"{name}: median {statistics.median(values):.3f} s, {min(values):.3f} to {max(values):.3f}")
    first, second = (statistics.median(values) for values in seconds.values())
    print(f"ratio of the medians: {second / first:.2f}")


if __name__ == "__main__":
    main()
