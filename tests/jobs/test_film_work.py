"""Segments that come in any order: each gets its place when those before it are there, and only there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.jobs.film_record import SegmentRecord, segment_name
from drsformer_cli.jobs.film_work import MANIFEST, Work
from drsformer_cli.media.files import sha256_of
from drsformer_cli.media.video_frames import PROOF, Ending

SIZE = 20
HEAD: dict[str, Any] = {"input": {"size": 1}, "settings": {}, "plan": {}}


def digest(number: int) -> str:
    return f"{number:016x}"


def made(work: Work, number: int, shift: int = 0) -> SegmentRecord:
    """Write a segment as a worker would; its pictures lie `shift` from where they should."""
    first = number * SIZE + shift
    before = range(max(0, first - PROOF), first)
    staged = work.folder / f"{number}.part"
    staged.write_bytes(bytes([number, shift]))
    record = SegmentRecord(
        file=segment_name(number),
        size=2,
        sha256=sha256_of(staged),
        times=list(range(first, first + SIZE)),
        digests=[digest(one) for one in range(first, first + SIZE)],
        order=list(range(SIZE)),
        before=[[one, digest(one)] for one in before],
    )
    work.take(record, staged)
    return record


def test_in_any_order(tmp_path: Path) -> None:
    with Work(tmp_path / "a.mp4") as work:
        work.begin(HEAD)
        for number, count in ((2, 0), (1, 0), (4, 0), (0, 60), (3, 100)):
            made(work, number)
            assert work.settle() is None
            assert work.count == count
        assert (work.done, [one.number for one in work.segments]) == (100, [0, 1, 2, 3, 4])
        work.close(Ending(lost=2, count=100))
        assert work.complete
    with Work(tmp_path / "a.mp4") as work:
        assert not work.begin(HEAD)
        assert work.complete
        assert work.end == Ending(lost=2, count=100)


def test_one_that_does_not_follow_is_made_again(tmp_path: Path) -> None:
    with Work(tmp_path / "a.mp4") as work:
        work.begin(HEAD)
        made(work, 1, shift=1)  # a picture before it was lost, and its maker could not know
        made(work, 2)
        assert work.settle() is None
        made(work, 0)
        assert work.settle() == 1
        assert (work.count, work.done) == (SIZE, 2 * SIZE)
        made(work, 1)
        assert work.settle() is None
        assert work.count == 3 * SIZE
    with Work(tmp_path / "a.mp4") as work:  # the manifest has both, and the file is the second's
        work.begin(HEAD)
        assert work.count == 3 * SIZE


@pytest.mark.parametrize("left", [b"??", b"?", None], ids=["altered", "cut short", "gone"])
def test_what_a_killed_caller_left(tmp_path: Path, left: bytes | None) -> None:
    with Work(tmp_path / "a.mp4") as work:
        work.begin(HEAD)
        for number in (0, 2, 3, 5):
            made(work, number)
        if left is None:
            (work.folder / segment_name(3)).unlink()
        else:
            (work.folder / segment_name(3)).write_bytes(left)
    with Work(tmp_path / "a.mp4") as work:
        assert work.earlier_count() == 4 * SIZE
        assert work.begin(HEAD)  # something of it is lost
        assert (work.count, sorted(work.ahead)) == (SIZE, [2, 5])
        assert sorted(path.name for path in work.folder.glob("*.segment")) == [
            segment_name(number) for number in (0, 2, 5)
        ]


def test_segments_of_one_process_need_those_before(tmp_path: Path) -> None:
    """It writes them in turn, and says nothing of what comes before."""
    with Work(tmp_path / "a.mp4") as work:
        work.begin(HEAD)
        for number in range(3):
            data = bytes([number])
            path = tmp_path / "data"
            path.write_bytes(data)
            first = number * SIZE
            record = SegmentRecord(
                work.next_file(), 1, sha256_of(path), [first], [digest(first)], [0], plans=[{"whole": True}]
            )
            work.add(record, data)
            assert asdict(record)["before"] is None
        (work.folder / segment_name(1)).unlink()
    with Work(tmp_path / "a.mp4") as work:
        assert work.begin(HEAD)
        assert (work.count, work.ahead) == (1, {})


@pytest.mark.parametrize("name", list(HEAD))
def test_what_should_be_a_table_in_the_head_and_is_none_is_left_out(tmp_path: Path, name: str) -> None:
    with Work(tmp_path / "a.mp4") as work:
        work.begin(HEAD)
        edited = {"v": 2, **HEAD, name: ["a table"]}
        (work.folder / MANIFEST).write_text(json.dumps({"head": edited}) + "\n")
        assert work.earlier_head() == {key: value for key, value in edited.items() if key != name}
