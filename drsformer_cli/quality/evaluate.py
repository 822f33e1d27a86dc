"""Judging many pairs on all processors, in order, with few of them in memory at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext

from drsformer_cli import machine
from drsformer_cli.errors import MemoryLimitError
from drsformer_cli.media.guard import opencv
from drsformer_cli.quality import extra
from drsformer_cli.quality.judge import Pair, Row, Settings, judge

#: A process costs half a second to start: less than this many bytes of files are judged sooner without any.
WORTH_PROCESSES = 16 << 20
#: Pairs handed out ahead, for each process; what comes back and waits for its turn is numbers and previews.
AHEAD = 4
#: Windows waits for no more than 63 things at once, and two of them are the pool's own.
MOST_ON_WINDOWS = 61


def evaluate(
    pairs: Sequence[Pair], settings: Settings, *, workers: int | None = None
) -> Generator[Row, None, None]:
    """Judge pairs; their rows come in order, each as soon as it and all before it are done.

    workers: processes at work; None takes as many as there are processors, and none beside this one for a
    handful of pictures. Raises SetupError where a score cannot be had. Leaving early stops all of them.
    """
    count = min(_possible(available_processors() if workers is None else workers), len(pairs))
    if count < 2 or (workers is None and not _is_much(pairs)):
        machine.keep_memory()
        yield from (judge(pair, settings) for pair in pairs)
        return
    for name in settings.scores:
        extra.prepare(name)  # or each process would fetch what is missing
    # "spawn" is the one way of starting that works alike everywhere, beside threads of libraries, too
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(os.getpid(),))
    try:
        yield from _in_order(executor, pairs, settings, AHEAD * count)
    except BrokenProcessPool:
        words = "a process that compares pictures was killed, most likely for want of memory"
        raise MemoryLimitError(f"{words}: try --workers {max(1, count // 2)}.") from None
    except BaseException:  # what is at work, or about to begin, would be waited for
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _possible(workers: int, *, windows: bool = os.name == "nt") -> int:
    return min(workers, MOST_ON_WINDOWS) if windows else workers


def _in_order(
    executor: ProcessPoolExecutor, pairs: Sequence[Pair], settings: Settings, ahead: int
) -> Iterator[Row]:
    waiting: deque[Future[Row]] = deque()
    for index, pair in enumerate(pairs):
        with _deaf() if index < ahead else nullcontext():  # processes are started on the first ones
            waiting.append(executor.submit(judge, pair, settings))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes so that Ctrl-C, which a terminal sends to all, is for this one alone, and for later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    masked = hasattr(signal, "pthread_sigmask")
    if masked:  # which the new processes inherit, until `_begin`
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


def _begin(parent: int) -> None:
    """Make a new process work on one processor, leave Ctrl-C to its parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine.keep_memory()
    opencv().setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries of further scores, which are loaded later
    process = multiprocessing.parent_process()
    if process is not None and process.pid == parent:
        threading.Thread(target=_end_with, args=(process,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _is_much(pairs: Sequence[Pair]) -> bool:
    total = 0
    for pair in pairs:
        for path in (pair.restored, pair.clean, pair.rainy):
            try:
                total += path.stat().st_size if path is not None else 0
            except OSError:
                continue  # reading it will say why
        if total > WORTH_PROCESSES:
            return True
    return False


def available_processors() -> int:
    """Return how many processes may be at work, unless OMP_NUM_THREADS says otherwise, as for the network."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told):
        return int(told)
    return machine.processors()
