"""Killed at any moment and run again: every output complete, as if undisturbed, and none done twice."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drsformer_cli.jobs.manifest import FILE_NAME
from tests.jobs.conftest import write_picture

COUNT = 40
RUN = """
import os, sys, time
from pathlib import Path
from drsformer_cli.jobs import manifest, store
from drsformer_cli.jobs.pipeline import Pipeline
from tests.jobs.conftest import Inverter, tasks_for

class Slow(Inverter):
    def restore(self, rainy):
        time.sleep(0.02)  # longer than a process takes to start and end, so that kills fall into the work
        return super().restore(rainy)

def die_at(moment):
    # ends the process, as a kill would, at a moment that a kill would hardly ever meet
    write, append, count = store.write_atomically, manifest.Manifest._append, 0

    def dying_write(path, data, *, replace):
        nonlocal count
        count += 1
        if moment == "intended" and count == 7:
            os._exit(9)
        write(path, data, replace=replace)

    def dying_append(self, entries):
        done = entries[0]["kind"] == "done"
        if count == 7 and done:
            if moment == "half a line":
                self._file.write(b'{"v":1,"kind":"done","output":"006.p')
                self._file.flush()
            if moment in ("half a line", "named"):
                os._exit(9)
        starts = append(self, entries)
        if count == 7 and done and moment == "recorded":
            os._exit(9)
        return starts

    store.write_atomically, manifest.Manifest._append = dying_write, dying_append

if len(sys.argv) > 3:
    die_at(sys.argv[3])
tasks, settings = tasks_for(Path(sys.argv[1]), Path(sys.argv[2])), Slow.settings
print("ready", flush=True)
with store.FolderStore(tasks, settings) as place, Pipeline(tasks, Slow(), place, settings=settings) as loop:
    for event in loop:
        pass
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(COUNT):
        write_picture(folder / f"{index:03}.png", index, (40, 40))
    return folder


def start(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", RUN, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def results(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name != FILE_NAME}


def finished(out: Path) -> list[str]:
    """Return the outputs of all `done` lines that are whole."""
    path = out / FILE_NAME
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [entry["output"] for entry in map(json.loads, lines) if entry["kind"] == "done"]


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], float]:
    """Return the results of a run nobody disturbed, and the seconds it took."""
    out = tmp_path_factory.mktemp("whole")
    with start(photos, out) as process:
        began = time.perf_counter()
        assert process.wait(60) == 0
        seconds = time.perf_counter() - began
    return results(out), seconds


def kill_and_run_again(photos: Path, out: Path, delays: list[float]) -> list[int]:
    """Kill a run after each delay, then let one run to its end; return how many were done after each kill."""
    counts = []
    for delay in delays:
        with start(photos, out) as process:
            time.sleep(delay)
            process.kill()
        counts.append(len(finished(out)))
    before = finished(out)
    with start(photos, out) as process:
        assert process.wait(60) == 0
    after = finished(out)
    assert after[: len(before)] == before
    assert not set(before) & set(after[len(before) :]), "done twice"
    return counts


@pytest.mark.parametrize("moment", ["intended", "named", "half a line", "recorded"])
def test_killed_between_two_steps(
    photos: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path, moment: str
) -> None:
    with start(photos, tmp_path / "out", moment) as process:
        assert process.wait(60) == 9
    before = finished(tmp_path / "out")
    assert len(before) == (7 if moment == "recorded" else 6)
    with start(photos, tmp_path / "out") as process:
        assert process.wait(60) == 0
    assert results(tmp_path / "out") == whole[0]
    assert sorted(finished(tmp_path / "out")) == sorted(whole[0])


def check(photos: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path, trials: range) -> None:
    expected, seconds = whole
    amid = 0
    for trial in trials:
        rng = random.Random(trial)
        delays = [rng.uniform(0, 0.8 * seconds) for _ in range(rng.choice([1, 1, 2, 3]))]
        counts = kill_and_run_again(photos, tmp_path / str(trial), delays)
        assert results(tmp_path / str(trial)) == expected
        amid += any(0 < count < COUNT for count in counts)
    assert amid >= len(trials) // 2, "the kills came too early or too late to show anything"


def test_killed_and_run_again(photos: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path) -> None:
    check(photos, whole, tmp_path, range(3))


@pytest.mark.slow
def test_killed_and_run_again_often(
    photos: Path, whole: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    check(photos, whole, tmp_path, range(100, 120))
