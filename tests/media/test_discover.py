from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import UsageError
from drsformer_cli.media.discover import MOST_NAMED, Discovery, Source, discover, natural

POSIX = pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(root: Path, **options: object) -> list[str]:
    return [source.relative.as_posix() for source in discover([str(root)], **options).sources]


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this system makes no links")


def test_a_folder_is_searched_with_all_below_it(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a.png", "deep/er/c.tif", "deep/d.webp")
    found = discover([str(tmp_path)])
    assert found.sources == [
        Source(tmp_path / name, PurePath(name), tmp_path, False)
        for name in ("a.png", "b.JPG", "deep/d.webp", "deep/er/c.tif")
    ]
    assert found.skipped == Counter()


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(
            "a.png",
            ".hidden.png",
            ".git/a.png",
            "Thumbs.db",
            "desktop.ini",
            "__MACOSX/a.png",
            "sub/.DS_Store",
        ),
        *(
            "notes.txt",
            "film.mp4",
            "noextension",
            "shot.NEF",
            "shot.jxl",
            "derained/a.png",
            "sub/derained/b.png",
        ),
    )
    found = discover([str(tmp_path)])
    assert [source.relative.as_posix() for source in found.sources] == ["a.png"]
    assert found.skipped == {
        "hidden": 6,
        "not a picture": 3,
        "camera raw": 1,
        "JPEG XL": 1,
        "output folder": 2,
    }
    named = {(Path(name).name, reason) for name, reason in found.passed_over}
    assert {("shot.NEF", "camera raw"), ("shot.jxl", "JPEG XL")} < named
    assert Counter(reason for _, reason in found.passed_over) == found.skipped


def test_names_are_kept_of_the_first_that_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, *(f"{number}.txt" for number in range(MOST_NAMED + 2)))
    found = discover([str(tmp_path)])
    assert found.skipped == {"not a picture": MOST_NAMED + 2}
    assert (len(found.passed_over), found.unnamed) == (MOST_NAMED, 2)


def test_what_has_to_be_converted_is_always_named() -> None:
    found = Discovery()
    for number in range(MOST_NAMED):
        found.skip(f"{number}.xmp", found.reason_against(Path(f"{number}.xmp")))
        found.skip(f"{number}.NEF", found.reason_against(Path(f"{number}.NEF")))
    assert (len(found.passed_over), found.unnamed) == (2 * MOST_NAMED, 0)
    found.skip("more.xmp", "not a picture")
    found.skip("last.heic", "HEIC")
    assert found.passed_over[-1] == ("last.heic", "HEIC")
    assert (len(found.passed_over), found.unnamed) == (2 * MOST_NAMED + 1, 1)


def test_the_output_folder_is_never_read(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "in/out/b.png", "in/out/deep/c.png", "in/outer/d.png")
    out = tmp_path / "in" / "out"
    assert names(tmp_path / "in", exclude=[out]) == ["a.png", "outer/d.png"]
    assert names(out, exclude=[out]) == []
    assert names(out / "deep", exclude=[out]) == []
    pattern = discover([str(tmp_path / "in" / "**" / "*.png")], exclude=[out])
    assert [source.path.name for source in pattern.sources if source.path] == ["a.png", "d.png"]
    assert pattern.skipped == {"output folder": 2}
    assert pattern.passed_over == [
        (str(out / name), "output folder") for name in ("b.png", str(Path("deep") / "c.png"))
    ]
    assert names(tmp_path / "in", exclude=[tmp_path / "not" / "there"]) == [
        "a.png",
        "out/b.png",
        "out/deep/c.png",
        "outer/d.png",
    ]


