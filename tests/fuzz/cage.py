"""Hostile work in a process of its own: with a time limit and a memory limit, its death seen and counted.

The child is begun afresh (no fork), so it works on every system; the limit of its memory holds where the
system has one to set.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import psutil

TIME_LIMIT = 30.0  # seconds of a processor, for one input: on a busy machine more of them pass on the clock
PATIENCE = 10  # times the limit, on the clock
MEMORY_LIMIT = 3 << 30  # bytes of address space, beyond what the program itself takes
CRASH, HANG, ESCAPED = "crash", "hang", "escaped"


def limit_memory(more: int) -> None:
    """Let this process take at most `more` bytes besides what it has; does nothing where that is unknown."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    most = psutil.Process().memory_info().vms + more
    with suppress(OSError, ValueError):  # refused where a lower one is set already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _serve(pipe: Connection, work: Callable[..., str], memory: int) -> None:
    limited = False
    while True:
        try:
            words = pipe.recv()
        except EOFError:
            return
        try:
            answer = work(*words)
        except BaseException as error:  # whatever it is, it should not have come this far
            where = traceback.extract_tb(sys.exc_info()[2])[-1]
            words_of = f"{type(error).__name__}: {str(error)[:200]}"
            answer = f"{ESCAPED}: {words_of} ({where.filename}:{where.lineno})"
        pipe.send(answer)
        if not limited:  # what the work imports does not count
            limit_memory(memory)
            limited = True


class Cage:
    """Runs `work(*words)` in a child and returns its answer, or how it failed to give one.

    Answers that begin with "crash", "hang" or "escaped" are failures. A context manager.
    """

    def __init__(
        self, work: Callable[..., str], *, seconds: float = TIME_LIMIT, memory: int = MEMORY_LIMIT
    ) -> None:
        self._work, self._seconds, self._memory = work, seconds, memory
        self._child: Any = None
        self._pipe: Any = None

    def __enter__(self) -> Cage:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, *words: object) -> str:
        """Do it; a child that died or had to be ended is followed by another."""
        if self._child is None:
            self._begin()
        try:
            self._pipe.send(words)
            if not self._answers():
                self._end()
                return f"{HANG}: no answer within {self._seconds:g} s"
            return str(self._pipe.recv())
        except (EOFError, OSError):
            self._child.join(10)
            code = self._child.exitcode
            self._end()
            name = signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
            return f"{CRASH}: the process ended with {name}"

    def _answers(self) -> bool:
        """Wait for an answer, but not for ever."""
        start, before = time.monotonic(), self._worked()
        while not self._pipe.poll(1):
            if self._worked() - before > self._seconds:
                return False
            if time.monotonic() - start > PATIENCE * self._seconds:
                return False
        return True

    def _worked(self) -> float:
        """Seconds of a processor that the child has had."""
        try:
            times = psutil.Process(self._child.pid).cpu_times()
        except psutil.Error:  # it is dead, as the pipe will tell
            return 0.0
        return float(times.user + times.system)

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs, self._work, self._memory), daemon=True)
        self._child.start()
        theirs.close()

    def _end(self) -> None:
        if self._child is not None:
            self._pipe.close()
            self._child.kill()
            self._child.join()
            self._child = None
