"""How many decoded pictures may be in memory at once, by number and by bytes."""

from __future__ import annotations

import threading

import psutil

MOST_PICTURES = 6
MOST_BYTES = 1 << 30


def byte_budget() -> int:
    """Return the bytes of waiting pixels this machine bears: an eighth of its free memory, at most 1 GiB."""
    return int(min(MOST_BYTES, psutil.virtual_memory().available // 8))


class Gate:
    """Lets the reader decode the next picture only when there is room for it.

    A picture counts from the moment it is let in until `leave`. One picture is always let in when no other is
    inside, whatever its size; as sizes are known after decoding only, at most one picture goes over the
    budget.
    """

    def __init__(self, most_pictures: int, most_bytes: int) -> None:
        self._most_pictures = most_pictures
        self._most_bytes = most_bytes
        self._pictures = 0
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Wait for room and take a place; False when the gate was closed instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room())
            if self._closed:
                return False
            self._pictures += 1
            return True

    def _has_room(self) -> bool:
        return self._pictures == 0 or (
            self._pictures < self._most_pictures and self._bytes < self._most_bytes
        )

    def weigh(self, size: int) -> None:
        """Add the bytes of the picture that was let in last."""
        with self._changed:
            self._bytes += size

    def leave(self, size: int) -> None:
        """Give a place back, and the bytes weighed for it."""
        with self._changed:
            self._pictures -= 1
            self._bytes -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and free who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
