"""The evaluation as one HTML file that works offline: pictures, scores, plots, and no request to anywhere."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from drsformer_cli import __version__
from drsformer_cli.quality import formats
from drsformer_cli.quality.charts import charts
from drsformer_cli.quality.judge import Row, Settings
from drsformer_cli.quality.preview import ERROR_RANGE, Preview
from drsformer_cli.quality.published import SOURCE
from drsformer_cli.quality.summary import Evaluation, Measure

#: Bytes that a report may have, and what the page itself and the numbers of a picture take of them.
MOST_BYTES, OWN_BYTES, ROW_BYTES = 56_000_000, 200_000, 1_200
#: Bytes of the previews of one picture, where there are few of them.
MOST_OF_ONE = 400_000
LAYERS = ("rainy", "restored", "clean", "error")


def preview_budget(pictures: int) -> int:
    """Return how many bytes the previews of one picture may have so that a report stays small; 0 for none."""
    room = (MOST_BYTES - OWN_BYTES - ROW_BYTES * pictures) / max(1, pictures)
    return max(0, min(MOST_OF_ONE, int(room * 3 / 4)))  # base64 makes four bytes of three


def as_html(evaluation: Evaluation, path: Path) -> str:
    """Return the report that is to stand at `path`: originals are linked to relative to its folder."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("drsformer_cli.quality")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    folder = resources.files("drsformer_cli.quality") / "templates"
    style, script = (
        Markup((folder / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js")
    )
    return environment.get_template("report.html").render(
        start=Markup(formats.HTML_START),
        style=style,
        script=script,
        version=__version__,
        evaluation=evaluation,
        sentence=formats.sentence(evaluation),
        tiles=_tiles(evaluation),
        charts=charts(evaluation),
        source=SOURCE,
        data=_data(evaluation, path),
        previews=_previews(evaluation),
        previewed=any(row.preview is not None for row in evaluation.rows),
        error_range=ERROR_RANGE,
    )


def _tiles(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Title, number and remark of each figure at the top."""
    tiles = []
    for measure in evaluation.measures():
        if measure.key.startswith("rainy_"):
            continue
        sums = evaluation.statistic(measure)
        mean, deviation, median = (
            formats.printed(value, measure.decimals) for value in (sums.mean, sums.deviation, sums.median)
        )
        unit = " dB" if measure.key == "psnr" else ""
        tiles.append((f"mean {measure.title}", mean + unit, f"± {deviation}, median {median}"))
    if (gain := evaluation.mean_gain()) is not None:
        remark = f"mean difference of PSNR{evaluation.of_how_many()}"
        tiles.append(("gain over the rainy ones", f"{gain:+.2f} dB", remark))
    if worst := evaluation.worst(1):
        first = evaluation.measures()[0]
        least = formats.printed(first.value(worst[0]), first.decimals)
        unit = " dB" if first.key == "psnr" else ""
        tiles.append(("worst", least + unit, worst[0].pair.name))
    return tiles


def _data(evaluation: Evaluation, path: Path) -> dict[str, Any]:
    """What the page's script needs besides the previews."""
    folder = path.absolute().parent
    measures = [measure for measure in evaluation.measures() if not measure.key.startswith("rainy_")]
    if evaluation.mean_gain() is not None:
        measures.insert(2, Measure("gain", "gain", 2, lambda row: row.gain))
    return {
        "measures": [
            {"key": m.key, "title": m.title, "decimals": m.decimals, "better": m.better} for m in measures
        ],
        "rows": [_row(row, measures, folder, evaluation.settings) for row in evaluation.scored],
    }


def _row(row: Row, measures: list[Measure], folder: Path, settings: Settings) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": row.pair.name,
        "width": row.width,
        "height": row.height,
        "values": [formats.plain(measure.value(row)) for measure in measures],
    }
    if row.notes:
        data["notes"] = list(row.notes)
    if row.rainy_psnr is not None:
        data["rainy"] = {"psnr": formats.plain(row.rainy_psnr), "ssim": formats.plain(row.rainy_ssim)}
    if row.preview is not None:
        data["preview"] = [row.preview.width, row.preview.height]
    if settings.side_by_side is None:  # the originals would be twice as wide
        files = {"rainy": row.pair.rainy, "restored": row.pair.restored, "clean": row.pair.clean}
        data["files"] = {key: _link(file, folder) for key, file in files.items() if file is not None}
    return data


def _link(file: Path, folder: Path) -> str:
    """Return a file's address as seen from the report; empty where there is no way, as between two disks."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))
    except ValueError:
        return ""


def _previews(evaluation: Evaluation) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the index of each scored row and its previews in base64: the worst first, as on the page."""
    rows = evaluation.scored
    index = {id(row): number for number, row in enumerate(rows)}
    first = [index[id(row)] for row in evaluation.worst(len(rows))]
    for number in dict.fromkeys([*first, *range(len(rows))]):
        preview = rows[number].preview
        yield number, {} if preview is None else _files(preview)


def _files(preview: Preview) -> dict[str, str]:
    names = [each.name for each in fields(preview) if each.name in LAYERS]
    return {name: base64.b64encode(data).decode() for name in names if (data := getattr(preview, name))}