def test_a_file_that_is_named_is_taken_whatever_it_is(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt", ".hidden.png", "shot.nef", "derained/a.png")
    for name in ("notes.txt", ".hidden.png", "shot.nef", "derained/a.png"):
        path = tmp_path / name
        assert discover([str(path)]).sources == [Source(path, PurePath(path.name), path.parent, True)]


def test_a_folder_of_results_is_taken_when_it_is_named(tmp_path: Path) -> None:
    make(tmp_path, "derained/a.png")
    assert names(tmp_path / "derained") == ["a.png"]


def test_nothing_is_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.png", "sub/b.png")
    monkeypatch.chdir(tmp_path)
    found = discover(["a.png", ".", str(tmp_path / "a.png"), "sub", "./sub/../a.png", "*.png"])
    assert [(s.relative.as_posix(), s.named) for s in found.sources] == [
        ("a.png", True),
        ("sub/b.png", False),
    ]


def test_links_inside_the_tree_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "day1/a.png", ".store/b.png", "day2/d.txt")
    link(tmp_path / "day2" / "again.png", tmp_path / "day1" / "a.png")
    link(tmp_path / "day2" / "b.png", tmp_path / ".store" / "b.png")
    link(tmp_path / "day2" / "c.png", tmp_path / ".store" / "b.png")
    link(tmp_path / "last", tmp_path / "day1")
    found = discover([str(tmp_path)])
    assert [source.relative.as_posix() for source in found.sources] == ["day1/a.png", "day2/b.png"]
    assert found.skipped == {
        "hidden": 1,
        "not a picture": 1,
        "link to a picture found anyway": 2,
        "link to a folder": 1,
    }
    assert (str(tmp_path / "last"), "link to a folder") in found.passed_over
    again = [str(tmp_path / "day2" / name) for name in ("again.png", "c.png")]
    assert sorted(name for name, why in found.passed_over if why.endswith("anyway")) == again


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a1.png", "a2.png", "a10.png", "b.txt", "sub/c.png", "sub/.d.png", "[x].png", ".h/e.png")
    monkeypatch.chdir(tmp_path)

    def found(*patterns: str) -> list[str]:
        return [str(s.path.as_posix()) for s in discover(patterns).sources if s.path]

    assert found("a*.png") == ["a1.png", "a2.png", "a10.png"]
    assert found("a[12].png") == ["a1.png", "a2.png"]
    assert found("**/*.png") == ["[x].png", "a1.png", "a2.png", "a10.png", "sub/c.png"]
    assert found("*") == ["[x].png", "a1.png", "a2.png", "a10.png", "sub/c.png"]
    assert found("[x].png") == ["[x].png"]  # a name that exists is no pattern
    assert found(str(tmp_path / "s?b")) == [(tmp_path / "sub" / "c.png").as_posix()]
    assert discover(["*"]).skipped == {"not a picture": 1, "hidden": 1}
    (match,) = discover(["a1.*"]).sources
    assert (match.named, match.matched) == (True, Path())
    assert discover([str(tmp_path / "s*")]).sources[0].matched == tmp_path


def test_names_that_match_nothing_are_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, words in (
        ("gone.png", "gone.png does not exist"),
        ("*.png", r"\*.png matches nothing"),
        ("", "empty name"),
    ):
        with pytest.raises(UsageError, match=words):
            discover([name])


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    assert discover([str(tmp_path)]).sources == []


def test_standard_input(tmp_path: Path) -> None:
    assert discover(["-", "-"]).sources == [Source(None, PurePath("stdin"), None, True)]


def test_links_in_circles_end(tmp_path: Path) -> None:
    make(tmp_path, "a/b/x.png")
    link(tmp_path / "a" / "b" / "up", tmp_path / "a")
    link(tmp_path / "a" / "self", tmp_path / "a" / "self")
    assert names(tmp_path) == ["a/b/x.png"]


