"""Real processes: equal results, deaths in the middle, pictures that kill, a caller that is killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from numpy.typing import NDArray

from drsformer_cli.errors import DeviceError, MemoryLimitError, SetupError
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Done, Event, Failed, Started
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.processes import ProcessHands
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.jobs.worker import PictureRecipe
from tests.jobs.conftest import Inverter, tasks_for, write_picture
from tests.running import at_work

Folder = Callable[[int], Path]
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


#: what other tests left behind is not this file's: it may end, and must not be killed in place of a worker
STRANGERS: set[int] = set()


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    STRANGERS.clear()
    STRANGERS.update(workers())
    yield
    assert not workers()


def workers() -> set[int]:
    """Return the test's processes at work, but for the tracker that multiprocessing keeps."""
    return {pid for pid, words in at_work() if "resource_tracker" not in words} - STRANGERS


class Slow(Inverter):
    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        time.sleep(0.02)
        return super().restore(rainy)


class Mortal(Inverter):
    """Dies of the picture that is five pixels wide."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if rainy.shape[1] == 5:
            os._exit(9)
        return super().restore(rainy)


class Poor(Inverter):
    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        raise MemoryLimitError("not even a tile fits; free some")


class Counted(Inverter):
    """Tells of its threads."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        return rainy, {"threads": os.environ["OMP_NUM_THREADS"]}


def broken() -> Inverter:
    raise DeviceError("there is no cuda:7 here")


def dying() -> Inverter:
    os._exit(3)


def stillborn() -> Inverter:
    raise ValueError("odd")


def run(
    tasks: list[Task], model: Callable[[], Any] = Inverter, count: int = 2, **options: Any
) -> list[Event]:
    return list(running(tasks, model, count, **options))


def running(
    tasks: list[Task], model: Callable[[], Any] = Inverter, count: int = 2, threads: int | None = None
) -> Iterator[Event]:
    with Crew(ProcessHands([PictureRecipe(model)] * count, threads=threads)) as crew:
        settings = crew.start().settings
        with FolderStore(tasks, settings) as store, crew.over(tasks, store, settings):
            yield from crew


def files(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != FILE_NAME}


def local(tasks: list[Task]) -> None:
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
    ):
        assert all(isinstance(event, (Started, Done)) for event in pipeline)


def test_as_one_process_does(folder: Folder, tmp_path: Path) -> None:
    photos = folder(20)
    for path in photos.rglob("*.*"):
        os.utime(path, (1e9, 1e9))  # of a file this fresh, whoever reads it sooner does not trust the time
    local(tasks_for(photos, tmp_path / "one"))
    tasks = tasks_for(photos, tmp_path / "two")
    events = run(tasks)
    assert sorted(e.task.name for e in events if isinstance(e, Done)) == [task.name for task in tasks]
    assert files(tmp_path / "two") == files(tmp_path / "one")
    one, two = Manifest.load(tmp_path / "one"), Manifest.load(tmp_path / "two")
    for task in tasks:
        mine, theirs = one.record(task.output.name), two.record(task.output.name)
        assert mine is not None
        assert theirs is not None
        assert (mine.input, mine.settings, mine.plan) == (theirs.input, theirs.settings, theirs.plan)
        assert mine.result.sha256 == theirs.result.sha256
    again = tasks_for(photos, tmp_path / "two")
    with FolderStore(again, Inverter.settings) as store:  # what workers did, one process takes as done
        assert all(store.decide(task).skip for task in again)


def test_errors_stay_with_their_pictures(folder: Folder, tmp_path: Path) -> None:
    photos = folder(5)
    (photos / "001.png").write_bytes(b"no picture at all")
    tasks = tasks_for(photos, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "003.png").write_bytes(b"mine")
    events = run(tasks, count=1)
    failed = {e.task.output.name: e.kind for e in events if isinstance(e, Failed)}
    assert failed == {"001.png": "UnreadableError", "003.png": "OutputError"}
    assert sum(isinstance(e, Done) for e in events) == 3
    assert (tmp_path / "out" / "003.png").read_bytes() == b"mine"
    assert not list((tmp_path / "out").glob("*.part"))


