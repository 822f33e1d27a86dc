"""The loop: one thread reads and decodes, the caller's thread runs the model, one thread encodes and writes.

Between them stand two queues and a gate that bounds, by number and by bytes, the pictures that are in memory
at once. All events pass through the writer, so they come in the order of the tasks.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.gate import MOST_PICTURES, Gate, byte_budget
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import Decision
from drsformer_cli.jobs.side_thread import SideThread
from drsformer_cli.jobs.source import read_input
from drsformer_cli.jobs.store import Store
from drsformer_cli.media.images import MOST_PIXELS, Picture, decode, encode

POLL_SECONDS = 0.1
READER_PATIENCE_SECONDS = 5.0


class Model(Protocol):
    """What the loop needs of a restorer."""

    def restore(self, rainy: NDArray[Any], /) -> tuple[NDArray[Any], dict[str, Any]]:
        """Restore one picture (H, W, 3); return it in the same shape and dtype, and how it was done."""


@dataclass
class _Loaded:
    task: Task
    input: Input
    picture: Picture
    decision: Decision
    weight: int


@dataclass
class _Restored:
    loaded: _Loaded
    frames: list[NDArray[Any]]
    plan: dict[str, Any] | list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class _Fault:
    error: BaseException


_Passing = Skipped | Failed


def restore_each(model: Model, picture: Picture) -> Iterator[tuple[NDArray[Any], dict[str, Any] | None]]:
    """Restore one frame after the other; yield each, and how it was done.

    One that is equal to the frame before is not computed again: then how is None.
    """
    before, clean = None, None
    for frame in picture.frames:
        plan = None
        if clean is None or before is None or not np.array_equal(before, frame):
            clean, plan = model.restore(frame)
        before = frame
        yield clean, plan


def restore_frames(
    model: Model, picture: Picture
) -> tuple[list[NDArray[Any]], dict[str, Any] | list[dict[str, Any]], int]:
    """Restore all frames; return them, how it was done, and how many were equal to the one before.

    How is a list where not all were done alike.
    """
    frames: list[NDArray[Any]] = []
    plans: list[dict[str, Any]] = []
    repeated = 0
    for restored, plan in restore_each(model, picture):
        frames.append(restored)
        if plan is None:
            repeated += 1
        elif plan not in plans:
            plans.append(plan)
    return frames, plans[0] if len(plans) == 1 else plans, repeated


class Pipeline:
    """Does tasks one after the other; iterating over it runs it and yields its events. A context manager.

    A picture that fails is an event, and the rest go on. A SetupError ends the run: what is restored
    already is written first. Leaving the `with` block early, as on KeyboardInterrupt, stops reading, drops
    the picture in work, and finishes those already restored; a second KeyboardInterrupt drops these too.
    `close` returns the events that were not yielded.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        model: Model,
        store: Store,
        *,
        settings: Mapping[str, Any],
        format: str | None = None,
        quality: int | None = None,
        gate: Gate | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self._tasks = tasks
        self._model = model
        self._store = store
        self._settings = dict(settings)
        self._format = format
        self._quality = quality
        self._max_pixels = max_pixels or MOST_PIXELS
        self._gate = gate or Gate(MOST_PICTURES, byte_budget())
        self._stop = threading.Event()
        self._drop = threading.Event()
        self._loaded: queue.SimpleQueue[_Loaded | _Passing | None] = queue.SimpleQueue()
        self._restored: queue.SimpleQueue[_Restored | _Passing | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event | _Fault] = queue.SimpleQueue()
        self._reader = SideThread(partial(self._guard, self._read_all))
        self._writer = SideThread(partial(self._guard, self._write_all))

    # ---- the caller's thread

    def __iter__(self) -> Iterator[Event]:
        """Run. Raises SetupError after all events of finished pictures."""
        self._reader.start()
        self._writer.start()
        try:
            while True:
                yield from self._finished()
                try:
                    item = self._loaded.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                if item is None:
                    break
                if isinstance(item, _Loaded):
                    yield Started(item.task)
                    self._restored.put(self._restore(item))
                else:
                    self._restored.put(item)
                del item  # its pixels are the writer's now
            self._restored.put(None)
            while not self._writer.wait(POLL_SECONDS):
                yield from self._finished()
            yield from self._finished()
        except SetupError:
            yield from self.close()
            raise

    def _finished(self) -> Iterator[Event]:
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, _Fault):
                raise event.error
            yield event

    def _restore(self, loaded: _Loaded) -> _Restored | Failed:
        start = time.perf_counter()
        try:
            frames, plan, _ = restore_frames(self._model, loaded.picture)
        except SetupError:
            raise
        except Exception as error:  # this picture's misfortune must not stop the others
            self._gate.leave(loaded.weight)
            return Failed.because(loaded.task, error)
        return _Restored(loaded, frames, plan, time.perf_counter() - start)

    def close(self) -> list[Event]:
        """Stop, wait until what is restored already is written, and return the events nobody saw."""
        self._stop.set()
        self._gate.close()
        self._restored.put(None)
        try:
            self._join()
        except KeyboardInterrupt:
            self._drop.set()
            self._join()
        events = []
        while not self._events.empty():
            event = self._events.get()
            if not isinstance(event, _Fault):
                events.append(event)
        return events

    def _join(self) -> None:
        self._writer.wait()
        self._reader.wait(READER_PATIENCE_SECONDS)  # it may wait for standard input, and writes nothing

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the two threads

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # the caller's thread raises it
            self._events.put(_Fault(error))

    def _read_all(self) -> None:
        try:
            for task in self._tasks:
                if self._stop.is_set():
                    break
                item = self._load(task)
                if item is not None:
                    self._loaded.put(item)
                del item
        finally:
            self._loaded.put(None)

    def _load(self, task: Task) -> _Loaded | _Passing | None:
        """Read and decode one input; None if the run is stopping."""
        entered, weight = False, 0
        try:
            decision = self._store.decide(task)
            if decision.skip is not None:
                return Skipped(task, decision.skip)
            if not self._gate.enter():
                return None
            entered = True
            data, identity = read_input(task)
            picture = decode(data, task.name, max_pixels=self._max_pixels)
            weight = picture.weight
            self._gate.weigh(weight)
            return _Loaded(task, identity, picture, decision, weight)
        except SetupError:
            raise
        except Exception as error:  # a picture nobody can decode must not stop the others
            if entered:
                self._gate.leave(weight)
            return Failed.because(task, error)

    def _write_all(self) -> None:
        while (item := self._restored.get()) is not None:
            if isinstance(item, _Restored):
                try:
                    if not self._drop.is_set():
                        self._events.put(self._finish(item))
                finally:
                    self._gate.leave(item.loaded.weight)
            else:
                self._events.put(item)
            del item

    def _finish(self, restored: _Restored) -> Event:
        loaded = restored.loaded
        task, picture = loaded.task, loaded.picture
        try:
            data = encode(picture, restored.frames, format=self._format, quality=self._quality)
            record = Record(
                output=task.output.as_posix(),
                input=loaded.input,
                result=Result(len(data), 0, hashlib.sha256(data).hexdigest()),
                settings=self._settings,
                plan=restored.plan,
                seconds=round(restored.seconds, 4),
                notes=list(picture.notes),
            )
            record = self._store.put(task, data, record, replace=loaded.decision.replace)
        except SetupError:
            raise
        except Exception as error:  # one result that cannot be written must not stop the others
            return Failed.because(task, error)
        return Done(task, record, picture.sizes, loaded.decision.again)
