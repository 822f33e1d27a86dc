"""The loop: order, overlap, failures that stay with their picture, faults that stop all, and clean ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from drsformer_cli.errors import DeviceError, OutputError, StorageError
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.gate import Gate
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import Model, Pipeline
from drsformer_cli.jobs.record import Record
from drsformer_cli.jobs.store import FolderStore
from tests.jobs.conftest import Inverter, tasks_for, write_picture

Folder = Callable[[int], Path]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before  # one that an earlier test left may end meanwhile


def run(tasks: list[Task], model: Model | None = None, store: FolderStore | None = None) -> list[Event]:
    settings = Inverter.settings
    place = store or FolderStore(tasks, settings)
    with place, Pipeline(tasks, model or Inverter(), place, settings=settings) as pipeline:
        return list(pipeline)


def story(events: list[Event]) -> list[tuple[str, str]]:
    """Return what became of each picture, in order."""
    return [(type(e).__name__, e.task.source.relative.name) for e in events if not isinstance(e, Started)]


def pixels(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def files_in(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file()}


def test_all_are_done_in_order(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(12), tmp_path / "out")
    events = run(tasks)
    assert story(events) == [("Done", f"{i:03}.png") for i in range(12)]
    assert [e.task for e in events if isinstance(e, Started)] == tasks
    for task in tasks:
        assert task.source.path is not None
        assert np.array_equal(pixels(task.path), 255 - pixels(task.source.path))
    done = next(e for e in events if isinstance(e, Done))
    assert done.sizes == ((12, 16),)
    assert done.record.plan == {"tile": "off", "size": [12, 16]}
    assert Manifest.load(tmp_path / "out").record("000.png") == done.record
    assert files_in(tmp_path / "out") == {FILE_NAME} | {f"{i:03}.png" for i in range(12)}


def test_a_second_run_does_what_is_missing_or_changed(folder: Folder, tmp_path: Path) -> None:
    photos, out = folder(5), tmp_path / "out"
    run(tasks_for(photos, out))
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.png")}
    (out / "001.png").unlink()
    write_picture(photos / "003.png", 99)
    kinds = {name: kind for kind, name in story(run(tasks_for(photos, out)))}
    assert kinds == {
        "000.png": "Skipped",
        "001.png": "Done",
        "002.png": "Skipped",
        "003.png": "Done",
        "004.png": "Skipped",
    }
    assert np.array_equal(pixels(out / "003.png"), 255 - pixels(photos / "003.png"))
    after = {p.name: p.stat().st_mtime_ns for p in out.glob("*.png")}
    assert sorted(name for name in before if before[name] == after[name]) == ["000.png", "002.png", "004.png"]
    tasks = tasks_for(photos, out)
    again = run(tasks, store=FolderStore(tasks, Inverter.settings, overwrite=True))
    assert {kind for kind, _ in story(again)} == {"Done"}


class Moody(Inverter):
    """Raises the given error for its third picture."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.count = 0

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        self.count += 1
        if self.count == 3:
            raise self.error
        return super().restore(rainy)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("size mismatch"), "unexpected RuntimeError: size mismatch"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_a_failure_of_the_model_stays_with_its_picture(
    folder: Folder, tmp_path: Path, error: Exception, reason: str
) -> None:
    events = run(tasks_for(folder(5), tmp_path / "out"), Moody(error))
    assert [kind for kind, _ in story(events)] == ["Done", "Done", "Failed", "Done", "Done"]
    failed = next(e for e in events if isinstance(e, Failed))
    assert reason in failed.reason
    assert failed.kind == type(error).__name__
    assert (failed.details is not None) == isinstance(error, RuntimeError)
    assert not (tmp_path / "out" / "002.png").exists()


