"""Shards are disjoint and complete, whatever else is in the list, and their manifests are read as one."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import StorageError, UsageError
from drsformer_cli.jobs.manifest import Manifest, file_name
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.shard import Shard
from drsformer_cli.media.discover import Source


def task(name: str, root: str = "/in") -> Task:
    return Task(Source(Path(root, name), PurePath(name), Path(root), False), Path("/out"), PurePath(name))


@pytest.mark.parametrize("text", ["1/4", "4/4", "1/1", "17/1000"])
def test_parts(text: str) -> None:
    assert Shard.parse(text).part == text.replace("/", "-of-")


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/4", "1.0/4", "٣/4"])
def test_parts_of_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=40), st.integers(1, 9))
def test_each_task_belongs_to_one(names: list[str], count: int) -> None:
    shards = [Shard(index + 1, count) for index in range(count)]
    for name in names:
        assert [shard.owns(task(name)) for shard in shards].count(True) == 1


def test_shards_are_of_even_size_and_the_same_on_every_machine() -> None:
    names = [f"deep/{index:05}.jpg" for index in range(4000)]
    sizes = [sum(Shard(index, 4).owns(task(name)) for name in names) for index in (1, 2, 3, 4)]
    assert sizes == [1009, 1001, 996, 994]  # pinned: a change would move files between machines half-way
    assert [Shard(2, 4).owns(task(name)) for name in names[:200]] == [
        Shard(2, 4).owns(task(name, "/elsewhere")) for name in names[:200]
    ]


def test_names_that_are_no_text_belong_to_one() -> None:
    shards = [Shard(index, 3) for index in (1, 2, 3)]
    assert [shard.owns(task("caf\udce9.png")) for shard in shards].count(True) == 1


def record(output: str, finished: int = 1, seconds: float = 1.0) -> Record:
    plan = {"limit": 5}
    return Record(
        output, Input("../" + output, 1, 1, "ab"), Result(1, finished, "cd"), {"m": 1}, plan, seconds
    )


def test_parts_write_at_once_and_the_whole_reads_all(tmp_path: Path) -> None:
    parts = [f"{index}-of-3" for index in (1, 2, 3)]
    with Manifest(tmp_path, parts[0]) as one, Manifest(tmp_path, parts[1]) as two:
        one.finish(record("a.png"))
        two.intend("b.png", "cd")
        two.finish(record("b.png"))
        two.intend("c.png", "ef")
        with Manifest(tmp_path, parts[2]) as three:
            assert three.record("a.png") == record("a.png")
            assert three.plan_for({"m": 1}) == {"limit": 5}
    seen = Manifest.load(tmp_path)
    assert set(seen.outputs()) == {"a.png", "b.png", "c.png"}
    assert seen.record("b.png") == record("b.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == [file_name(part) for part in parts[:2]]


def test_the_later_result_counts_whichever_part_made_it(tmp_path: Path) -> None:
    with Manifest(tmp_path) as whole:
        whole.finish(record("a.png", finished=5, seconds=5))
        whole.finish(record("b.png", finished=5, seconds=5))
    with Manifest(tmp_path, "1-of-2") as part:
        part.finish(record("a.png", finished=7, seconds=7))
        part.finish(record("b.png", finished=3, seconds=3))
    seen = Manifest.load(tmp_path)
    assert [getattr(seen.record(name), "seconds", 0) for name in ("a.png", "b.png")] == [7, 5]


def test_a_clock_that_was_ahead_claims_nothing_that_does_not_stand(tmp_path: Path) -> None:
    with Manifest(tmp_path, "1-of-2") as part:
        part.finish(record("a.png", finished=9 * 10**18, seconds=1))
    with Manifest(tmp_path) as whole:
        (tmp_path / "a.png").write_bytes(b"x")
        os.utime(tmp_path / "a.png", ns=(5, 5_000_000_000))
        whole.finish(record("a.png", finished=5_000_000_000, seconds=2))
    for seen in (Manifest.load(tmp_path), Manifest(tmp_path, "2-of-2").open()):
        found = seen.record("a.png")
        assert found is not None
        assert found.seconds == 2
        assert seen.claims("a.png")
        seen.close()


def test_a_line_that_another_part_is_writing_is_no_damage(tmp_path: Path) -> None:
    with Manifest(tmp_path, "1-of-2") as part:
        part.finish(record("a.png"))
    with (tmp_path / file_name("1-of-2")).open("ab") as file:
        file.write(b'{"v":1,"kind":"done","outp')
    with Manifest(tmp_path, "2-of-2") as other:
        assert other.damaged_lines == 0
        assert other.record("a.png") == record("a.png")


@pytest.mark.parametrize(
    ("first", "second"), [("", "1-of-2"), ("1-of-2", ""), ("1-of-2", "1-of-3"), ("1-of-2",) * 2]
)
def test_others_are_kept_out(tmp_path: Path, first: str, second: str) -> None:
    with Manifest(tmp_path, first), pytest.raises(StorageError, match="another run"):
        Manifest(tmp_path, second).open()
    with Manifest(tmp_path, second):
        pass
