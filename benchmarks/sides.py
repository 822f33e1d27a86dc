"""One side of a benchmark in a process of its own: it loads, warms up, and then does what it is told.

    python -m benchmarks.sides '{"side": "engine-bf16", "model": "full", ...}'     (see `Side`)

Commands stand on standard input, a line each; answers on standard output, a line of JSON each behind MARK:
`run` (seconds of one picture), `memory` (bytes that one picture takes above what was there before), `save
FILE` (one restored picture, (H, W, 3) float32).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
MARK = "@@ "
#: What a user could tell glibc's allocator from outside: never give memory back, never map it anew.
TUNED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NAMES = (
    "plain",
    "plain-tuned",
    *(f"engine-{precision}" for precision in PRECISIONS),
    "openvino-fp32",
    "openvino-bf16",
    "onnxruntime-fp32",
)
Run = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Side:
    """What is measured.

    Attributes:
        side: one of NAMES.
        model: `full` (golden parameters), a name of the catalogue, or a file.
        variant: of the full network, `mefc` or `plain`.
        size: height and width of the picture.
        threads: of arithmetic.
        exported: the plain network as an ONNX file, for the sides that take one.
        device: `cpu` or `cuda`.
    """

    side: str
    model: str
    variant: str
    size: tuple[int, int]
    threads: int
    exported: str = ""
    device: str = "cpu"

    def tensors(self) -> dict[str, Tensor]:
        """Read the parameters. The full network's residual is made small, so that results are pictures."""
        if self.model != "full":
            from drsformer_cli import weights

            return dict(weights.read(weights.resolve(self.model)).tensors)
        from tests.networks import full_size_tensors

        tensors = full_size_tensors(ROOT / "tests" / "golden", self.variant)
        tensors["output.weight"] *= 0.02
        return tensors

    def picture(self) -> np.ndarray:
        """Return the picture, (H, W, 3) float32 in [0, 1]: smooth, with noise on it."""
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        waves = [0.5 + 0.4 * np.sin(x / (7 + c) + c) * np.cos(y / (11 - c)) for c in range(3)]
        noise = np.random.RandomState(0).uniform(-0.1, 0.1, (*self.size, 3))
        return np.clip(np.stack(waves, axis=-1) + noise, 0, 1).astype(np.float32)

    def load(self) -> Run:
        """Load it all and return what restores the picture once."""
        kind, _, precision = self.side.partition("-")
        loaders: dict[str, Callable[[str], Run]] = {
            "plain": self._plain,
            "engine": self._engine,
            "openvino": self._openvino,
            "onnxruntime": self._onnxruntime,
        }
        return loaders[kind](precision)

    def _plain(self, _: str) -> Run:
        from tests.literal import LiteralDRSformer

        if self.device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        network = LiteralDRSformer({name: t.to(self.device) for name, t in self.tensors().items()})
        rainy = torch.from_numpy(self.picture()).permute(2, 0, 1)[None].contiguous()

        def run() -> np.ndarray:
            with torch.inference_mode():
                return network(rainy.to(self.device))[0].permute(1, 2, 0).cpu().numpy()

        return run

    def _engine(self, precision: str) -> Run:
        from drsformer_cli.model.drsformer import DRSformer
        from drsformer_cli.restore.banded import Banded

        network = DRSformer.from_state_dict(self.tensors()).to(self.device)
        engine, rainy = Banded(network, PRECISIONS[precision]), torch.from_numpy(self.picture())
        return lambda: engine(rainy.to(self.device)).cpu().numpy()

    def _openvino(self, precision: str) -> Run:
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
        }
        compiled = core.compile_model(self.exported, "CPU", settings)
        request, rainy = compiled.create_infer_request(), self._channels_first()
        return lambda: np.moveaxis(request.infer([rainy])[0][0], 0, -1)

    def _onnxruntime(self, _: str) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(self.exported, options, providers=["CPUExecutionProvider"])
        name, rainy = session.get_inputs()[0].name, self._channels_first()
        return lambda: np.moveaxis(session.run(None, {name: rainy})[0][0], 0, -1)

    def _channels_first(self) -> np.ndarray:
        return np.ascontiguousarray(np.moveaxis(self.picture(), -1, 0)[None])

    def export(self, path: Path) -> None:
        """Write the plain network for pictures of this size as ONNX."""
        from tests.literal import LiteralDRSformer

        network = LiteralDRSformer(self.tensors()).eval()
        torch.onnx.export(network, (torch.from_numpy(self._channels_first()),), str(path), dynamo=True)


class Worker:
    """A side running in a child process.

    Args:
        side: what it does.
        warm: whether it restores the picture once before it is ready.
    """

    def __init__(self, side: Side, *, warm: bool = True) -> None:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        environment.update(TUNED if side.side == "plain-tuned" else {})
        words = [sys.executable, "-m", "benchmarks.sides", json.dumps({**asdict(side), "warm": warm})]
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.side, self.ready = side, self._answer()

    def ask(self, command: str) -> Any:
        """Send a command and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise SystemExit(f"{self.side.side} ended with status {self.process.wait()}; see above")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def resident(field: str) -> int:
    """Bytes that this process holds (`VmRSS`) or held at most (`VmHWM`); Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"the system does not tell {field}")


def memory_of(run: Run, device: str) -> int:
    """Bytes at most above what is there before, while one picture is restored."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far is that of loading
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def answer(command: str, run: Run, device: str) -> Any:
    """Do what a command says."""
    word, _, rest = command.strip().partition(" ")
    if word == "memory":
        return memory_of(run, device)
    if word == "save":
        np.save(rest, run())
        return rest
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Serve until standard input ends."""
    words = json.loads(sys.argv[1])
    warm, words["size"] = words.pop("warm"), tuple(words["size"])
    side = Side(**words)
    torch.set_num_threads(side.threads)
    if side.side == "export":
        side.export(Path(side.exported))
        print(MARK + "true", flush=True)
        return
    run = side.load()
    if warm:
        run()
    print(f"{MARK}{torch.get_num_threads()}", flush=True)
    for command in sys.stdin:
        print(MARK + json.dumps(answer(command, run, side.device)), flush=True)


if __name__ == "__main__":
    main()
