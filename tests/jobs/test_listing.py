"""Listing while the work goes on gives what listing before it gives: the same order, the same names."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.jobs.events import Done, Failed
from drsformer_cli.jobs.listing import FolderListing, Listing, Naming, as_tasks
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import Task, plan_outputs
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.resume import without_earlier_results
from drsformer_cli.jobs.store import FolderStore
from drsformer_cli.media.discover import Discovery, Walk, discover
from tests.jobs.conftest import Inverter, write_picture

NAMES = [
    "a.jpg",
    "A.jpg",
    "a.png",
    "a.jpg.png",
    "2.png",
    "10.png",
    "ä.png",
    "a\u0308.png",
    "note.txt",
    ".h.png",
]
FOLDERS = [
    "",
    "a",
    "A",
    "a/b",
    "A/B",
    "A/b",
    "2",
    "10",
    "derained",
    ".git",
    "out",
    "deep/er/still",
    "a.png.d",
]


def listing(root: Path, naming: Naming) -> FolderListing:
    found = Discovery()
    return FolderListing(Walk(root, [], found), naming, found, root=root)


def lazily(root: Path, out: Path | None, found: Discovery, **options: str | None) -> list[Task]:
    folder = out if out is not None else root.parent / "derained"
    naming = Naming(out, folder, options.get("format"), options.get("suffix") or "")
    return list(FolderListing(Walk(root, [root / "out"], found), naming, found, root=root))


def eagerly(root: Path, out: Path | None, **options: str | None) -> tuple[list[Task], Discovery]:
    found = without_earlier_results(discover([str(root)], exclude=[root / "out"]), out)
    suffix = options.get("suffix") or ""
    return plan_outputs(found.sources, output=out, format=options.get("format"), suffix=suffix), found


@given(
    st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=40),
    st.sampled_from([None, "png", "webp"]),
    st.sampled_from(["", "_clean", "-2"]),
    st.booleans(),
)
def test_as_all_at_once(tree: set[tuple[str, str]], format: str | None, suffix: str, beside: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(os.path.realpath(place)) / "in"
        root.mkdir()
        for folder, name in tree:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        out = None if beside else root.parent / "results"
        expected, found = eagerly(root, out, format=format, suffix=suffix)
        counted = Discovery()
        assert lazily(root, out, counted, format=format, suffix=suffix) == expected
        assert counted.skipped == found.skipped


def link(path: Path, target: str) -> None:
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links")


def test_links(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", ".hidden.png", "plain.txt", "derained/d.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "outside.png").write_bytes(b"x")
    for name, target in {
        "to_a.png": "a.png",
        "sub/up.png": "../a.png",
        "to_hidden.png": ".hidden.png",
        "to_text.png": "plain.txt",
        "to_derained.png": "derained/d.png",
        "to_outside.png": "../outside.png",
        "to_nothing.png": "nothing.png",
        "to_sub": "sub",
    }.items():
        link(tmp_path / "in" / name, target)
    expected, found = eagerly(tmp_path / "in", tmp_path / "out")
    counted = Discovery()
    assert lazily(tmp_path / "in", tmp_path / "out", counted) == expected
    names = {task.output.as_posix() for task in expected}
    assert names == {"a.png", "sub/b.png", "to_hidden.png", "to_text.png", "to_derained.png"}
    assert counted.skipped == found.skipped


def test_results_of_earlier_runs_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_picture(root / "a.png")
    write_picture(root / "sub" / "b.png")
    inner = lazily(root / "sub", root / "made", Discovery())
    with (
        FolderStore(inner, {}) as store,
        Pipeline(inner, Inverter(), store, settings={}) as pipeline,
    ):
        assert [type(event) for event in pipeline][-1] is Done
    assert (root / "made" / "b.png").exists()
    counted = Discovery()
    tasks = lazily(root, tmp_path / "out", counted)
    expected, found = eagerly(root, tmp_path / "out")
    assert tasks == expected
    assert [task.output.as_posix() for task in tasks] == ["a.png", "sub/b.png"]
    assert counted.skipped == found.skipped
    (root / "sub" / ".derain-manifest.jsonl").mkdir()  # one that cannot be read keeps nothing from being done
    assert len(lazily(root, tmp_path / "out", counted)) == 2


def test_each_result_of_an_earlier_run_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.png", "b.png", "deep/c.png"):
        write_picture(root / "sub" / name)
    inner = lazily(root / "sub", root / "made", Discovery())
    with (
        FolderStore(inner, {}) as store,
        Pipeline(inner, Inverter(), store, settings={}) as pipeline,
    ):
        assert sum(isinstance(event, Done) for event in pipeline) == 3
    with Manifest(root / "made") as manifest:
        manifest.intend("d.png", "ab" * 32)
    link(root / "made" / "d.png", "../sub/a.png")
    counted = Discovery()
    tasks = lazily(root, tmp_path / "out", counted)
    assert [task.output.as_posix() for task in tasks] == ["sub/a.png", "sub/b.png", "sub/deep/c.png"]
    assert counted.skipped == {"output folder": 3, "hidden": 1, "link to a picture found anyway": 1}
    assert Counter(reason for _, reason in counted.passed_over) == counted.skipped
    assert (str(root / "made" / "a.png"), "output folder") in counted.passed_over


def test_results_that_lie_in_the_folder_that_is_named(tmp_path: Path) -> None:
    """With -o above the folder, the manifest of that place says which of its files are results."""
    out = tmp_path / "out"
    write_picture(tmp_path / "sub" / "a.png")
    made = lazily(tmp_path / "sub", out, Discovery())
    tasks = [Task(task.source, out, "sub" / task.output) for task in made]
    with FolderStore(tasks, {}) as store, Pipeline(tasks, Inverter(), store, settings={}) as pipeline:
        assert [type(event) for event in pipeline][-1] is Done
    write_picture(out / "sub" / "mine.png")
    counted = Discovery()
    expected, found = eagerly(out / "sub", out)
    assert lazily(out / "sub", out, counted) == expected
    assert [task.output.as_posix() for task in expected] == ["mine.png"]
    assert counted.skipped == found.skipped == {"output folder": 1}


def test_what_cannot_be_read_is_listed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    write_picture(tmp_path / "in" / "sub" / "a.png")
    with Manifest(tmp_path / "in" / "sub") as manifest:
        manifest.intend("a.png", "ab" * 32)
    monkeypatch.setattr(Manifest, "claims", refuse)
    counted = Discovery()
    assert len(lazily(tmp_path / "in", tmp_path / "out", counted)) == 1  # reading it will say why
    assert counted.skipped == {"hidden": 1}


def many(tmp_path: Path, count: int = 30) -> Listing:
    for index in range(count):
        write_picture(tmp_path / "in" / f"{index % 3}" / f"{index:02}.png", index)
    naming = Naming(tmp_path / "out", tmp_path / "out")
    tasks = as_tasks(iter(listing(tmp_path / "in", naming)), tmp_path / "in", 7)
    assert isinstance(tasks, Listing)
    return tasks


def test_it_grows(tmp_path: Path) -> None:
    tasks = many(tmp_path)
    assert (len(tasks), tasks.complete) == (7, False)
    assert len(list(itertools.islice(tasks, 6))) == 6
    assert len(tasks) == 7
    assert len(list(tasks)) == 30
    assert (len(tasks), tasks.complete) == (30, True)


def test_few_are_a_list(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    naming = Naming(tmp_path / "out", tmp_path / "out")
    for most, kind in ((1, list), (2, list)):
        tasks = as_tasks(iter(listing(tmp_path / "in", naming)), tmp_path, most)
        assert isinstance(tasks, kind)
        assert len(tasks) == 1


def test_work_over_a_listing(tmp_path: Path) -> None:
    for again in (False, True):
        tasks = many(tmp_path)
        with (
            FolderStore(tasks, Inverter.settings) as store,
            Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
        ):
            events = list(pipeline)
        assert sum(isinstance(event, Done) for event in events) == (0 if again else 30)
    assert len(list(Manifest.load(tmp_path / "out").outputs())) == 30


def test_what_killed_runs_left_is_cleared_away_as_folders_are_met(tmp_path: Path) -> None:
    tasks = many(tmp_path)
    assert [task.output.parts[0] for task in tasks.known] == ["0"] * 7
    left = [tmp_path / "out" / name / f".derain-00000000-1-{'0' * 16}.part" for name in ("0", "1", "2")]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
        os.utime(path, (1, 1))
    with FolderStore(tasks, {}) as store:
        assert [path.exists() for path in left] == [False, True, True]
        for task in tasks:
            assert store.decide(task).skip is None
            assert not left[int(task.output.parts[0])].exists()
        assert not any(path.exists() for path in left)


def test_no_input_is_replaced_through_a_link(tmp_path: Path) -> None:
    tasks = many(tmp_path)
    (tmp_path / "out").mkdir()
    link(tmp_path / "out" / "2", "../in/2")
    (tmp_path / "out" / "1").mkdir()
    link(tmp_path / "out" / "1" / "04.png", "../../in/1/04.png")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.png")}
    with (
        FolderStore(tasks, Inverter.settings, overwrite=True) as store,
        Pipeline(tasks, Inverter(), store, settings=Inverter.settings) as pipeline,
    ):
        events = list(pipeline)
    failed = [event for event in events if isinstance(event, Failed)]
    assert len(failed) == 11
    assert all("is itself an input" in event.reason for event in failed)
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.png")} == before


def test_the_command_says_how_far_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> None:
    from typer.testing import CliRunner

    from drsformer_cli.cli.app import app

    many(tmp_path, 40)
    monkeypatch.setattr(as_tasks, "__defaults__", (5,))
    words = [str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-m", str(golden / "tiny_mefc.pth")]
    first = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert first.exit_code == 0
    assert re.match(r"\[1/\d+\+] ", first.stderr)  # the reader is ahead by as much as it likes
    assert "[40/40] " in first.stderr
    assert "40 restored" in first.stderr
    listed = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "40 done before" in listed.stderr
