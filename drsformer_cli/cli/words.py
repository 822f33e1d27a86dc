"""How names, times and errors are put so that a person can read them on any terminal."""

from __future__ import annotations

import sys
from collections import Counter


def printable(text: str) -> str:
    """Return text with all that could steer a terminal, or not be shown on it, written out as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def sentence(text: str) -> str:
    """Return text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?", ")")) or not text else f"{text}."


def say(text: str) -> None:
    """Write one line about what went wrong to standard error."""
    sys.stderr.write(f"derain: {printable(sentence(text))}\n")
    sys.stderr.flush()


def left_out(reasons: Counter[str]) -> list[str]:
    """Return in words how many were passed over for which reason, as one part of a sentence; [] if none."""
    from drsformer_cli.media.discover import reasons_of

    return [f"{reasons.total()} left out ({reasons_of(reasons)})"] if reasons else []


def number(value: float) -> str:
    """Return a number with two decimals, or as many more as it takes to show that it is not 0."""
    for decimals in (2, 3, 4, 5):
        if value * 10**decimals >= 10:
            return f"{value:.{decimals}f}"
    return f"{value:.1g}" if value else "0.00"


def duration(seconds: float) -> str:
    """Return a time a person can read: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
