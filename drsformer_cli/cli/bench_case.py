"""One case of `derain bench`, in a process of its own: its peak memory is then that of this case alone.

    python -m drsformer_cli.cli.bench_case '{"picture": "p.npy", "model": "compact", ...}'

The last line on standard output is a JSON object with what was found.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from drsformer_cli.errors import DerainError

#: Side of the corner that is restored first, so that no clock runs while libraries make themselves ready.
CORNER = 64


def main() -> None:
    """Do what the first word says; the status is 0, or that of an error, whose sentence is on stderr."""
    order = json.loads(sys.argv[1])
    try:
        found = run(**order)
    except DerainError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_status)
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def run(
    picture: str, model: str, device: str, precision: str, tile: str | int, repeat: int
) -> dict[str, Any]:
    """Restore a picture `repeat` times.

    Args:
        picture: a NumPy file, (H, W, 3).
        model: as `derain.load` takes it, like the next three.
        device: where.
        precision: `fp32`, `bf16` or `fp16`.
        tile: `off` or a side in pixels.
        repeat: at least 1.

    Returns:
        `whole`, `seconds` of each run, `peak` in bytes, `device_peak` in bytes or None; or
        `fits`, False, and `problem`.
    """
    import numpy as np

    from drsformer_cli.restore.restorer import load

    restorer = load(model, device=device, precision=precision, tile=tile)
    rainy = np.load(picture)
    plan = restorer.describe(*rainy.shape[:2])
    if plan["memory"] > restorer.limit:
        need, have = plan["memory"] / 2**30, restorer.limit / 2**30
        problem = f"not tried: it needs about {need:.1f} GiB, and there are {have:.1f}"
        return {"whole": plan["whole"], "fits": False, "problem": problem}
    restorer.restore(rainy[:CORNER, :CORNER])
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        _, plan = restorer.restore(rainy)
        seconds.append(time.perf_counter() - start)
    return {
        "whole": plan["whole"],
        "seconds": seconds,
        "peak": peak_memory(),
        "device_peak": device_memory(restorer.device.type),
    }


def peak_memory() -> int:
    """Most bytes that this process has held so far."""
    import psutil

    info: Any = psutil.Process().memory_info()
    if sys.platform == "win32":
        return int(info.peak_wset)
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # bytes there, kilobytes elsewhere


def device_memory(kind: str) -> int | None:
    """Most bytes that this process has held on its GPU; None on a CPU, and where nobody counts."""
    import torch

    return int(torch.cuda.max_memory_reserved()) if kind == "cuda" else None


if __name__ == "__main__":
    main()