@POSIX
def test_a_worker_is_killed_in_the_middle(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(40), tmp_path / "out")
    done, killed = [], 0
    for event in running(tasks, Slow):
        if isinstance(event, Done):
            done.append(event.task.output.name)
            if len(done) in (8, 16):
                os.kill(max(workers()), signal.SIGKILL)
                killed += 1
        else:
            assert isinstance(event, Started)
    assert killed == 2
    assert sorted(done) == [task.output.name for task in tasks]
    assert sorted(files(tmp_path / "out")) == [task.output.name for task in tasks]
    lines = (tmp_path / "out" / FILE_NAME).read_text().splitlines()
    assert sum('"kind":"done"' in line for line in lines) == 40


def test_a_picture_that_kills_is_the_failure(folder: Folder, tmp_path: Path) -> None:
    photos = folder(8)
    write_picture(photos / "004.png", size=(5, 5))
    events = run(tasks_for(photos, tmp_path / "out"), Mortal)
    failures = [e for e in events if isinstance(e, Failed)]
    assert [e.task.output.name for e in failures] == ["004.png"]
    assert "died (ended with status 9)" in failures[0].reason
    assert sum(isinstance(e, Done) for e in events) == 7
    assert len(files(tmp_path / "out")) == 7


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (broken, DeviceError, "no cuda:7 here"),
        (dying, SetupError, "die while they start"),
        (stillborn, ValueError, "odd"),
        (Poor, MemoryLimitError, "not even a tile"),
    ],
)
def test_what_concerns_all_ends_the_run(
    folder: Folder, tmp_path: Path, model: Callable[[], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        run(tasks_for(folder(3), tmp_path / "out"), model, count=1)
    assert not files(tmp_path / "out")


def test_threads_are_told_before_anything_loads(folder: Folder, tmp_path: Path) -> None:
    events = run(tasks_for(folder(1), tmp_path / "out"), Counted, count=1, threads=3)
    assert [e.record.plan for e in events if isinstance(e, Done)] == [{"threads": "3"}]


def test_left_early(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(30), tmp_path / "out")
    events = running(tasks, Slow)
    done = [event for event in itertools.islice(events, 20) if isinstance(event, Done)]
    assert done
    events.close()  # type: ignore[attr-defined]  # it is a generator
    recorded = Manifest.load(tmp_path / "out")
    assert sorted(files(tmp_path / "out")) == sorted(recorded.outputs())
    assert len(done) <= len(files(tmp_path / "out")) < 30


CALLER = """
import sys
from pathlib import Path
from tests.jobs.test_processes import Slow, running
from tests.jobs.conftest import tasks_for
if __name__ == "__main__":
    for event in running(tasks_for(Path(sys.argv[1]), Path(sys.argv[2])), Slow):
        print(type(event).__name__, flush=True)
"""


def test_the_caller_is_killed_and_run_again(folder: Folder, tmp_path: Path) -> None:
    photos, out, script = folder(40), tmp_path / "out", tmp_path / "caller.py"
    script.write_text(CALLER)
    path = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, script, photos, out], stdout=subprocess.PIPE, env=environment
    ) as caller:
        assert caller.stdout is not None
        heard = [caller.stdout.readline() for _ in range(25)]
        children = psutil.Process(caller.pid).children(recursive=True)
        caller.kill()
    assert b"Done\n" in heard
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive  # nobody works on for a caller that is gone
    before = {name: data for name, data in files(out).items() if name.endswith(".png")}
    assert 0 < len(before) < 40
    events = run(tasks_for(photos, out))
    assert sum(isinstance(e, Done) for e in events) >= 40 - len(before)
    assert sorted(files(out)) == sorted(f"{index:03}.png" for index in range(40))
    lines = (out / FILE_NAME).read_text().splitlines()
    assert sum('"kind":"done"' in line for line in lines) <= 40 + 6
