"""Films disturbed at any moment, on full and closed disks, from sources that change: nothing is lost."""

from __future__ import annotations

import random
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from drsformer_cli.jobs.film_work import MANIFEST
from tests.faults.changes import CHANGES
from tests.faults.conftest import sampled
from tests.faults.disks import disk
from tests.faults.ledger import Ledger
from tests.faults.nursery import Child, Ended, Nursery
from tests.faults.test_signals import NAMES, STATUSES
from tests.faults.test_together import SLOW, wait_for
from tests.media.clips import X264, pattern, run, tone

#: Short segments, so that there are many moments between two.
SHORT = "from drsformer_cli.jobs import film_plan\nfilm_plan.LEAST = film_plan.MOST = 6\n"
#: Keeps what workers have made only when told to.
KEPT = """
import time
from pathlib import Path
from drsformer_cli.jobs import film_allot
real = film_allot.AllottedFilm._keep
def keep(self, errand, outcome):
    while not Path({go!r}).exists():
        time.sleep(0.01)
    return real(self, errand, outcome)
film_allot.AllottedFilm._keep = keep
"""
ROOM = 1 << 15  # KiB
SEGMENTS = 5


@dataclass(frozen=True)
class Film:
    """A film with sound, the words for a model, and what is made of it when nothing disturbs."""

    source: Path
    words: list[str]
    expected: bytes


@pytest.fixture(scope="module")
def film(nursery: Nursery, model: list[str], tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("film")
    words = [*pattern(1.2, size="32x32"), *tone(440, 1.2), *X264, "-g", 10, "-bf", 2, "-c:a", "aac"]
    run(*words, folder / "rainy.mp4")
    whole = Film(folder / "rainy.mp4", model, b"")
    ended = restore(nursery, whole, folder / "out.mp4").wait()
    assert ended.status == 0, ended.err
    return Film(folder / "rainy.mp4", model, (folder / "out.mp4").read_bytes())


def restore(nursery: Nursery, film: Film, out: Path, *words: str, before: str = "") -> Child:
    out.parent.mkdir(parents=True, exist_ok=True)
    return nursery.start("video", film.source, "-o", out, *film.words, *words, before=SHORT + before)


def segments(out: Path) -> int:
    """Return how many segments the work folder records."""
    path = out.parent / f".{out.name}.derain-work" / MANIFEST
    try:
        return path.read_bytes().count(b'{"segment"')
    except FileNotFoundError:
        return 0


def check_whole(nursery: Nursery, film: Film, out: Path) -> None:
    """Let a run go to its end, and compare; a further one does nothing but clear away."""
    ended = restore(nursery, film, out).wait()
    assert ended.status == 0, ended.err
    assert out.read_bytes() == film.expected
    changed = out.stat().st_mtime_ns
    assert restore(nursery, film, out).wait().status == 0
    assert out.stat().st_mtime_ns == changed
    assert {path.name for path in out.parent.iterdir()} == {out.name, ".derain-manifest.jsonl"}


def check_signals(
    nursery: Nursery, film: Film, ledger: Ledger, place: Path, number: int, trials: range
) -> None:
    for trial in trials:
        rng, out = random.Random(trial), place / str(trial) / "out.mp4"
        with ledger.trial(f"{NAMES[signal.Signals(number)]}, film") as told:
            child, least = restore(nursery, film, out), rng.randint(0, SEGMENTS)
            while segments(out) < least and not child.poll() and not out.exists():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.1))
            child.send_signal(number)
            ended = child.wait()
            assert ended.status in STATUSES[signal.Signals(number)], ended.err
            assert "__main__.py" not in ended.err, ended.err
            assert not out.exists() or out.read_bytes() == film.expected
            done = segments(out)
            check_whole(nursery, film, out)
            far = "done" if ended.status == 0 else "some segments done" if done else "none done"
            told.outcome = f"stopped with {far}, then completed"


