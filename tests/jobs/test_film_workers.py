"""Films by several workers: the bytes of one process, and nothing lost when a worker or the caller is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from numpy.typing import NDArray

from drsformer_cli.jobs import film_plan
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_allot import IN_TURN
from drsformer_cli.jobs.film_crew import FilmCrew
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent, FilmStarted, SegmentDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_spread import FilmSpread
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.film_worker import FilmRecipe
from drsformer_cli.jobs.processes import ProcessHands
from tests.jobs.films import Negative, restore, task_for
from tests.jobs.test_processes import workers as processes
from tests.media.clips import CLIPS, X264, film, pattern, run, tone

ROOT = Path(__file__).parents[2]
SIZE = 24
LONG = 7.0  # seconds: workers enter a film of so many pictures in its middle


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(film_plan, "MOST", SIZE)
    before = processes()
    yield
    assert processes() == before


def running(
    films: dict[Path, Path],
    model: Callable[[], Any] = Negative,
    count: int = 2,
    wish: Wish | None = None,
) -> Iterator[FilmEvent]:
    """Restore films with workers; `films` are results by sources."""
    tasks = [task_for(source, out) for source, out in films.items()]
    with FilmCrew(ProcessHands([FilmRecipe(model)] * count, threads=1)) as crew:
        crew.start()
        yield from FilmSpread(tasks, crew, wish or Wish())


def ends(events: list[FilmEvent]) -> dict[str, FilmDone | Failed]:
    """Return the last event of each film by the name of its source."""
    found: dict[str, FilmDone | Failed] = {}
    for event in events:
        if isinstance(event, (FilmDone, Failed)):
            task = event.plan.task if isinstance(event, FilmDone) else event.task
            found[Path(task.name).name] = event
    return found


def frames_b(path: Path) -> Path:
    return film(path, *X264, "-bf", 8, "-b_strategy", 2, "-g", 50, seconds=LONG)


def variable(path: Path) -> Path:
    times = "settb=1/90000,setpts='(N*40+mod(N*N*7,29))/1000/TB'"
    words = ["-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    return film(path, *words, *X264, "-g", 30, seconds=LONG)


def with_company(path: Path) -> Path:
    crowded = CLIPS["crowded.mkv"](path.with_name("crowded.mkv"))
    words = ["-map", 0, "-map", "1:a", "-map", "1:s", *X264, "-g", 40, "-c:a", "copy", "-c:s", "copy"]
    run(*pattern(LONG), "-i", crowded, *words, path)
    return path


def damaged(path: Path) -> Path:
    whole = film(path.with_name("whole.mp4"), *X264, "-g", 40, "-bf", 2, seconds=LONG)
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for place in (places[30], places[131]):
        data[place : place + 4] = b"\xff" * 4  # the length of what follows
    path.write_bytes(data)
    return path


def open_groups(path: Path) -> Path:
    return film(path, *X264, "-g", 30, "-bf", 3, "-x264-params", "open-gop=1", seconds=LONG)


def timeless(path: Path) -> Path:
    """AVI has times of decoding alone."""
    return film(path, *X264, "-bf", 2, seconds=4)


def doubled(path: Path) -> Path:
    """Times begin anew in the middle."""
    whole = film(path.with_name("whole.ts"), *X264, "-bf", 2, seconds=3)
    path.write_bytes(2 * whole.read_bytes())
    return path


def animation(path: Path) -> Path:
    run(*pattern(1, 10, "48x32"), "-loop", 3, path)
    return path


#: Films, and whether they can be entered in their middle with certainty.
MADE: dict[str, tuple[Callable[[Path], Path], bool]] = {
    "bframes.mp4": (frames_b, True),
    "company.mkv": (with_company, True),
    "damaged.mp4": (damaged, False),
    "a.gif": (animation, True),
}
MORE: dict[str, tuple[Callable[[Path], Path], bool]] = {
    "variable.mp4": (variable, True),
    "noduration.webm": (CLIPS["noduration.webm"], True),
    "groups.mkv": (open_groups, True),
    "editlist.mp4": (CLIPS["editlist.mp4"], True),
    "timeless.avi": (timeless, False),
    "stream.ts": (open_groups, True),
    "doubled.ts": (doubled, False),
}
SHARED = ("corrupted.mp4", "no_duration.webm", "h265_10bits.mp4", "av1_video.mkv", "video_90.mov")
CUT = Wish(start=Fraction(1), end=Fraction(19, 3))


def compare(sources: dict[Path, bool | None], place: Path, wish: Wish | None = None) -> None:
    """Restore films with two workers and with one process; they must be equal in all."""
    films, whole, wish = {}, {}, wish or Wish()
    for source in sources:
        suffix = source.suffix if source.suffix not in (".avi", ".ts") else ".mkv"
        (place / source.name).mkdir(parents=True)
        films[source] = place / source.name / f"two{suffix}"
        whole[source.name] = restore(source, place / source.name / f"one{suffix}", Negative(), wish)
    found = ends(list(running(films, wish=wish)))
    assert found.keys() == whole.keys()
    for source, entered in sources.items():
        name, end = source.name, found[source.name]
        assert isinstance(end, FilmDone), end
        one, two = whole[name], end
        assert two.plan.task.path.read_bytes() == one.plan.task.path.read_bytes(), name
        notes = list(two.record.notes)
        assert entered is None or (IN_TURN not in notes) == entered, name
        assert [note for note in notes if note != IN_TURN] == one.record.notes
        assert (two.sums.pictures, two.sums.lost) == (one.sums.pictures, one.sums.lost), name
        assert not list(two.plan.task.path.parent.glob(".*.derain-work")), name


def make_all(table: dict[str, tuple[Callable[[Path], Path], bool]], place: Path) -> dict[Path, bool | None]:
    found: dict[Path, bool | None] = {}
    for name, (make, entered) in table.items():
        (place / "in" / name).mkdir(parents=True)
        found[make(place / "in" / name / name)] = entered
    return found


def test_as_one_process_does(tmp_path: Path) -> None:
    compare(make_all(MADE, tmp_path), tmp_path / "out")


@pytest.mark.slow
def test_as_one_process_does_of_more_films(tmp_path: Path) -> None:
    compare(make_all(MORE, tmp_path), tmp_path / "out")


@pytest.mark.slow
def test_as_one_process_does_of_stretches(tmp_path: Path) -> None:
    films = {name: MADE[name] for name in ("bframes.mp4", "company.mkv", "damaged.mp4")}
    compare(make_all({**films, "stream.ts": MORE["stream.ts"]}, tmp_path), tmp_path / "out", CUT)


@pytest.mark.slow
def test_as_one_process_does_of_found_films(shared_data: Path, tmp_path: Path) -> None:
    compare({shared_data / "video" / name: None for name in SHARED}, tmp_path)


class Located(Negative):
    """Tells of the process that it is in, and leaves the others time."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        time.sleep(0.05)
        clean, plan = super().restore(rainy)
        return clean, {**plan, "pid": os.getpid()}


