"""Films restored by workers: hurt ones, and ones whose unfinished work was edited by hand.

The workers are the real ones, each in threads of this process instead of a process of its own: what goes
between them and the caller is the same, and a trial takes no longer than its film does.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import queue
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from drsformer_cli.errors import DerainError
from drsformer_cli.jobs import film_plan
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_crew import FilmCrew
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent, SegmentDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_spread import FilmSpread
from drsformer_cli.jobs.film_work import MANIFEST
from drsformer_cli.jobs.film_worker import FilmWorker
from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Ready, Report
from drsformer_cli.media.video import probe
from drsformer_cli.media.video_frames import Ending, shots
from drsformer_cli.media.video_pixels import Pixels
from tests.fuzz.edits import edit_lines
from tests.fuzz.mutate import ATTACKS, mutate
from tests.jobs.films import Negative, task_for
from tests.media.clips import X264, pattern
from tests.media.clips import run as ffmpeg

SEGMENT = 3  # pictures: as short as that, a small film has several
MEMORY = 32 << 30  # bytes of address space for all the threads of a trial and of those before it
UNFIT = (".avi", ".ts")  # containers that are read, but not written


class Threads:
    """Workers that live in this process."""

    def __init__(self, count: int = 2) -> None:
        self.count = count
        self._workers: list[FilmWorker] = []
        self._pools: list[ThreadPoolExecutor] = []
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()

    def hire(self, slot: int) -> int:
        worker = len(self._workers)
        self._workers.append(FilmWorker(Negative()))
        self._pools.append(ThreadPoolExecutor(MOST_ERRANDS))
        self._reports.put(Ready(worker, self._workers[worker].facts))
        return worker

    def send(self, worker: int, errand: Errand) -> None:
        sent = pickle.dumps(errand)  # as on its way to another process: nothing is shared

        def do() -> None:
            try:
                outcome: Any = self._workers[worker].do(pickle.loads(sent))
            except Exception as error:  # the caller raises it
                outcome = error
            self._reports.put(Answer(worker, errand.number, outcome))

        self._pools[worker].submit(do)

    def poll(self, seconds: float) -> list[Report]:
        try:
            return [self._reports.get(timeout=max(seconds, 0.001))]
        except queue.Empty:
            return []

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown()
        self._pools.clear()


@contextmanager
def short_segments() -> Iterator[None]:
    """Let films have segments of few pictures."""
    before = film_plan.LEAST, film_plan.MOST
    film_plan.LEAST = film_plan.MOST = SEGMENT
    try:
        yield
    finally:
        film_plan.LEAST, film_plan.MOST = before


def events(source: Path, out: Path, *, workers: bool) -> Iterator[FilmEvent]:
    """Restore one film, by two workers or without."""
    tasks = [task_for(source, out)]
    if not workers:
        yield from FilmBatch(tasks, Negative(), Wish())
        return
    with FilmCrew(Threads()) as crew:
        crew.start()
        yield from FilmSpread(tasks, crew, Wish())


#: What is said of films whose damaged pictures are not the same whenever they are decoded.
UNSTEADY = "does not show the same pictures whenever it is read"


def outcome(source: Path, out: Path, *, workers: bool) -> tuple[str, str]:
    """Restore a film; "whole" or "refused", as it must be, and how many pictures it has or why."""
    try:
        *_, last = events(source, out, workers=workers)
    except DerainError as error:
        return _judged(str(error))
    if isinstance(last, Failed):
        if out.exists():
            return "half: a failed film stands at its place", ""
        return _judged(last.reason) if last.details is None else (f"words: {last.details[-600:]}", "")
    if not isinstance(last, FilmDone):
        return f"senseless: it ends with {type(last).__name__}", ""
    film = probe(out)
    count = sum(1 for _ in shots(film, Pixels(film), ending=Ending()))
    if count != last.sums.pictures:
        return f"half: {count} of {last.sums.pictures} pictures", ""
    return "whole", f"{count} pictures"


def _judged(text: str) -> tuple[str, str]:
    return ("refused" if text.isprintable() else f"words: {text[:300]!r}"), text


def redo(name: str, data: bytes) -> str:
    """Restore a hurt film by workers and without: as many pictures, or refused by both.

    Decoders show in what they could not decode whatever they had there before: the bytes may be others where
    a film is entered in its middle, or workers may see two of them and refuse it.
    """
    with tempfile.TemporaryDirectory() as folder, short_segments():
        source = Path(folder) / name
        source.write_bytes(data)
        target = f"{name}.mkv" if source.suffix in UNFIT else name
        one, two = (
            outcome(source, Path(folder) / str(workers) / target, workers=workers)
            for workers in (False, True)
        )
    for each in (one, two):
        if each[0] not in ("whole", "refused"):
            return each[0]
    if one[0] == "whole" and two[0] == "refused" and UNSTEADY in two[1]:
        return "refused"
    if one[0] != two[0] or (one[0] == "whole" and one[1] != two[1]):
        return f"senseless: {one} by one process, {two} by workers"
    return one[0]


# ---- unfinished work


LEFT = (0, 1, 3)  # segments that were finished, one of them behind a gap


@lru_cache(maxsize=1)
def begun() -> tuple[dict[str, bytes], bytes]:
    """The files of a film in work, made by workers that were stopped: always the same; and its result."""
    with tempfile.TemporaryDirectory() as name, short_segments():
        folder = Path(name)
        source, out = folder / "rainy.mp4", folder / "out.mp4"
        ffmpeg(*pattern(0.6, 25, "32x32"), *X264, "-g", 5, "-bf", 2, source)
        os.utime(source, (1e9, 1e9))
        work, left, lines = folder / ".out.mp4.derain-work", {}, []
        running = events(source, out, workers=True)
        for event in running:
            if isinstance(event, SegmentDone) and event.pictures == event.plan.frames:
                break
        for line in (work / MANIFEST).read_bytes().splitlines():
            entry = json.loads(line)
            if "segment" in entry and int(entry["segment"]["file"][:6]) in LEFT:
                entry["segment"]["seconds"] = 0.5
                left[entry["segment"]["file"]] = (work / entry["segment"]["file"]).read_bytes()
                lines.append(json.dumps(entry, separators=(",", ":")))
            elif "head" in entry:
                lines.append(line.decode())
        running.close()  # type: ignore[attr-defined]
        assert len(left) == len(LEFT)
        *_, last = events(source, folder / "whole.mp4", workers=False)
        assert isinstance(last, FilmDone)
        lines[1:] = sorted(lines[1:])
        manifest = "".join(f"{line}\n" for line in lines).encode()
        files = {source.name: source.read_bytes(), MANIFEST: manifest, **dict(sorted(left.items()))}
        return files, (folder / "whole.mp4").read_bytes()


def edit_work(rng: random.Random) -> bytes:
    """What is left of a film in work, with something edited: for each file a line `name length`, and it."""
    files = dict(begun()[0])
    segments = sorted(name for name in files if name.endswith(".segment"))
    one, two, how = rng.choice(segments), rng.choice(segments), rng.randrange(10)
    if how <= 4:
        files[MANIFEST] = edit_lines(files[MANIFEST], rng)
    elif how == 5:
        files[one] = mutate(rng.choice(list(ATTACKS)), files[one], files[two], str(rng.random()))
    elif how == 6:  # by a hand that mends the record, too
        before = files[one]
        files[one] = mutate(rng.choice(list(ATTACKS)), before, files[two], str(rng.random()))
        for old, new in (
            (hashlib.sha256(before).hexdigest(), hashlib.sha256(files[one]).hexdigest()),
            (f'"size":{len(before)},', f'"size":{len(files[one])},'),
        ):
            files[MANIFEST] = files[MANIFEST].replace(old.encode(), new.encode())
        files["forged"] = b""
    elif how == 7:
        del files[one]
    elif how == 8:
        files[one], files[two] = files[two], files[one]
    else:
        files[rng.choice((one, "lock", "pictures", "film.mp4", "000003.segment", MANIFEST))] = rng.choice(
            (FOLDER, LINK, ROUND, PIPE)
        )
    return b"".join(b"%s %d\n%s" % (name.encode(), len(data), data) for name, data in files.items())


#: What may lie there instead of a file.
FOLDER, LINK, ROUND, PIPE = b"a folder", b"a link to a file of the user", b"a link to itself", b"a pipe"


def lay(folder: Path, name: str, data: bytes, mine: Path) -> None:
    """Put a file there, or what is there instead."""
    path = folder / name
    if data == FOLDER:
        (path / "deep").mkdir(parents=True)
    elif data == LINK:
        path.symlink_to(mine)
    elif data == ROUND:
        path.symlink_to(path.name)
    elif data == PIPE and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        path.write_bytes(data)


def go_on(_: str, data: bytes) -> str:
    """Go on with a film whose work was edited, by workers and without; the result must be the usual one.

    Work that does not go with the film may be refused; then it must be done when that is thrown away.
    """
    files: dict[str, bytes] = {}
    while data:
        head, _, data = data.partition(b"\n")
        name, _, length = head.decode().rpartition(" ")
        files[name], data = data[: int(length)], data[int(length) :]
    forged = files.pop("forged", None) is not None
    source, found = files.pop("rainy.mp4"), []
    for workers in (False, True):
        with tempfile.TemporaryDirectory() as folder, short_segments():
            place, mine = Path(folder), Path(folder) / "mine.txt"
            mine.write_bytes(b"mine")
            (place / "rainy.mp4").write_bytes(source)
            work = place / ".out.mp4.derain-work"
            work.mkdir()
            for name, content in files.items():
                lay(work, name, content, mine)
            told, _ = outcome(place / "rainy.mp4", place / "out.mp4", workers=workers)
            if mine.read_bytes() != b"mine":
                return "half: a file of the user's was changed"
            if forged and told.startswith("half: ") and told.endswith(" pictures"):
                told = "whole"  # as many as the forger left that can be decoded
            if told == "whole":
                if not forged and (place / "out.mp4").read_bytes() != begun()[1]:
                    return "half: other bytes than of a film that nobody touched"
                if work.exists():
                    told = f"senseless: left behind {sorted(path.name for path in work.iterdir())}"
            found.append(told)
            if told not in ("whole", "refused"):
                return f"{told} (workers: {workers})"
    return "refused" if "refused" in found else "whole"
