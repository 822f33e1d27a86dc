"""A camera's faults: of the size they should be, and JPEG's those of a JPEG file."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from drsformer_cli.training.camera import expose, gaussian_blur, jpeg, share


def test_exposure_keeps_the_range_and_makes_pictures_darker_on_the_whole() -> None:
    pictures = torch.rand(64, 3, 16, 16)
    exposed = expose(pictures, torch.Generator().manual_seed(1))
    assert exposed.shape == pictures.shape
    assert 0 <= exposed.min() <= exposed.max() <= 1
    assert 0.1 < exposed.mean() < pictures.mean()
    assert torch.equal(exposed, expose(pictures, torch.Generator().manual_seed(1)))


def test_a_share_is_about_so_many() -> None:
    chosen = share(0.3, 2000, torch.Generator().manual_seed(1))
    assert chosen.shape == (2000, 1, 1, 1)
    assert 0.25 < chosen.float().mean() < 0.35


def test_blur_keeps_the_mean_and_softens() -> None:
    pictures = torch.rand(2, 3, 32, 32)
    soft = gaussian_blur(pictures, torch.tensor([0.3, 0.9]))
    assert abs(soft.mean() - pictures.mean()) < 0.01
    assert soft[1].std() < soft[0].std() < pictures[0].std() + 0.01


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_jpeg_loses_what_a_jpeg_file_loses(quality: int) -> None:
    y, x = np.mgrid[:64, :64]
    picture = np.stack([128 + 90 * np.sin(x / 3 + c) * np.cos(y / (4 + c)) for c in range(3)], axis=-1)
    picture = picture.astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file)).astype(float)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    ours = jpeg(tensor, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy() * 255
    loss = [np.sqrt(np.mean((result - picture) ** 2)) for result in (ours, expected)]
    assert loss[0] == pytest.approx(loss[1], rel=0.15)
    # Beside its roundings to whole levels, a file holds what is computed here.
    assert np.abs(ours - expected).mean() < 1.3
