"""The catalogue: complete, and true to the shapes of the published files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drsformer_cli.errors import CheckpointError, WeightsError
from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.weights import Catalog, catalog

PUBLISHED = {"rain200l": "plain", "rain200h": "mefc", "did": "mefc", "ddn": "mefc", "spa": "plain"}


def test_the_names_in_order() -> None:
    assert list(catalog()) == ["compact", *PUBLISHED]
    assert len(catalog()) == 6


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(name: str) -> None:
    entry = catalog()[name]
    assert entry.variant == PUBLISHED[name]
    assert entry.bundled is None
    assert entry.page == f"https://drive.google.com/file/d/{entry.drive_id}/view"
    assert "CVPR 2023" in entry.citation
    assert "without a licence" in entry.licence
    (figure,) = entry.figures
    assert 30 < figure.psnr < 50
    assert 0.9 < figure.ssim < 1
    assert figure.protocol in {"rain200", "did-ddn"}


def test_every_drive_file_is_another() -> None:
    assert len({catalog()[name].drive_id for name in PUBLISHED}) == len(PUBLISHED)


def test_the_bundled_model() -> None:
    entry = catalog()["compact"]
    assert entry.bundled is not None
    assert entry.bundled.name == "compact.safetensors"
    assert entry.licence == "MIT"
    assert entry.source == "bundled"


@pytest.mark.parametrize("name", PUBLISHED)
def test_only_the_published_network_fits(name: str, golden: Path) -> None:
    entry = catalog()[name]
    shapes = json.loads((golden / f"parameters_{entry.variant}.json").read_text())
    config = DRSformerConfig.from_shapes({key: tuple(shape) for key, shape in shapes.items()})
    entry.check(config, "it")
    other = DRSformerConfig(**{**config.to_dict(), "mefc": not config.mefc})
    with pytest.raises(CheckpointError, match=f"it is a DRSformer of the '{other.variant}' variant"):
        entry.check(other, "it")
    smaller = DRSformerConfig.create(32, blocks=config.blocks, heads=config.heads, mefc=config.mefc)
    with pytest.raises(CheckpointError, match=r"another size .*\(dim 32 instead of 48"):
        entry.check(smaller, "it")


def test_a_damaged_catalogue_is_named(tmp_path: Path) -> None:
    """Found: an installation that was cut short ended each command with an unexpected error."""
    path = tmp_path / "catalog.json"
    for content in (None, "", "{}", "[]", '{"models": [{}]}'):
        if content is not None:
            path.write_text(content)
        with pytest.raises(WeightsError, match="is damaged; install derain again"):
            Catalog.read(path)
