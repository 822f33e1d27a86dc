"""What a film's work says of itself, edited by hand: nothing is taken up that no run has written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.jobs.film_record import VERSION, SegmentRecord, segment_name, unlike
from drsformer_cli.jobs.film_work import MANIFEST, Work
from drsformer_cli.media.files import sha256_of
from drsformer_cli.media.video_frames import Ending

HEAD: dict[str, Any] = {"input": {"size": 1}, "settings": {}, "plan": {}}
NONE: dict[str, Any] = {
    "times": [0, True],
    "order": [0, 1.0],
    "size": "2",
    "last": None,
    "lost": 0.5,
    "digests": ["a", 7],
    "sha256": 3,
    "plans": ["whole"],
    "seconds": float("inf"),
    "before": [[0, 1]],
    "file": "../000000.segment",
    "more": 1,
}
ODD: dict[str, list[Any]] = {"digests": [["a"]], "order": [[0, 0], [1, 2]], "times": [[], [1, 0]]}


def written(work: Work, **changes: Any) -> None:
    """Let an earlier run have finished a segment of two pictures, and edit its line."""
    data = b"segment"
    path = work.folder / segment_name(0)
    path.write_bytes(data)
    record = SegmentRecord(segment_name(0), len(data), sha256_of(path), [0, 1], ["a", "b"], [0, 1])
    path.unlink()
    work.add(record, data)
    work.close(Ending(count=2))
    head, segment, end = map(json.loads, (work.folder / MANIFEST).read_text().splitlines())
    segment["segment"] = {**asdict(record), **changes}
    lines = [json.dumps(line) + "\n" for line in (head, segment, end)]
    (work.folder / MANIFEST).write_text("".join(lines))


def taken_up(tmp_path: Path, **changes: Any) -> tuple[int, bool]:
    """Return how many pictures are taken up of an edited segment, and whether the film is complete."""
    out = tmp_path / "a.mp4"
    with Work(out) as work:
        work.begin(HEAD)
        written(work, **changes)
    with Work(out) as work:
        work.begin(HEAD)
        return work.count, work.complete


def test_what_was_written_is_taken_up(tmp_path: Path) -> None:
    assert taken_up(tmp_path) == (2, True)


@pytest.mark.parametrize(
    ("key", "value"), [*NONE.items(), *((key, value) for key, values in ODD.items() for value in values)]
)
def test_a_segment_that_no_run_has_written_is_made_again(tmp_path: Path, key: str, value: Any) -> None:
    assert taken_up(tmp_path, **{key: value}) == (0, False)


@pytest.mark.parametrize(
    "end", [{"count": "2"}, {"count": 2, "lost": 0.5}, {"pictures": 2}, None, {"count": 3}]
)
def test_an_end_that_no_run_has_seen_is_looked_for_again(tmp_path: Path, end: Any) -> None:
    out = tmp_path / "a.mp4"
    with Work(out) as work:
        work.begin(HEAD)
        written(work)
        head, segment, _ = (work.folder / MANIFEST).read_text().splitlines()
        (work.folder / MANIFEST).write_text("\n".join([head, segment, json.dumps({"end": end})]) + "\n")
    with Work(out) as work:
        work.begin(HEAD)
        assert (work.count, work.complete, work.end) == (2, False, None)


@pytest.mark.parametrize("line", ["[1]", "7", "{", ""])
def test_what_stands_behind_a_garbled_line_is_not_read(tmp_path: Path, line: str) -> None:
    out = tmp_path / "a.mp4"
    with Work(out) as work:
        work.begin(HEAD)
        written(work)
        head, *rest = (work.folder / MANIFEST).read_text().splitlines()
        (work.folder / MANIFEST).write_text("\n".join([head, line, *rest]) + "\n")
    with Work(out) as work:
        assert work.earlier_head() == HEAD | {"v": VERSION}
        work.begin(HEAD)
        assert (work.count, work.end) == (0, None)


def test_what_would_go_on_there_is_said() -> None:
    """Another number of threads gives other bytes, and is told by the name that it is asked for with."""
    earlier = {"v": VERSION, "input": {"size": 1}, "settings": {"strength": 1.0}, "plan": {"threads": 4}}
    begun = "3 pictures of a.mp4 were restored by an earlier run"
    end = "to go on there, another -o, or --overwrite to begin anew."
    for changes, said in (
        (
            {"plan": {"threads": 2}},
            f"{begun} with other settings (threads): give those again (OMP_NUM_THREADS=4) {end}",
        ),
        (
            {"settings": {"strength": 0.5}},
            f"{begun} with other settings (strength): give those again {end}",
        ),
        (
            {"input": {"size": 2}},
            f"{begun}, and the input has changed since: give another -o, or --overwrite to begin anew.",
        ),
        (
            {"v": VERSION + 1},
            f"{begun} with another version of derain or its libraries: give --overwrite to begin anew.",
        ),
    ):
        assert unlike(Path("a.mp4"), 3, earlier, {**earlier, **changes}) == said
    odd = {**earlier, "plan": None}  # edited by hand
    assert unlike(Path("a.mp4"), 3, odd, earlier).startswith(f"{begun} with other settings (plan): give")
