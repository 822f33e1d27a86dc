"""What a second run does, and what no run may touch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pytest

from drsformer_cli.errors import OutputError
from drsformer_cli.jobs.manifest import FILE_NAME, STEM, Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import (
    BAD_MANIFEST,
    DONE_BEFORE,
    Decision,
    decide,
    differing,
    file_ids,
    input_path,
    without_earlier_results,
)
from drsformer_cli.media.discover import Discovery, Source, discover
from drsformer_cli.media.files import sha256_of

SETTINGS = {"model": "m", "strength": 1.0, "format": None}
DO, REPLACE, SKIP = Decision(), Decision(replace=True), Decision(skip=DONE_BEFORE)


def task_of(path: Path, out: Path) -> Task:
    return Task(Source(path, PurePath(path.name), path.parent, True), out, PurePath(path.name))


@dataclass
class Place:
    """One input, and its output as a finished run left it."""

    task: Task

    @property
    def input(self) -> Path:
        assert self.task.source.path is not None
        return self.task.source.path

    @property
    def output(self) -> Path:
        return self.task.path

    def decide(self, settings: dict[str, Any] | None = None, *, overwrite: bool = False) -> Decision:
        manifest = Manifest.load(self.task.folder)
        wanted = SETTINGS if settings is None else settings
        return decide(self.task, manifest, wanted, overwrite=overwrite, inputs=file_ids([self.task]))


@pytest.fixture
def fresh(tmp_path: Path) -> Place:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"rainy")
    return Place(task_of(tmp_path / "in" / "a.png", tmp_path / "out"))


@pytest.fixture
def done(fresh: Place) -> Place:
    def identity(path: Path) -> tuple[int, int, str]:
        return path.stat().st_size, path.stat().st_mtime_ns, sha256_of(path)

    with Manifest(fresh.task.folder) as manifest:
        fresh.output.write_bytes(b"clean")
        manifest.finish(
            Record(
                "a.png",
                Input(input_path(fresh.task), *identity(fresh.input)),
                Result(*identity(fresh.output)),
                SETTINGS,
            )
        )
    return fresh


def age(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def test_nothing_done_yet(fresh: Place) -> None:
    assert fresh.decide() == DO


def test_done(done: Place) -> None:
    assert done.decide() == SKIP
    assert done.decide(overwrite=True) == REPLACE


def test_times_alone_mean_nothing(done: Place) -> None:
    age(done.input)
    age(done.output)
    assert done.decide() == SKIP


def test_input_changed(done: Place) -> None:
    done.input.write_bytes(b"RAINY")
    age(done.input)
    assert done.decide() == REPLACE
    done.input.write_bytes(b"longer")
    assert done.decide() == REPLACE


def test_input_gone(done: Place) -> None:
    done.input.unlink()
    with pytest.raises(FileNotFoundError):
        done.decide()


def test_settings_changed(done: Place) -> None:
    again = done.decide({**SETTINGS, "strength": 0.5})
    assert again == Decision(replace=True, again="strength 1 -> 0.5")
    assert done.decide({**SETTINGS, "new": None}) == Decision(
        replace=True, again="new unknown -> as it comes"
    )
    assert done.decide({"model": "m"}) == SKIP


def test_what_differs_is_said_as_it_is_typed() -> None:
    recorded = {"model": "a", "memory": None, "ensemble": False, "tile": "auto", "strength": 1.0}
    settings = {"model": "b", "memory": 600 << 20, "ensemble": True, "tile": 512, "strength": 1}
    said = "another model, memory as it comes -> 600M, ensemble off -> on, tile auto -> 512"
    assert differing(recorded, settings) == said
    assert differing(recorded, recorded) == ""


def test_a_missing_output_is_done_again(done: Place) -> None:
    done.output.unlink()
    assert done.decide() == DO


@pytest.mark.parametrize("data", [b"CLEAN", b"a picture of the user's own"])
def test_a_result_that_was_altered_belongs_to_the_user(done: Place, data: bytes) -> None:
    done.output.write_bytes(data)
    age(done.output)
    for settings in (SETTINGS, {"model": "other"}):
        with pytest.raises(OutputError, match=r"changed since .*delete the file .*--overwrite to replace it"):
            done.decide(settings)
    done.input.write_bytes(b"another rainy one")
    with pytest.raises(OutputError, match="changed since"):
        done.decide()
    assert done.decide(overwrite=True) == REPLACE


def test_a_result_that_was_intended_only_is_replaced(done: Place) -> None:
    with Manifest(done.task.folder) as manifest:
        done.output.write_bytes(b"cleaner")
        manifest.intend("a.png", sha256_of(done.output))
    assert done.decide() == REPLACE


def test_a_result_that_no_run_finished_is_replaced(fresh: Place) -> None:
    with Manifest(fresh.task.folder) as manifest:
        fresh.output.write_bytes(b"clean")
        manifest.intend("a.png", sha256_of(fresh.output))
    assert fresh.decide() == REPLACE


def test_what_came_from_a_pipe_is_done_again(done: Place) -> None:
    task = Task(Source(None, PurePath("stdin"), None, True), done.task.folder, PurePath("a.png"))
    manifest = Manifest.load(task.folder)
    assert decide(task, manifest, SETTINGS, overwrite=False) == REPLACE


STDIN = """
import sys
from pathlib import Path, PurePath
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.media.discover import Source
task = Task(Source(None, PurePath("stdin"), None, True), Path(sys.argv[1]), PurePath("z.png"))
FolderStore([task], {}, overwrite=True).decide(task)
"""


def test_a_redirected_input_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "z.png").write_bytes(b"rainy")
    with (tmp_path / "z.png").open("rb") as stdin:
        ended = subprocess.run(
            [sys.executable, "-c", STDIN, str(tmp_path)], stdin=stdin, capture_output=True, check=False
        )
    assert b"itself an input" in ended.stderr
    piped = subprocess.run([sys.executable, "-c", STDIN, str(tmp_path)], input=b"rainy", check=False)
    assert piped.returncode == 0


def test_both_folders_moved_together(done: Place, tmp_path: Path) -> None:
    shutil.move(tmp_path / "in", tmp_path / "new" / "in")
    shutil.move(tmp_path / "out", tmp_path / "new" / "out")
    assert Place(task_of(tmp_path / "new/in/a.png", tmp_path / "new/out")).decide() == SKIP


def test_the_input_alone_moved(done: Place, tmp_path: Path) -> None:
    shutil.move(tmp_path / "in", tmp_path / "elsewhere")
    moved = Place(task_of(tmp_path / "elsewhere/a.png", tmp_path / "out"))
    assert moved.decide() == SKIP
    assert moved.decide({"model": "other"}) == Decision(replace=True, again="another model")


def test_a_file_of_the_users_is_left_alone(fresh: Place) -> None:
    fresh.task.folder.mkdir()
    fresh.output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="--overwrite"):
        fresh.decide()
    assert fresh.decide(overwrite=True) == REPLACE


def test_a_dangling_link_is_left_alone(fresh: Place) -> None:
    fresh.task.folder.mkdir()
    fresh.output.symlink_to("nowhere")
    with pytest.raises(OutputError, match="--overwrite"):
        fresh.decide()


def test_the_result_of_another_input_is_left_alone(done: Place, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").write_bytes(b"other")
    other = Place(task_of(tmp_path / "other/a.png", tmp_path / "out"))
    with pytest.raises(OutputError, match=r"result of .*in/a\.png"):
        other.decide()
    assert other.decide(overwrite=True) == REPLACE


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_input_is_ever_replaced(fresh: Place, link: Any) -> None:
    fresh.task.folder.mkdir()
    link(fresh.input, fresh.output)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="itself an input"):
            fresh.decide(overwrite=overwrite)


def test_inputs_are_known_by_what_they_are(fresh: Place, tmp_path: Path) -> None:
    gone = task_of(tmp_path / "gone.png", tmp_path / "out")
    assert file_ids([gone]) == frozenset()
    assert file_ids([gone, fresh.task, fresh.task]) == file_ids([fresh.task])
    status = fresh.input.stat()
    assert file_ids([fresh.task]) == {(status.st_dev, status.st_ino)}
    fresh.task.folder.mkdir()
    os.link(fresh.input, fresh.output)
    with pytest.raises(OutputError, match=r"out/a\.png is itself an input and is never overwritten"):
        fresh.decide()


def test_a_folder_in_the_way(fresh: Place) -> None:
    fresh.output.mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder"):
        fresh.decide(overwrite=True)


def test_results_of_earlier_runs_are_not_read_by_walking(done: Place, tmp_path: Path) -> None:
    def walked(root: Path, *names: str) -> list[Source]:
        return [Source(root / name, PurePath(name), root, False) for name in names]

    (tmp_path / "out" / "mine.png").write_bytes(b"put here by hand")
    found = Discovery(walked(tmp_path, "in/a.png", "out/a.png", "out/mine.png"), Counter(hidden=2))
    kept = without_earlier_results(found)
    assert [source.relative.as_posix() for source in kept.sources] == ["in/a.png", "out/mine.png"]
    assert kept.skipped == Counter({"hidden": 2, "output folder": 1})
    assert kept.passed_over == [(str(tmp_path / "out" / "a.png"), "output folder")]
    assert found.passed_over == []
    named = Discovery(walked(tmp_path / "out", "a.png"), Counter())
    assert without_earlier_results(named).sources == named.sources


def test_what_the_user_put_in_the_place_of_a_result_is_read(done: Place) -> None:
    def left() -> list[str]:
        found = without_earlier_results(discover([str(done.task.folder.parent)]))
        return [source.relative.as_posix() for source in found.sources]

    assert left() == ["in/a.png"]
    age(done.output)
    assert left() == ["in/a.png"]
    done.output.write_bytes(b"a new photograph")
    assert left() == ["in/a.png", "out/a.png"]
    with Manifest(done.task.folder) as manifest:
        manifest.intend("b.png", "ab" * 32)
    (done.task.folder / "b.png").write_bytes(b"a new photograph")
    assert left() == ["in/a.png", "out/a.png", "out/b.png"]


def test_what_cannot_be_read_is_no_result(done: Place) -> None:
    found = discover([str(done.task.folder.parent)])
    done.output.unlink()
    kept = without_earlier_results(found)
    assert kept.sources == found.sources  # reading it will say that it is gone
    assert kept.skipped == found.skipped


def test_patterns_do_not_lead_to_earlier_results(
    done: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(*inputs: str, output: str | None = None) -> list[str]:
        found = without_earlier_results(discover(inputs), Path(output) if output else None)
        return [source.path.as_posix() for source in found.sources if source.path]

    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "mine.png").write_bytes(b"mine")
    assert left("*/*.png") == left("*") == left("**/*.png") == ["in/a.png", "out/mine.png"]
    assert left("out/*.png", output="twice") == ["out/a.png", "out/mine.png"]
    assert left("out/*.png", output="out") == ["out/mine.png"]
    assert left("out/a.png", "out/mine.png", output="out") == ["out/mine.png"]


def test_a_manifest_in_an_input_folder_is_not_trusted(done: Place, tmp_path: Path) -> None:
    manifest = done.task.folder / FILE_NAME
    manifest.unlink()
    found = discover([str(tmp_path)])
    manifest.mkdir()
    kept = without_earlier_results(found)
    assert kept.sources == found.sources
    assert kept.skipped == Counter({BAD_MANIFEST: 1})
    assert kept.passed_over == [(str(manifest.with_name(f"{STEM}*.jsonl")), BAD_MANIFEST)]
    if hasattr(os, "mkfifo"):
        manifest.rmdir()
        os.mkfifo(manifest)
        assert without_earlier_results(found).skipped == Counter({BAD_MANIFEST: 1})