def test_unreadable_inputs_stay_with_themselves(folder: Folder, tmp_path: Path) -> None:
    photos = folder(4)
    (photos / "001.png").write_bytes(b"no picture at all")
    (photos / "002.png").write_bytes(b"")
    tasks = tasks_for(photos, tmp_path / "out")
    (photos / "003.png").unlink()
    events = run(tasks)
    assert [kind for kind, _ in story(events)] == ["Done", "Failed", "Failed", "Failed"]
    failures = [e for e in events if isinstance(e, Failed)]
    assert [f.kind for f in failures] == ["UnreadableError", "UnreadableError", "FileNotFoundError"]
    assert all(str(f.task.source.path) in f.reason for f in failures[:2])


def test_results_that_cannot_be_written_stay_with_themselves(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(3), tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "001.png").write_bytes(b"mine")
    events = run(tasks)
    assert [kind for kind, _ in story(events)] == ["Done", "Failed", "Done"]
    assert (tmp_path / "out" / "001.png").read_bytes() == b"mine"


def test_a_file_that_appears_while_the_model_works_is_not_replaced(folder: Folder, tmp_path: Path) -> None:
    class Meddler(Inverter):
        def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
            (tmp_path / "out" / "000.png").write_bytes(b"mine")
            return super().restore(rainy)

    events = run(tasks_for(folder(1), tmp_path / "out"), Meddler())
    assert [kind for kind, _ in story(events)] == ["Failed"]
    assert (tmp_path / "out" / "000.png").read_bytes() == b"mine"


def test_a_fault_of_the_environment_stops_all_and_keeps_what_is_done(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(30), tmp_path / "out")
    events: list[Event] = []
    model = Moody(DeviceError("the device was unplugged."))
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, model, store, settings=Inverter.settings) as pipeline,
        pytest.raises(DeviceError, match="unplugged"),
    ):
        events.extend(pipeline)
    assert story(events) == [("Done", "000.png"), ("Done", "001.png")]
    assert files_in(tmp_path / "out") == {FILE_NAME, "000.png", "001.png"}


def test_pages_of_different_sizes_are_each_counted_and_described(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    pages = [Image.new("RGB", size) for size in ((40, 20), (16, 12), (40, 20))]
    pages[0].save(tmp_path / "photos" / "pages.tif", save_all=True, append_images=pages[1:])
    (_, done) = run(tasks_for(tmp_path / "photos", tmp_path / "out"))
    assert isinstance(done, Done)
    assert done.sizes == ((20, 40), (12, 16), (20, 40))
    assert done.megapixels == pytest.approx((2 * 800 + 192) / 1e6)
    assert done.record.plan == [{"tile": "off", "size": [20, 40]}, {"tile": "off", "size": [12, 16]}]
    assert Manifest.load(tmp_path / "out").record("pages.tif") == done.record


class FullDisk(FolderStore):
    """A store whose disk is full after two pictures."""

    def put(self, task: Task, data: bytes, record: Record, *, replace: bool) -> Record:
        if task.source.relative.name >= "002.png":
            raise StorageError("the disk is full.")
        return super().put(task, data, record, replace=replace)


def test_a_full_disk_stops_all(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(30), tmp_path / "out")
    with pytest.raises(StorageError, match="full"):
        run(tasks, store=FullDisk(tasks, Inverter.settings))
    assert files_in(tmp_path / "out") == {FILE_NAME, "000.png", "001.png"}


class NoSpaceForOne(FolderStore):
    def put(self, task: Task, data: bytes, record: Record, *, replace: bool) -> Record:
        if task.source.relative.name == "001.png":
            raise OutputError("the name is too long.")
        return super().put(task, data, record, replace=replace)


def test_an_output_error_stays_with_its_picture(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(3), tmp_path / "out")
    events = run(tasks, store=NoSpaceForOne(tasks, Inverter.settings))
    assert [kind for kind, _ in story(events)] == ["Done", "Failed", "Done"]


def test_an_interrupt_drops_the_picture_in_work_and_a_second_run_goes_on(
    folder: Folder, tmp_path: Path
) -> None:
    photos, out = folder(20), tmp_path / "out"
    tasks = tasks_for(photos, out)
    events: list[Event] = []
    model = Moody(KeyboardInterrupt())
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, model, store, settings=Inverter.settings) as pipeline,
    ):
        with pytest.raises(KeyboardInterrupt):
            events.extend(pipeline)
        events += pipeline.close()
    assert story(events) == [("Done", "000.png"), ("Done", "001.png")]
    assert files_in(out) == {FILE_NAME, "000.png", "001.png"}
    rest = run(tasks_for(photos, out))
    assert [kind for kind, _ in story(rest)] == ["Skipped"] * 2 + ["Done"] * 18


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers that send signals are of POSIX")
def test_an_interrupt_while_the_last_result_is_written_waits_for_it(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(1), tmp_path / "out")
    ended: list[str] = []

    class Slow(FolderStore):
        def put(self, task: Task, data: bytes, record: Record, *, replace: bool) -> Record:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            time.sleep(0.5)
            record = super().put(task, data, record, replace=replace)
            ended.append(threading.current_thread().name)
            return record

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with (
            Slow(tasks, Inverter.settings) as store,
            Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
        ):
            with pytest.raises(KeyboardInterrupt):
                list(pipeline)
            assert not ended
            assert story(pipeline.close()) == [("Done", "000.png")]
            assert len(ended) == 1
    finally:
        signal.signal(signal.SIGALRM, before)


