"""Every input gets an output of its own, the same in every run."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import UsageError
from drsformer_cli.jobs.naming import (
    Task,
    default_folder,
    names_a_file,
    plain_name,
    plan_outputs,
    single_task,
)
from drsformer_cli.media.discover import Source

OUT = Path("/out")


def walked(root: str, *names: str) -> list[Source]:
    return [Source(Path(root) / name, PurePath(name), Path(root), False) for name in names]


def named(*paths: str) -> list[Source]:
    return [Source(Path(p), PurePath(Path(p).name), Path(p).parent, True) for p in paths]


def outputs(tasks: list[Task]) -> list[str]:
    return [task.path.as_posix() for task in tasks]


def plan(sources: list[Source], output: Path | None = OUT, **options: str) -> list[str]:
    return outputs(plan_outputs(sources, output=output, **options))


def test_a_folder_is_mirrored() -> None:
    assert plan(walked("/in", "a.jpg", "deep/er/b.PNG")) == ["/out/a.jpg", "/out/deep/er/b.PNG"]


def test_format_and_suffix() -> None:
    sources = walked("/in", "a.jpg", "deep/b.c.png")
    assert plan(sources, format="png", suffix="_clean") == ["/out/a_clean.png", "/out/deep/b.c_clean.png"]


def test_same_stem_keeps_full_names_where_needed() -> None:
    sources = walked("/in", "a.jpg", "a.png", "b.jpg", "sub/a.jpg")
    assert plan(sources) == ["/out/a.jpg", "/out/a.png", "/out/b.jpg", "/out/sub/a.jpg"]
    assert plan(sources, format="png") == [
        "/out/a.jpg.png",
        "/out/a.png.png",
        "/out/b.png",
        "/out/sub/a.png",
    ]


def test_full_names_that_meet_another_input() -> None:
    sources = walked("/in", "a.jpg", "a.jpg.png", "a.png")
    assert plan(sources, format="png") == ["/out/a.jpg.png", "/out/a.jpg.png.png", "/out/a.png.png"]


def test_names_that_differ_in_case_alone() -> None:
    assert plan(walked("/in", "A.jpg", "a.jpg")) == ["/out/A.jpg", "/out/a-2.jpg"]
    assert plan(walked("/in", "A/x.jpg", "a/X.jpg")) == ["/out/A/x.jpg", "/out/a/X-2.jpg"]


def test_several_folders_get_one_each() -> None:
    sources = walked("/one/day", "a.jpg") + walked("/one/night", "a.jpg")
    assert plan(sources) == ["/out/day/a.jpg", "/out/night/a.jpg"]


def test_folders_of_the_same_name() -> None:
    sources = walked("/one/day", "a.jpg") + walked("/two/day", "a.jpg") + walked("/three/DAY", "a.jpg")
    assert plan(sources) == ["/out/one_day/a.jpg", "/out/two_day/a.jpg", "/out/three_DAY/a.jpg"]


def test_folders_that_differ_in_case_alone() -> None:
    assert plan(walked("/Day", "a.jpg") + walked("/day", "a.jpg")) == ["/out/Day/a.jpg", "/out/day-2/a.jpg"]


def test_the_same_folder_twice_is_one_folder() -> None:
    assert plan(walked("/in", "a.jpg") + walked("/x/../in", "a.jpg")) == ["/out/a.jpg"]


def test_single_files_go_side_by_side() -> None:
    assert plan(named("/one/a.jpg", "/two/b.jpg")) == ["/out/a.jpg", "/out/b.jpg"]


def test_single_files_of_the_same_name() -> None:
    sources = named("/one/a.jpg", "/two/a.jpg", "/two/b.jpg")
    assert plan(sources) == ["/out/one/a.jpg", "/out/two/a.jpg", "/out/b.jpg"]


def test_a_single_file_gives_way_to_a_folder() -> None:
    assert plan(walked("/in", "a.jpg") + named("/two/a.jpg")) == ["/out/a.jpg", "/out/two/a.jpg"]


def test_default_place_is_beside_the_input() -> None:
    assert plan(walked("/in/photos", "sub/a.jpg"), None) == ["/in/derained/sub/a.jpg"]
    assert plan(named("/in/photos/a.jpg"), None) == ["/in/photos/derained/a.jpg"]
    several = walked("/in/photos", "a.jpg") + walked("/in/more", "a.jpg") + walked("/else/where", "a.jpg")
    assert plan(several, None) == [
        "/in/derained/photos/a.jpg",
        "/in/derained/more/a.jpg",
        "/else/derained/a.jpg",
    ]


def test_default_folder() -> None:
    assert default_folder(Path("/in/photos"), is_folder=True) == Path("/in/derained")
    assert default_folder(Path("/in/photos"), is_folder=False) == Path("/in/photos/derained")


def test_results_never_go_among_a_folders_own_files() -> None:
    with pytest.raises(UsageError, match="own files"):
        plan_outputs(walked("/in", "a.jpg"), output=Path("/x/../in"))


def test_two_default_places_that_meet_are_refused() -> None:
    sources = walked("/in/photos", "derained/a.jpg") + named("/in/derained/a.jpg")
    assert len(set(plan(sources))) == 2
    with pytest.raises(UsageError, match="give -o"):
        plan_outputs(sources, output=None)


def test_what_names_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    assert names_a_file("a.png")
    assert names_a_file("deep/a.JPG")
    assert not names_a_file("a.png/")
    assert not names_a_file("out")
    assert not names_a_file("v1.2")
    assert not names_a_file(str(tmp_path / "folder.png"))


def test_single_task(tmp_path: Path) -> None:
    source = named("/in/a.jpg")[0]
    assert single_task(source, str(tmp_path / "b.png")).path == tmp_path / "b.png"
    stream = single_task(source, "-")
    assert stream.stream
    assert stream.place == "standard output"


def test_places_are_told_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (below,) = plan_outputs(named("/in/a.jpg"), output=tmp_path / "out")
    (elsewhere,) = plan_outputs(named("/in/a.jpg"), output=OUT)
    assert [below.place, elsewhere.place] == [str(Path("out", "a.jpg")), str(OUT / "a.jpg")]


STEMS = st.sampled_from(["a", "A", "b", "a.jpg", "a.png", "ä", "a\u0308", "ß", "ss", "-2", "a-2", ""])
NAMES = st.builds(
    lambda folder, stem, extension: f"{folder}{stem or 'x'}{extension}",
    st.sampled_from(["", "sub/", "SUB/", "one/", "two/", "a.png/"]),
    STEMS,
    st.sampled_from([".jpg", ".JPG", ".png", ".webp", ".tif", ".tiff"]),
)
ROOTS = st.sampled_from(["/in/one", "/in/two", "/in/One", "/else/one", "/in/one/sub", "/"])


@given(
    st.lists(st.tuples(ROOTS, st.lists(NAMES, unique=True, max_size=12)), min_size=1, max_size=4),
    st.lists(st.tuples(ROOTS, NAMES), max_size=6),
    st.sampled_from([None, "png", "jpg"]),
    st.sampled_from(["", "_clean", "-2"]),
)
def test_no_two_outputs_are_the_same_file_on_any_system(
    folders: list[tuple[str, list[str]]], files: list[tuple[str, str]], format: str | None, suffix: str
) -> None:
    sources = [source for root, names in folders for source in walked(root, *names)]
    sources += named(*(f"{root}/{name}" for root, name in files))
    tasks = plan_outputs(sources, output=OUT, format=format, suffix=suffix)
    keys = {unicodedata.normalize("NFC", unicodedata.normalize("NFC", p).casefold()) for p in outputs(tasks)}
    assert len(keys) == len(tasks) == len({task.source.path for task in tasks})
    assert tasks == plan_outputs(sources, output=OUT, format=format, suffix=suffix)
    assert all(task.path.is_relative_to(OUT) and ".." not in task.path.parts for task in tasks)


@given(st.text(alphabet="a.B ä", min_size=1, max_size=6).filter(lambda name: name not in (".", "..")))
def test_a_plain_name_is_what_a_file_alone_gets(name: str) -> None:
    (task,) = plan_outputs(walked("/in", name), output=OUT, suffix="_x")
    assert task.output.as_posix() == plain_name(name, None, "_x")
