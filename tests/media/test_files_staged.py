"""Files that are finished under a hidden name and get their own later: whole, at once, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.media import files
from drsformer_cli.media.files import (
    make_folder,
    partial_name,
    place_finished,
    publish,
    sha256_of,
    stage,
    sweep_partials,
    sync_folder,
)

Naming = Callable[..., None]
namings = pytest.mark.parametrize("give", [publish, place_finished])


def staged(folder: Path, data: bytes = b"new") -> Path:
    temporary = folder / partial_name("0" * 16)
    stage(temporary, data)
    return temporary


def raising(code: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), "one", None, "other")

    return fail


def test_a_digest_of_what_is_longer_than_a_block(tmp_path: Path) -> None:
    for size in (0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5):
        (tmp_path / "a").write_bytes(b"x" * size)
        assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * size).hexdigest()


@namings
def test_a_staged_file_gets_its_name(tmp_path: Path, give: Naming) -> None:
    temporary = staged(tmp_path)
    assert sweep_partials(tmp_path) == 0  # its process lives
    give(temporary, tmp_path / "a.png", replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    give(staged(tmp_path, b"newer"), tmp_path / "a.png", replace=True)
    assert (tmp_path / "a.png").read_bytes() == b"newer"
    assert len(list(tmp_path.iterdir())) == 1


@namings
@pytest.mark.parametrize("links", [True, False])
def test_a_file_in_the_way_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, give: Naming, links: bool
) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    if not links:
        monkeypatch.setattr(os, "link", raising(errno.ENOTSUP))
    temporary = staged(tmp_path)
    with pytest.raises(OutputError, match=r"a\.png already exists"):
        give(temporary, tmp_path / "a.png", replace=False)
    assert (tmp_path / "a.png").read_bytes() == b"old"
    # a film that took days is kept, a picture is not
    assert temporary.exists() == (give is place_finished)


@namings
@pytest.mark.skipif(os.name == "nt", reason="Windows renames")
def test_a_name_that_is_taken_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, give: Naming
) -> None:
    temporary = staged(tmp_path)
    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(OutputError, match=r"a\.png already exists"):
        give(temporary, tmp_path / "a.png", replace=False)
    assert (tmp_path / "a.png").read_bytes() == b"old"


@namings
@pytest.mark.skipif(os.name == "nt", reason="Windows renames")
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.ENOSPC, StorageError, r"the disk is full: .*a\.png could not be written"),
        (errno.EIO, OutputError, r"a\.png could not be written \(Input/output error\)"),
        (errno.EXDEV, OutputError, r"a\.png could not be written"),
    ],
)
def test_what_keeps_it_from_its_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    give: Naming,
    code: int,
    error: type[Exception],
    words: str,
) -> None:
    temporary = staged(tmp_path)
    monkeypatch.setattr(os, "link", raising(code))
    with pytest.raises(error, match=words):
        give(temporary, tmp_path / "a.png", replace=False)
    assert not (tmp_path / "a.png").exists()


def test_staging_leaves_nothing_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", raising(errno.ENOSPC))
    with pytest.raises(StorageError, match="the disk is full"):
        staged(tmp_path)
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        staged(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="does not exist"):
        staged(tmp_path / "gone")


def test_folders_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"the folder .*c cannot be made \(Not a directory\)"):
        make_folder(tmp_path / "file" / "c")
    monkeypatch.setattr(Path, "mkdir", raising(errno.ENOSPC))
    with pytest.raises(StorageError, match="the disk is full"):
        make_folder(tmp_path / "d")


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", raising(errno.EINVAL))
    sync_folder(tmp_path)
    sync_folder(tmp_path / "gone")


def test_what_goes_away_while_it_is_looked_at(tmp_path: Path) -> None:
    assert not files._is_left_behind(tmp_path / partial_name("0" * 16))
    assert not files._is_left_behind(tmp_path / ".derain-notes.part")
