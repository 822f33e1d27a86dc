"""Real processes of the real command, many a second: forked from one that has loaded all that is heavy.

Each child is a process of its own, with signals, limits, a user and streams of its own, and runs what the
console entry point runs. What a fresh interpreter does before that is left out; `fresh` has it in.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended: `status` as a shell tells it, negative for the signal that killed it."""

    status: int
    out: str
    err: str


@dataclass
class Child:
    """A running command."""

    pid: int
    streams: tuple[Path, Path]
    nursery: Nursery
    ended: Ended | None = field(default=None)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.poll():
            os.kill(self.pid, number)  # its number is its own until it is waited for, which `poll` did not

    def poll(self) -> bool:
        """Tell whether it has ended."""
        return self._look(0)

    def wait(self, seconds: float = 250) -> Ended:
        """Wait for its end; a command that hangs is killed, and fails the test."""
        if not self._look(seconds):
            os.kill(self.pid, signal.SIGKILL)
            self._look(10)
            raise AssertionError(f"it hung for {seconds} seconds: {self.streams[1].read_text()}")
        assert self.ended is not None
        return self.ended

    def _look(self, seconds: float) -> bool:
        if self.ended is None:
            status = self.nursery.ask(op="wait", pid=self.pid, seconds=seconds)
            if status is None:
                return False
            out, err = (path.read_text("utf-8", "replace") for path in self.streams)
            self.ended = Ended(status, out, err)
        return True


class Nursery:
    """The process that forks commands. A context manager.

    scratch: a folder for their streams. words: of a command that the process itself runs first, to warm up.
    """

    def __init__(self, scratch: Path, words: Sequence[object]) -> None:
        self._scratch, self._count = scratch, 0
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery", str(theirs.fileno()), *map(str, words)],
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=ROOT,
        )
        theirs.close()
        self._line = ours.makefile("rw")
        self._socket = ours
        assert self._hear() == "ready"

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._socket.close()
        self._process.wait(60)

    def ask(self, **words: Any) -> Any:
        """Ask the process for something, and return its answer."""
        self._line.write(json.dumps(words) + "\n")
        self._line.flush()
        return self._hear()

    def _hear(self) -> Any:
        line = self._line.readline()
        assert line, "the nursery died"
        return json.loads(line)

    def start(
        self,
        *words: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        room: int | None = None,
        before: str = "",
    ) -> Child:
        """Start `derain` with these words.

        user: whose rights it has. room: bytes of address space that it may take beyond what it has already.
        before: Python that is executed in the process before the command begins.
        """
        self._count += 1
        streams = self._scratch / f"{self._count}.out", self._scratch / f"{self._count}.err"
        for path in streams:
            path.touch()  # the child may be killed before it can
        pid = self.ask(
            op="start",
            words=[str(word) for word in words],
            cwd=str(cwd or self._scratch),
            env=dict(env or {}),
            user=user,
            room=room,
            before=before,
            streams=[str(path) for path in streams],
        )
        return Child(pid, streams, self)

    def run(self, *words: object, seconds: float = 250, **options: Any) -> Ended:
        """Run `derain` to its end."""
        return self.start(*words, **options).wait(seconds)


def fresh(*words: object, cwd: Path) -> subprocess.Popen[bytes]:
    """Start `derain` in an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "drsformer_cli", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=pipe, stderr=pipe)


# ---- the other side


def _live(words: Mapping[str, Any]) -> None:
    """Become the command; never returns."""
    for number, path in zip((1, 2), words["streams"], strict=True):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(words["cwd"])
    os.environ.update(words["env"])
    if words["room"] is not None:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + words["room"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if words["user"] is not None:
        os.setgroups([])
        os.setgid(words["user"])
        os.setuid(words["user"])
    sys.argv = ["derain", *words["words"]]
    exec(compile(words["before"], "before", "exec"), {"__name__": "before"})
    from drsformer_cli.__main__ import main

    main()


def _start(words: Mapping[str, Any], number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.close(number)
    _live(words)  # its SystemExit leads past the loop, through the ordinary end of a process
    raise AssertionError("the command has no end")


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.003)


def _load() -> None:
    """Load what every command needs, and make sure that nothing has started a thread."""
    import av  # noqa: F401
    import cv2  # noqa: F401
    import PIL.Image
    import torch

    import drsformer_cli.cli.session
    import drsformer_cli.cli.verdict
    import drsformer_cli.cli.video_session
    import drsformer_cli.jobs.film_batch
    import drsformer_cli.media.images
    import drsformer_cli.quality.report
    import drsformer_cli.restore.restorer
    import drsformer_cli.weights.manage  # noqa: F401

    torch.set_num_threads(1)
    PIL.Image.init()


def _warm_up(words: list[str]) -> None:
    """Run a command here, so that each child finds loaded what that loads."""
    from drsformer_cli.cli.app import main

    sys.argv = ["derain", *words]
    with suppress(SystemExit):
        main()
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tasks, end = Path("/proc/self/task"), time.monotonic() + 60
    while tasks.is_dir() and len(list(tasks.iterdir())) > 1:  # they do not survive a fork
        assert time.monotonic() < end, "something has left a thread running"
        time.sleep(0.01)


def _main(number: int, words: list[str]) -> None:
    """Fork and wait as told, line by line, with nothing in a buffer that a child could have, too."""
    os.set_inheritable(number, False)
    _load()
    _warm_up(words)
    os.write(number, b'"ready"\n')
    text = b""
    while block := os.read(number, 1 << 16):
        text += block
        if not text.endswith(b"\n"):
            continue
        words, text = json.loads(text), b""
        told = _start(words, number) if words["op"] == "start" else _wait(words["pid"], words["seconds"])
        os.write(number, json.dumps(told).encode() + b"\n")
    os._exit(0)  # nothing is to be cleared away, which would take a while


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
