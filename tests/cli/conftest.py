"""The command line as a user meets it: in a process of its own where that matters, in this one where not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drsformer_cli.cli import app

ROOT = Path(__file__).parents[2]


@dataclass
class Outcome:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (16, 24)) -> Path:
    """Write a picture of noise, (height, width) pixels large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child process that finds the package and keeps to one thread."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **changes}


def spawn(*words: object, cwd: Path | None = None, **changes: str) -> subprocess.Popen[bytes]:
    """Start `derain` with all three streams piped."""
    command = [sys.executable, "-m", "drsformer_cli", *(os.fsencode(str(word)) for word in words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=environment(**changes)
    )


def run_process(*words: object, cwd: Path | None = None, data: bytes = b"", **changes: str) -> Outcome:
    """Run `derain` in a process of its own to its end; its output is taken as Latin-1, to lose no byte."""
    with spawn(*words, cwd=cwd, **changes) as process:
        out, err = process.communicate(data, timeout=120)
    return Outcome(process.returncode, out.decode("latin-1"), err.decode("latin-1"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep small pictures from waiting for a second core that others may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def derain(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs `derain` in this process."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["derain", *map(str, words)])
        capfd.readouterr()
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            app.main()
        signal.signal(signal.SIGTERM, handler)
        code = ended.value.code
        captured = capfd.readouterr()
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def tiny(golden: Path) -> Path:
    """Return a checkpoint of a network small enough to run at once."""
    return golden / "tiny_mefc.pth"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of three pictures, one of them in a folder below."""
    write_picture(tmp_path / "photos" / "a.png", 1)
    write_picture(tmp_path / "photos" / "b.jpg", 2)
    write_picture(tmp_path / "photos" / "deep" / "c.png", 3)
    return tmp_path / "photos"
