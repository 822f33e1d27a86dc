"""Where films go: beside themselves, into a folder, to the very name; and which are results already."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.film_naming import NO_FILM, find_films
from drsformer_cli.jobs.manifest import FILE_NAME, STEM, Manifest
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import BAD_MANIFEST
from drsformer_cli.media import discover


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "in/b.mkv", "in/deep/c.avi", "in/deep/c.avi.mkv", "in/notes.txt", "in/.h.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def places(here: Path, *inputs: str, output: str | None = None) -> list[str]:
    found = find_films(inputs, output)
    return [Path(os.path.relpath(task.path, here)).as_posix() for task in found.tasks]


def test_a_film_goes_beside_itself(here: Path) -> None:
    assert places(here, "a.mp4") == ["a_derained.mp4"]
    assert places(here, "in/deep/c.avi") == ["in/deep/c_derained.avi.mkv"]  # no container that is written


def test_those_of_a_folder_go_beside_the_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places(here, "in") == ["derained/b.mkv", "derained/deep/c.avi-2.mkv", "derained/deep/c.avi.mkv"]
    found = find_films(["in"], None)
    assert (found.left_out, len(found.passed_over), found.unnamed) == ({NO_FILM: 1, "hidden": 1}, 2, 0)
    monkeypatch.setattr(discover, "MOST_NAMED", 1)
    found = find_films(["in"], None)
    assert (found.left_out, len(found.passed_over), found.unnamed) == ({NO_FILM: 1, "hidden": 1}, 1, 1)
    assert places(here, "a.mp4", "in/") == ["a_derained.mp4", *places(here, "in")]


def test_into_a_folder(here: Path) -> None:
    (here / "there.d").mkdir()
    for output in ("out", "out.d/", "there.d"):
        assert places(here, "a.mp4", output=output) == [f"{output.rstrip('/')}/a.mp4"]
    assert places(here, "in", output="out")[0] == "out/b.mkv"


def test_to_the_very_name(here: Path) -> None:
    assert places(here, "a.mp4", output="out/z.webm") == ["out/z.webm"]
    (here / "folder.mp4").mkdir()
    assert places(here, "a.mp4", output="folder.mp4") == ["folder.mp4/a.mp4"]
    assert places(here, "a.mp4", output="new.mp4/") == ["new.mp4/a.mp4"]
    for inputs in (["in"], ["a.mp4", "in/b.mkv"]):
        with pytest.raises(UsageError, match="is one film, but the input is not: name a folder instead"):
            find_films(inputs, "z.mp4")


@pytest.mark.parametrize(
    ("inputs", "output", "words"),
    [
        (["-"], None, "cannot be read from a pipe"),
        (["a.mp4"], "in/notes.txt", "is a file that holds no film"),
        (["a.mp4"], "z.avi", r"-o z\.avi cannot be written: give a name in .* or z\.avi/\."),
        (["gone.mp4"], None, "does not exist"),
    ],
)
def test_places_that_are_none(inputs: list[str], output: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_films(inputs, output)


def test_the_folder_of_results_is_not_searched(here: Path) -> None:
    (here / "in" / "out").mkdir()
    (here / "in" / "out" / "b.mkv").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"-o in.out lies in in, and the films in in.out would be left out"):
        find_films(["in"], "in/out")
    finish(here / "in" / "out", "a.mp4")
    found = find_films(["in"], "in/out")
    assert [task.name for task in found.tasks] == ["in/b.mkv", "in/deep/c.avi", "in/deep/c.avi.mkv"]
    assert found.left_out["output folder"] == 1
    with pytest.raises(UsageError, match="would go among its own files"):
        find_films(["in/out"], "in/out")


def finish(folder: Path, name: str) -> None:
    """Let a film stand in a folder as a run has left it."""
    (folder / name).write_bytes(b"restored")
    with Manifest(folder) as manifest:
        manifest.finish(Record(name, Input("a.mp4", 1, 1, ""), Result(8, 1, ""), {}))


def test_results_beside_their_sources_are_left_out(here: Path) -> None:
    finish(here, "a_derained.mp4")
    (here / "b_derained.mp4").write_bytes(b"the user's own")
    found = find_films(["*.mp4"], None)
    assert [task.name for task in found.tasks] == ["a.mp4", "b_derained.mp4"]
    assert found.left_out["output folder"] == 1
    assert ("a_derained.mp4", "output folder") in found.passed_over
    assert [task.name for task in find_films(["a_derained.mp4"], None).tasks] == ["a_derained.mp4"]
    (here / FILE_NAME).unlink()
    (here / FILE_NAME).mkdir()  # one that cannot be read says nothing
    found = find_films(["*.mp4"], None)
    assert (len(found.tasks), found.left_out) == (3, {BAD_MANIFEST: 1})
    assert [reason for _, reason in found.passed_over] == [BAD_MANIFEST]


def test_a_bad_manifest_is_counted_once(here: Path) -> None:
    (here / "in" / "deep" / FILE_NAME).mkdir(parents=True)
    (here / "in" / "deep" / "d.mp4").write_bytes(b"x")
    found = find_films(["in"], "out")
    assert found.left_out[BAD_MANIFEST] == 1
    assert (str(here / "in" / "deep" / f"{STEM}*.jsonl"), BAD_MANIFEST) in found.passed_over


def test_names_that_became_matroskas_are_numbered(here: Path) -> None:
    for name in ("x.avi", "x.avi.mkv", "x.avi-2.mkv", "X.AVI"):
        (here / "many" / name).parent.mkdir(exist_ok=True)
        (here / "many" / name).write_bytes(b"x")
    tasks = find_films(["many"], "out").tasks
    assert len({str(task.output).lower() for task in tasks}) == 4
    by_name = {task.name: task.output for task in tasks}
    for name in ("x.avi.mkv", "x.avi-2.mkv"):  # what can keep its name does
        assert by_name[str(Path("many") / name)] == PurePath(name)


def test_two_that_would_share_a_place_are_refused(here: Path) -> None:
    (here / "derained").mkdir()
    for name in ("derained/b.mp4", "in/b_derained.mp4"):
        (here / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=r"would both go to .*b_derained\.mp4: give -o"):
        find_films(["in", "derained/b.mp4"], None)