@pytest.mark.slow
def test_short_films_are_done_at_once(tmp_path: Path) -> None:
    """Each is one segment: the workers share the films."""
    source = film(tmp_path / "a.mp4", seconds=0.8)
    films = {}
    for number in range(6):
        path = tmp_path / f"a{number}.mp4"
        path.write_bytes(source.read_bytes())
        films[path] = tmp_path / f"b{number}.mp4"
    events = list(running(films, Located))
    found = [event.record.plan for event in events if isinstance(event, FilmDone)]
    places = [plan["pid"] for plan in found if isinstance(plan, dict)]
    assert len(places) == 6
    assert all(2 <= places.count(pid) <= 4 for pid in set(places))
    assert len({path.read_bytes() for path in films.values()}) == 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    run(*pattern(8), *tone(440, 8), *X264, "-bf", 3, "-g", 40, "-c:a", "aac", path)
    return path


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return what one process makes of the clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film_plan, "MOST", SIZE)
        out = tmp_path_factory.mktemp("whole") / "out.mp4"
        restore(clip, out, Negative())
    return out.read_bytes()


class Uneven(Negative):
    """Is slow in the process that was the first."""

    def __init__(self) -> None:
        super().__init__()
        try:
            Path(os.environ["UNEVEN"]).touch(exist_ok=False)
            self.seconds = 0.1
        except FileExistsError:
            self.seconds = 0.002

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        time.sleep(self.seconds)
        return super().restore(rainy)


