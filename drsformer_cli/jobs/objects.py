"""Where finished pictures go when that is behind a URL."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from drsformer_cli.errors import OutputError
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record
from drsformer_cli.jobs.resume import (
    DONE_BEFORE,
    Decision,
    differing,
    in_the_way,
    input_in_the_way,
    input_path,
    same_input,
)
from drsformer_cli.jobs.store import Staged
from drsformer_cli.media.remote import note_of, write

MOST_OF_A_PATH = 700  # characters


class RemoteStore:
    """Writes objects to a store behind a URL; what they are is noted in their own metadata.

    Machines may write to one place at a time: nothing but the objects themselves says what is done.
    """

    def __init__(self, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self._settings = settings
        self._overwrite = overwrite

    def decide(self, task: Task) -> Decision:
        """See `resume.decide`."""
        url = task.url
        assert url is not None
        if url == task.source.url:
            raise input_in_the_way(task)
        note = note_of(url)
        if note is None or self._overwrite:
            return Decision(replace=self._overwrite)
        try:
            seen, settings = Input(**note["input"]), dict(note["settings"])
        except (KeyError, TypeError, ValueError):
            raise in_the_way(task) from None
        same_place = seen.path == _short(input_path(task))
        same = same_input(task, seen, same_place=same_place)
        if not same and not same_place:
            raise OutputError(f"{url} holds the result of {seen.path}: choose another -o, or --overwrite.")
        if not same:
            return Decision(replace=True)
        again = differing(settings, self._settings)
        return Decision(replace=True, again=again) if again else Decision(skip=DONE_BEFORE)

    def put(self, task: Task, data: bytes, record: Record, *, replace: bool) -> Record:
        """Write the object, whole or not at all. Raises OutputError and StorageError."""
        assert task.url is not None
        write(task.url, data, note_for(record.input, record.result.sha256, record.settings), replace=replace)
        return record

    def publish(self, batch: Sequence[Staged]) -> list[Record | OutputError]:
        """Do nothing more: where nothing is ever half-written, a worker's result has its name at once."""
        return [each.record for each in batch]


def note_for(input: Input, sha256: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is noted of a result, whose bytes have this SHA-256, in its metadata."""
    input = dataclasses.replace(input, path=_short(input.path))
    return {"input": dataclasses.asdict(input), "settings": dict(settings), "sha256": sha256}


def _short(path: str) -> str:
    """Return a path as metadata, which is small, has room for."""
    if len(json.dumps(path)) <= MOST_OF_A_PATH:
        return path
    return "sha256:" + hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
