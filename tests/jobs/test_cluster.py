"""A real Ray cluster of two nodes: equal bytes, and nothing lost when a worker, a node or the caller is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drsformer_cli.errors import SetupError, StorageError, UsageError
from drsformer_cli.jobs import film_plan
from drsformer_cli.jobs.cluster import Layout, Node, RayHands, lay_out
from drsformer_cli.jobs.crew import Crew
from drsformer_cli.jobs.events import Done, Event, Failed, Started
from drsformer_cli.jobs.film_crew import FilmCrew
from drsformer_cli.jobs.film_events import FilmDone, SegmentDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_spread import FilmSpread
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.film_worker import FilmRecipe
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.jobs.worker import PictureRecipe, Probe
from tests.jobs.conftest import tasks_for, write_picture
from tests.jobs.films import Negative, restore, task_for
from tests.jobs.test_processes import Mortal, Slow, files, local
from tests.media.clips import X264, pattern, tone
from tests.media.clips import run as make

COUNT = 200
ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Located(Slow):
    """Tells of the process and node that it is in."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        import ray

        return super().restore(rainy)[0], {
            "pid": os.getpid(),
            "node": ray.get_runtime_context().get_node_id(),
        }


class LocatedFilm(Negative):
    """Tells of the process and node that it is in."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        import ray

        time.sleep(0.01)
        clean, plan = super().restore(rainy)
        return clean, {**plan, "pid": os.getpid(), "node": ray.get_runtime_context().get_node_id()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start a cluster of two nodes with a processor each."""
    pytest.importorskip("ray", reason='Ray is not installed: pip install "drsformer-cli[ray]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=node)
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(COUNT):
        write_picture(folder / f"{index:03}.png", index)
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what one process makes of the pictures."""
    out = tmp_path_factory.mktemp("whole")
    local(tasks_for(photos, out))
    return files(out)


def running(
    cluster: Any, tasks: list[Task], model: Callable[[], Any] = Located, workers: int = 2
) -> Iterator[Event]:
    with RayHands(cluster if isinstance(cluster, str) else cluster.address) as hands:
        hands.plan(workers=workers, gpus=None, cpu_only=True, threads=1)
        hands.bring(PictureRecipe(model), most=len(tasks))
        with Crew(hands) as crew:
            settings = crew.start().settings
            with FolderStore(tasks, settings) as store, crew.over(tasks, store, settings):
                yield from crew


def check(out: Path, whole: dict[str, bytes]) -> None:
    """See that all are done, none half-written, and none twice."""
    assert files(out) == whole
    lines = (out / FILE_NAME).read_text().splitlines()
    assert sum('"kind":"done"' in line for line in lines) == COUNT


def test_as_one_process_does_and_a_worker_dies(
    cluster: Any, photos: Path, whole: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places, pids, killed = set(), [], None
    for event in running(cluster, tasks_for(photos, tmp_path)):
        assert isinstance(event, (Started, Done))
        if isinstance(event, Done):
            assert isinstance(event.record.plan, dict)
            places.add(event.record.plan["node"])
            pids.append(event.record.plan["pid"])
            if len(places) == 2 and killed is None and len(pids) > 40:
                killed = len(pids)
                os.kill(pids[-1], signal.SIGKILL)
    assert killed is not None
    assert len(set(pids)) in (2, 3)  # the one that takes the place may come when all is done
    assert capfd.readouterr().out == ""  # Ray says nothing where a script may listen
    check(tmp_path, whole)


def test_a_node_goes_in_the_middle(
    cluster: Any, photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    places: list[str] = []
    removed = False
    for event in running(cluster, tasks_for(photos, tmp_path), workers=3):
        assert isinstance(event, (Started, Done))
        if isinstance(event, Done):
            assert isinstance(event.record.plan, dict)
            places.append(event.record.plan["node"])
            if not removed and places.count(node.node_id) > 10:
                cluster.remove_node(node, allow_graceful=False)
                removed = True
    assert removed
    assert node.node_id not in places[-20:]
    check(tmp_path, whole)


CALLER = """
import sys
from pathlib import Path
from tests.jobs.test_cluster import running
from tests.jobs.conftest import tasks_for
for event in running(sys.argv[1], tasks_for(Path(sys.argv[2]), Path(sys.argv[3]))):
    print(type(event).__name__, flush=True)
"""


@POSIX
def test_the_caller_is_killed_and_run_again(
    cluster: Any, photos: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    words = [sys.executable, "-c", CALLER, cluster.address, str(photos), str(tmp_path)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as caller:
        assert caller.stdout is not None
        heard = [caller.stdout.readline() for _ in range(100)]
        caller.kill()
    assert heard.count(b"Done\n") > 20
    before = set(Manifest.load(tmp_path).outputs())
    done = [e.task.output.name for e in running(cluster, tasks_for(photos, tmp_path)) if isinstance(e, Done)]
    assert len(done) < COUNT - 20
    assert before | set(done) == whole.keys()
    check(tmp_path, whole)


def test_a_picture_that_kills_is_the_failure(cluster: Any, tmp_path: Path) -> None:
    for index in range(6):
        write_picture(tmp_path / "in" / f"{index}.png", index, (5, 5 if index == 3 else 8))
    events = list(running(cluster, tasks_for(tmp_path / "in", tmp_path / "out"), Mortal))
    assert [e.task.output.name for e in events if isinstance(e, Failed)] == ["3.png"]
    assert sum(isinstance(e, Done) for e in events) == 5


def test_a_film_and_a_worker_dies(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two actors share a film; one of them is killed amid its work."""
    monkeypatch.setattr(film_plan, "MOST", 24)
    source, out = tmp_path / "rainy.mp4", tmp_path / "two.mp4"
    make(*pattern(9), *tone(seconds=9), *X264, "-bf", 3, "-g", 40, "-c:a", "aac", source)
    restore(source, tmp_path / "one.mp4", Negative())
    killed: int | None = None
    with RayHands(cluster.address) as hands:
        hands.plan(workers=2, gpus=None, cpu_only=True, threads=1)
        hands.bring(FilmRecipe(LocatedFilm), most=2)
        with FilmCrew(hands) as crew:
            crew.start()
            for event in FilmSpread([task_for(source, out)], crew, Wish()):
                if isinstance(event, SegmentDone) and killed is None:
                    killed = Work(out)._lines()[1]["segment"]["plans"][0]["pid"]
                    os.kill(killed, signal.SIGKILL)
    assert isinstance(event, FilmDone)
    assert isinstance(event.record.plan, list)  # one for each process
    assert killed in {way["pid"] for way in event.record.plan}
    assert len({way["pid"] for way in event.record.plan}) in (2, 3)
    assert len({way["node"] for way in event.record.plan}) == 2
    assert out.read_bytes() == (tmp_path / "one.mp4").read_bytes()
    assert capfd.readouterr().out == ""


def test_a_folder_that_is_not_shared(cluster: Any, tmp_path: Path) -> None:
    with RayHands(cluster.address) as hands, ExitStack() as stack:
        hands.plan(workers=1, gpus=None, cpu_only=True, threads=1)
        hands.bring(PictureRecipe(Slow, probes=(Probe(str(tmp_path / "in" / "a.png")),)), most=1)
        with pytest.raises(StorageError, match="does not see the folder"):
            stack.enter_context(Crew(hands)).start()


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match=r"drsformer-cli\[ray\]"), RayHands():
        pass