def test_links_out_of_the_tree_are_not_followed_unless_named(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "elsewhere/b.png", "in-truth/c.png")
    link(tmp_path / "in" / "away", tmp_path / "elsewhere")
    link(tmp_path / "in" / "z.png", tmp_path / "elsewhere" / "b.png")
    link(tmp_path / "in" / "alike", tmp_path / "in-truth")
    found = discover([str(tmp_path / "in")])
    assert [source.relative.as_posix() for source in found.sources] == ["a.png"]
    assert found.skipped == {"link out of the tree": 3}
    assert names(tmp_path / "in" / "away") == ["b.png"]
    assert len(discover([str(tmp_path / "in" / "z.png")]).sources) == 1


def test_links_inside_the_tree_give_each_file_once(tmp_path: Path) -> None:
    make(tmp_path, "real/a.png", ".store/b.png")
    link(tmp_path / "alias", tmp_path / "real")
    link(tmp_path / "0.png", tmp_path / "real" / "a.png")
    link(tmp_path / "kept.png", tmp_path / ".store" / "b.png")
    assert names(tmp_path) == ["kept.png", "real/a.png"]


def test_broken_links(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    link(tmp_path / "b.png", tmp_path / "gone.png")
    assert names(tmp_path) == ["a.png"]
    with pytest.raises(UsageError, match=r"b\.png is a link to something that is not there"):
        discover([str(tmp_path / "b.png")])


@POSIX
def test_strange_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = ["-rf.png", "new\nline.png", "ünïcode.PNG", " space .png", "quote'\".png", "*.png"]
    if sys.platform != "darwin":
        strange.append(os.fsdecode(b"caf\xe9.png"))
    make(tmp_path, *strange)
    monkeypatch.chdir(tmp_path)
    assert set(names(Path())) == set(strange)
    for name in strange:
        assert [source.path for source in discover([name]).sources] == [Path(name)]


@POSIX
def test_special_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    found = discover([str(tmp_path)])
    assert found.sources == []
    assert found.skipped == {"not a picture": 1}
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        discover([str(tmp_path / "pipe.png")])


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser reads everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "closed/b.png")
    (tmp_path / "closed").chmod(0)
    try:
        found = discover([str(tmp_path)])
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert found.skipped == {f"folder that cannot be read: {tmp_path / 'closed'}": 1}


def test_the_order_is_that_of_people(tmp_path: Path) -> None:
    make(tmp_path, "img10.png", "img9.png", "IMG1.png", "b/1.png", "a/2.png", "a/10.png", "img2.png")
    assert names(tmp_path) == [
        "a/2.png",
        "a/10.png",
        "b/1.png",
        "IMG1.png",
        "img2.png",
        "img9.png",
        "img10.png",
    ]


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_names_can_be_ordered(many: list[str]) -> None:
    ordered = sorted(many, key=natural)
    backwards = list(reversed(many))
    assert sorted(backwards, key=natural) == ordered


def test_deep_trees(tmp_path: Path) -> None:
    deep = Path(*["d"] * 90)
    make(tmp_path, str(deep / "a.png"))
    assert names(tmp_path) == [(deep / "a.png").as_posix()]


def test_a_pattern_inside_an_output_folder_finds_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "derained").mkdir()
    (tmp_path / "derained" / "a.png").write_bytes(b"")
    assert len(discover([str(tmp_path / "derained" / "*.png")]).sources) == 1
    assert not discover([str(tmp_path / "*" / "*.png")]).sources


def people_order(name: str) -> tuple[list[int | str], str]:
    """The order as meant: texts and numbers in turn, then the name itself."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if index % 2 else part.casefold() for index, part in enumerate(parts)], name


NAMES = st.text(st.sampled_from("aBß0019٣\x01 .-_é\ud800"), min_size=1, max_size=12) | st.text(
    st.characters(min_codepoint=1), min_size=1, max_size=40
)


@given(NAMES, NAMES)
def test_the_key_of_one_string_sorts_as_people_do(one: str, other: str) -> None:
    assert (natural(one) < natural(other)) == (people_order(one) < people_order(other))
    assert (natural(one) == natural(other)) == (one == other)
