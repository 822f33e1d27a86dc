"""Workers as actors of Ray: on the machines of a cluster, or on this one where no cluster is named.

Ray starts, places and watches the processes and carries errands and answers, a few hundred bytes each. Files
are read and written where the workers are, so all machines must see them under the same paths.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from drsformer_cli.errors import SetupError, UsageError
from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Lost, Ready, Recipe, Report, Unfit, Worker
from drsformer_cli.jobs.processes import THREADS, portable

# Ray reads these when it is imported: nothing is sent to anybody, and GPUs are hidden only from who has none.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
KNOCK_SECONDS = 10
STORE_BYTES = 100 << 20  # Ray's own memory for passing data, where we start it: no pixels pass


@dataclass(frozen=True)
class Node:
    """What a machine of the cluster has."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Layout:
    """How many workers there are, what each takes, and its share of its machine's, or GPU's, memory."""

    workers: int
    threads: int
    gpus: float
    share: float


def lay_out(
    nodes: Sequence[Node], *, workers: int | None, gpus: float | None, threads: int | None, cpu_only: bool
) -> Layout:
    """Settle who gets what.

    Args:
        nodes: the machines there are.
        workers: how many are asked for; one a GPU, or one a machine without GPUs, unless told.
        gpus: for each worker; 1 where the cluster has any, unless told.
        threads: for each worker; as many as fit, unless told.
        cpu_only: whether GPUs are not to be used.

    Raises UsageError when no machine has room for a worker.
    """
    gpus = 0.0 if cpu_only else gpus
    if gpus is None:
        gpus = 1.0 if any(node.gpus >= 1 for node in nodes) else 0.0
    able = [node for node in nodes if node.cpus >= 1 and node.gpus >= gpus]
    if not able:
        if gpus:
            raise UsageError(
                f"no machine of the cluster has a processor and {gpus:g} GPUs for a worker: give "
                "--gpus-per-worker less, or --device cpu."
            )
        raise UsageError("no machine of the cluster has a processor for a worker; see ray status.")

    def room(node: Node, threads: int) -> int:
        places = int(node.cpus // threads)
        return min(places, int(node.gpus / gpus + 1e-9)) if gpus else places

    if workers is None:
        workers = sum(room(node, 1) for node in able) if gpus else len(able)
    if threads is None:
        most = int(max(node.cpus for node in able))
        fitting = (n for n in range(most, 0, -1) if sum(room(node, n) for node in able) >= workers)
        threads = next(fitting, 1)
    neighbours = max(1, max(room(node, threads) for node in able))
    share = min(1.0, gpus) if gpus else 1 / min(neighbours, workers)
    return Layout(workers, threads, gpus, share)


class Actor:
    """What lives in a process that Ray started: a worker, once it has begun."""

    def __init__(self, recipe: bytes) -> None:
        self._recipe = recipe
        self._worker: Worker | None = None

    def begin(self) -> tuple[bool, Any]:
        """Load what is to be loaded; return whether that went well, and the facts or the error."""
        try:
            made: Recipe = pickle.loads(self._recipe)
            self._worker = made.make()
        except Exception as error:  # whatever it is, the caller says it
            return False, portable(error)
        return True, self._worker.facts

    def do(self, errand: Errand) -> Any:
        """Do an errand; return what became of it."""
        assert self._worker is not None
        try:
            return self._worker.do(errand)
        except Exception as error:  # the caller raises it
            return portable(error)


class RayHands:
    """Actors of Ray. A context manager: it connects to the cluster, or starts Ray here, and lets go of it."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._ray: Any = None
        self._started = False
        self._recipe = b""
        self._layout = Layout(0, 1, 0.0, 1.0)
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, tuple[int, int | None]] = {}
        self._next = 0
        self._most = 0

    def __enter__(self) -> RayHands:
        """Connect. Raises SetupError."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise SetupError(
                '--engine ray needs Ray, which is not installed: pip install "drsformer-cli[ray]".'
            ) from None
        self._ray = ray
        if not ray.is_initialized():
            self._connect()
        return self

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is None:
            quiet |= {"address": "local", "include_dashboard": False, "object_store_memory": STORE_BYTES}
        else:
            quiet |= {"address": self._address}
        try:
            self._knock()
            with _own_signals():
                self._ray.init(**quiet)
        except (RuntimeError, ValueError, OSError, self._ray.exceptions.RayError) as error:
            where = (
                f"Ray at {self._address} cannot be reached" if self._address else "Ray does not start here"
            )
            raise SetupError(f"{where} ({_last_line(error)}); see docs/cluster.md.") from error
        self._started = True
        with suppress(ImportError):
            # Deaths are told by us; Ray would tell them on standard output, among the lines of --json, and
            # has no public way to forbid that.
            inner: Any = importlib.import_module("ray._private.worker")
            inner._worker_logs_enabled = False

    def _knock(self) -> None:
        """Raise OSError where nobody answers: Ray itself would try for minutes."""
        match = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", self._address or "")
        if match is not None:
            socket.create_connection((match[1], int(match[2])), KNOCK_SECONDS).close()

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._started:
            self._ray.shutdown()

    def plan(self, *, workers: int | None, gpus: float | None, cpu_only: bool, threads: int | None) -> Layout:
        """Settle who gets what of the machines there are now. Raises UsageError."""
        nodes = [
            Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        self._layout = lay_out(nodes, workers=workers, gpus=gpus, threads=threads, cpu_only=cpu_only)
        return self._layout

    def bring(self, recipe: Recipe, *, most: int) -> None:
        """Say what the workers are made of, and how many are of use at most."""
        self._recipe = pickle.dumps(recipe)
        self._most = most

    @property
    def count(self) -> int:
        """Return how many workers there are to be."""
        return min(self._layout.workers, self._most)

    @property
    def waiting(self) -> str:
        """Return what they may be at."""
        return "they still load the model, or wait for room in the cluster (`ray status` tells what is taken)"

    def hire(self, _slot: int) -> int:
        """Have an actor placed where there is room; until then it waits, and the others work."""
        layout = self._layout
        actor = (
            self._ray.remote(Actor)
            .options(
                num_cpus=layout.threads,
                num_gpus=layout.gpus,
                max_concurrency=MOST_ERRANDS,
                max_restarts=0,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": {THREADS: str(layout.threads)}},
            )
            .remote(self._recipe)
        )
        worker, self._next = self._next, self._next + 1
        self._actors[worker] = actor
        self._waiting[actor.begin.remote()] = worker, None
        return worker

    def send(self, worker: int, errand: Errand) -> None:
        """Give an actor an errand."""
        self._waiting[self._actors[worker].do.remote(errand)] = worker, errand.number

    def poll(self, seconds: float) -> list[Report]:
        """Return what the actors say, and which are lost with their process or machine."""
        everything = list(self._waiting)
        if not everything:
            return []
        ready, _ = self._ray.wait(everything, num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(everything, num_returns=len(everything), timeout=0)
        reports: list[Report] = []
        for reference in ready:
            if reference in self._waiting:  # its worker was not lost meanwhile
                reports.append(self._hear(reference))
        return reports

    def _hear(self, reference: Any) -> Report:
        worker, number = self._waiting.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._bury(worker)
            return Lost(worker, _last_line(error))
        if number is not None:
            return Answer(worker, number, answer)
        well, facts = answer
        if well:
            return Ready(worker, facts)
        self._bury(worker)
        return Unfit(worker, facts)

    def _bury(self, worker: int) -> None:
        """See to it that a worker that is lost to us does nothing more, wherever it may be."""
        self._waiting = {ref: about for ref, about in self._waiting.items() if about[0] != worker}
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actors.pop(worker))

    def close(self) -> None:
        """Kill all actors."""
        for worker in list(self._actors):
            self._bury(worker)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what the caller does on SIGTERM, which Ray takes for itself."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _last_line(error: BaseException) -> str:
    """Return what an error of Ray, which tells a long story, says at its end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200].rstrip(".")
