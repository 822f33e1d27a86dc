"""What happened to each picture as plain data: lines of JSON for scripts, and the file of `--report`."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.events import Done, Failed, Skipped
from drsformer_cli.jobs.naming import absolute
from drsformer_cli.media.files import write_atomically
from drsformer_cli.quality.formats import HTML_START, path_cell, words_cell
from drsformer_cli.quality.report import as_html

if TYPE_CHECKING:
    from drsformer_cli.jobs.naming import Task
    from drsformer_cli.quality.summary import Evaluation

COLUMNS = (
    "status", "input", "output", "reason", "error", "width", "height", "frames", "seconds", "notes", "plan"
)  # fmt: skip
SCORES = ("psnr", "ssim", "rainy_psnr", "rainy_ssim", "unscored")
STARTS = {".json": b'{\n "pictures": [', ".csv": ",".join(COLUMNS).encode(), ".html": HTML_START.encode()}


def check_report(path: Path, *, overwrite: bool, dry_run: bool, scored: bool = False) -> None:
    """Raise UsageError for a report of no known kind, in no folder, or in the place of another file.

    An empty file and an older report may be replaced, and with `overwrite` any file; by a dry run, none.
    A page (.html) can be made of a run that is `scored`.
    """
    start = STARTS.get(path.suffix.lower())
    if path.suffix.lower() == ".html" and not scored:
        raise UsageError(
            f"--report {path} shows how good results are, and needs clean pictures: give --gt, too."
        )
    if path.suffix.lower() == ".html" and dry_run:
        raise UsageError(
            f"--report {path} shows how good results are, and a dry run has none: give .json or .csv."
        )
    if start is None:
        raise UsageError(
            f"--report {path} is of no known kind: give a name in .json or .csv, or with --gt in .html."
        )
    check_place(path, start, overwrite=overwrite, dry_run=dry_run)


def check_place(path: Path, start: bytes, *, overwrite: bool, dry_run: bool = False) -> None:
    """Raise UsageError for a report in no folder that can be written, or in the place of another file.

    A file that begins with `start` is an older report, which may be replaced.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--report {path} lies in no folder: make {folder} first.")
    if path.exists() and not path.is_file():
        raise UsageError(f"--report {path} is no plain file: give another name.")
    _check_writable(path, folder)
    if not path.exists() or path.stat().st_size == 0:
        return
    if dry_run:
        raise UsageError(f"--report {path} is there already, and a dry run replaces nothing: name another.")
    if not overwrite and not _starts_with(path, start):
        raise UsageError(f"--report {path} is there already and is no report: --overwrite replaces it.")


def _check_writable(path: Path, folder: Path) -> None:
    """Try it, for rights do not tell all."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        raise UsageError(f"--report {path}: no file can be made in {folder}; name another folder.") from None


def _starts_with(path: Path, start: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError as error:
        raise UsageError(f"--report {path} is there already and cannot be read: {error.strerror}.") from None


def row(event: Done | Failed | Skipped) -> dict[str, Any]:
    """Return an event as JSON-able data."""
    place = _place(event.task)
    if isinstance(event, Done):
        height, width = event.sizes[0]
        return {
            "status": "done",
            "input": full_name(event.task),
            "output": place,
            "width": width,
            "height": height,
            "frames": len(event.sizes),
            "seconds": event.record.seconds,
            "notes": event.record.notes,
            "plan": event.record.plan,
        }
    if isinstance(event, Skipped):
        return {"status": "skipped", "input": full_name(event.task), "output": place, "reason": event.reason}
    return {"status": "failed", "input": full_name(event.task), "error": event.kind, "reason": event.reason}


def full_name(task: Task) -> str:
    """Return an input's full path or URL, so that a report can be read from anywhere."""
    if task.source.path is None:
        return task.source.url or "-"
    return str(absolute(task.source.path))


def _place(task: Task) -> str:
    return "-" if task.stream else task.url or str(task.path)


def planned_row(task: Task, again: str = "") -> dict[str, Any]:
    """Return what a dry run says of a picture it would do, and for which other settings again."""
    data = {"status": "planned", "input": full_name(task), "output": _place(task)}
    return data | {"reason": f"again: {again}"} if again else data


def write_line(stream: TextIO, data: dict[str, Any]) -> None:
    """Write one JSON object as one line of ASCII, at once; names that are no Unicode survive the way back."""
    stream.write(json.dumps(data) + "\n")
    stream.flush()


def write_report(
    name: str, rows: list[dict[str, Any]], summary: dict[str, Any], evaluation: Evaluation | None = None
) -> None:
    """Write the report, whole or not at all, over an older one. Raises StorageError and OutputError.

    `evaluation` is what a page is made of.
    """
    path = Path(name)
    if path.suffix.lower() == ".html" and evaluation is not None:
        text = as_html(evaluation, path)
    elif path.suffix.lower() == ".json":
        text = json.dumps({"pictures": rows, "summary": summary}, indent=1) + "\n"
    else:
        buffer = io.StringIO(newline="")
        scores = SCORES if any(key in data for data in rows for key in SCORES) else ()
        writer = csv.DictWriter(buffer, [*COLUMNS, *scores], restval="")
        writer.writeheader()
        for data in rows:
            writer.writerow({key: _cell(key, value) for key, value in data.items()})
        text = buffer.getvalue()
    write_atomically(path, text.encode("utf-8", "backslashreplace"), replace=True)


def _cell(key: str, value: Any) -> Any:
    """Return a value as CSV can hold it."""
    if isinstance(value, str):
        return path_cell(value) if key in ("input", "output") else words_cell(value)
    return json.dumps(value) if isinstance(value, (dict, list)) else value
