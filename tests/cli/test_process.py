"""`derain` as the system sees it: statuses, streams, signals, terminals, and two at once."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from tests.cli.conftest import Command, environment, run_process, spawn, write_picture

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and pseudo-terminals of POSIX")


@pytest.fixture
def words(tiny: Path) -> list[str]:
    return ["-m", str(tiny), "--device", "cpu"]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder of pictures that keep the network busy for a while, with --ensemble."""
    for index in range(12):
        write_picture(tmp_path / "many" / f"{index:02}.png", index, (64, 64))
    return tmp_path / "many"


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a running command has finished a file."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def results(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != FILE_NAME}


def test_statuses(photos: Path, tmp_path: Path, words: list[str]) -> None:
    (photos / "bad.jpg").write_bytes(b"")
    some = run_process(photos, "-o", "out", *words, cwd=tmp_path)
    assert (some.status, some.out) == (1, "")
    assert "\x1b" not in some.err  # no terminal, so no colours and no moving line
    assert some.err.splitlines()[0].startswith("[1/4] ")
    assert run_process(photos, "--tile", "7", cwd=tmp_path).status == 2
    assert run_process(photos, "-m", "nothing.pth", cwd=tmp_path).status == 3


def test_a_pipe(derain: Command, photos: Path, tmp_path: Path, words: list[str]) -> None:
    data = (photos / "a.png").read_bytes()
    piped = run_process("-", "-q", *words, data=data)
    assert (piped.status, piped.err) == (0, "")
    assert derain(photos / "a.png", "-o", tmp_path / "a.png", *words).status == 0
    assert piped.out.encode("latin-1") == (tmp_path / "a.png").read_bytes()
    filed = run_process("-", "-o", tmp_path / "b.jpg", *words, data=data)
    assert filed.status == 0
    with Image.open(tmp_path / "b.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (24, 16))


def test_a_pipe_that_makes_no_sense(photos: Path, tmp_path: Path, words: list[str]) -> None:
    data = (photos / "a.png").read_bytes()
    assert run_process("-", "--json", *words, data=data).status == 2
    assert run_process("-", photos / "a.png", *words, data=data).status == 2
    assert run_process("-", "-o", tmp_path, *words, data=data).status == 2
    assert run_process(photos, "-o", "-", *words, data=data).status == 2
    broken = run_process("-", *words, data=b"no picture")
    assert (broken.status, broken.out) == (1, "")
    assert broken.err.startswith("[1/1] failed: standard input is ")


@POSIX
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_cleanly(
    derain: Command, many: Path, tmp_path: Path, words: list[str], number: int, status: int
) -> None:
    out = tmp_path / "out"
    report = tmp_path / "report.json"
    with spawn(many, "--ensemble", "-o", out, "--report", report, *words) as process:
        wait_for(out / "00.png", process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    last = err.decode().splitlines()[-1]
    assert re.fullmatch(
        r"derain: interrupted: \d+ of 12 pictures are through; the same command goes on .*", last
    )
    assert b"Traceback" not in err
    manifest = Manifest.load(out)
    done = sorted(manifest.outputs())
    assert 0 < len(done) < 12
    assert sorted(results(out)) == done  # nothing half-written, nothing unrecorded
    assert all(manifest.record(name) is not None for name in done)
    assert len(json.loads(report.read_text())["pictures"]) == len(done)
    if number == signal.SIGTERM:
        return  # from here on as after the other signal
    again = derain(many, "--ensemble", "-o", out, *words)
    assert again.status == 0
    assert f"{12 - len(done)} restored into {out}{os.sep}, {len(done)} done before" in again.err


@POSIX
def test_interrupted_while_waiting_for_standard_input(words: list[str]) -> None:
    with spawn("-", *words) as process:
        assert process.stdin is not None
        # More than a pipe holds, and of a picture by its mark: when it is written, the command reads.
        process.stdin.write(b"\x89PNG\r\n\x1a\n" + bytes(1 << 20))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert b"Fatal" not in err


def test_two_runs_into_one_folder(photos: Path, tmp_path: Path, words: list[str]) -> None:
    with Manifest(tmp_path / "out"):
        second = run_process(photos, "-o", tmp_path / "out", *words)
    assert second.status == 3
    assert "another run" in second.err
    assert not (tmp_path / "out").exists()


def test_a_reader_that_goes_away(many: Path, tmp_path: Path, words: list[str]) -> None:
    with spawn(many, "--ensemble", "-o", tmp_path / "out", "--json", *words) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(60) == 1
    assert b"Traceback" not in err
    assert sorted(results(tmp_path / "out")) == sorted(Manifest.load(tmp_path / "out").outputs())


def in_terminal(*words: str, cwd: Path, **changes: str) -> tuple[int, str]:
    """Run `derain` on a terminal of its own; return its status and all that the terminal got."""
    import pty

    command = [sys.executable, "-m", "drsformer_cli", *words]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment(**changes)
    ) as process:
        os.close(theirs)
        shown = io.BytesIO()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                break
            if not data:
                break
            shown.write(data)
    os.close(ours)
    return process.returncode, shown.getvalue().decode()


@POSIX
def test_a_terminal(photos: Path, tmp_path: Path, words: list[str]) -> None:
    (photos / "bad [red].png").write_bytes(b"")
    status, shown = in_terminal("photos", "-o", "out", *words, cwd=tmp_path, TERM="xterm-256color")
    assert status == 1
    assert "\x1b[" in shown
    assert "/4 " in shown
    assert "3 restored into out/, 1 failed" in shown
    assert "bad [red].png" in shown
    status, shown = in_terminal("photos", "-o", "plain", *words, cwd=tmp_path, TERM="xterm", NO_COLOR="1")
    assert status == 1
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", shown), "NO_COLOR was not honoured"


@POSIX
def test_a_picture_is_not_written_to_a_terminal(photos: Path, tmp_path: Path, words: list[str]) -> None:
    for inputs in (["photos/a.png", "-o", "-"], ["-"]):
        status, shown = in_terminal(*inputs, *words, cwd=tmp_path)
        assert status == 2
        assert "PNG" not in shown


@pytest.mark.slow
@POSIX
def test_killed_at_random_moments(tmp_path: Path, words: list[str]) -> None:
    for index in range(40):
        write_picture(tmp_path / "in" / f"{index:02}.png", index, (96, 96))
    began = time.monotonic()
    assert run_process("in", "-o", "whole", *words, cwd=tmp_path).status == 0
    seconds = time.monotonic() - began
    amid = 0
    for trial in range(20):
        out = tmp_path / f"out{trial}"
        with spawn("in", "-o", out, *words, cwd=tmp_path) as process:
            time.sleep(random.Random(trial).uniform(0.3, 1.0) * seconds)
            process.kill()
        before = set((out / FILE_NAME).read_text().splitlines()) if out.exists() else set()
        done = [json.loads(line)["output"] for line in before if line.endswith("}") and '"done"' in line]
        amid += 0 < len(done) < 40
        again = run_process("in", "-o", out, "--json", *words, cwd=tmp_path)
        assert again.status == 0
        rows = [json.loads(line) for line in again.out.splitlines()]
        assert {Path(row["output"]).name for row in rows if row["status"] == "skipped"} == set(done)
        assert results(out) == results(tmp_path / "whole")
    assert amid >= 5


@pytest.mark.slow
def test_memory_over_five_hundred_files(tmp_path: Path, words: list[str]) -> None:
    for index in range(500):
        write_picture(tmp_path / "in" / f"{index:03}.png", index, (32, 32))
    at: dict[int, int] = {}
    with spawn("in", "-o", "out", "--json", *words, cwd=tmp_path, DERAIN_OFFLINE="1") as process:
        assert process.stdout is not None
        for count, _ in enumerate(process.stdout, 1):
            if count in (50, 500):
                at[count] = psutil.Process(process.pid).memory_info().rss
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert at[500] - at[50] < max(0.02 * at[50], 20 * 2**20)
