"""Inputs and results behind URLs, with a store in memory: what is done, what is refused, what is noted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.events import Done, Failed
from drsformer_cli.jobs.listing import FolderListing, Naming
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.objects import MOST_OF_A_PATH, RemoteStore
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import DONE_BEFORE, Decision
from drsformer_cli.jobs.source import read_input
from drsformer_cli.media import remote
from drsformer_cli.media.discover import Discovery, Source
from drsformer_cli.media.remote import KEY, MOST_METADATA, RemoteWalk, note_of, write
from tests.jobs.bucket import Bucket
from tests.jobs.conftest import Inverter, write_picture

SETTINGS = {"model": "m", "format": None}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    found = Bucket({"b/in/a.png": b"rainy"})
    monkeypatch.setattr(remote, "_open", lambda url: (found, url.removeprefix("s3://")))
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    return found


def task(name: str = "a.png", place: str = "s3://b/in", output: str = "s3://b/out") -> Task:
    relative = PurePosixPath(name)
    return Task(Source(None, relative, None, False, url=f"{place}/{name}"), Path(), relative, base=output)


def record(of: Task, data: bytes = b"clean") -> Record:
    seen = read_input(of)[1]
    return Record("a.png", seen, Result(len(data), 0, hashlib.sha256(data).hexdigest()), SETTINGS)


def store(**options: Any) -> RemoteStore:
    return RemoteStore(SETTINGS, **options)


def done(bucket: Bucket, of: Task) -> None:
    store().put(of, b"clean", record(of), replace=False)


def test_what_is_read(bucket: Bucket) -> None:
    data, seen = read_input(task())
    assert data == b"rainy"
    assert seen == Input("s3://b/in/a.png", 5, 5_000_000_000, hashlib.sha256(b"rainy").hexdigest())
    for name in ("gone.png", "."):
        with pytest.raises(FileNotFoundError):
            read_input(task(name, "s3://b/in" if name != "." else "s3://b"))


def test_done_and_noted(bucket: Bucket) -> None:
    assert store().decide(task()) == Decision()
    done(bucket, task())
    assert bucket.objects["b/out/a.png"] == b"clean"
    note = json.loads(bucket.notes["b/out/a.png"][KEY])
    assert note["settings"] == SETTINGS
    assert note["sha256"] == hashlib.sha256(b"clean").hexdigest()
    assert note["input"]["path"] == "s3://b/in/a.png"
    assert store().decide(task()) == Decision(skip=DONE_BEFORE)
    assert store(overwrite=True).decide(task()) == Decision(replace=True)


def test_done_again_when_anything_differs(bucket: Bucket) -> None:
    done(bucket, task())
    other = RemoteStore({**SETTINGS, "format": "png"})
    assert other.decide(task()) == Decision(replace=True, again="format as it comes -> png")
    assert RemoteStore({"model": "m"}).decide(task()) == Decision(skip=DONE_BEFORE)
    bucket.times["b/in/a.png"] = 6.0  # the content vouches for it
    assert store().decide(task()) == Decision(skip=DONE_BEFORE)
    bucket.objects["b/in/a.png"] = b"RAINY"
    assert store().decide(task()) == Decision(replace=True)
    bucket.objects["b/in/a.png"] = b"longer"
    assert store().decide(task()) == Decision(replace=True)
    del bucket.objects["b/in/a.png"]
    with pytest.raises(FileNotFoundError):
        store().decide(task())


def test_a_digest_that_the_store_tells_spares_reading(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(bucket, task())
    info, told = bucket.info, {"sha256": hashlib.sha256(b"rainy").hexdigest()}
    monkeypatch.setattr(bucket, "info", lambda path: {**info(path), "mtime": 0, "lfs": told})
    monkeypatch.setattr(bucket, "cat_file", lambda path: pytest.fail(f"{path} was read"))
    assert store().decide(task()) == Decision(skip=DONE_BEFORE)
    told["sha256"] = hashlib.sha256(b"RAINY").hexdigest()
    assert store().decide(task()) == Decision(replace=True)


def test_results_of_others_are_left_alone(bucket: Bucket) -> None:
    done(bucket, task())
    bucket.objects["b/other/a.png"] = b"another"
    with pytest.raises(OutputError, match=r"s3://b/out/a\.png holds the result of s3://b/in/a\.png"):
        store().decide(task(place="s3://b/other"))
    bucket.objects["b/other/a.png"] = b"rainy"  # the same picture, elsewhere
    assert store().decide(task(place="s3://b/other")) == Decision(skip=DONE_BEFORE)
    for note in ("", "{}", "no JSON", "[1]", '{"input": {"path": "x"}, "settings": {}}', '{"input": 5}'):
        bucket.notes["b/out/a.png"] = {KEY: note}
        with pytest.raises(OutputError, match="was not made by derain: --overwrite replaces it"):
            store().decide(task())
    with pytest.raises(OutputError, match="itself an input"):
        store(overwrite=True).decide(task(output="s3://b/in"))


def test_long_paths_are_noted_by_their_digest(bucket: Bucket) -> None:
    for length, shown in ((MOST_OF_A_PATH - 2, True), (MOST_OF_A_PATH - 1, False)):
        name = "x" * (length - len("s3://b/in/"))
        bucket.objects[f"b/in/{name}"] = b"rainy"
        done(bucket, task(name))
        path = json.loads(bucket.notes[f"b/out/{name}"][KEY])["input"]["path"]
        assert (path == f"s3://b/in/{name}") == shown
        assert path.startswith(("s3://", "sha256:"))
        assert store().decide(task(name)) == Decision(skip=DONE_BEFORE)


def test_what_may_not_be_written(bucket: Bucket) -> None:
    done(bucket, task())
    with pytest.raises(OutputError, match="already exists; --overwrite replaces it"):
        store().put(task(), b"other", record(task(), b"other"), replace=False)
    assert bucket.objects["b/out/a.png"] == b"clean"
    store().put(task(), b"other", record(task(), b"other"), replace=True)
    assert bucket.objects["b/out/a.png"] == b"other"
    bucket.refuse = [PermissionError("Forbidden")]
    with pytest.raises(OutputError, match=r"a\.png may not be written: access is denied \(Forbidden\)\."):
        store().put(task(), b"clean", record(task()), replace=True)
    with pytest.raises(OutputError, match="does not fit into its metadata"):
        write("s3://b/out/b.png", b"", {"long": "x" * MOST_METADATA}, replace=True)
    assert "b/out/b.png" not in bucket.objects
    bucket.refuse = [FileNotFoundError("b")]
    with pytest.raises(
        OutputError, match=r"b\.png cannot be written: there is no such bucket; make it first"
    ):
        write("s3://b/out/b.png", b"", {}, replace=True)


def test_an_answer_that_is_lost_is_no_failure(bucket: Bucket) -> None:
    bucket.refuse, bucket.late = [TimeoutError("no answer")], True
    done(bucket, task())
    assert bucket.objects["b/out/a.png"] == b"clean"
    assert bucket.refuse == []


def test_a_store_that_never_answers(bucket: Bucket) -> None:
    bucket.refuse = [TimeoutError("no answer")] * remote.ATTEMPTS
    with pytest.raises(StorageError, match=r"s3://b/out/a\.png cannot be reached: TimeoutError: no answer"):
        done(bucket, task())
    assert note_of("s3://b/out/a.png") is None


def test_folders_behind_a_url(bucket: Bucket) -> None:
    for name in (
        "2.png",
        "10.png",
        "sub/b.jpg",
        "sub/.hidden/c.png",
        ".d.png",
        "notes.txt",
        "derained/e.png",
    ):
        bucket.objects[f"b/in/{name}"] = b"x"
    bucket.objects["b/in/"] = b""  # how some stores mark a folder
    bucket.objects["b/in/out/f.png"] = b"x"
    found = Discovery()
    walk = RemoteWalk("s3://b/in/", ["s3://b/in/out/"], found)
    naming = Naming(None, Path())
    names = [each.source.url for each in FolderListing(walk, naming, found)]
    assert names == [f"s3://b/in/{name}" for name in ("2.png", "10.png", "a.png", "sub/b.jpg")]
    assert found.skipped == {"hidden": 2, "not a picture": 1, "output folder": 2}


def test_results_on_a_disk_are_not_taken_for_what_is_behind_a_url(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(b"clean")
    with Manifest(tmp_path) as manifest:
        manifest.intend("a.png", hashlib.sha256(b"clean").hexdigest())
    found = Discovery()
    walk = RemoteWalk("s3://b/in", [], found)
    (listed,) = FolderListing(walk, Naming(tmp_path, tmp_path), found)
    assert (listed.source.url, listed.path) == ("s3://b/in/a.png", tmp_path / "a.png")


def test_pictures_from_a_url_to_a_url(bucket: Bucket, tmp_path: Path, folder: Callable[[int], Path]) -> None:
    for path in folder(3).iterdir():
        bucket.objects[f"b/in/{path.name}"] = path.read_bytes()
    bucket.objects["b/in/bad.png"] = b"no picture"
    tasks = [task(name) for name in ("000.png", "bad.png", "001.png", "002.png")]
    for again in (False, True):
        kept = RemoteStore(Inverter.settings)
        with Pipeline(tasks, Inverter(), kept, settings=Inverter.settings) as pipeline:
            events = list(pipeline)
        assert [event.task for event in events if isinstance(event, Failed)] == [tasks[1]]
        assert sum(isinstance(event, Done) for event in events) == (0 if again else 3)
    local = write_picture(tmp_path / "one.png")
    named = replace(task("one.png"), source=Source(local, PurePosixPath("one.png"), tmp_path, True))
    with Pipeline([named], Inverter(), kept, settings=Inverter.settings) as pipeline:
        assert [event.task for event in pipeline if isinstance(event, Done)] == [named]
    noted = note_of("s3://b/out/one.png")
    assert noted is not None
    assert noted["input"]["path"] == local.as_posix()
