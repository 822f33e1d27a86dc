"""`derain PATHS... --gt FOLDER`: results scored as they are written."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import StorageError
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Record
from drsformer_cli.jobs.store import FolderStore
from tests.cli.conftest import Command
from tests.quality.conftest import folders, picture, write

__all__ = ["folders"]


@pytest.fixture
def words(tiny: Path) -> list[object]:
    """The words that every command here begins with."""
    return ["-m", tiny, "--device", "cpu"]


def test_scores_are_those_of_eval(derain: Command, words: list[object], folders: Path) -> None:
    restored = folders / "restored"
    truth = ["--gt", folders / "clean", "--protocol", "did-ddn"]
    outcome = derain(
        folders / "rainy", "-o", restored, *words, *truth, "--json", "--report", folders / "r.csv"
    )
    assert outcome.status == 0
    *rows, summary = [json.loads(line) for line in outcome.out.splitlines()]
    more = ["--pred", restored, "--input", folders / "rainy", "--json"]
    evaluated = [json.loads(line) for line in derain("eval", *truth, *more).out.splitlines()]
    for ours, theirs in zip(rows, evaluated[:-1], strict=True):
        for key in ("psnr", "ssim", "rainy_psnr", "rainy_ssim"):
            assert ours[key] == theirs[key]
    assert summary["scores"]["psnr"] == evaluated[-1]["psnr"]
    with (folders / "r.csv").open(newline="") as file:
        assert [float(row["psnr"]) for row in csv.DictReader(file)] == [row["psnr"] for row in rows]
    again = derain(folders / "rainy", "-o", restored, *words, *truth, "--report", folders / "r.html")
    assert "5 done before" in again.err  # and scored all the same
    mean = evaluated[-1]["psnr"]["mean"]
    assert f"mean PSNR {mean:.2f} dB" in again.err
    assert f"1.png: done before, {rows[1]['psnr']:.2f} dB, SSIM" in again.err
    assert (folders / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_results_without_a_truth_make_the_status_1(
    derain: Command, words: list[object], folders: Path
) -> None:
    (folders / "clean" / "1.png").unlink()
    write(folders / "clean" / "2.png", picture(2, (24, 30)))
    command = [folders / "rainy", "-o", folders / "restored", *words, "--gt", folders / "clean"]
    outcome = derain(*command, "-q")
    assert outcome.status == 1
    assert f"derain: {folders / 'rainy' / '1.png'} has no clean picture of its own" in outcome.err
    assert "2.png has 32 x 24 pixels" in outcome.err
    assert (folders / "restored" / "1.png").is_file()
    assert derain(*command, "-q", "--allow-missing").status == 0


def test_a_single_picture(derain: Command, words: list[object], folders: Path) -> None:
    outcome = derain(
        folders / "rainy" / "1.png", "-o", folders / "x.png", *words, "--gt", folders / "clean" / "2.png"
    )
    assert outcome.status == 0
    assert " dB, SSIM " in outcome.err


def test_inputs_that_share_a_truth_are_named(derain: Command, words: list[object], folders: Path) -> None:
    write(folders / "rainy" / "1.bmp", picture(1))
    write(folders / "rainy" / "9.png", picture(1))
    command = [folders / "rainy", "-o", folders / "restored", *words, "--gt", folders / "clean"]
    outcome = derain(*command, "--json")
    assert outcome.status == 1
    assert [
        problem["kind"] for problem in json.loads(outcome.out.splitlines()[-1])["scores"]["problems"]
    ] == [
        "missing",
        "doubled",
    ]
    assert "1.bmp and " in outcome.err
    assert "1.png would be restored versions of the same picture." in outcome.err
    assert "9.png has no clean picture of its own" in outcome.err
    assert "1.png has no clean picture of its own" not in outcome.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--gt", "clean", "-o", "-"], "--gt scores the files that are written"),
        (["--gt", "nowhere"], "--gt nowhere does not exist"),
        (["--protocol", "rgb"], "give --gt FOLDER"),
        (["--report", "x.html"], "needs clean pictures: give --gt"),
        (["--report", "x.html", "--gt", "clean", "--dry-run"], "a dry run has none: give .json or .csv"),
        (["--report", "x.md"], "give a name in .json or .csv, or with --gt in .html"),
    ],
)
def test_what_makes_no_sense_is_refused(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], said: str
) -> None:
    monkeypatch.chdir(folders)
    outcome = derain("rainy/1.png", *more)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_what_stops_a_run_does_not_hide_what_is_finished(
    derain: Command, words: list[object], folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FolderStore.put

    def full_after_one(store: FolderStore, task: Task, *rest: Any, **more: Any) -> Record:
        if task.name.endswith("1.png"):
            raise StorageError("the disk is full.")
        return put(store, task, *rest, **more)

    monkeypatch.setattr(FolderStore, "put", full_after_one)
    outcome = derain(folders / "rainy", "-o", folders / "o", *words, "--gt", folders / "clean", "--json")
    assert outcome.status == 3
    *rows, summary = [json.loads(line) for line in outcome.out.splitlines()]
    done = [row for row in rows if row["status"] == "done"]
    assert len(done) == summary["done"] == len(list((folders / "o").glob("*.png"))) > 0


def test_results_that_show_no_difference_are_told_apart(
    derain: Command, words: list[object], folders: Path
) -> None:
    """What was not rainy and is left as it is has no error: its PSNR is no number for a mean."""
    write(folders / "rainy" / "1.png", picture(1))
    outcome = derain(
        *(folders / "rainy" / name for name in ("1.png", "2.png")),
        *("-o", folders / "o", "--strength", "0", *words, "--gt", folders / "clean"),
    )
    assert outcome.status == 0, outcome.err
    assert "(2 compared, protocol rain200)." in outcome.err
    assert "1 picture shows no difference at all (PSNR ∞) and is kept out of its mean." in outcome.err


def test_nothing_is_summed_up_where_nothing_could_be_scored(
    derain: Command, words: list[object], folders: Path
) -> None:
    write(folders / "clean" / "1.png", picture(1, (24, 30)))
    outcome = derain(
        folders / "rainy" / "1.png", "-o", folders / "o", *words, "--gt", folders / "clean" / "1.png"
    )
    assert outcome.status == 1
    assert "1 restored" in outcome.err
    assert "has 32 x 24 pixels" in outcome.err
    assert "mean PSNR" not in outcome.err


def test_a_picture_from_a_pipe_is_scored_without_its_rain(
    derain: Command, words: list[object], folders: Path
) -> None:
    """What came through a pipe is gone when it is scored."""
    before = os.dup(0)
    with (folders / "rainy" / "2.png").open("rb") as rainy:
        os.dup2(rainy.fileno(), 0)
        try:
            outcome = derain("-", "-o", folders / "x.png", *words, "--gt", folders / "clean" / "2.png")
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert outcome.status == 0, outcome.err
    assert "mean PSNR" in outcome.err
    assert "of the rainy pictures" not in outcome.err
