"""Make the rainy pictures of this folder: seeded synthetic rain on photographs that scikit-image ships.

pip install scikit-image && python examples/make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from drsformer_cli.training.rain import RainMix, add_rain

HERE = Path(__file__).parent
#: File, photograph, kind of rain, seed, longest side in pixels.
PICTURES = (
    ("rocket.jpg", "rocket", "lines", 4, 480),
    ("coffee.png", "coffee", "noise", 3, 420),
    ("animals/chelsea.jpg", "chelsea", "light", 8, 420),
    ("people/astronaut.jpg", "astronaut", "lines", 11, 400),
    ("people/camera.png", "camera", "light", 5, 384),
)


def main() -> None:
    """Write every picture of the table."""
    for name, source, kind, seed, side in PICTURES:
        image = Image.fromarray(getattr(skimage.data, source)())
        grey = image.mode == "L"
        image = image.convert("RGB")
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        clean = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        mix = RainMix().only(kind)
        rainy = rain_on_any_size(clean, mix, seed)
        pixels = (rainy[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        result = Image.fromarray(pixels[..., 0] if grey else pixels)
        (HERE / name).parent.mkdir(exist_ok=True)
        result.save(HERE / name, quality=92, subsampling=0)


def rain_on_any_size(clean: torch.Tensor, mix: RainMix, seed: int) -> torch.Tensor:
    """Rain on a picture whose sides need not be multiples of 8."""
    height, width = clean.shape[-2:]
    wide = torch.nn.functional.pad(clean, (0, -width % 8, 0, -height % 8), mode="replicate")
    return add_rain(wide, mix, torch.Generator().manual_seed(seed))[..., :height, :width]


if __name__ == "__main__":
    main()
