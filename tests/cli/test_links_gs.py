"""`derain gs://...` with Google's own sign-in and API on loopback: in and out, refusals, nothing twice."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from drsformer_cli.errors import OutputError, SetupError, StorageError
from drsformer_cli.media import remote
from tests.cli.conftest import Command, Outcome
from tests.cli.gcs_service import TOKEN, UPLOAD_ID, Storage
from tests.cli.loopback import serving

NEEDS = 'not installed: pip install "drsformer-cli[gcs]"'
UPLOADS = "/upload/storage/v1/b/rain/o"


@pytest.fixture(scope="module")
def service() -> Iterator[Storage]:
    pytest.importorskip("gcsfs", reason=NEEDS)
    storage = Storage()
    with serving(storage):
        yield storage


@pytest.fixture
def storage(service: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Return the service, known to gcsfs, with a service account for it and no pauses between attempts."""
    from gcsfs.core import GCSFileSystem

    async def no_pause(_seconds: float) -> None:
        """Go on at once."""

    account = tmp_path / "account.json"
    account.write_text(service.account())
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nobody"))
    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": no_pause}))
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    for bucket in service.buckets.values():
        bucket.objects.clear()
    service.asked.clear()
    GCSFileSystem.clear_instance_cache()
    yield service
    GCSFileSystem.clear_instance_cache()


@pytest.fixture
def words(tiny: Path) -> list[str]:
    return ["-m", str(tiny), "--device", "cpu"]


