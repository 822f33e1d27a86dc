"""Make the rainy pictures of this folder, seeded synthetic rain on photographs that scikit-image ships, and
docs/before-after.jpg, what the bundled model makes of them.

pip install scikit-image && python examples/make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageOps

import drsformer_cli as derain
from drsformer_cli.training.rain import RainMix, add_rain

HERE = Path(__file__).parent
#: File, photograph, kind of rain, seed, longest side in pixels.
PICTURES = (
    ("rocket.jpg", "rocket", "lines", 4, 480),
    ("coffee.png", "coffee", "noise", 9, 420),
    ("animals/chelsea.jpg", "chelsea", "light", 8, 420),
    ("people/astronaut.jpg", "astronaut", "lines", 11, 400),
    ("people/camera.png", "camera", "light", 5, 384),
)


#: The rows of docs/before-after.jpg, and the size of each of its pictures.
ROWS, SIZE, GAP = ("rocket.jpg", "people/astronaut.jpg", "coffee.png"), (480, 320), 6


def main() -> None:
    """Write every picture of the table, and the picture of before and after."""
    make_pictures()
    compare().save(HERE.parent / "docs" / "before-after.jpg", quality=88)


def compare() -> Image.Image:
    """Lay some of the pictures out beside what the bundled model makes of them."""
    model = derain.load("compact", precision="fp32")
    width, height = SIZE
    sheet = Image.new("RGB", (2 * width + GAP, len(ROWS) * (height + GAP) - GAP), "white")
    for row, name in enumerate(ROWS):
        with Image.open(HERE / name) as image:
            rainy = np.asarray(image.convert("RGB"))
        for column, picture in enumerate((rainy, model(rainy))):
            whole = Image.fromarray(picture)
            part = ImageOps.fit(whole, SIZE, Image.Resampling.LANCZOS, centering=(0.5, 0.1))
            sheet.paste(part, (column * (width + GAP), row * (height + GAP)))
    return sheet


def make_pictures() -> None:
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
    return add_rain(wide, mix, torch.Generator().manual_seed(seed))[0][..., :height, :width]


if __name__ == "__main__":
    main()
