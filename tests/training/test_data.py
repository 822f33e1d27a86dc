"""Photographs and pairs: found, read, and cut into patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from drsformer_cli.errors import UnreadableError, UsageError
from drsformer_cli.training.data import Pictures, find_pairs, gather, read_pair, read_rgb


def write(path: Path, seed: int = 0, size: tuple[int, int] = (40, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for index in range(4):
        write(tmp_path / "photographs" / f"{index}.png", index)
    return tmp_path / "photographs"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for index in range(3):
        write(tmp_path / "pairs" / "rainy" / "deep" / f"{index}.png", index)
        write(tmp_path / "pairs" / "clean" / "deep" / f"{index}.bmp", index + 10)
    return tmp_path / "pairs"


def test_patches_are_seeded_and_in_range(photographs: Path) -> None:
    pictures = Pictures([read_rgb(file) for file in sorted(photographs.glob("*.png"))])
    first = pictures.batch(24, 6, np.random.default_rng(3))
    assert first.shape == (6, 3, 24, 24)
    assert 0 <= first.min() < first.max() <= 1
    assert torch.equal(first, pictures.batch(24, 6, np.random.default_rng(3)))
    assert not torch.equal(first, pictures.batch(24, 6, np.random.default_rng(4)))


def test_photographs_are_split_by_name(photographs: Path) -> None:
    material = gather(photographs, 1, 40)
    assert (len(material.photographs), len(material.held_out)) == (3, 1)
    assert material.pairs is None
    last = read_rgb(photographs / "3.png")
    assert np.array_equal(material.held_out.pictures[0].numpy(), last)
    (crop,) = material.held_out.crops(40)
    torch.testing.assert_close(crop[0].permute(1, 2, 0) * 255, torch.from_numpy(last[:, 4:44].copy()).float())


def test_photographs_that_cannot_serve_are_named(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 5"):
        gather(photographs, 4, 40)
    with pytest.raises(UsageError, match="holds 0 pictures of 256 x 256"):
        gather(photographs, 1, 256)
    folder = tmp_path / "odd"
    (folder / "folder.png").mkdir(parents=True)
    (folder / "._hidden.png").write_bytes(b"not a picture")
    with pytest.raises(UsageError, match="holds 0 pictures"):
        gather(folder, 1, 8)
    (folder / "broken.png").write_bytes(b"not a picture")
    for look in (lambda: gather(folder, 1, 8), lambda: read_rgb(folder / "broken.png")):
        with pytest.raises(UnreadableError, match=r"broken\.png"):
            look()


def test_large_photographs_are_held_small(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1600), (1, 2, 3)).save(tmp_path / "large.png")
    assert read_rgb(tmp_path / "large.png").shape == (768, 1440, 3)


def test_pairs_are_found_by_name_whatever_their_kind_of_file(pairs: Path) -> None:
    assert [(rainy.name, clean.name) for rainy, clean in find_pairs(pairs)] == [
        ("0.png", "0.bmp"),
        ("1.png", "1.bmp"),
        ("2.png", "2.bmp"),
    ]
    material = gather(pairs, 1, 40)
    assert material.pairs is not None
    assert material.held_out_pairs is not None
    assert (len(material.pairs), len(material.photographs), len(material.held_out_pairs)) == (2, 2, 1)
    # what is rained on is the clean one
    assert torch.equal(material.pairs.pictures[0][..., 3:], material.photographs.pictures[0])


def test_patches_of_a_pair_belong_together(tmp_path: Path) -> None:
    write(tmp_path / "rainy" / "a.png", 1, (64, 80))
    picture = np.asarray(Image.open(tmp_path / "rainy" / "a.png"))
    write(tmp_path / "clean" / "a.png")
    Image.fromarray(255 - picture).save(tmp_path / "clean" / "a.png")
    both = Pictures([read_pair(pair) for pair in find_pairs(tmp_path)], shrink=1)
    batch = both.batch(32, 8, np.random.default_rng(1))
    torch.testing.assert_close(batch[:, :3] + batch[:, 3:], torch.ones(8, 3, 32, 32))


def test_large_pairs_lend_their_middle(tmp_path: Path) -> None:
    for name in ("rainy", "clean"):
        picture = Image.new("RGB", (1300, 20))
        picture.paste((9, 9, 9), (138, 0, 1162, 20))
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "a.png")
    (pair,) = find_pairs(tmp_path)
    both = read_pair(pair)
    assert both.shape == (20, 1024, 6)
    assert (both == 9).all()


def test_pairs_that_are_none_are_named(pairs: Path) -> None:
    write(pairs / "clean" / "deep" / "1.bmp", 1, (40, 50))
    with pytest.raises(UsageError, match=r"1\.png and .*1\.bmp are no pair: 48 x 40 and 50 x 40 pixels"):
        gather(pairs, 1, 40)
    (pairs / "clean" / "deep" / "1.bmp").unlink()
    with pytest.raises(UsageError, match=r"1\.png has no clean picture"):
        gather(pairs, 1, 40)
