"""What becomes of records that were edited by hand: read as far as they make sense, or refused in a sentence.

Each function takes the bytes of one file and returns "whole" or "refused"; whatever else is raised is a bug.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from drsformer_cli.errors import (
    CheckpointError,
    DerainError,
    OutputError,
    StorageError,
    UsageError,
    WeightsError,
)
from drsformer_cli.jobs.film_work import MANIFEST, SegmentRecord, Work
from drsformer_cli.jobs.manifest import FILE_NAME, Manifest
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.training.log import Log
from drsformer_cli.training.recipe import read_recipe
from drsformer_cli.weights.catalog import Catalog
from drsformer_cli.weights.manage import verify
from drsformer_cli.weights.store import Store

HEAD = {
    "input": {"size": 7},
    "settings": {"model": "m", "deep": {"a": 1}},
    "plan": {"crf": 16},
    "segment": 250,
}


def record(output: str) -> Record:
    """A finished picture."""
    plan = {"whole": True, "tile": [8, 8], "precision": "fp32", "limit": 1 << 30}
    given, made = Input("../in/" + output, 10, 123456789, "ab" * 32), Result(20, 987654321, "cd" * 32)
    return Record(output, given, made, {"model": "m", "strength": 0.5}, plan, 0.25, ["gain map dropped"])


def sound_manifest() -> bytes:
    """Three finished pictures and one begun."""
    with tempfile.TemporaryDirectory() as folder:
        with Manifest(Path(folder)) as manifest:
            for name in ("a.png", "b.png", "deep/c.png"):
                manifest.intend(name, "cd" * 32)
                manifest.finish(record(name))
            manifest.intend("d.png", "ef" * 32)
        return (Path(folder) / FILE_NAME).read_bytes()


def manifest(data: bytes) -> str:
    """Look at a manifest, ask it everything, and go on writing it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / FILE_NAME).write_bytes(data)
        (folder / "a.png").write_bytes(b"a picture")
        (folder / f"{FILE_NAME[:-6]}.2-of-2.jsonl").write_bytes(data[: len(data) // 2])
        try:
            seen = Manifest.load(folder)
            for output in list(seen.outputs()):
                found = seen.record(output)
                if found is not None:
                    _typed(found)
                    seen.plan_for(found.settings)
            seen.claims("a.png")
            with Manifest(folder) as writer:
                writer.finish(record("new.png"))
        except StorageError:
            return "refused"
        again = Manifest.load(folder).record("new.png")
        return "whole" if again == record("new.png") else f"half: {again}"


def _typed(found: Record) -> None:
    """Everything of a record is of the type that its users rely on."""
    texts = [found.output, found.input.path, found.input.sha256, found.result.sha256, *found.notes]
    numbers = [found.input.size, found.input.mtime_ns, found.result.size, found.result.mtime_ns]
    assert all(isinstance(text, str) and "\0" not in text for text in texts), texts
    assert all(type(number) is int for number in numbers), numbers
    plans = found.plan if isinstance(found.plan, list) else [found.plan]
    assert all(isinstance(plan, dict) for plan in plans), plans


def sound_work() -> bytes:
    """Two finished segments of a film."""
    with tempfile.TemporaryDirectory() as folder, Work(Path(folder) / "out.mp4") as work:
        work.begin(HEAD)
        for number in range(2):
            times = list(range(10 * number, 10 * number + 3))
            data = b"segment %d" % number
            work.add(_segment(work.next_file(), data, times), data)
        return (work.folder / MANIFEST).read_bytes()


def _segment(name: str, data: bytes, times: list[int]) -> SegmentRecord:
    import hashlib

    digests = [f"{time:016x}" for time in times]
    return SegmentRecord(name, len(data), hashlib.sha256(data).hexdigest(), times, digests, [0, 1, 2])


def film_work(data: bytes) -> str:
    """Take up the work on a film; what lies outside its folder is not touched."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "out.mp4"
        beside = Path(name) / "mine.txt"
        beside.write_bytes(b"mine")
        work = Work(output)
        work.folder.mkdir()
        (work.folder / MANIFEST).write_bytes(data)
        for number in range(2):
            (work.folder / f"{number:06}.segment").write_bytes(b"segment %d" % number)
        try:
            with work:
                work.earlier_head().get("settings", {})
                work.earlier_count()
                work.begin(HEAD)
                known = work.known(16)
                times = [one.pts for one in known]
                assert times == sorted(times), times
                assert all(
                    path.parent == work.folder for path in (work.folder / s.file for s in work.segments)
                )
                assert all(type(one.pts) is int and type(one.digest) is str for one in known), known
                work.add(_segment(work.next_file(), b"more", [100, 101, 102]), b"more")
        except (OutputError, StorageError):
            return "refused"
        finally:
            assert beside.read_bytes() == b"mine"
    return "whole"


def sound_store() -> bytes:
    """The record of a kept model."""
    return (
        b'{"name":"mine","variant":"plain","source":"mine.pth","original_sha256":"' + b"ab" * 32 + b'",'
        b'"sha256":"' + b"cd" * 32 + b'","size":7,"added":"2026-01-01T00:00:00+00:00"}'
    )


def store(data: bytes) -> str:
    """Ask for a kept model whose record was edited."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.safetensors").write_bytes(b"1234567")
        (folder / "mine.json").write_bytes(data)
        kept = Store(folder)
        try:
            found = kept.record("mine")
            assert found is not None
            assert isinstance(found.size, int)
            assert isinstance(found.added[:10] + found.source + found.sha256, str)
            kept.is_whole("mine")
            verify("mine", store=kept)
        except WeightsError:
            return "refused"
    return "whole"


def catalogue(data: bytes) -> str:
    """Read a catalogue of models, and ask it everything."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "catalog.json"
        path.write_bytes(data)
        try:
            known = Catalog.read(path)
        except WeightsError as error:
            return "refused" if str(path) in str(error) else f"words: {error}"
        config = DRSformerConfig.create(8, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1))
        for name, entry in known.items():
            assert f"{name}{entry.source}{entry.page}{entry.about}{entry.citation}".isprintable(), entry
            assert entry.bundled is None or entry.bundled.parent == path.parent, entry
            assert f"{entry.megabytes:.0f} {[f'{each.psnr:.2f} {each.ssim:.4f}' for each in entry.figures]}"
            with suppress(CheckpointError):
                entry.check(config, "it")
    return "whole"


def recipe(data: bytes) -> str:
    """Read the recipe of a training."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "recipe.toml"
        path.write_bytes(data)
        try:
            read = read_recipe(path)
        except UsageError as error:
            return "refused" if str(path) in str(error) else f"words: {error}"
        assert 0 < read.schedule.steps < 1 << 62
        assert 0 <= read.schedule.learning_rate < 1 << 62
        assert all(isinstance(number, int) for number in (*read.network.blocks, *read.network.heads))
        return "whole"


def sound_log() -> bytes:
    """The log of a training."""
    head = b"step,minutes,learning_rate,loss,lines,drops\n"
    return head + b"500,1.5,0.0003,0.05,25.1,26\n1000,3,0.0003,0.04,26,27\n"


def log(data: bytes) -> str:
    """Go on with the log of a training."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "log.csv").write_bytes(data)
        row = {
            "step": 1500,
            "minutes": 4.5,
            "learning_rate": 3e-4,
            "loss": 0.03,
            "lines": 27.0,
            "drops": 28.0,
        }
        try:
            Log(Path(name)).add(row)
        except DerainError:
            return "refused"
        assert (Path(name) / "log.svg").read_text().startswith("<svg")
        assert Log(Path(name)).rows()[-1]["step"] == 1500
    return "whole"