class Deadly(Negative):
    """Takes the process with it at a picture that is 80 samples wide."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if rainy.shape[1] == 80:
            os._exit(9)
        return super().restore(rainy)


class Broken(Negative):
    """Cannot do a picture that is 80 samples wide."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if rainy.shape[1] == 80:
            raise RuntimeError("out of luck")
        return super().restore(rainy)


def test_a_worker_is_killed(
    clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNEVEN", str(tmp_path / "first"))
    out, before, killed = tmp_path / "out.mp4", processes(), 0
    events = []
    for event in running({clip: out}, Uneven):
        events.append(event)
        if isinstance(event, SegmentDone) and not killed:
            for worker in processes() - before:  # both: each with a segment in work, and one that waits
                os.kill(worker, signal.SIGKILL)
                killed += 1
    assert killed == 2
    assert isinstance(events[-1], FilmDone)
    assert out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [".derain-manifest.jsonl", "first", "out.mp4"]


@pytest.mark.parametrize("model", [pytest.param(Deadly, marks=pytest.mark.slow), Broken])
def test_a_film_that_fails_leaves_the_others(
    clip: Path, whole: bytes, tmp_path: Path, model: Callable[[], Any]
) -> None:
    bad = film(tmp_path / "bad.mp4", size="80x64", seconds=2)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    films = {bad: tmp_path / "a.mp4", empty: tmp_path / "b.mp4", clip: tmp_path / "c.mp4"}
    found = ends(list(running(films, model)))
    assert isinstance(found["bad.mp4"], Failed)
    reason = "died (ended with status 9)" if model is Deadly else "out of luck"
    assert reason in found["bad.mp4"].reason
    assert isinstance(found["empty.mp4"], Failed)
    assert isinstance(found["clip.mp4"], FilmDone)
    assert (tmp_path / "c.mp4").read_bytes() == whole
    assert not (tmp_path / "a.mp4").exists()


CALLER = """
import sys
from pathlib import Path
from drsformer_cli.jobs import film_plan
from tests.jobs.test_film_workers import SIZE, Uneven, running
if __name__ == "__main__":
    film_plan.MOST = SIZE
    for event in running({Path(sys.argv[1]): Path(sys.argv[2])}, Uneven):
        print(type(event).__name__, flush=True)
"""


def killed_amid(clip: Path, out: Path, segments: int) -> tuple[int, int]:
    """Kill a caller after so many segments; return how many pictures it left, and how many in one piece."""
    script = out.parent / "caller.py"
    script.write_text(CALLER)
    words = {"PYTHONPATH": str(ROOT), "UNEVEN": str(out.parent / "first")}
    with subprocess.Popen(
        [sys.executable, script, clip, out], stdout=subprocess.PIPE, env={**os.environ, **words}
    ) as caller:
        assert caller.stdout is not None
        while segments:
            segments -= caller.stdout.readline() == b"SegmentDone\n"
        children = psutil.Process(caller.pid).children(recursive=True)
        caller.kill()
    assert not psutil.wait_procs(children, timeout=20)[1]  # nobody works on for a caller that is gone
    work = Work(out)
    work._take_up(work._lines()[1:])
    return work.done, work.count


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_caller_is_killed_and_run_again(clip: Path, whole: bytes, tmp_path: Path, count: int) -> None:
    out = tmp_path / "out.mp4"
    done, begun = killed_amid(clip, out, 4)
    assert 4 * SIZE <= done < 200
    assert begun < done  # some are behind a gap, and are kept
    if count == 1:
        end = restore(clip, out, Negative())
        assert end.fresh == 200 - done
    else:
        events = list(running({clip: out}))
        assert isinstance(events[0], FilmStarted)
        assert events[0].earlier == done
        assert isinstance(events[-1], FilmDone)
        assert events[-1].fresh == 200 - done
    assert out.read_bytes() == whole
    assert not list(tmp_path.glob(".*.derain-work"))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted(clip: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNEVEN", str(tmp_path / "first"))
    out, safe = tmp_path / "out.mp4", [0]

    def run_() -> None:
        for event in running({clip: out}, Uneven):
            if isinstance(event, SegmentDone):
                safe.append(event.pictures)
                if len(safe) == 3:
                    signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_()
    assert Work(out).earlier_count() == safe[-1] < 200
    assert restore(clip, out, Negative()).fresh == 200 - safe[-1]
    assert out.read_bytes() == whole
