"""Films by workers: hurt ones, and unfinished work that was edited by hand or that leads elsewhere."""

from __future__ import annotations

import json
import os
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.errors import OutputError, StorageError, UnreadableError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_events import FilmDone
from drsformer_cli.jobs.film_job import FilmJob
from drsformer_cli.jobs.film_plan import Wish, plan_film
from drsformer_cli.jobs.film_work import MANIFEST, sweep_work
from drsformer_cli.jobs.holder import EMPTIES
from drsformer_cli.media.video_join import Part, join
from tests.fuzz import crews
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Case, Table, cases, edited, run
from tests.fuzz.edits import VALUES
from tests.fuzz.films import KINDS
from tests.jobs.films import Negative, restore, task_for
from tests.jobs.test_film_workers import ends, running
from tests.media import clips

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")


def check(seed: int, films: int, works: int, place: Path) -> None:
    sound = []
    for suffix, words in KINDS.items():
        clips.run(*clips.pattern(0.4, 20, "32x32"), *words, place / f"a.{suffix}")
        sound.append((f"a.{suffix}", (place / f"a.{suffix}").read_bytes()))
    table = Table()
    with Cage(crews.redo, memory=crews.MEMORY) as cage:
        run(cage, cases(sound, seed, films), table, minutes=60)
    with Cage(crews.go_on, memory=crews.MEMORY) as cage:
        run(
            cage,
            edited("work edited by hand", "a film in work", crews.edit_work, seed, works),
            table,
            minutes=60,
        )
    assert not table.failures, "\n".join(f"{case}: {outcome}" for case, outcome in table.failures)
    assert table.trials == films + works