def test_leaving_early_ends_the_threads(folder: Folder, tmp_path: Path) -> None:
    tasks = tasks_for(folder(20), tmp_path / "out")
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
    ):
        assert isinstance(next(iter(pipeline)), Started)


def test_reading_and_writing_go_on_while_the_model_works(folder: Folder, tmp_path: Path) -> None:
    read: list[str] = []
    reading = threading.Event()

    class Watching(FolderStore):
        def decide(self, task: Task) -> Any:
            read.append(task.source.relative.name)
            if len(read) == 3:
                reading.set()
            return super().decide(task)

    class Patient(Inverter):
        def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
            assert reading.wait(10), "nothing was read while the first picture was in work"
            return super().restore(rainy)

    tasks = tasks_for(folder(5), tmp_path / "out")
    events = run(tasks, Patient(), Watching(tasks, Inverter.settings))
    assert [kind for kind, _ in story(events)] == ["Done"] * 5


@pytest.mark.parametrize(("number", "size"), [(3, 10**9), (100, 1), (100, 2 * 2 * 12 * 16 * 3)])
def test_pictures_in_memory_are_bounded(folder: Folder, tmp_path: Path, number: int, size: int) -> None:
    inside = most = 0

    class Counting(Gate):
        def enter(self) -> bool:
            nonlocal inside, most
            entered = super().enter()
            inside += entered
            most = max(most, inside)
            return entered

        def leave(self, size: int) -> None:
            nonlocal inside
            inside -= 1
            super().leave(size)

    tasks = tasks_for(folder(15), tmp_path / "out")
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(
            tasks, Inverter(), store, settings=Inverter.settings, gate=Counting(number, size)
        ) as pipeline,
    ):
        assert len(story(list(pipeline))) == 15
    assert inside == 0
    assert most <= min(number, {10**9: 3, 1: 1}.get(size, 2))


def test_skipped_and_failed_pictures_leave_the_gate(folder: Folder, tmp_path: Path) -> None:
    photos = folder(6)
    run(tasks_for(photos, tmp_path / "out"))
    for index in (1, 3, 5):
        (photos / f"{index:03}.png").write_bytes(b"broken")
    tasks = tasks_for(photos, tmp_path / "out")
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, Inverter(), store, settings=Inverter.settings, gate=Gate(1, 1)) as pipeline,
    ):
        events = list(pipeline)
    assert [type(e) for e in events] == [Skipped, Failed] * 3


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for index in range(500):
        write_picture(photos / f"{index:03}.png", index, (64, 64))
    tasks = tasks_for(photos, tmp_path / "out")
    process, at = psutil.Process(), {}
    count = 0
    with (
        FolderStore(tasks, Inverter.settings) as store,
        Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
    ):
        for event in pipeline:
            count += isinstance(event, Done)
            if count in (50, 500):
                at.setdefault(count, process.memory_info().rss)
    assert at[500] - at[50] < max(0.02 * at[50], 20 * 2**20)
