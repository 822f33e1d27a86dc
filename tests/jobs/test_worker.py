"""What a worker does with one picture, from several threads at once, and what it says of itself."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drsformer_cli.errors import MemoryLimitError, StorageError
from drsformer_cli.jobs.record import Input
from drsformer_cli.jobs.worker import Finished, PictureErrand, PictureRecipe, Probe, Refused, Worker
from drsformer_cli.media import remote
from drsformer_cli.media.files import partial_name
from tests.jobs.bucket import Bucket
from tests.jobs.conftest import Inverter, write_picture


def errand(path: Path, out: Path, number: int = 0, **changes: Any) -> PictureErrand:
    token = f"{number:014x}00"
    return PictureErrand(
        number,
        path=str(path),
        name=path.name,
        folder=str(out),
        temporary=partial_name(token),
        **changes,
    )


def test_a_picture_stands_complete_under_a_hidden_name(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png")
    os.utime(path, (1, 1))
    todo = errand(path, tmp_path / "out" / "deep")
    done = Worker(Inverter()).do(todo)
    assert isinstance(done, Finished)
    data = todo.place.read_bytes()
    assert list((tmp_path / "out" / "deep").iterdir()) == [todo.place]
    assert (done.bytes, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (done.read_bytes, done.read_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert done.read_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (done.sizes, done.plan) == (((12, 16),), {"tile": "off", "size": [12, 16]})
    assert np.array_equal(np.asarray(Image.open(todo.place)), 255 - np.asarray(Image.open(path)))


def test_a_picture_for_an_object_store_stands_there_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket()
    monkeypatch.setattr(remote, "_open", lambda url: (bucket, url.removeprefix("s3://")))
    path = write_picture(tmp_path / "a.png")
    url, settings = "s3://b/out/a.png", {"model": "m"}
    todo = replace(errand(path, Path()), folder="", temporary="", url=url, settings=settings)
    done = Worker(Inverter()).do(todo)
    assert isinstance(done, Finished)
    data = bucket.objects["b/out/a.png"]
    assert (done.bytes, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert remote.note_of(url) == {
        "input": asdict(Input(str(path), done.read_bytes, done.read_mtime_ns, done.read_sha256)),
        "settings": settings,
        "sha256": done.sha256,
    }
    bucket.objects["b/out/a.png"], bucket.notes = b"mine", {}
    again = Worker(Inverter()).do(todo)  # what came there meanwhile is not replaced unasked
    assert isinstance(again, Refused)
    assert (again.kind, bucket.objects["b/out/a.png"]) == ("OutputError", b"mine")
    assert isinstance(Worker(Inverter()).do(replace(todo, replace=True)), Finished)
    assert bucket.objects["b/out/a.png"] == data
    assert list(tmp_path.iterdir()) == [path]


def test_attempts_have_names_of_their_own(tmp_path: Path) -> None:
    places = {errand(tmp_path / "a.png", tmp_path, attempt=attempt).place.name for attempt in range(3)}
    assert len(places) == 3
    assert all(len(place) == len(partial_name("0" * 16)) for place in places)


def test_what_fails_stays_with_its_picture(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture at all")
    worker = Worker(Inverter())
    bad = worker.do(errand(tmp_path / "bad.png", tmp_path / "out"))
    gone = worker.do(errand(tmp_path / "gone.png", tmp_path / "out"))
    assert isinstance(bad, Refused)
    assert isinstance(gone, Refused)
    assert (bad.kind, gone.kind) == ("UnreadableError", "FileNotFoundError")
    assert "bad.png" in bad.reason
    assert not (tmp_path / "out").exists()
    for _ in range(6):  # a failure gives its place at the gate back
        assert isinstance(worker.do(errand(tmp_path / "bad.png", tmp_path / "out")), Refused)


class Poor(Inverter):
    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        raise MemoryLimitError("not even a tile fits")


def test_what_concerns_all_is_raised(tmp_path: Path) -> None:
    with pytest.raises(MemoryLimitError):
        Worker(Poor()).do(errand(write_picture(tmp_path / "a.png"), tmp_path / "out"))


class Watched(Inverter):
    """Notes who calls it, and whether two do at once."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.limits: list[Any] = []
        self._inside = threading.Lock()

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        assert self._inside.acquire(blocking=False), "two pictures at once"
        self.threads.add(threading.get_ident())
        try:
            return super().restore(rainy)
        finally:
            self._inside.release()

    def go_on_as(self, plan: Any) -> None:
        self.limits.append(plan["limit"])


def test_many_calls_one_model(tmp_path: Path) -> None:
    model = Watched()
    worker = Worker(model)
    paths = [write_picture(tmp_path / f"{index}.png", index) for index in range(24)]
    with ThreadPoolExecutor(3) as pool:
        work = [
            errand(path, tmp_path / "out", number, limit=7 if number else 8)
            for number, path in enumerate(paths)
        ]
        assert all(isinstance(done, Finished) for done in pool.map(worker.do, work))
    assert len(model.threads) == 1
    assert len(list((tmp_path / "out").iterdir())) == 24
    assert set(model.limits) == {7, 8}
    assert len(model.limits) <= 3


def test_a_recipe_travels_and_shares_the_memory() -> None:
    recipe = pickle.loads(pickle.dumps(PictureRecipe(Inverter, share=0.25)))
    facts = recipe.make().facts
    assert facts.settings == Inverter.settings
    assert facts.limit == Inverter.limit // 4


def test_a_folder_that_is_not_shared_is_told(tmp_path: Path) -> None:
    (tmp_path / "probe").write_bytes(b"1")
    PictureRecipe(Inverter, probes=(Probe(str(tmp_path / "probe"), b"1"),)).make()
    for path, content in (("probe", b"2"), ("elsewhere", b"1")):
        with pytest.raises(StorageError, match="share under the same path"):
            PictureRecipe(Inverter, probes=(Probe(str(tmp_path / path), content),)).make()
