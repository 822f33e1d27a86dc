"""Parts of the work on a film by themselves: who has its folder, what is sound in it, and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, StorageError, UsageError
from drsformer_cli.jobs import film_finish
from drsformer_cli.jobs.film_batch import _refuse_locked_folder
from drsformer_cli.jobs.film_finish import _writer
from drsformer_cli.jobs.film_plan import FilmPlan, Wish, plan_film
from drsformer_cli.jobs.film_work import MANIFEST, SegmentRecord, Work
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.media.files import sha256_of
from tests.jobs.films import task_for
from tests.media.clips import CLIPS


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with Work(tmp_path / "a.mp4") as taken:
        yield taken


def test_a_folder_of_work_is_for_one_run(tmp_path: Path, work: Work) -> None:
    with pytest.raises(OutputError, match=r"another run of derain .*works on .*a\.mp4"), Work(work.output):
        pass
    work.begin({"settings": {}})
    with pytest.raises(OutputError, match="another run"), Work(work.output):
        pass


def segment(work: Work, name: str, times: list[int]) -> SegmentRecord:
    path = work.folder / name
    path.write_bytes(name.encode())
    digests, order = ["ab" * 16] * len(times), list(range(len(times)))
    return SegmentRecord(name, len(name), sha256_of(path), times, digests, order)


def test_a_manifest_of_work_that_cannot_be_read(work: Work) -> None:
    (work.folder / MANIFEST).unlink(missing_ok=True)
    (work.folder / MANIFEST).mkdir()
    with pytest.raises(StorageError, match=rf"{MANIFEST} cannot be read: Is a directory"):
        work.earlier_count()


def test_work_of_another_version_is_told(work: Work) -> None:
    work.begin({"settings": {"model": "m"}, "versions": "1"})
    with (work.folder / MANIFEST).open("a") as file:
        file.write(json.dumps({"segment": asdict(segment(work, "00000.mp4", [1, 2, 3]))}) + "\n")
    with pytest.raises(
        OutputError, match=r"^3 pictures of .* with another version of derain or its libraries"
    ):
        work.begin({"settings": {"model": "m"}, "versions": "2"})
    assert work.begin({"settings": {"model": "m"}, "versions": "2"}, anew=True)
    assert not (work.folder / "00000.mp4").exists()


def test_the_manifest_is_waited_for_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    holder = Manifest(tmp_path).open()

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holder.close()

    monkeypatch.setattr(film_finish.time, "sleep", sleep)
    _writer(tmp_path).close()
    assert len(waits) == 3
    monkeypatch.setattr(film_finish, "PATIENCE_SECONDS", -1)
    with Manifest(tmp_path), pytest.raises(StorageError, match="another run of derain"):
        _writer(tmp_path)


def test_a_place_that_takes_no_film_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = tmp_path / "a.mp4"
    _refuse_locked_folder(task_for(source, tmp_path / "new" / "er" / "b.mp4"))
    with pytest.raises(
        OutputError, match=r"b\.mp4 cannot be written: .*file is no folder\. Choose another -o"
    ):
        _refuse_locked_folder(task_for(source, tmp_path / "file" / "deep" / "b.mp4"))


def planned(tmp_path: Path, name: str, out: str, **wish: Any) -> FilmPlan:
    source = CLIPS[name](tmp_path / name)
    return plan_film(task_for(source, tmp_path / out), Wish(**wish))


def test_a_plan_in_words(tmp_path: Path) -> None:
    plan = planned(tmp_path, "rotated90.mp4", "b.mp4")
    first, *rest = plan.words()
    assert "of 96 x 64, turned by " in first
    assert " degrees, h264 to h264, crf " in first
    assert first.endswith("; yuv420p kept")
    assert rest[-len(plan.notes) :] == plan.notes or not plan.notes
    cut = planned(tmp_path, "crowded.mkv", "c.mkv", end=Fraction(1, 2))
    assert "2 chapters dropped: they are of the whole film" in cut.notes
    words = cut.words()
    assert words[1].startswith("copied: ")
    assert words[2:] == cut.notes


def test_wishes_that_no_film_can_have() -> None:
    Wish().check()
    Wish(codec="h264", crf=51, preset="slow").check()
    with pytest.raises(UsageError, match="--crf 52 is too much for h264"):
        Wish(codec="h264", crf=52).check()
