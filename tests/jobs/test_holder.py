"""Who finds a lock taken learns by whom; what is no lock of ours is neither changed nor believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from drsformer_cli.errors import OutputError, StorageError
from drsformer_cli.jobs.film_work import LOCK, Work
from drsformer_cli.jobs.holder import EMPTIES, holder, is_ours, sign
from drsformer_cli.jobs.manifest import Manifest


def test_signed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert holder(lock) == ""
    sign(lock)
    assert not lock.exists()  # there is nothing to hold
    lock.touch()
    assert holder(lock) == ""
    sign(lock)
    assert holder(lock).startswith(f" (process {os.getpid()} on ")
    lock.write_text("process 1 on some-machine-with-a-longer-name\n")
    assert holder(lock) == " (process 1 on some-machine-with-a-longer-name)"
    sign(lock)
    assert holder(lock).startswith(f" (process {os.getpid()} on ")


@pytest.mark.parametrize("text", ["mine", "process x on y\n", "process 1 on a\nb\n", "x" * 9999])
def test_what_somebody_else_wrote(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "lock"
    lock.write_text(text)
    sign(lock)
    assert lock.read_text() == text
    assert holder(lock) == ""


@pytest.mark.skipif(EMPTIES, reason="this filelock empties what it locks: see the test below")
def test_only_ours_goes(tmp_path: Path) -> None:
    """What a user has under the name of a lock is there after a run, too."""
    lock = tmp_path / ".derain-manifest.lock"
    assert not is_ours(lock)
    for text, ours in (
        ("", True),
        ("process 1 on a\n", True),
        ("mine", False),
        ("process 1 on a\nmine", False),
    ):
        lock.write_text(text)
        assert is_ours(lock) == ours
        with Manifest(tmp_path):
            pass
        assert lock.exists() != ours


def test_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    try:
        (tmp_path / "lock").symlink_to(tmp_path / "mine")
    except OSError:
        pytest.skip("this system makes no links")
    sign(tmp_path / "lock")
    assert (tmp_path / "mine").read_bytes() == b""


def test_who_does_not_get_a_lock_leaves_the_signature(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with FileLock(lock):
        sign(lock)
        signed = holder(lock)
        with pytest.raises(Timeout):
            FileLock(lock).acquire(blocking=False)
        assert holder(lock) == signed != ""


def test_an_older_filelock_gets_no_file_of_the_user_to_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drsformer_cli.jobs.holder.EMPTIES", True)
    (tmp_path / ".film.mp4.derain-work").mkdir()
    for lock, holds, kind in (
        (tmp_path / ".derain-manifest.lock", Manifest(tmp_path), StorageError),
        (tmp_path / ".derain-manifest.2-of-4.lock", Manifest(tmp_path), StorageError),
        (
            tmp_path / ".film.mp4.derain-work" / LOCK,
            Work(tmp_path / "film.mp4"),
            OutputError,
        ),  # it alone fails
    ):
        lock.write_text("mine")
        with pytest.raises(kind, match=r"no lock of derain's, and would be"), holds:
            pass
        assert lock.read_text() == "mine"
        lock.unlink()
    with Manifest(tmp_path), Work(tmp_path / "film.mp4"):
        pass


def test_a_lock_that_its_holder_lets_nobody_read_is_no_file_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where the locked bytes cannot be read."""

    def unreadable(lock: Path) -> bytes:
        raise PermissionError(13, "locked", str(lock))

    with FileLock(tmp_path / ".derain-manifest.lock"):
        monkeypatch.setattr("drsformer_cli.jobs.holder.EMPTIES", True)
        monkeypatch.setattr("drsformer_cli.jobs.holder._read", unreadable)
        with pytest.raises(StorageError, match="another run of derain writes into"), Manifest(tmp_path):
            pass


@pytest.mark.skipif(EMPTIES, reason="this filelock empties what it locks: see the test above")
def test_a_lock_empties_no_file_of_the_user(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("mine")
    with FileLock(lock):
        sign(lock)
    assert lock.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
@pytest.mark.timeout(60)
def test_a_pipe(tmp_path: Path) -> None:
    """Found: it was read, and waited for for ever."""
    lock = tmp_path / ".derain-manifest.lock"
    os.mkfifo(lock)
    if EMPTIES:
        with pytest.raises(StorageError, match="is no lock of derain's"), Manifest(tmp_path):
            pass
    else:
        with Manifest(tmp_path):
            assert holder(lock) == ""
    assert lock.is_fifo()
