"""What goes wrong in the cage is seen: nothing that dies, hangs or takes all memory counts as done."""

from __future__ import annotations

import os

from tests.fuzz.cage import CRASH, ESCAPED, HANG, Cage


def _misbehave(how: str) -> str:
    if how == "die":
        os.abort()
    if how == "spin":
        while True:
            pass
    if how == "hog":
        return f"took {len(bytes(64 << 30))}"
    return str(1 // 0) if how == "raise" else "whole"


def test_what_kills_its_process_is_seen() -> None:
    with Cage(_misbehave, seconds=0.5) as cage:
        assert cage("fine") == "whole"
        assert cage("die").startswith(CRASH)
        assert cage("spin").startswith(HANG)
        assert cage("raise").startswith(f"{ESCAPED}: ZeroDivisionError")
        assert cage("hog").startswith(f"{ESCAPED}: MemoryError")
        assert cage("fine") == "whole"