def test_a_cluster_that_is_not_there() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(SetupError, match=f"Ray at {address} cannot be reached"), RayHands(address):
            pass


EIGHT_GPUS = Node(64, 8)


@pytest.mark.parametrize(
    ("nodes", "asked", "layout"),
    [
        ([Node(8, 0), Node(8, 0)], {}, Layout(2, 8, 0, 1.0)),
        ([Node(8, 0), Node(8, 0)], {"workers": 3}, Layout(3, 4, 0, 0.5)),
        ([Node(8, 0), Node(4, 0)], {"workers": 3}, Layout(3, 4, 0, 0.5)),
        ([Node(8, 0)], {"workers": 16}, Layout(16, 1, 0, 0.125)),
        ([Node(2, 0)], {"threads": 1}, Layout(1, 1, 0, 1.0)),
        ([EIGHT_GPUS], {}, Layout(8, 8, 1, 1.0)),
        ([EIGHT_GPUS], {"gpus": 0.5}, Layout(16, 4, 0.5, 0.5)),
        ([EIGHT_GPUS, Node(16, 0)], {}, Layout(8, 8, 1, 1.0)),
        ([EIGHT_GPUS], {"cpu_only": True}, Layout(1, 64, 0, 1.0)),
    ],
)
def test_layouts(nodes: list[Node], asked: dict[str, Any], layout: Layout) -> None:
    words: dict[str, Any] = {"workers": None, "gpus": None, "threads": None, "cpu_only": False, **asked}
    assert lay_out(nodes, **words) == layout


@given(
    st.lists(st.builds(Node, st.integers(1, 64), st.integers(0, 8)), min_size=1, max_size=5),
    st.one_of(st.none(), st.integers(1, 40)),
    st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, 2.0]),
)
def test_a_machine_is_never_given_away_twice(
    nodes: list[Node], workers: int | None, gpus: float | None
) -> None:
    try:
        layout = lay_out(nodes, workers=workers, gpus=gpus, threads=None, cpu_only=False)
    except UsageError:
        assert not any(node.gpus >= (gpus or 0) for node in nodes)
        return
    assert layout.workers >= 1
    assert 1 <= layout.threads <= max(node.cpus for node in nodes)
    assert 0 < layout.share <= 1
    if layout.gpus == 0:
        for node in nodes:
            assert min(layout.workers, node.cpus // layout.threads) * layout.share <= 1.0 + 1e-9


def test_no_room() -> None:
    with pytest.raises(UsageError, match=r"0\.5 GPUs for a worker: give --gpus-per-worker less"):
        lay_out([Node(8, 0)], workers=None, gpus=0.5, threads=None, cpu_only=False)
    with pytest.raises(UsageError, match="no machine of the cluster has a processor for a worker"):
        lay_out([Node(0, 1)], workers=None, gpus=None, threads=None, cpu_only=True)
