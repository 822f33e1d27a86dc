"""A sheet of rained-on photographs, to judge a recipe's rain by eye, beside rainy pictures of one's own."""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from drsformer_cli.errors import UsageError
from drsformer_cli.media.files import write_atomically
from drsformer_cli.training.data import Pictures, list_pictures, read_rgb
from drsformer_cli.training.rain import RainMix, add_rain

#: Pixels a side of each sample, samples in a row, and pixels for the words above a row.
SIDE, COLUMNS, WORDS = 192, 8, 16


def write_sheet(
    file: Path, photographs: Pictures, mix: RainMix, *, seed: int, beside: Path | None = None
) -> None:
    """Write a sheet as PNG: two rows of each kind of rain, two of the mix, and pictures to compare with.

    Args:
        file: where to; a file there is replaced.
        photographs: clean ones; the middles of the first are rained on.
        mix: the recipe's rain.
        seed: the same seed makes the same sheet again.
        beside: a folder of rainy pictures, of which the middles of the first are shown in the last rows.

    Raises:
        UsageError: if `beside` holds no picture.
        UnreadableError: if one of them cannot be read.
        OutputError, StorageError: if the sheet cannot be written.
    """
    clean = torch.cat(list(islice(photographs.crops(SIDE), 2 * COLUMNS)))
    rows: list[tuple[str, Tensor]] = []
    for kind in mix.shares:
        rows.append((kind, _rained(clean, mix.only(kind), seed)))
    rows.append(("as trained", _rained(clean, mix, seed)))
    if beside is not None:
        rows.append((str(beside), _compared(beside)))
    buffer = io.BytesIO()
    lay_out(rows).save(buffer, "PNG")
    write_atomically(file, buffer.getvalue(), replace=True)


def _rained(clean: Tensor, mix: RainMix, seed: int) -> Tensor:
    generator = torch.Generator(clean.device).manual_seed(seed)
    return add_rain(clean, mix, generator)[0].cpu()


def _compared(folder: Path) -> Tensor:
    pictures = [read_rgb(file) for file in list_pictures(folder)[: 2 * COLUMNS]]
    pictures = [picture for picture in pictures if min(picture.shape[:2]) >= SIDE]
    if not pictures:
        raise UsageError(
            f"{folder} holds no picture of {SIDE} x {SIDE} pixels or more to show beside the samples"
        )
    return torch.cat(list(Pictures(pictures).crops(SIDE)))


def lay_out(rows: list[tuple[str, Tensor]]) -> Image.Image:
    """Lay batches, (B, 3, SIDE, SIDE) in [0, 1], out in rows of `COLUMNS`, each batch under its name."""
    heights = [WORDS + SIDE * -(-len(batch) // COLUMNS) for _, batch in rows]
    sheet = Image.new("RGB", (COLUMNS * SIDE, sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    top = 0
    for (name, batch), height in zip(rows, heights, strict=True):
        pen.text((4, top + 2), name, fill="black")
        for index, picture in enumerate((batch * 255).round().byte().permute(0, 2, 3, 1).numpy()):
            y, x = divmod(index, COLUMNS)
            sheet.paste(Image.fromarray(picture), (x * SIDE, top + WORDS + y * SIDE))
        top += height
    return sheet
