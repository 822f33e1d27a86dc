"""What a run left on the disk, and whether any of it is lost, half, stray or done twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from drsformer_cli.jobs.manifest import FILE_NAME, STEM


def results(out: Path) -> dict[str, bytes]:
    """Return all files below a folder that are not hidden."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
    }


def strays(out: Path) -> list[str]:
    """Return all that is hidden below a folder and no manifest."""
    return [
        path.relative_to(out).as_posix()
        for path in sorted(out.rglob(".*"))
        if not (path.name.startswith(STEM) and path.name.endswith(".jsonl"))
    ]


def records(out: Path) -> Counter[str]:
    """Return how many whole `done` lines each output has in the manifests."""
    found: Counter[str] = Counter()
    for path in out.glob(f"{STEM}*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["kind"] == "done":
                found[entry["output"]] += 1
    return found


def check_nothing_half(out: Path, expected: dict[str, bytes]) -> int:
    """Check that each result that stands is the whole one; return how many there are."""
    standing = results(out) if out.exists() else {}
    wrong = [name for name, data in standing.items() if expected.get(name) != data]
    assert not wrong, f"half or wrong: {wrong}"
    return len(standing)


def check_complete(out: Path, expected: dict[str, bytes], before: Counter[str] | None = None) -> None:
    """Check that all is there as expected, and that nothing is stray or was done again."""
    assert results(out) == expected
    assert strays(out) == []
    assert (out / FILE_NAME).exists()
    done = records(out)
    assert set(done) == set(expected)
    if before is not None:
        assert not [name for name, count in before.items() if done[name] != count], "done again"
