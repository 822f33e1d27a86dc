"""What works below the process of the tests."""

from __future__ import annotations

from contextlib import suppress

import psutil


def at_work() -> list[tuple[int, str]]:
    """Return the numbers and command lines of all processes below this one; those that ended do no work."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # nor does a zombie, which nobody has waited for
            found.append((process.pid, " ".join(process.cmdline())))
    return found
