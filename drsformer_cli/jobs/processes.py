"""Workers as processes of this machine, each with its share of the processors, or a GPU each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Lost, Ready, Recipe, Report, Unfit, Worker

THREADS = "OMP_NUM_THREADS"


class ProcessHands:
    """Spawned processes, one for each recipe, in their order.

    Args:
        recipes: what the workers are made of.
        threads: for each worker to compute with; None leaves that to OMP_NUM_THREADS.
    """

    def __init__(self, recipes: Sequence[Recipe], *, threads: int | None = None) -> None:
        self._recipes = [pickle.dumps(recipe) for recipe in recipes]
        self._threads = threads
        self._context = multiprocessing.get_context("spawn")
        self._next = 0
        self._workers: dict[Connection, tuple[int, BaseProcess]] = {}
        self._lines: dict[int, Connection] = {}
        self._gone: list[BaseProcess] = []

    @property
    def count(self) -> int:
        """Return how many workers there are to be."""
        return len(self._recipes)

    @property
    def waiting(self) -> str:
        """Return what they may be at."""
        return "they still load the model"

    def hire(self, slot: int) -> int:
        """Spawn a process."""
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=live,
            args=(there, self._recipes[slot], self._threads),
            name=f"derain-worker-{slot}",
            daemon=True,
        )
        process.start()
        there.close()  # so that this end hears when the other dies
        worker, self._next = self._next, self._next + 1
        self._workers[here] = worker, process
        self._lines[worker] = here
        return worker

    def send(self, worker: int, errand: Errand) -> None:
        """Give a process an errand."""
        with suppress(OSError):  # it is dead, and `poll` tells
            self._lines[worker].send(errand)

    def poll(self, seconds: float) -> list[Report]:
        """Return what the processes say, and which have died."""
        reports: list[Report] = []
        for line in wait(list(self._workers), seconds):
            assert isinstance(line, Connection)
            reports += self._hear(line)
        return reports

    def _hear(self, line: Connection) -> list[Report]:
        worker, process = self._workers[line]
        reports: list[Report] = []
        try:
            while line.poll():
                kind, *rest = line.recv()
                reports.append(kind(worker, *rest))
        except (EOFError, OSError):
            process.join(1)
            reports.append(Lost(worker, _how_it_ended(process.exitcode)))
        if any(isinstance(report, (Lost, Unfit)) for report in reports):
            self._gone.append(process)
            line.close()
            del self._workers[line], self._lines[worker]
        return reports

    def close(self) -> None:
        """Kill all processes."""
        for _, process in self._workers.values():
            process.kill()
        for line, (_, process) in self._workers.items():
            process.join()
            line.close()
        for process in self._gone:
            process.join()
        self._gone.clear()
        self._workers.clear()
        self._lines.clear()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def live(line: Connection, recipe: bytes, threads: int | None) -> None:
    """Live as a worker: load the model, do errands until the caller is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the caller decides
    if threads is not None:
        os.environ[THREADS] = str(threads)  # before anything that computes is imported
    try:
        made: Recipe = pickle.loads(recipe)
        worker = made.make()
    except Exception as error:  # whatever it is, the caller says it
        line.send((Unfit, portable(error)))
        return
    line.send((Ready, worker.facts))
    _work(line, worker)


def _work(line: Connection, worker: Worker) -> None:
    talking = threading.Lock()

    def do(errand: Errand) -> None:
        try:
            outcome: Any = worker.do(errand)
        except Exception as error:  # the caller raises it
            outcome = portable(error)
        with talking, suppress(OSError):
            line.send((Answer, errand.number, outcome))

    with ThreadPoolExecutor(MOST_ERRANDS) as pool:
        while True:
            try:
                errand = line.recv()
            except (EOFError, OSError):
                os._exit(0)  # nobody waits for what is in work
            pool.submit(do, errand)


def portable(error: Exception) -> Exception:
    """Return an error that arrives as what it is, without what hangs on it; any other as its words."""
    error.__traceback__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an unknown class does when it is copied
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
