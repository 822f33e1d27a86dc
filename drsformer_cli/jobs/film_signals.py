"""Ctrl-C and SIGTERM held back until it is known what they would break off."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any]


class Held:
    """Holds back the signals that ask a run to stop, while the `with` block lasts.

    An exception that came between two steps could lose a picture or enter it twice. So the first signal is
    noted, and raised where the block calls `check`, or at once within `exposed`; a second one that comes
    before the first was heeded is raised wherever it comes. Signals reach the main thread alone, so nothing
    is done in others; nor where a signal is ignored, or left to the system.
    """

    def __init__(self) -> None:
        self._earlier: dict[int, _Handler] = {}
        self._noted: int | None = None
        self._exposed = self._closing = False

    def __enter__(self) -> Held:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._earlier[number] = handler
                    signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back; one that nobody has heeded yet is raised now, unless all ends anyway."""
        self._closing = True
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}
        if (kind is None or issubclass(kind, Exception)) and self._noted is not None:
            signal.raise_signal(self._noted)

    def close(self) -> None:
        """From here on raise no signal before the block is left."""
        self._closing = True

    def check(self) -> None:
        """Raise what was held back."""
        if self._noted is not None:
            self._raise(self._noted, None)

    @contextmanager
    def exposed(self) -> Iterator[None]:
        """Let signals through at once: what the block does can be done again."""
        self.check()
        self._exposed = True
        try:
            yield
        finally:
            self._exposed = False

    @contextmanager
    def covered(self) -> Iterator[None]:
        """Hold signals back within `exposed`: what the block does must not be broken off anywhere."""
        before, self._exposed = self._exposed, False
        try:
            yield
        finally:
            self._exposed = before
        if before:
            self.check()

    def _take(self, number: int, frame: FrameType | None) -> None:
        second = self._noted is not None
        self._noted = number
        if not self._closing and (second or self._exposed):
            self._raise(number, frame)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self._noted = None
        self._earlier[number](number, frame)
