"""What a manifest says of one picture: the input as it was read, the result as it was written, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from drsformer_cli.media.files import sha256_of


@dataclass(frozen=True)
class Input:
    """What an input was when it was read. `path` is relative to the output folder, `-` for standard input."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Result:
    """What was written."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """One finished picture.

    `output` is relative to the output folder, with `/`; `seconds` is the time the model took. `plan` is a
    list where not all frames were done in the same way.
    """

    output: str
    input: Input
    result: Result
    settings: dict[str, Any]
    plan: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def unchanged(path: Path, size: int, mtime_ns: int | None, sha256: str) -> bool:
    """Tell whether a file is as recorded: size and time vouch for it, or its content if the time differs.

    Raises OSError.
    """
    status = path.stat()
    if status.st_size != size:
        return False
    return status.st_mtime_ns == mtime_ns or sha256_of(path) == sha256


def plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return `value` as it reads after a trip through JSON, so that it compares equal to a recorded one."""
    return dict(json.loads(json.dumps(value)))


def text_of(settings: Mapping[str, Any]) -> str:
    """Return settings as a text that equal ones share."""
    return json.dumps(settings, sort_keys=True)


def read_record(entry: Mapping[str, Any]) -> Record:
    """Turn what a line of JSON says back into a record.

    Raises ValueError, KeyError, TypeError and OverflowError for what no run has written: anybody may have
    edited the file.
    """
    given, made = Input(**entry["input"]), Result(**entry["result"])
    texts = (entry["output"], given.path, given.sha256, made.sha256, *entry["notes"])
    numbers = (given.size, given.mtime_ns, made.size, made.mtime_ns)
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise TypeError("a name, a hash or a note is no text")
    if not all(type(number) is int for number in numbers):
        raise TypeError("a size or a time is no whole number")
    return Record(
        output=entry["output"],
        input=given,
        result=made,
        settings=dict(entry["settings"]),
        plan=_plan(entry["plan"]),
        seconds=float(entry["seconds"]),
        notes=list(entry["notes"]),
    )


def _plan(value: Any) -> dict[str, Any] | list[dict[str, Any]]:
    return [dict(plan) for plan in value] if isinstance(value, list) else dict(value)


#: The words of each in a line.
INPUT = {each.name for each in fields(Input)}
RESULT = {each.name for each in fields(Result)}
RECORD = {each.name for each in fields(Record)}
