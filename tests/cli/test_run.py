"""`derain PATHS...` with a real network: what it writes, where, and what it says."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.jobs.manifest import FILE_NAME
from tests.cli.conftest import Command, environment, run_process, write_picture


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def kind(path: Path) -> tuple[str | None, str, tuple[int, int]]:
    with Image.open(path) as picture:
        return picture.format, picture.mode, picture.size


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture
def words(tiny: Path) -> list[str]:
    """The words that every command here begins with."""
    return ["-m", str(tiny), "--device", "cpu"]


def test_a_folder(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    before = snapshot(photos)
    outcome = derain(photos, "-o", tmp_path / "out", *words)
    assert outcome.status == 0
    assert outcome.out == ""
    assert "[3/3]" in outcome.err
    assert "3 restored" in outcome.err
    assert tree(tmp_path / "out") == [FILE_NAME, "a.png", "b.jpg", "deep/c.png"]
    assert snapshot(photos) == before
    for name in ("a.png", "b.jpg", "deep/c.png"):
        assert kind(photos / name) == kind(tmp_path / "out" / name)
    again = derain(photos, "-o", tmp_path / "out", *words)
    assert again.status == 0
    assert "0 restored, 3 done before" in again.err


def test_the_golden_picture(derain: Command, golden: Path, tmp_path: Path, tiny: Path) -> None:
    """A result is what the network gives for these pixels, rounded."""
    from drsformer_cli.restore.restorer import load

    rainy = golden / "pattern.png"
    assert derain(rainy, "-o", tmp_path / "clean.png", "-m", tiny, "--device", "cpu").status == 0
    expected = load(str(tiny), device="cpu")(pixels(rainy))
    assert np.array_equal(pixels(tmp_path / "clean.png"), expected)


def test_options_come_first_or_last(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    assert derain(*words, "-o", tmp_path / "one", photos).status == 0
    assert derain("run", photos, *words, "-o", tmp_path / "two").status == 0
    assert snapshot(tmp_path / "one")["a.png"] == snapshot(tmp_path / "two")["a.png"]


def test_without_o_results_go_beside(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    assert derain(photos, *words).status == 0
    assert tree(tmp_path / "derained") == [FILE_NAME, "a.png", "b.jpg", "deep/c.png"]
    assert derain(photos / "a.png", *words).status == 0
    assert tree(photos / "derained") == [FILE_NAME, "a.png"]
    assert derain(photos, "-o", tmp_path / "out", *words).status == 0
    assert tree(tmp_path / "out") == [FILE_NAME, "a.png", "b.jpg", "deep/c.png"]


def test_an_output_folder_in_the_input_folder(derain: Command, words: list[str], photos: Path) -> None:
    for _ in range(2):
        outcome = derain(photos, "-o", photos / "clean", *words)
        assert outcome.status == 0
        assert tree(photos / "clean") == [FILE_NAME, "a.png", "b.jpg", "deep/c.png"]
    assert "3 done before" in outcome.err


@pytest.mark.parametrize("named_alone", [True, False])
def test_results_do_not_go_among_other_originals(
    derain: Command, words: list[str], photos: Path, tmp_path: Path, named_alone: bool
) -> None:
    more = [] if named_alone else [write_picture(tmp_path / "d.png")]
    before = snapshot(photos)
    outcome = derain(photos, *more, "-o", photos / "deep", *words)
    assert outcome.status == 2
    assert (
        f"-o {photos / 'deep'} lies in {photos}, and the pictures in {photos / 'deep'} would be left"
        in outcome.err
    )
    assert snapshot(photos) == before
    (photos / "deep" / "c.png").rename(photos / "c.png")  # what is left there are no pictures
    assert derain(photos, *more, "-o", photos / "deep", "--dry-run", *words).status == 0


def test_one_place_for_results_and_one_model(derain: Command, words: list[str], photos: Path) -> None:
    twice = derain(photos, "-o", photos.parent / "a", "--output", photos.parent / "b", *words)
    assert twice.status == 2
    assert "--output is given twice, and stands once: all results of a run go to one place." in twice.err
    assert "--model is given twice" in derain(photos, *words, "-m", "compact").err


def test_what_is_made_again_is_told(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    assert derain(photos, "-o", tmp_path / "out", *words).status == 0
    (tmp_path / "out" / "b.jpg").unlink()  # this one is not made again: it is missing
    other = [photos, "-o", tmp_path / "out", "--strength", "0.5", "--memory", "2G", *words]
    why = "memory as it comes -> 2048M, strength 1 -> 0.5"
    listed = derain(*other, "--dry-run")
    assert f"3 to do, 2 of them again ({why})." in listed.err
    assert listed.out.count(f" (again: {why})\n") == 2
    rows = lines(derain(*other, "--dry-run", "--json").out)
    assert [row.get("reason") for row in rows] == [f"again: {why}", None, f"again: {why}", None]
    outcome = derain(*other, "--json")
    assert f", 2 of them again ({why}); " in outcome.err
    assert lines(outcome.out)[-1]["again"] == {why: 2}
    assert " of them again" not in derain(*other).err


def test_a_folder_of_links_says_how_they_are_taken(
    derain: Command, words: list[str], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("split").mkdir()
    for name in ("a.png", "b.jpg"):
        Path("split", name).symlink_to(photos / name)
    none = derain("split", "-o", "out", *words)
    assert none.status == 0
    assert (
        "no pictures found, 2 left out (2 link out of the tree). Links that lead out of a folder" in none.err
    )
    assert "2 restored into out" in derain("split/*", "-o", "out", *words).err


def test_the_output_folder_is_never_the_input_folder(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    before = snapshot(photos)
    outcome = derain(photos, "-o", photos, "--overwrite", *words)
    assert outcome.status == 2
    assert "choose another -o" in outcome.err
    (tmp_path / "link").symlink_to(photos)
    for places in ([photos, "-o", tmp_path / "link"], [tmp_path / "link", "-o", photos]):
        outcome = derain(*places, "--suffix", "_clean", *words)
        assert outcome.status == 2
        assert "choose another -o" in outcome.err
    assert snapshot(photos) == before


def test_no_input_is_overwritten(derain: Command, words: list[str], photos: Path) -> None:
    before = snapshot(photos)
    for output in (photos, photos / "a.png"):
        outcome = derain(photos / "a.png", "-o", output, "--overwrite", *words)
        assert outcome.status == 1
        assert "itself an input" in outcome.err
    os.link(photos / "a.png", photos / "other.png")
    assert derain(photos / "a.png", "-o", photos / "other.png", "--overwrite", *words).status == 1
    (photos / "other.png").unlink()
    assert snapshot(photos) == before


def test_a_file_in_the_way(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    outcome = derain(photos, "-o", tmp_path / "out", *words)
    assert outcome.status == 1
    assert f"2 restored into {tmp_path / 'out'}{os.sep}, 1 failed" in outcome.err
    assert "--overwrite" in outcome.err
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert derain(photos, "-o", tmp_path / "out", "--overwrite", *words).status == 0
    assert (tmp_path / "out" / "a.png").read_bytes() != b"mine"


def test_failures_are_named_and_the_rest_go_on(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    (photos / "aa.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (photos / "notes.txt").write_text("not a picture")
    outcome = derain(photos, photos / "notes.txt", "-o", tmp_path / "out", *words)
    assert outcome.status == 1
    assert f"3 restored into {tmp_path / 'out'}{os.sep}, 2 failed" in outcome.err
    assert "left out (1 not a picture)" in outcome.err
    reasons = [line for line in outcome.err.splitlines() if "] failed: " in line]
    assert len(reasons) == 2
    assert "aa.jpg" in reasons[0]
    assert "notes.txt" in reasons[1]
    assert tree(tmp_path / "out") == [FILE_NAME, "a.png", "b.jpg", "deep/c.png"]


def test_quiet_says_nothing_but_errors(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    outcome = derain(photos, "-o", tmp_path / "out", "-q", *words)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    (photos / "bad.png").write_bytes(b"")
    outcome = derain(photos, "-o", tmp_path / "out", "-q", *words)
    assert outcome.status == 1
    assert outcome.err.startswith("derain: ")
    assert outcome.err.count("\n") == 1
    assert derain(photos, "-q", "-v", *words).status == 2


def test_json_lines(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    outcome = derain(photos, "-o", tmp_path / "out", "--json", *words)
    assert outcome.status == 1
    rows = lines(outcome.out)
    assert [row["status"] for row in rows] == ["done", "done", "failed", "done", "summary"]
    assert rows[0]["input"] == str(photos / "a.png")
    assert rows[0]["output"] == str(tmp_path / "out" / "a.png")
    assert (rows[0]["width"], rows[0]["height"], rows[0]["frames"]) == (24, 16, 1)
    assert rows[0]["plan"]["device"] == "cpu"
    assert "bad.png" in rows[2]["reason"]
    assert {key: rows[-1][key] for key in ("done", "skipped", "failed")} == {
        "done": 3,
        "skipped": 0,
        "failed": 1,
    }
    again = lines(derain(photos, "-o", tmp_path / "out", "--json", *words).out)
    assert [row["status"] for row in again] == ["skipped", "skipped", "failed", "skipped", "summary"]


def test_report(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    report = tmp_path / "report.json"
    assert derain(photos, "-o", tmp_path / "out", "--report", report, *words).status == 1
    data = json.loads(report.read_text())
    assert [row["status"] for row in data["pictures"]] == ["done", "done", "failed", "done"]
    assert data["summary"]["done"] == 3
    table = tmp_path / "report.csv"
    assert derain(photos, "-o", tmp_path / "out", "--report", table, *words).status == 1
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["skipped", "skipped", "failed", "skipped"]
    assert rows[2]["error"] == "UnreadableError"


def test_dry_run_does_nothing_and_knows_all(
    derain: Command, words: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = derain("photos", "-o", "out", "--dry-run", *words)
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        f"{Path('photos/a.png')} -> {Path('out/a.png')}",
        f"{Path('photos/b.jpg')} -> {Path('out/b.jpg')}",
        f"{Path('photos/deep/c.png')} -> {Path('out/deep/c.png')}",
    ]
    assert "3 to do" in outcome.err
    assert not (tmp_path / "out").exists()
    assert derain("photos", "-o", "out", *words).status == 0
    (tmp_path / "out" / "b.jpg").unlink()
    outcome = derain("photos", "-o", "out", "--dry-run", *words)
    assert outcome.out.splitlines() == [f"{Path('photos/b.jpg')} -> {Path('out/b.jpg')}"]
    assert "1 to do, 2 done before" in outcome.err
    assert len(derain("photos", "-o", "out", "--dry-run", "--strength", "0.5", *words).out.splitlines()) == 3
    rows = lines(derain("photos", "-o", "out", "--dry-run", "--json", *words).out)
    assert [row["status"] for row in rows] == ["skipped", "planned", "skipped", "summary"]


def test_changed_settings_are_done_again(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert derain(photos, "-o", out, *words).status == 0
    assert "3 restored" in derain(photos, "-o", out, "--strength", "0", *words).err
    assert np.array_equal(pixels(out / "a.png"), pixels(photos / "a.png"))
    assert "3 done before" in derain(photos, "-o", out, "--strength", "0", *words).err
    assert "3 restored" in derain(photos, "-o", out, "--strength", "0", "--overwrite", *words).err


def test_format_suffix_and_quality(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    write_picture(photos / "a.jpg", 7)
    out = tmp_path / "out"
    assert derain(photos, "-o", out, "--format", "png", "--suffix", "_clean", *words).status == 0
    assert tree(out) == [
        FILE_NAME,
        "a.jpg_clean.png",
        "a.png_clean.png",
        "b_clean.png",
        "deep/c_clean.png",
    ]
    assert kind(out / "b_clean.png")[0] == "PNG"
    sizes = []
    for quality in ("20", "95"):
        name = tmp_path / f"q{quality}.jpg"
        assert derain(photos / "a.png", "-o", name, "--quality", quality, *words).status == 0
        assert kind(name)[0] == "JPEG"
        sizes.append(name.stat().st_size)
    assert sizes[0] < sizes[1]


def test_nothing_to_do(derain: Command, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = derain(tmp_path / "empty", "-o", tmp_path / "out", *words)
    assert outcome.status == 0
    assert "no pictures" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_pattern_is_the_files_it_matches(
    derain: Command, words: list[str], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    assert derain("*.png", *words).status == 0
    assert tree(photos / "derained") == [FILE_NAME, "a.png"]
    assert "2 restored" in derain("**/*.png", "-o", "out", *words).err
    assert tree(photos / "out") == [FILE_NAME, "a.png", "c.png"]
    assert derain("*.nothing", *words).status == 2


def test_a_second_pass_over_results(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    assert derain(photos, *words).status == 0
    assert "choose another -o" in derain(tmp_path / "derained", *words).err
    assert "3 restored" in derain(tmp_path / "derained", "-o", tmp_path / "twice", *words).err


def test_what_the_user_did_to_a_result_stays(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert derain(photos, "-o", out, *words).status == 0
    write_picture(out / "a.png", 99)
    retouched = (out / "a.png").read_bytes()
    outcome = derain(photos, "-o", out, *words)
    assert outcome.status == 1
    assert f"2 done before in {out}{os.sep}, 1 failed" in outcome.err
    assert "changed since" in outcome.err
    assert (out / "a.png").read_bytes() == retouched
    assert derain(out, "-o", tmp_path / "twice", *words).status == 0
    assert derain(tmp_path, "-o", tmp_path / "all", *words).status == 0
    assert (tmp_path / "all" / "out" / "a.png").exists()
    assert not (tmp_path / "all" / "out" / "b.jpg").exists()
    assert derain(photos, "-o", out, "--overwrite", *words).status == 0
    assert (out / "a.png").read_bytes() != retouched


def test_a_pattern_into_its_own_folder(
    derain: Command, words: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pattern in (str(photos / "*.*"), photos / "*.png"):
        for _ in range(3):
            assert derain(pattern, "-o", photos, "--suffix", "_clean", *words).status == 0
    files = ["a.png", "a_clean.png", "b.jpg", "b_clean.jpg"]
    assert tree(photos) == [FILE_NAME, *files, "deep/c.png"]
    named = [photos / name for name in files]
    assert "2 done before" in derain(*named, "-o", photos, "--suffix", "_clean", *words).err
    assert tree(photos) == [FILE_NAME, *files, "deep/c.png"]
    monkeypatch.chdir(photos)
    assert derain("a_clean.png", "-o", "again.png", *words).status == 0


@pytest.mark.skipif(os.name == "nt", reason="an open file has no identity there")
def test_a_redirected_input_is_not_overwritten(tmp_path: Path, words: list[str]) -> None:
    before = write_picture(tmp_path / "z.png").read_bytes()
    with (tmp_path / "z.png").open("rb") as stdin:
        command = [sys.executable, "-m", "drsformer_cli", "-", "-o", "z.png", "--overwrite", *words]
        ended = subprocess.run(
            command, stdin=stdin, cwd=tmp_path, capture_output=True, env=environment(), check=False
        )
    assert ended.returncode == 1
    assert b"itself an input" in ended.stderr
    assert (tmp_path / "z.png").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"), [("labels.csv", b"name,label\r\na.png,1\r\n"), ("labels.json", b'{"a": 1}')]
)
def test_a_report_replaces_nothing_but_a_report(
    derain: Command, words: list[str], photos: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    report = tmp_path / name
    report.write_bytes(content)
    run = (photos, "-o", tmp_path / "out", "--report", report, *words)
    for also in ([], ["--dry-run"], ["--dry-run", "--overwrite"]):
        outcome = derain(*run, *also)
        assert outcome.status == 2
        assert "is there already" in outcome.err
        assert report.read_bytes() == content
    assert not (tmp_path / "out").exists()
    assert derain(*run, "--overwrite").status == 0
    first = report.read_bytes()
    assert derain(*run).status == 0  # a report of ours
    second = report.read_bytes()
    assert first != content
    assert first != second
    assert derain(*run, "--dry-run").status == 2
    assert report.read_bytes() == second
    report.write_bytes(b"")
    assert derain(*run).status == 0
    report.unlink()
    assert derain(*run, "--dry-run").status == 0
    assert report.exists()


@pytest.mark.parametrize(
    "bad",
    [
        ["--tile", "100"],
        ["--tile", "32"],
        ["--tile", "big"],
        ["--tile", "64", "--overlap", "40"],
        ["--tile", "off", "--overlap", "8"],
        ["--overlap", "-1"],
        ["--memory", "lots"],
        ["--memory", "1M"],
        ["--strength", "1.01"],
        ["--strength", "nan"],
        ["--quality", "0"],
        ["--quality", "101"],
        ["--quality", "50", "--format", "png"],
        ["--format", "xyz"],
        ["--precision", "fp8"],
        ["--device", "gpu"],
        ["--suffix", "a/b"],
        ["--report", "report.txt"],
        ["--report", "no/such/folder/report.json"],
        ["-o", "x.png"],
    ],
)
def test_wrong_usage(
    derain: Command, photos: Path, bad: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("drsformer_cli.cli.options.ModelOptions.load", lambda _: pytest.fail("it was loaded"))
    before = tree(tmp_path)
    outcome = derain(photos, *bad)
    assert outcome.status == 2, outcome.err
    assert bad[-2] in outcome.err
    assert "Traceback" not in outcome.err
    assert tree(tmp_path) == before


def test_a_model_that_is_not_there(derain: Command, photos: Path, tmp_path: Path) -> None:
    outcome = derain(photos, "-o", tmp_path / "out", "-m", "no-such-model")
    assert outcome.status == 3
    assert "no-such-model" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert derain(photos, "-o", tmp_path / "out", "-m", photos / "a.png").status == 3
    assert derain(photos, "-o", tmp_path / "out", "--device", "cuda:77", "-m", "no-such-model").status == 3


def test_an_output_folder_that_cannot_be(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    outcome = derain(photos, "-o", tmp_path / "file" / "out", *words)
    assert outcome.status == 3
    assert str(tmp_path / "file" / "out") in outcome.err
    assert derain(photos, "-o", tmp_path / "file", *words).status == 2


def test_the_end_names_the_place_of_the_results(
    derain: Command, words: list[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (photos / "shot.NEF").write_bytes(b"")
    outcome = derain("photos", "-v", *words)
    assert f"3 restored into derained{os.sep}, 1 left out (1 camera raw); " in outcome.err
    assert f"{Path('photos/shot.NEF')}: left out (camera raw); convert it" in outcome.err
    assert "1 restored into one.png; " in derain("photos/a.png", "-o", "one.png", *words).err
    outcome = derain("photos/a.png", "photos/deep/c.png", *words)
    assert f"2 restored into {Path('photos/derained')}{os.sep} and 1 more folder; " in outcome.err


def test_nothing_is_summed_up_when_nothing_could_be_done(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    write_picture(photos / "large.png", 1, (512, 512))
    outcome = derain(photos / "large.png", "-o", tmp_path / "out", "--memory", "64M", *words)
    assert outcome.status == 3
    assert "restored" not in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_kind_that_cannot_be_made(derain: Command, words: list[str], photos: Path) -> None:
    outcome = derain(photos / "b.jpg", "-o", "clear.gif", *words)
    assert outcome.status == 2
    assert "a .jpg picture cannot be written as .gif: give a name in .png" in outcome.err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only for this user")
def test_a_read_only_output_folder(derain: Command, words: list[str], photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    assert derain(photos, "-o", tmp_path / "out", *words).status == 3


HOSTILE = [
    "-leading.png",
    "new\nline.png",
    "[red]markup[.png",
    "\x1b[31mcolour.png",
    " .png",
    "日本 %s {}.png",
]


@pytest.mark.skipif(os.name == "nt", reason="such names cannot exist there")
def test_hostile_names(
    derain: Command, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(HOSTILE):
        write_picture(tmp_path / "in" / name, seed)
    monkeypatch.chdir(tmp_path)
    outcome = derain("in", "-o", "out", "--json", *words)
    assert outcome.status == 0
    assert {path.name for path in Path("out").iterdir()} == {*HOSTILE, FILE_NAME}
    assert {Path(row["input"]).name for row in lines(outcome.out)[:-1]} == set(HOSTILE)
    assert "\x1b" not in outcome.err
    assert "[red]markup[.png" in outcome.err
    assert "new\\nline.png" in outcome.err
    assert derain("-o", "out2", *words, "--", "in/-leading.png").status == 0
    monkeypatch.chdir(tmp_path / "in")
    assert derain("-o", "../out3", *words, "--", "-leading.png").status == 0
    assert tree(tmp_path / "out3") == ["-leading.png", FILE_NAME]


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are Unicode there")
def test_names_that_are_no_unicode(tmp_path: Path, words: list[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_picture(tmp_path / "in" / "plain.png")
    (tmp_path / "in" / "plain.png").rename(tmp_path / "in" / name)
    outcome = run_process(
        "in", f"in/{name}", "-o", "out", "--json", "--report", "r.csv", *words, cwd=tmp_path
    )
    assert outcome.status == 0, outcome.err
    assert tree(tmp_path / "out") == [FILE_NAME, name]
    assert lines(outcome.out)[0]["input"] == str(tmp_path / "in" / name)
    assert "caf\\udce9.png" in outcome.err
    (tmp_path / "r.csv").read_text("utf-8")
    write_picture(tmp_path / "in" / "日本.png")
    again = run_process("in", "-o", "out", "--dry-run", *words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert again.status == 0
    assert "1 to do, 1 done before" in again.err
    assert "\\u65e5" in again.out


def test_a_dry_run_knows_of_every_setting(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    said = [photos / "a.png", "-o", tmp_path / "out", *words, "--tile", "64", "--dry-run"]
    more = ["--overlap", "16", "--precision", "fp32"]
    assert derain(*said[:-1], *more).status == 0
    assert "1 done before" in derain(*said, *more).err
    other = derain(*said, "--overlap", "8", "--precision", "fp32")
    assert "(again: overlap 16 -> 8)" in other.out
    assert "1 to do" in other.err


def test_a_dry_run_of_a_pipe_says_where_the_picture_goes(
    derain: Command, words: list[str], photos: Path
) -> None:
    outcome = derain(photos / "a.png", "-o", "-", "--dry-run", *words)
    assert outcome.status == 0
    assert outcome.out.splitlines() == [f"{photos / 'a.png'} -> standard output"]


def test_the_name_and_the_format_must_agree(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    refused = derain(photos / "a.png", "-o", tmp_path / "x.png", "--format", "jpg", *words)
    assert refused.status == 2
    assert "x.png and --format jpg ask for two kinds of files: leave one out." in refused.err
    assert derain(photos / "a.png", "-o", tmp_path / "x.jpeg", "--format", "jpg", *words).status == 0
    assert kind(tmp_path / "x.jpeg")[0] == "JPEG"
    suffixed = derain(photos / "a.png", "-o", tmp_path / "y.png", "--suffix", "_clean", *words)
    assert suffixed.status == 2
    assert "--suffix does not go with -o" in suffixed.err


def test_a_result_folder_that_is_a_file_is_refused(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("mine")
    for inputs in ([photos], [photos / "a.png", photos / "b.jpg"]):
        refused = derain(*inputs, "-o", tmp_path / "notes", *words)
        assert refused.status == 2
        assert "notes is a file that holds no picture: give a folder" in refused.err
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_report_cannot_be_a_folder(derain: Command, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").mkdir()
    refused = derain(photos, "--report", tmp_path / "r.csv")
    assert refused.status == 2
    assert refused.err.endswith("r.csv is no plain file: give another name.\n")


def test_damaged_lines_of_a_manifest_are_told(
    derain: Command, words: list[str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert derain(photos, "-o", out, *words).status == 0
    (manifest,) = (path for path in out.iterdir() if path.suffix == ".jsonl")
    first, *rest = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([first, b"{not json}\n", *rest]))
    outcome = derain(photos, "-o", out, *words)
    assert outcome.status == 0
    assert "1 damaged lines of the manifest: what they held is done again." in outcome.err
