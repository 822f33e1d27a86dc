"""The cache folder: what is kept, what is recorded, and what is never left behind."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save

from drsformer_cli.errors import StorageError, UsageError, WeightsError
from drsformer_cli.weights import Store, cache_folder, fingerprint, read
from drsformer_cli.weights.store import check_name
from tests.weights.conftest import left_in
from tests.weights.samples import PLAIN, tiny
from tests.weights.test_checkpoint import same


def keep(store: Store, name: str = "mine") -> None:
    with store.lock(name), store.workshop(name) as bench:
        store.keep(name, read(PLAIN), bench, source="somewhere", original_sha256=fingerprint(PLAIN))


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_CACHE", "here")
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("DERAIN_CACHE", "")
    assert cache_folder().is_absolute()
    assert "derain" in cache_folder().parts


def test_looking_makes_nothing(store: Store, cache: Path) -> None:
    assert store.names() == []
    assert not store.has("mine")
    assert store.record("mine") is None
    assert not store.is_whole("mine")
    assert not cache.exists()


def test_what_is_kept(store: Store, cache: Path) -> None:
    keep(store)
    assert left_in(cache) == ["mine.json", "mine.safetensors"]
    assert store.names() == ["mine"]
    assert same(read(store.path("mine")).tensors, tiny())
    with safe_open(store.path("mine"), "pt") as file:
        assert file.metadata() == {"format": "pt", "name": "mine", "variant": "plain", "source": "somewhere"}
    record = store.record("mine")
    assert record is not None
    assert record.original_sha256 == fingerprint(PLAIN)
    assert record.sha256 == fingerprint(store.path("mine"))
    assert record.added.endswith("+00:00")
    assert store.is_whole("mine")


def test_what_a_file_says_of_itself_is_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(save(tiny(), {"ensemble": "flips", "name": "other"}))
    checkpoint = read(tmp_path / "mine.safetensors")
    assert checkpoint.metadata == {"ensemble": "flips", "name": "other"}
    with store.lock("mine"), store.workshop("mine") as bench:
        store.keep("mine", checkpoint, bench, source="here", original_sha256=checkpoint.sha256)
    kept = read(store.path("mine")).metadata
    assert (kept["ensemble"], kept["name"]) == ("flips", "mine")


@pytest.mark.skipif(sys.platform == "win32", reason="mode bits are POSIX")
def test_others_may_read_what_is_kept(store: Store) -> None:
    mask = os.umask(0o022)
    try:
        keep(store)
    finally:
        os.umask(mask)
    assert store.path("mine").stat().st_mode & 0o777 == 0o644


def test_a_changed_file_is_not_whole(store: Store) -> None:
    keep(store)
    data = bytearray(store.path("mine").read_bytes())
    data[-1] ^= 1
    store.path("mine").write_bytes(data)
    assert not store.is_whole("mine")
    store.path("mine").write_bytes(data[:-1])
    assert not store.is_whole("mine")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": "mine"}', "\xff"])
def test_a_damaged_record_says_what_to_do(content: str, store: Store) -> None:
    keep(store)
    (store.folder / "mine.json").write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"record .*mine\.json is damaged; .*--force"):
        store.record("mine")


def test_only_models_are_names(store: Store, cache: Path) -> None:
    keep(store)
    (cache / ".hidden.safetensors").touch()
    (cache / "UPPER.safetensors").touch()
    (cache / "folder.safetensors").mkdir()
    (cache / "other.txt").touch()
    assert store.names() == ["mine"]


@pytest.mark.parametrize("name", ["a", "rain200h", "my-model_v1.2", "0", "a" * 64])
def test_names_that_do(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A", ".a", "-a", "a b", "a/b", "a\\b", "..", "a\n", "ä", "con", "nul.x", "a.pth", "a.", "a" * 65],
)
def test_names_that_do_not(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        check_name(name)


def test_the_workshop_is_swept_before_and_after(store: Store, cache: Path) -> None:
    left = cache / ".mine.partial"
    left.mkdir(parents=True)
    (left / "original").write_bytes(b"half")

    def interrupted() -> None:
        with store.lock("mine"), store.workshop("mine") as bench:
            assert bench == left
            assert left_in(bench) == []
            (bench / "original").write_bytes(b"half again")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert left_in(cache) == []


def test_one_at_a_time(store: Store) -> None:
    """Eight threads with locks of their own change a number that only a lock keeps right."""
    waited: list[str] = []
    number = store.folder.parent / "number"
    number.write_text("0")

    def add() -> None:
        for _ in range(5):
            with Store().lock("mine", lambda: waited.append("x")):
                number.write_text(str(int(number.read_text()) + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number.read_text() == "40"
    assert left_in(store.folder) == []


def test_who_waits_is_told(store: Store) -> None:
    told = threading.Event()

    def second() -> None:
        with Store().lock("mine", told.set):
            pass

    with store.lock("mine"):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
    thread.join()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write to the cache folder .*; set DERAIN_CACHE"):
        keep(Store(tmp_path / "file" / "cache"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(store: Store, cache: Path) -> None:
    def full() -> None:
        with store.lock("mine"), store.workshop("mine") as bench:
            (bench / "model").symlink_to("/dev/full")
            store.keep("mine", read(PLAIN), bench, source="x", original_sha256="x")

    with pytest.raises(StorageError, match="the disk is full"):
        full()
    assert left_in(cache) == []
