"""Links, pipes, sockets, devices among pictures: passed over or refused, never waited for or followed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Command, write_picture

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders"),
    pytest.mark.timeout(60),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of two pictures among everything that is no plain file, and a picture outside of it."""
    inside = tmp_path / "in"
    write_picture(inside / "a.png", 1)
    write_picture(inside / "deep" / "b.png", 2)
    write_picture(tmp_path / "outside.png", 3)
    (inside / "out.png").symlink_to(tmp_path / "outside.png")
    (inside / "up").symlink_to(tmp_path)
    (inside / "round").symlink_to(inside)
    (inside / "deep" / "back").symlink_to("..")
    (inside / "one.png").symlink_to("two.png")
    (inside / "two.png").symlink_to("one.png")
    (inside / "self.png").symlink_to("self.png")
    (inside / "gone.png").symlink_to("nowhere.png")
    (inside / "zero.png").symlink_to("/dev/zero")
    (inside / "random.png").symlink_to("/dev/urandom")
    os.mkfifo(inside / "pipe.png")
    (inside / "topipe.png").symlink_to("pipe.png")
    os.mkfifo(inside / "film.mp4")
    return inside


def results(folder: Path) -> list[str]:
    """Everything below a folder but derain's notes."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".derain-" not in path.name)
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def test_a_folder_full_of_traps(derain: Command, place: Path, tiny: Path, tmp_path: Path) -> None:
    outcome = derain(place, "-o", tmp_path / "done", "-m", tiny, "--device", "cpu")
    assert outcome.status == 0, outcome.err
    assert results(tmp_path / "done") == ["a.png", "deep/b.png"]
    assert "left out" in outcome.err


def test_films_among_traps(derain: Command, place: Path, tiny: Path, tmp_path: Path) -> None:
    outcome = derain("video", place, "-o", tmp_path / "done", "-m", tiny, "--device", "cpu")
    assert "no films found" in outcome.err
    assert results(tmp_path) == results(tmp_path)


@pytest.mark.parametrize("name", ["pipe.png", "topipe.png", "zero.png", "gone.png", "self.png", "socket.png"])
def test_a_trap_that_is_named(
    derain: Command, place: Path, tiny: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        for words in ([name, "-o", tmp_path / "x.png"], ["bench", name], ["video", name]):
            outcome = derain(*words)
            assert outcome.status in (1, 2), outcome.err
            assert name in outcome.err
        for words in (["eval", "--gt", name, "--pred", "a.png"], ["eval", "--gt", "a.png", "--pred", name]):
            assert derain(*words).status in (1, 2)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("name", ["pipe.png", "zero.png", "self.png", "deep"])
def test_a_trap_for_a_model(derain: Command, place: Path, tmp_path: Path, name: str) -> None:
    for words in (
        ["-m", place / name, place / "a.png"],
        ["weights", "import", place / name, "--name", "mine"],
    ):
        outcome = derain(*words, *(["-o", tmp_path / "x.png"] if words[0] == "-m" else []))
        assert outcome.status in (2, 3)
        assert "unexpected" not in outcome.err


def test_a_recipe_without_an_end(derain: Command, tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    words = ["train", tmp_path / "photographs", "-o", tmp_path / "run", "--config"]
    for recipe in ("/dev/zero", tmp_path):
        outcome = derain(*words, recipe)
        assert outcome.status == 2
        assert str(recipe) in outcome.err
    outcome = derain(*words, "/dev/null")  # changes nothing of the bundled one
    assert outcome.status == 2
    assert "holds 0 pictures" in outcome.err


def test_pictures_to_train_on_that_are_hurt(derain: Command, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "photographs" / "a.png", 1, (256, 256))
    data = picture.read_bytes()
    for hurt in (
        data[: len(data) // 2],
        data[:40] + b"\xff" * 40,
        b"II*\0" + b"\xff" * 90,
        b"GIF89a" + b"\xff" * 9,
    ):
        picture.write_bytes(hurt)
        outcome = derain("train", tmp_path / "photographs", "-o", tmp_path / "run", "--device", "cpu")
        assert outcome.status in (1, 2)
        assert "unexpected" not in outcome.err


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("hard", [False, True])
def test_a_result_that_is_a_link_to_its_input(
    derain: Command, tiny: Path, tmp_path: Path, overwrite: bool, hard: bool
) -> None:
    picture = write_picture(tmp_path / "in" / "a.png", 1)
    before = picture.read_bytes()
    (tmp_path / "out").mkdir()
    if hard:
        os.link(picture, tmp_path / "out" / "a.png")
    else:
        (tmp_path / "out" / "a.png").symlink_to(picture)
    words = [tmp_path / "in", "-o", tmp_path / "out", "-m", tiny, "--device", "cpu"]
    outcome = derain(*words, *(["--overwrite"] if overwrite else []))
    assert outcome.status == 1
    assert "never overwritten" in outcome.err
    assert picture.read_bytes() == before


def test_an_output_folder_that_is_a_link_to_the_inputs(derain: Command, tiny: Path, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "in" / "a.png", 1)
    before = picture.read_bytes()
    (tmp_path / "out").symlink_to(tmp_path / "in")
    outcome = derain(tmp_path / "in", "-o", tmp_path / "out", "-m", tiny, "--device", "cpu", "--overwrite")
    assert outcome.status in (1, 2)
    assert picture.read_bytes() == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_result_is_not_written_through_a_link(
    derain: Command, tiny: Path, tmp_path: Path, overwrite: bool
) -> None:
    write_picture(tmp_path / "in" / "a.png", 1)
    mine = write_picture(tmp_path / "mine.png", 9)
    before = mine.read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(mine)
    words = [tmp_path / "in", "-o", tmp_path / "out", "-m", tiny, "--device", "cpu"]
    outcome = derain(*words, *(["--overwrite"] if overwrite else []))
    assert outcome.status == (0 if overwrite else 1), outcome.err
    assert mine.read_bytes() == before
    assert (tmp_path / "out" / "a.png").is_symlink() != overwrite


def test_notes_that_are_links(derain: Command, tiny: Path, tmp_path: Path) -> None:
    """A manifest that leads to a file of the user's, or to a pipe."""
    write_picture(tmp_path / "in" / "a.png", 1)
    for number, target in enumerate(("mine.txt", "pipe")):
        out = tmp_path / f"out{number}"
        out.mkdir()
        (tmp_path / "mine.txt").write_text("mine\n")
        if target == "pipe":
            os.mkfifo(tmp_path / "pipe")
        (out / ".derain-manifest.jsonl").symlink_to(tmp_path / target)
        outcome = derain(tmp_path / "in", "-o", out, "-m", tiny, "--device", "cpu")
        assert outcome.status == 3
        assert "is a link" in outcome.err
        assert (tmp_path / "mine.txt").read_text() == "mine\n"
