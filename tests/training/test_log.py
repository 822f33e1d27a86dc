"""The log of a training: rows in order, whatever was cut, and a picture of them."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from drsformer_cli.errors import StorageError
from drsformer_cli.training.log import Log, draw

SVG = "{http://www.w3.org/2000/svg}"


def row(step: int, **scores: float) -> dict[str, float]:
    return {"step": step, "minutes": step / 10, "learning_rate": 1e-4, "loss": 0.1, **scores}


def test_rows_come_back(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert log.rows() == []
    rows = [row(10, lines=24.5, clean=50.25), row(20, lines=25.0, clean=51.0)]
    for one in rows:
        log.add(one)
    assert log.rows() == rows
    assert log.file.read_text().splitlines()[0] == "step,minutes,learning_rate,loss,lines,clean"


def test_rows_after_the_last_checkpoint_go(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in (10, 20, 30):
        log.add(row(step, lines=20 + step / 10))
    log.add(row(20, lines=24.0))
    assert [one["step"] for one in log.rows()] == [10, 20]
    assert log.rows()[-1]["lines"] == 24


@pytest.mark.parametrize("make", ["mkdir", "mkfifo"])
@pytest.mark.timeout(60)
def test_what_is_no_file_is_not_read(tmp_path: Path, make: str) -> None:
    if not hasattr(os, make):
        pytest.skip("this system has no pipes in folders")
    getattr(os, make)(tmp_path / "log.csv")
    with pytest.raises(StorageError, match="is no log of a training"):
        Log(tmp_path).rows()


@pytest.mark.parametrize("text", ["step,lines\nten,3\n", "step,lines\n1,2,3\n"])
def test_another_file_of_that_name_is_not_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(StorageError, match="is no log of a training"):
        Log(tmp_path).rows()


@pytest.mark.parametrize("steps", [(500,), (500, 1000, 1500), (7, 123456)])
def test_the_plot_has_a_line_for_each_kind_within_its_frame(steps: tuple[int, ...]) -> None:
    rows = [row(step, lines=24 + i, clean=50.3) for i, step in enumerate(steps)]
    picture = ElementTree.fromstring(draw(rows))
    lines = picture.findall(f"{SVG}polyline")
    assert len(lines) == 2
    width, height = map(int, picture.attrib["viewBox"].split()[2:])
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) == len(steps)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    # a better score stands higher
    ends = [line.attrib["points"].split()[-1].split(",") for line in lines]
    assert float(ends[1][1]) < float(ends[0][1])
    words = [text.text for text in picture.findall(f"{SVG}text")]
    assert "clean 50.30" in words


def test_equal_scores_can_be_drawn() -> None:
    assert "polyline" in draw([row(1, lines=24.0), row(2, lines=24.0)])