@pytest.mark.parametrize("number", sampled(NAMES))
def test_signals(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_signals(nursery, film, ledger, tmp_path, number, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("number", NAMES, ids=NAMES.values())
def test_signals_often(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path, number: int) -> None:
    check_signals(nursery, film, ledger, tmp_path, number, range(100, 130))


def check_told(ended: Ended) -> None:
    assert ended.status == 3, ended.err
    assert "disk is full" in ended.err or "No space left" in ended.err, ended.err
    assert "Traceback" not in ended.err, ended.err
    assert "unexpected" not in ended.err, ended.err


def check_full(nursery: Nursery, film: Film, ledger: Ledger, place: Path, kibs: list[int]) -> None:
    for kib in kibs:
        out = place / str(kib) / "out.mp4"
        with ledger.trial("full disk, film") as told, disk(out.parent, kib) as small:
            ended = restore(nursery, film, out).wait()
            done = segments(out)
            if ended.status:
                check_told(ended)
                assert not out.exists()
                small.resize(ROOM)
                if done == SEGMENTS:  # all of it is kept: no picture is restored again
                    again = restore(nursery, film, out, before="import os\n" + _never()).wait()
                    assert again.status == 0, again.err
            check_whole(nursery, film, out)
            far = "all segments" if done == SEGMENTS else "some segments" if done else "none"
            told.outcome = f"told with {far} done, then completed" if ended.status else "enough room"


def _never() -> str:
    return (
        "from drsformer_cli.restore import restorer\n"
        "def restore(self, rainy):\n    raise AssertionError('restored again')\n"
        "restorer.Restorer.restore = restore\n"
    )


@pytest.mark.slow
def test_full_disk(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path) -> None:
    size = len(film.expected) // 1024
    check_full(nursery, film, ledger, tmp_path, [2 * size + size // 2])


@pytest.mark.slow
def test_full_disk_often(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path) -> None:
    most = 4 * len(film.expected) // 1024
    check_full(nursery, film, ledger, tmp_path, list(range(4, most, max(4, most // 40))))


@pytest.mark.slow
def test_read_only(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "closed" / "out.mp4"
    with ledger.trial("read-only output folder, film") as told, disk(out.parent, ROOM) as medium:
        medium.lock()
        ended = restore(nursery, film, out).wait()
        assert ended.status in (1, 3), ended.err
        assert "Read-only" in ended.err or "cannot be written" in ended.err, ended.err
        assert "Traceback" not in ended.err
        medium.unlock()
        check_whole(nursery, film, out)
        told.outcome = f"told (status {ended.status}), then completed"


@pytest.mark.slow
def test_two_runs(nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path) -> None:
    out, go = tmp_path / "films" / "out.mp4", tmp_path / "go"
    with ledger.trial("two runs into one film") as told:
        first = restore(nursery, film, out, before=SLOW.format(go=str(go)))
        wait_for(out.parent / f".{out.name}.derain-work" / MANIFEST)
        second = restore(nursery, film, out).wait()
        assert second.status == 1
        assert re.search(rf"another run of derain \(process {first.pid} on \S+\) works on", second.err)
        go.touch()
        assert first.wait().status == 0
        check_whole(nursery, film, out)
        told.outcome = "second refused, and told who works there"


@pytest.mark.parametrize("workers", [False, True], ids=["alone", "workers"])
@pytest.mark.parametrize("what", sampled(CHANGES, "is rewritten"))
def test_source(
    nursery: Nursery, film: Film, ledger: Ledger, tmp_path: Path, what: str, workers: bool
) -> None:
    with ledger.trial(f"a film {what} while {'workers restore it' if workers else 'it is restored'}") as told:
        source, other = tmp_path / "rainy.mp4", tmp_path / "other.mp4"
        shutil.copy(film.source, source)
        run(*pattern(1.0, size="32x32", source="smptebars"), *X264, other)
        mine, out, go = (
            Film(source, film.words, film.expected),
            tmp_path / "films" / "out.mp4",
            tmp_path / "go",
        )
        words, before = (("--workers", "2"), KEPT) if workers else ((), SLOW)
        child = restore(nursery, mine, out, *words, before=before.format(go=str(go)))
        wait_for(out.parent / f".{out.name}.derain-work" / MANIFEST)
        time.sleep(0.05)
        CHANGES[what](source, other)
        go.touch()
        ended = child.wait()
        assert ended.status == 1, ended.err
        assert "Traceback" not in ended.err, ended.err
        assert "unexpected" not in ended.err, ended.err
        assert str(source) in ended.err
        assert not out.exists()
        shutil.copy(film.source, source)
        check_whole(nursery, mine, out)
        told.outcome = "named, no result; then completed"
