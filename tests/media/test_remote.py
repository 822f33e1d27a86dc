"""Words for places, and what is told of them; the stores themselves are met in tests/cli/test_links.py."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import PurePosixPath

import pytest

from drsformer_cli.errors import SetupError, StorageError, UsageError
from drsformer_cli.media import remote
from drsformer_cli.media.remote import Seen, is_url, join, local


@pytest.mark.parametrize("text", ["s3://bucket/a", "gs://b", "hf://datasets/x/y", "odd+1://x"])
def test_urls(text: str) -> None:
    assert is_url(text)
    assert local(text) == text


@pytest.mark.parametrize(
    "text", ["photos/", "C:\\photos", "c:/photos", "-", "", "a.png", "//server/share", "s3:/x"]
)
def test_paths(text: str) -> None:
    assert not is_url(text)
    assert local(text) == text


def test_files_by_url() -> None:
    assert not is_url("file:///tmp/a%20b.png")
    assert local("file:///tmp/a%20b.png").replace("\\", "/").endswith("/tmp/a b.png")
    with pytest.raises(UsageError, match="three slashes"):
        local("file://tmp/a.png")


def test_joined() -> None:
    assert join("s3://b/p/", PurePosixPath("x/y.png")) == join("s3://b/p", PurePosixPath("x/y.png"))


def test_kinds_that_are_not_known() -> None:
    with pytest.raises(UsageError, match="nothing is known of ftp://"):
        remote.look("ftp://host/a.png")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(SetupError, match=r"drsformer-cli\[gcs\]"):
        remote.look("gs://bucket/a.png")


@pytest.mark.parametrize(
    ("url", "how"),
    [("s3://b/a.png", "AWS_PROFILE"), ("GS://b/a.png", "gcloud auth"), ("hf://x/a.png", "HF_TOKEN")],
)
def test_without_credentials_it_says_where_they_go(url: str, how: str) -> None:
    class NoCredentialsError(Exception):
        pass

    def ask() -> None:
        raise NoCredentialsError("Unable to locate credentials.")

    with pytest.raises(SetupError, match=rf"needs credentials: .*{how}.*\(Unable to locate credentials\)\.$"):
        remote._persist(ask, url)


def test_nothing_is_written_where_nothing_can_be_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_open", lambda url: (None, url))
    with pytest.raises(UsageError, match="only pictures be read"):
        remote.write("hf://datasets/a/b.png", b"", {}, replace=True)


def test_times_in_all_their_forms() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    expected = Seen(7, int(moment.timestamp()) * 10**9)
    for key, value in (
        ("LastModified", moment),
        ("updated", "2026-01-02T03:04:05Z"),
        ("mtime", moment.timestamp()),
    ):
        assert remote._seen({"size": 7, "type": "file", key: value}) == expected
    assert remote._seen({"type": "directory"}) == Seen(0, 0, folder=True)


def test_marks_of_folders_and_digests() -> None:
    assert remote._seen({"name": "b/in/", "type": "file", "size": 0}) == Seen(0, 0, folder=True)
    kept_apart = {"name": "b/a.png", "type": "file", "size": 7, "lfs": {"sha256": "abc"}}
    assert remote._seen(kept_apart) == Seen(7, 0, sha256="abc")
    assert remote._seen({**kept_apart, "lfs": None}) == Seen(7, 0)


class Closed:
    """A store whose buckets tell nothing of themselves, and whose objects hold no notes."""

    def __init__(self, *lists: str) -> None:
        self.lists = lists

    def info(self, path: str) -> None:
        raise PermissionError("closed")

    def ls(self, path: str, *, detail: bool) -> list[dict[str, str]]:
        if path in self.lists:
            return []
        raise PermissionError("closed")

    def getxattr(self, path: str, key: str) -> str:
        raise KeyError(key)


def test_a_bucket_that_may_only_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_open", lambda url: (Closed("open", "open/in"), url.partition("://")[2]))
    assert remote.look("gs://open") == Seen(0, 0, folder=True)
    for url in ("gs://closed", "gs://open/in"):
        with pytest.raises(PermissionError, match="access is denied"):
            remote.look(url)
    assert list(remote._entries("gs://open/in")) == []
    with pytest.raises(
        StorageError, match=r"gs://closed/in cannot be listed: access is denied \(closed\)\.$"
    ):
        list(remote._entries("gs://closed/in"))


def test_no_note_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_open", lambda url: (Closed(), url))
    assert remote.note_of("gs://b/a.png") == {}


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", pauses.append)
    calls = []

    def fail(error: Exception) -> None:
        calls.append(error)
        raise error

    with pytest.raises(StorageError, match="s3://b/a cannot be reached: RuntimeError: odd"):
        remote._persist(lambda: fail(RuntimeError("odd")), "s3://b/a")
    assert len(calls) == remote.ATTEMPTS
    assert pauses == [0.5, 1, 2, 4]
    with pytest.raises(FileNotFoundError):
        remote._persist(lambda: fail(FileNotFoundError()), "s3://b/a")
    assert len(calls) == remote.ATTEMPTS + 1
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", -1.0)  # as after a library's own attempts
    with pytest.raises(StorageError, match="cannot be reached: RuntimeError: odd"):
        remote._persist(lambda: fail(RuntimeError("odd")), "s3://b/a")
    assert len(calls) == remote.ATTEMPTS + 2
