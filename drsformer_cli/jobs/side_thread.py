"""A thread beside the caller's whose end can be waited for again after an interrupt."""

from __future__ import annotations

import threading
from collections.abc import Callable


class SideThread(threading.Thread):
    """Runs `work` as a daemon; `wait` in the place of `join`.

    `Thread.join` that is interrupted by a signal takes the thread for ended, in Python up to 3.12 (CPython's
    issue 90882). It would then be left behind, and might die amid a library's code with all the process.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(target=work, daemon=True)
        self._over = threading.Event()

    def run(self) -> None:
        """Do the work, and note that it is over."""
        try:
            super().run()
        finally:
            self._over.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, no longer than that, and tell whether it has come; one never begun has ended."""
        if self.ident is None:
            return True
        over = self._over.wait(seconds)
        if over:
            self.join()  # for the moment that is left
        return over
