"""Text files as a careless or hostile hand would edit them: JSON lines, JSON, CSV and TOML."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.mutate import ATTACKS, mutate

#: What may stand where something else belongs; each is written as it is into JSON.
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "x", "a\0b", "\ud800"),
    *("../../../etc/passwd", "/etc/passwd", "\x1b[31mred", "‮gpj.a", "x" * 5000, [], {}, [[]], [None], ["a"]),
    *({"a": 1}, [1, "2", None], [{}], {"": {}}, [10**400]),
)
LINES = (
    b"",
    b"\0" * 64,
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"\xff\xfe\xfa",
    b"null",
    b"7",
    b'"text"',
    b"[]",
    b"{}",
    b"9" * 5000,
    b"\xef\xbb\xbf{}",
    b",,,,",
    b"x" * (2 << 20),
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place inside a JSON value: what holds it, and its key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def change_json(data: bytes, rng: random.Random) -> bytes:
    """Put a value of another kind somewhere, take one away, or say one twice."""
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        places = list(_places(value))
        if not places:
            break
        holder, key = rng.choice(places)
        how = rng.randrange(4)
        if how == 0 and isinstance(holder, dict):
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[rng.choice(("zusatz", "__class__", "", str(key) + " "))] = copy.deepcopy(
                rng.choice(VALUES)
            )
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(value, separators=(",", ":"))
    if rng.random() < 0.1:
        text = text[:-1] + "," + text[1:]  # every key twice
    return text.encode()


def edit_document(data: bytes, rng: random.Random) -> bytes:
    """Edit one JSON value: a part of it changed, or the bytes hurt, or all of it nonsense."""
    how = rng.randrange(10)
    if how < 7:
        return change_json(data, rng)
    if how == 7:
        return rng.choice(LINES)
    return mutate(rng.choice(list(ATTACKS)[:6]), data, data[::-1], str(rng.random()))


def edit_lines(data: bytes, rng: random.Random) -> bytes:
    """Edit lines of JSON: one changed, doubled, dropped, moved, or nonsense put in."""
    lines = data.split(b"\n")
    at, how = rng.randrange(max(1, len(lines) - 1)), rng.randrange(7)
    if how <= 2 and lines[at]:
        lines[at] = change_json(lines[at], rng)
    elif how == 3:
        lines.insert(at, rng.choice(LINES))
    elif how == 4:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif how == 5:
        del lines[at]
    else:
        return mutate(rng.choice(list(ATTACKS)[:6]), data, data[::-1], str(rng.random()))
    return b"\n".join(lines)


def edit_text(data: bytes, rng: random.Random, values: tuple[str, ...]) -> bytes:
    """Edit `key = value` or a table with commas: a value changed, a line doubled or dropped, bytes hurt."""
    lines = data.split(b"\n")
    at, how = rng.randrange(len(lines)), rng.randrange(6)
    if how <= 2 and lines[at]:
        mark = b"=" if b"=" in lines[at] else b","
        parts = lines[at].split(mark)
        parts[rng.randrange(len(parts))] = rng.choice(values).encode("utf-8", "surrogateescape")
        lines[at] = mark.join(parts)
    elif how == 3:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif how == 4:
        del lines[at]
    else:
        return mutate(rng.choice(list(ATTACKS)[:6]), data, data[::-1], str(rng.random()))
    return b"\n".join(lines)


Edit = Callable[[bytes, random.Random], bytes]