@pytest.fixture
def anonymous(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    return storage


def fill(storage: Storage, folder: Path, bucket: str, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            storage.put(bucket, prefix + path.relative_to(folder).as_posix(), path.read_bytes())


def content(storage: Storage, prefix: str) -> dict[str, bytes]:
    objects = storage.buckets["rain"].objects
    return {name.removeprefix(prefix): each.data for name, each in objects.items() if name.startswith(prefix)}


def in_a_line(outcome: Outcome) -> str:
    """Return what was said, which must be one sentence without a secret."""
    (line,) = outcome.err.splitlines()
    assert not any(secret in outcome.out + line for secret in (TOKEN, UPLOAD_ID, "BEGIN PRIVATE"))
    return line


def test_in_and_out(
    storage: Storage, derain: Command, photos: Path, tmp_path: Path, words: list[str]
) -> None:
    (photos / ".hidden.png").write_bytes(b"x")
    (photos / "notes.txt").write_bytes(b"x")
    (photos / "a.png").rename(photos / "a b%20#?{}ü@2x.png")
    fill(storage, photos, "rain", "in/")
    storage.put("rain", "in/", b"")  # how its console marks a folder
    assert derain(photos, "-o", tmp_path / "disk", *words).status == 0
    disk = tmp_path / "disk"
    expected = {path.relative_to(disk).as_posix(): path.read_bytes() for path in disk.rglob("*.*g")}
    first = derain("gs://rain/in/", "-o", "gs://rain/out", "--json", *words)
    assert (first.status, first.err.count("Traceback")) == (0, 0), first.err
    lines = [json.loads(line) for line in first.out.splitlines()]
    assert lines[-1]["left_out"] == {"hidden": 1, "not a picture": 1}
    assert content(storage, "out/") == expected
    assert {each.query.get("delimiter") for each in storage.asked if each.path.endswith("/o")} == {"/", None}
    note = json.loads(storage.buckets["rain"].objects["out/b.jpg"].resource["metadata"]["derain"])
    assert note["input"]["path"] == "gs://rain/in/b.jpg"
    assert note["input"]["mtime_ns"] % 10**9 == 123_000_000
    assert storage.count("POST", UPLOADS) == 3

    storage.asked.clear()
    again = derain("gs://rain/in", "-o", "gs://rain/out/", *words)
    assert "3 done before" in again.err
    assert storage.count("POST", UPLOADS) == 0
    assert not any(each.path.startswith("/download") for each in storage.asked)
    storage.put("rain", "in/b.jpg", (photos / "deep" / "c.png").read_bytes())
    changed = derain("gs://rain/in", "-o", "gs://rain/out/", *words)
    assert "1 restored" in changed.err
    assert content(storage, "out/")["b.jpg"] != expected["b.jpg"]


def test_nothing_of_others_is_replaced(
    storage: Storage, derain: Command, photos: Path, words: list[str]
) -> None:
    storage.put("rain", "out/a.png", b"mine")
    kept = derain(photos, "-o", "gs://rain/out", *words)
    assert kept.status == 1
    assert "gs://rain/out/a.png is there already and was not made by derain" in kept.err
    assert content(storage, "out/")["a.png"] == b"mine"
    assert {each.query.get("ifGenerationMatch") for each in storage.asked if each.path == UPLOADS} == {"0"}
    assert derain(photos, "-o", "gs://rain/out", "--overwrite", *words).status == 0
    assert content(storage, "out/")["a.png"] != b"mine"


def test_uploads_that_fail_or_whose_answer_is_lost(
    storage: Storage, derain: Command, photos: Path, words: list[str]
) -> None:
    storage.fail, storage.lose = {"/b/rain/o": 7, "out/a.png": 2}, {"out/b.jpg": 1}
    done = derain(photos, "-o", "gs://rain/out", *words)
    assert done.status == 0, done.err
    assert {*storage.fail.values(), *storage.lose.values()} == {0}
    assert sorted(content(storage, "out/")) == ["a.png", "b.jpg", "deep/c.png"]


@pytest.mark.parametrize("port", [None, 1])
def test_a_store_that_is_away(
    storage: Storage, derain: Command, words: list[str], monkeypatch: pytest.MonkeyPatch, port: int | None
) -> None:
    if port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    storage.fail = {"/b/rain/o/in": 10_000, "/b/rain/o": 10_000}
    away = derain("gs://rain/in", "-o", "gs://rain/out", *words)
    storage.fail = {}
    assert away.status == 3
    assert "gs://rain/in cannot be reached: " in in_a_line(away)


def test_a_store_that_says_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setattr(remote, "SILENCE_SECONDS", 0.02)
        with pytest.raises(StorageError, match=r"gs://rain/in cannot be reached: .*imeout"):
            remote.look("gs://rain/in")


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # gcsfs does
def test_large_results_in_parts(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    data = bytes(range(256)) * (51 << 12)
    remote.write("gs://rain/large.tif", data, {"a": 1}, replace=False)
    assert content(storage, "")["large.tif"] == data
    assert remote.note_of("gs://rain/large.tif") == {"a": 1}
    with pytest.raises(OutputError, match="already exists; --overwrite replaces it"):
        remote.write("gs://rain/large.tif", data, {"a": 2}, replace=False)
    storage.forgetful = True
    with pytest.raises(OutputError, match=r"large\.tif may not be written: access is denied \(") as refused:
        remote.write("gs://rain/large.tif", data, {"a": 2}, replace=True)
    storage.forgetful = False
    assert UPLOAD_ID in storage.asked[-1].query["upload_id"]
    assert UPLOAD_ID not in str(refused.value) + caplog.text
    assert TOKEN not in caplog.text


def test_what_is_public_needs_no_credentials(
    anonymous: Storage, derain: Command, photos: Path, tmp_path: Path, words: list[str]
) -> None:
    fill(anonymous, photos, "public", "")
    for place in ("gs://public", "gs://public/deep/"):
        assert derain(place, "-o", tmp_path / "out", *words).status == 0
    assert len([*(tmp_path / "out").rglob("*.*g")]) == 4
    refused = derain(photos / "a.png", "-o", "gs://public/out", *words)
    assert refused.status == 3
    assert "needs credentials" in refused.err


@pytest.mark.parametrize("place", ["gs://rain", "gs://rain/in", "gs://rain/in/a.png", "gs://nowhere/in"])
def test_without_credentials(anonymous: Storage, derain: Command, words: list[str], place: str) -> None:
    refused = derain(place, "-o", "out", "-v", *words)
    assert refused.status == 3
    line = in_a_line(refused)
    assert line.startswith(f"derain: {place} needs credentials, or is not there: set GOOGLE_APPLICATION_CRED")
    assert "(Anonymous caller does not have storage." in line
    asked = [(each.path, *each.query.items()) for each in anonymous.asked]
    assert 0 < len(asked) == len(set(asked)), "what is final was asked again"


def test_with_credentials_that_are_refused(
    storage: Storage, derain: Command, words: list[str], tmp_path: Path
) -> None:
    stranger = Storage()
    stranger.url = storage.url
    (tmp_path / "account.json").write_text(stranger.account())
    refused = derain("gs://rain/in", "-o", "out", *words)
    assert refused.status == 3
    assert "invalid_grant: Invalid JWT Signature" in in_a_line(refused)
    assert storage.count("POST", "/token") == len(storage.asked) == 1


def test_what_may_not_be_done(
    storage: Storage, derain: Command, photos: Path, words: list[str], tmp_path: Path
) -> None:
    for place in ("gs://denied", "gs://denied/in", "gs://denied/in/a.png"):
        refused = derain(place, "-o", tmp_path / "out", *words)
        assert refused.status == 3
        assert f"{place} may not be read: access is denied (derain@rain." in in_a_line(refused)
    nothing = derain("gs://nowhere/in", "-o", tmp_path / "out", *words)
    assert (nothing.status, "gs://nowhere/in does not exist" in in_a_line(nothing)) == (2, True)
    one = photos / "a.png"
    for place, why in (("denied", "access is denied"), ("nowhere", "there is no such bucket; make it first")):
        refused = derain(one, "-o", f"gs://{place}/out", *words)
        assert refused.status == 1
        assert why in refused.err
        assert "Traceback" not in refused.err
    with pytest.raises(SetupError, match="gs://denied/in cannot be listed: access is denied"):
        list(remote._entries("gs://denied/in"))
