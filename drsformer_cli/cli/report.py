"""What happened to each picture as plain data: lines of JSON for scripts, and the file of `--report`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from drsformer_cli.jobs.events import Done, Failed, Skipped
from drsformer_cli.media.files import write_atomically

if TYPE_CHECKING:
    from drsformer_cli.cli.tally import Tally
    from drsformer_cli.jobs.naming import Task

COLUMNS = (
    "status", "input", "output", "reason", "error", "width", "height", "frames", "seconds", "notes", "plan"
)  # fmt: skip


def row(event: Done | Failed | Skipped) -> dict[str, Any]:
    """Return an event as JSON-able data."""
    place = _place(event.task)
    if isinstance(event, Done):
        return {
            "status": "done",
            "input": event.task.name,
            "output": place,
            "width": event.width,
            "height": event.height,
            "frames": event.frames,
            "seconds": event.record.seconds,
            "notes": event.record.notes,
            "plan": event.record.plan,
        }
    if isinstance(event, Skipped):
        return {"status": "skipped", "input": event.task.name, "output": place, "reason": event.reason}
    return {"status": "failed", "input": event.task.name, "error": event.kind, "reason": event.reason}


def _place(task: Task) -> str:
    return "-" if task.stream else str(task.path)


def planned_row(task: Task) -> dict[str, Any]:
    """Return what a dry run says of a picture it would do."""
    return {"status": "planned", "input": task.name, "output": _place(task)}


def summary_row(tally: Tally) -> dict[str, Any]:
    """Return the last line of `--json`: how many, how fast."""
    return {
        "status": "summary",
        "done": tally.done,
        "skipped": tally.skipped,
        "failed": len(tally.failures),
        "left_out": dict(tally.left_out),
        "megapixels": round(tally.megapixels, 3),
        "seconds": round(tally.elapsed(), 3),
        "interrupted": tally.interrupted,
    }


def write_line(stream: TextIO, data: dict[str, Any]) -> None:
    """Write one JSON object as one line of ASCII, at once; names that are no Unicode survive the way back."""
    stream.write(json.dumps(data) + "\n")
    stream.flush()


def write_report(name: str, rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    """Write the report, whole or not at all, over an older one. Raises StorageError and OutputError."""
    path = Path(name)
    if path.suffix.lower() == ".json":
        text = json.dumps({"pictures": rows, "summary": summary}, indent=1) + "\n"
    else:
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, COLUMNS, restval="")
        writer.writeheader()
        for data in rows:
            writer.writerow({key: _cell(value) for key, value in data.items()})
        text = buffer.getvalue()
    write_atomically(path, text.encode("utf-8", "backslashreplace"), replace=True)


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
