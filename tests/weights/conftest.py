"""A cache of its own for every test, a server, and a catalogue whose models are small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drsformer_cli.weights import Catalog, Entry, Store
from drsformer_cli.weights.transfer import Policy
from tests.weights.serving import Server, serve

DRIVE_ID = "1TestTestTestTestTestTestTestTest1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, which does not exist yet; the environment speaks of nothing else."""
    for name in ("DERAIN_OFFLINE", "DERAIN_WEIGHTS_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


@pytest.fixture
def store(cache: Path) -> Store:
    return Store()


@pytest.fixture
def known(tmp_path: Path) -> Catalog:
    """A catalogue with a model of the size of `tiny_plain`, one of any size, and a bundled one."""
    network = {"dim": 16, "blocks": (1, 2, 1, 1), "heads": (1, 2, 2, 4), "bias": False, "norm_bias": True}
    about = {"about": "for tests", "licence": "MIT"}
    return Catalog(
        (
            Entry("drizzle", variant="plain", network=network, drive_id=DRIVE_ID, **about),
            Entry("downpour", variant="mefc", **about),
            Entry("inside", variant="plain", bundled=tmp_path / "inside.safetensors", **about),
        )
    )


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture
def policy() -> Policy:
    """As patient as the real one, in short."""
    return Policy(attempts=3, pause=0.01, connect=5, silence=0.5)


def left_in(folder: Path) -> list[str]:
    """Everything below a folder, by name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []
