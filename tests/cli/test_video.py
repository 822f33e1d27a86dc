"""`derain video` as a user meets it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from fractions import Fraction
from pathlib import Path

import pytest

from drsformer_cli.cli.video import parse_time
from drsformer_cli.errors import UsageError
from tests.cli.conftest import Command, spawn
from tests.media.clips import CLIPS, X264, film, pattern, run, shown, tone


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return film(tmp_path / "rainy.mp4", *X264, size="48x32", seconds=0.4)


@pytest.fixture
def clips(tmp_path: Path, clip: Path) -> Path:
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(clip, folder / "a.mp4")
    run("-i", clip, "-c", "copy", folder / "deep" / "b.mkv")
    (folder / "notes.txt").write_text("rain")
    return folder


def test_a_film(derain: Command, clip: Path, tiny: Path) -> None:
    done = derain("video", "rainy.mp4", "-m", tiny)
    assert done.status == 0, done.err
    assert "[1/1] rainy.mp4 -> rainy_derained.mp4 (10 pictures, " in done.err
    assert "a second, whole, " in done.err
    assert "colour matrix unspecified: taken for BT.601" in done.err
    assert "1 restored; 10 pictures in " in done.err
    assert shown(clip.with_name("rainy_derained.mp4")) == shown(clip)
    again = derain("video", "rainy.mp4", "-m", tiny, "-v")
    assert "rainy.mp4: done before" in again.err
    pattern = derain("video", "*.mp4", "-m", tiny)
    assert "1 done before, 1 left out (1 output folder)" in pattern.err


@pytest.mark.parametrize(
    "words",
    [["s3://b/x.mp4"], ["rainy.mp4", "-o", "s3://b/x.mp4"], ["rainy.mp4", "gs://b/x.mp4", "-o", "out/"]],
)
def test_films_are_not_behind_urls(derain: Command, clip: Path, words: list[str]) -> None:
    refused = derain("video", *words)
    assert refused.status == 2
    assert "://b/x.mp4 is a URL, and films lie on this machine's own disks: name a file" in refused.err
    assert refused.err.count("\n") == 1
    assert [path.name for path in clip.parent.iterdir()] == ["rainy.mp4"]


def test_a_file_url_is_a_path(derain: Command, clip: Path) -> None:
    place = clip.parent / "done" / "clear.mp4"
    done = derain("video", clip.as_uri(), "-o", place.as_uri(), "--dry-run")
    assert done.out.splitlines()[0] == f"{clip} -> {Path('done') / 'clear.mp4'}"


def test_results_do_not_go_among_other_films(derain: Command, clips: Path) -> None:
    refused = derain("video", "clips", "-o", "clips/deep")
    assert refused.status == 2
    assert f"-o {Path('clips/deep')} lies in clips, and the films in" in refused.err


def test_a_folder(derain: Command, clips: Path, tiny: Path) -> None:
    done = derain("video", "clips", "-m", tiny, "--json", "-q")
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["status"] for row in rows] == ["progress", "done", "progress", "done", "summary"]
    assert rows[1]["output"] == str(clips.parent / "derained" / "a.mp4")
    assert rows[3]["output"] == str(clips.parent / "derained" / "deep" / "b.mkv")
    assert rows[1]["frames"] == 10
    assert rows[1]["plan"]["whole"] is True
    assert rows[-1]["left_out"] == {"not a film": 1}
    assert rows[-1]["frames"] == 20
    again = derain("video", "clips", "-m", tiny, "-v")
    assert "left out (not a film)." in again.err
    assert "done before" in again.err


def test_into_other_containers(derain: Command, clip: Path, tiny: Path) -> None:
    for name in ("a.mkv", "b.mov", "c.webm", "d.gif"):
        done = derain("video", clip, "-o", name, "-m", tiny)
        assert done.status == 0, done.err
        assert len(shown(Path(name))) == 10
    run("-i", clip, "-c", "copy", "old.ts")
    assert derain("video", "old.ts", "-m", tiny).status == 0
    assert Path("old_derained.ts.mkv").exists()


def test_a_dry_run_says_what_is_kept(
    derain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CLIPS["crowded.mp4"](tmp_path / "a.mp4")
    CLIPS["rotated90.mp4"](tmp_path / "b.mp4")
    done = derain("video", "a.mp4", "b.mp4", "-o", "out/", "--dry-run")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == f"a.mp4 -> {Path('out/a.mp4')}"
    assert lines[1] == "  25 pictures of 96 x 64, h264 to h264, crf 16; yuv420p kept"
    assert "copied: audio track 1 (aac, deu), subtitle track 2" in lines[2]
    assert any("turned by 90 degrees" in line for line in lines)
    assert "2 to do" in done.err
    assert not (tmp_path / "out").exists()
    webm = derain("video", "a.mp4", "-o", "a.webm", "--dry-run", "--json")
    row = json.loads(webm.out.splitlines()[0])
    assert row["codec"] == "vp9"
    assert any("becomes Opus" in note for note in row["notes"])


def test_what_is_no_film(derain: Command, clip: Path, tiny: Path) -> None:
    run(*tone(), "-c:a", "aac", "song.mp4")
    Path("empty.mp4").touch()
    done = derain("video", "song.mp4", "empty.mp4", clip, "-m", tiny)
    assert done.status == 1
    assert "derain: song.mp4 holds sound only, no film to restore." in done.err
    assert "derain: empty.mp4 is empty (0 bytes)." in done.err
    assert "1 restored, 2 failed" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["none.mp4"], "does not exist"),
        (["-"], "cannot be read from a pipe"),
        (["rainy.mp4", "-o", "a.avi"], "-o a.avi cannot be written"),
        (["clips", "-o", "a.mp4"], "-o a.mp4 is one film, but the input is not"),
        (["rainy.mp4", "--start", "soon"], "--start soon is no time"),
        (["rainy.mp4", "--start", "1", "--end", "1"], "--end 1 does not lie behind --start 1"),
        (["rainy.mp4", "-q", "-v"], "contradict"),
        (["rainy.mp4", "--codec", "mpeg2"], "--codec mpeg2 is not known"),
        (["rainy.mp4", "--crf", "99"], "--crf"),
        (["rainy.mp4", "--crf", "60"], "--crf 60 "),
        (["clips", "--codec", "h264", "--crf", "60"], "--crf 60 is too much for h264: give a number from 0"),
        (["clips", "--codec", "prores", "--crf", "6"], "--crf does not go with --codec prores"),
        (["clips", "--codec", "h264", "--preset", "superslow"], "--preset superslow is not known to h264"),
        (["rainy.mp4", "--codec", "vp9", "-o", "a.mov"], "--codec vp9 does not go into mov: give h264"),
        (["rainy.mp4", "--start", "9"], "--start lies behind the end"),
    ],
)
def test_wrong_usage(derain: Command, clips: Path, words: list[str], reason: str) -> None:
    done = derain("video", *words)
    assert done.status == 2
    assert reason in done.err
    assert len(done.err.splitlines()) == 1


def test_wishes_that_one_film_of_several_cannot_have_fail_by_name(
    derain: Command, clips: Path, tiny: Path
) -> None:
    done = derain("video", "clips", "-m", tiny, "--start", "9", "--dry-run")
    assert done.status == 1
    assert "--start lies behind the end" in done.err
    assert derain("video", "rainy.mp4", "--start", "9", "--dry-run").status == 2


def test_names_that_would_meet(derain: Command, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    for name in ("clip.avi", "clip.avi.mkv"):
        run("-i", clip, "-c:v", "ffv1", folder / name)
    done = derain("video", "two", "-o", "out", "--dry-run")
    assert done.status == 0, done.err
    places = {line.partition(" -> ")[2] for line in done.out.splitlines() if " -> " in line}
    assert places == {str(Path("out/clip.avi.mkv")), str(Path("out/clip.avi-2.mkv"))}


def test_a_dry_run_looks_at_the_folder(
    derain: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = derain("video", clip, "-o", clip / "a.mp4", "--dry-run")
    assert done.status == 1
    assert f"{clip} is no folder" in done.err
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    done = derain("video", clip, "--dry-run")
    assert done.status == 1
    assert f"{tmp_path} does not let you write" in done.err


def test_a_stretch(derain: Command, clip: Path, tiny: Path) -> None:
    assert derain("video", clip, "-m", tiny, "--start", "0.1", "--end", "0:0.3", "-o", "part.mp4").status == 0
    assert shown(Path("part.mp4")) == [time - Fraction(1, 10) for time in shown(clip) if 0.1 <= time < 0.3]


def test_times() -> None:
    assert parse_time("--start", "83.5") == Fraction("83.5")
    assert parse_time("--start", "1:23.5") == Fraction("83.5")
    assert parse_time("--start", "1:00:00.04") == Fraction("3600.04")
    assert parse_time("--start", None) is None
    for text in ("1:75", "-3", "1:2:3:4", "nan", ""):
        with pytest.raises(UsageError):
            parse_time("--start", text)


def test_ctrl_c_and_the_same_command(tmp_path: Path, tiny: Path) -> None:
    source = tmp_path / "rainy.mp4"
    still = ["-vf", "tpad=start=249:start_mode=clone"]  # equal pictures are restored once
    run(*pattern(2, size="48x32"), *still, *X264, "-qp", 0, source)
    with spawn("video", source, "-m", tiny, "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["status"], first["frames"]) == ("progress", 250)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert f"of 299 pictures of {source} are kept" in err.decode()
    assert json.loads(out.splitlines()[-1])["interrupted"] is True
    assert (tmp_path / ".rainy_derained.mp4.derain-work" / "000000.segment").exists()
    with spawn("video", source, "-m", tiny) as process:
        _, err = process.communicate(timeout=100)
    assert process.returncode == 0
    assert "pictures were done before, going on there" in err.decode()
    assert len(shown(tmp_path / "rainy_derained.mp4")) == 299


def test_ctrl_c_in_a_gif_promises_nothing(
    derain: Command, clip: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drsformer_cli.restore.restorer import Restorer

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    run("-i", clip, "a.gif")
    monkeypatch.setattr(Restorer, "restore", stop)
    done = derain("video", "a.gif", "-m", tiny)
    assert done.status == 130
    assert "a GIF is done in one piece, so a.gif is begun anew next time." in done.err
    assert "goes on there" not in done.err


def test_what_is_done_is_told_to_scripts_too(derain: Command, clip: Path, tiny: Path) -> None:
    words = ("video", clip, "-m", tiny, "--device", "cpu")
    assert derain(*words, "-q").status == 0
    for more in ([], ["--dry-run"]):
        again = derain(*words, "--json", *more)
        row, summary = (json.loads(line) for line in again.out.splitlines())
        assert (again.status, row["status"], row["reason"]) == (0, "skipped", "done before")
        assert row["output"] == str(clip.with_name("rainy_derained.mp4"))
        assert (summary["done"], summary["skipped"]) == (0, 1)
    asked = derain(*words, "--strength", "0.5", "--overwrite", "--dry-run", "-q")
    assert (asked.status, asked.out, asked.err) == (0, "", "")