def test_hurt_films_and_edited_work(tmp_path: Path) -> None:
    check(1, 5, 6, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_hurt_films_and_much_edited_work(tmp_path: Path) -> None:
    check(2, 180, 300, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hurt_films_by_processes(tmp_path: Path) -> None:
    """All in one run: none stops the others, nor its worker."""
    for suffix, words in KINDS.items():
        clips.run(*clips.pattern(0.4, 20, "32x32"), *words, tmp_path / f"a.{suffix}")
    sound = [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    films = {}
    for number, case in enumerate([*cases(sound, 5, 45), *(Case(*each) for each in whole_films(sound))]):
        source = tmp_path / f"{number}-{case.name}"
        source.write_bytes(case.data)
        target = f"{source.name}.mkv" if source.suffix in crews.UNFIT else source.name
        films[source] = tmp_path / "out" / target
    found = ends(list(running(films)))
    assert set(found) == {path.name for path in films}
    for source, out in films.items():
        end = found[source.name]
        assert out.exists() == isinstance(end, FilmDone), source.name
        assert not isinstance(end, Failed) or (end.details is None and end.reason.isprintable()), end
    assert all(isinstance(found[f"{45 + number}-{name}"], FilmDone) for number, (name, _) in enumerate(sound))


def whole_films(sound: list[tuple[str, bytes]]) -> list[tuple[str, str, str, bytes]]:
    """Return films that nobody hurt, to stand behind those that were."""
    return [(name, "none", "", data) for name, data in sound]


@posix
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["lock", MANIFEST, "000000.segment", "pictures", "out.mp4"])
@pytest.mark.parametrize("workers", [False, True])
def test_work_with_a_pipe_in_it(name: str, workers: bool, tmp_path: Path) -> None:
    """Found: one in the place of the lock or of the manifest was waited for for ever."""
    files, whole = crews.begun()
    work, source = tmp_path / ".out.mp4.derain-work", tmp_path / "rainy.mp4"
    work.mkdir()
    for each, data in files.items():
        (tmp_path if each == source.name else work).joinpath(each).write_bytes(data)
    (work / name).unlink(missing_ok=True)
    os.mkfifo(work / name)
    if name.endswith(".segment"):  # an empty one, as its record is made to say
        lines = files[MANIFEST].split(b"\n")
        for number, line in enumerate(lines):
            if name.encode() in line:
                entry = json.loads(line)
                empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                entry["segment"] |= {"size": 0, "sha256": empty}
                lines[number] = json.dumps(entry).encode()
        (work / MANIFEST).write_bytes(b"\n".join(lines))
    with crews.short_segments():
        told, why = crews.outcome(source, tmp_path / "out.mp4", workers=workers)
    if name == "lock" and EMPTIES:
        assert (told, "is no lock of derain's" in why) == ("refused", True)
        return
    assert told == "whole", why
    assert (tmp_path / "out.mp4").read_bytes() == whole
    assert not work.exists()


@posix
def test_work_that_is_a_link(tmp_path: Path) -> None:
    """Found: whatever lay in the folder that it leads to was cleared away."""
    source, mine = clips.film(tmp_path / "rainy.mp4", seconds=0.2), tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    link = tmp_path / ".out.mp4.derain-work"
    link.symlink_to(mine)
    for workers in (False, True):
        last = list(crews.events(source, tmp_path / "out.mp4", workers=workers))[-1]
        assert isinstance(last, Failed)
        assert last.reason == f"{link} is a link, and nothing is written through it: remove it."
    link.unlink()
    done = restore(source, tmp_path / "out.mp4", Negative())
    link.symlink_to(mine)
    sweep_work(tmp_path / "out.mp4", done.record.settings)
    assert {path.name: path.read_text() for path in mine.iterdir()} == {"letter.txt": "mine"}


class Resumed(Negative):
    """Looks at what it goes on with, as the network does."""

    def go_on_as(self, plan: object) -> None:
        assert isinstance(plan, dict)


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_any_value_anywhere_in_the_record(step: int, tmp_path: Path) -> None:
    """Found: a head whose tables are none, and times beyond any film's, ended with an unexpected error."""
    files, _ = crews.begun()
    work, source = tmp_path / ".out.mp4.derain-work", tmp_path / "rainy.mp4"
    source.write_bytes(files[source.name])
    lines = [json.loads(line) for line in files[MANIFEST].splitlines()]
    with crews.short_segments():
        plan, taken = plan_film(task_for(source, tmp_path / "out.mp4"), Wish()), 0
        told: list[str] = []
        places = [(0, "head", key) for key in lines[0]["head"]]
        places += [(1, "segment", key) for key in lines[1]["segment"]]
        for turn, (number, table, key) in enumerate(places):
            for value in VALUES[turn % step :: step]:
                changed = [*lines]
                changed[number] = {table: lines[number][table] | {key: value}}
                work.mkdir(exist_ok=True)
                for name in sorted(files):
                    if name != source.name:
                        (work / name).write_bytes(files[name])
                (work / MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in changed))
                try:
                    with FilmJob(plan, Resumed(), replace=False, anew=False) as job:
                        job.begin()
                        known = job.work.known(16)
                        assert all(abs(one.pts) < 1 << 63 for one in known)
                        taken += 1
                except (OutputError, StorageError) as error:
                    told.append(str(error))
                sweep_work(tmp_path / "out.mp4", plan.settings({}))
    assert taken > len(places)
    assert all("--overwrite" in text for text in told)


def test_edits_can_be_had_again() -> None:
    assert crews.edit_work(random.Random("1/1")) == crews.edit_work(random.Random("1/1"))


@pytest.mark.parametrize("seed", ["3/86", "3/359"])
def test_segments_that_were_forged(seed: str) -> None:
    """Found: one whose record was mended by hand ended with an unexpected error, or in fewer pictures."""
    work = crews.edit_work(random.Random(seed))
    assert work.endswith(b"forged 0\n")
    assert crews.go_on("", work) in ("whole", "refused")


def test_a_segment_that_lacks_pictures(tmp_path: Path) -> None:
    files, _ = crews.begun()
    segment = tmp_path / "000000.segment"
    segment.write_bytes(files[segment.name])
    words: dict[str, Any] = {"vessel": "matroska", "time_base": Fraction(1, 25), "last": 1}
    join([Part(segment, [0, 1, 2], [0, 2, 1])], tmp_path / "a", **words)
    for order in ([0, 2, 1, 3], [0, 1]):
        part = Part(segment, list(range(len(order))), order)
        with pytest.raises((UnreadableError, IndexError)):
            join([part], tmp_path / "b", **words)
