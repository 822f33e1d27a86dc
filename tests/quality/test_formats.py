"""An evaluation as files, held to every character; the numbers are made up, to be told apart."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from drsformer_cli.quality import formats
from drsformer_cli.quality.folders import Problem
from drsformer_cli.quality.judge import Pair, Row, Settings
from drsformer_cli.quality.published import SOURCE
from drsformer_cli.quality.summary import Evaluation

FOLDER = Path("here")


def pair(name: str, *, rainy: bool = True) -> Pair:
    return Pair(name, FOLDER / "out" / name, FOLDER / "gt" / name, FOLDER / "rain" / name if rainy else None)


@pytest.fixture
def evaluation() -> Evaluation:
    """Return three rows: one with all there is, one that is exact and lacks a score, one of another size."""
    found = Evaluation("my_method", Settings(scores=("niqe",)), dataset="rain200h")
    found.take(
        Row(
            pair("a|1.png"),
            "scored",
            height=24,
            width=32,
            psnr=30.125,
            ssim=0.9,
            rainy_psnr=20.0,
            rainy_ssim=0.5,
            others={"niqe": 5.5},
            notes=("first", "second_"),
        )
    )
    exact = {"psnr": math.inf, "ssim": 1.0, "rainy_psnr": 25.0, "rainy_ssim": 0.75}
    found.take(Row(pair("b.png"), "scored", height=10, width=20, **exact))
    found.take(Row(pair("c.png", rainy=False), "sizes", "c.png is *small*"))
    found.problems.append(Problem("missing", "d.png and e.png\nare missing", ("d.png", "e.png")))
    return found


EXACT = "1 picture shows no difference at all (PSNR ∞) and is kept out of its mean"
MARKDOWN = f"""<!-- derain eval -->
# my&#95;method

2 pictures, protocol rain200, Rain200H; {EXACT}.

|  | PSNR | SSIM | rainy PSNR | rainy SSIM | NIQE |
| --- | ---: | ---: | ---: | ---: | ---: |
| mean | 30.12 | 0.9500 | 22.50 | 0.6250 | 5.50 |
| median | 30.12 | 0.9500 | 22.50 | 0.6250 | 5.50 |
| standard deviation | 0.00 | 0.0707 | 3.54 | 0.1768 | 0.00 |
| pictures | 1 | 2 | 2 | 2 | 1 |

+10.12 dB against the rainy pictures, on the average of 1 of the 2 pictures.

Published for Rain200H ({SOURCE}):

| method | PSNR | SSIM |
| --- | ---: | ---: |
| DRSformer | 32.17 | 0.9326 |
| Restormer | 32.00 | 0.9329 |
| MPRNet | 30.67 | 0.9110 |
| PReNet | 29.04 | 0.8991 |

| picture | PSNR | SSIM | rainy PSNR | rainy SSIM | NIQE |
| --- | ---: | ---: | ---: | ---: | ---: |
| a&#124;1.png | 30.12 | 0.9000 | 20.00 | 0.5000 | 5.50 |
| b.png | ∞ | 1.0000 | 25.00 | 0.7500 | – |

Remarks:

- a&#124;1.png: first; second&#95;

Not compared, or not as they should be:

- sizes: c.png is &#42;small&#42;
- missing: d.png and e.png\\nare missing
"""

LATEX = rf"""% derain eval, rain200, 2 pictures: method & PSNR & SSIM & rainy PSNR & rainy SSIM & NIQE
% pictures in each mean: 1 & 2 & 2 & 2 & 1
% 2 problems: 1 sizes, 1 missing
% published for Rain200H: {SOURCE}
DRSformer & 32.17 & 0.9326 & -- & -- & -- \\
Restormer & 32.00 & 0.9329 & -- & -- & -- \\
MPRNet & 30.67 & 0.9110 & -- & -- & -- \\
PReNet & 29.04 & 0.8991 & -- & -- & -- \\
my\_method & 30.12 & 0.9500 & 22.50 & 0.6250 & 5.50 \\
"""


def test_markdown_to_every_character(evaluation: Evaluation) -> None:
    assert formats.as_markdown(evaluation) == MARKDOWN


def test_latex_to_every_character(evaluation: Evaluation) -> None:
    assert formats.as_latex(evaluation) == LATEX


def test_csv_to_every_cell(evaluation: Evaluation) -> None:
    head, *rows = csv.reader(formats.as_csv(evaluation).splitlines(keepends=True))
    numbers = ["psnr", "ssim", "rainy_psnr", "rainy_ssim", "niqe"]
    assert head == ["name", "status", "restored", "clean", "rainy", "width", "height", "remark", *numbers]
    files = [[str(path) for path in (p.restored, p.clean, p.rainy)] for p in (pair("a|1.png"), pair("b.png"))]
    small = [str(FOLDER / part / "c.png") for part in ("out", "gt")]
    assert rows == [
        ["a|1.png", "scored", *files[0], "32", "24", "first; second_", "30.125", "0.9", "20.0", "0.5", "5.5"],
        ["b.png", "scored", *files[1], "20", "10", "", "inf", "1.0", "25.0", "0.75", ""],
        ["c.png", "sizes", *small, "", "", "", "c.png is *small*", *[""] * 5],
        *(
            [name, "missing", *[""] * 5, "d.png and e.png\nare missing", *[""] * 5]
            for name in ("d.png", "e.png")
        ),
    ]


def test_json_to_every_key(evaluation: Evaluation) -> None:
    text = formats.as_json(evaluation)
    assert text.startswith(formats.JSON_START + "1,")
    assert text.endswith("]\n}\n")
    data = json.loads(text)
    assert list(data) == ["derain eval", "summary", "pictures"]
    here = {"status": "scored", "name": "a|1.png"}
    here |= {where: str(FOLDER / part / "a|1.png") for where, part in WHERE.items()}
    numbers = {"psnr": 30.125, "ssim": 0.9, "rainy_psnr": 20.0, "rainy_ssim": 0.5, "niqe": 5.5}
    first, second, third = data["pictures"]
    assert first == {**here, "width": 32, "height": 24, **numbers, "notes": ["first", "second_"]}
    assert (second["psnr"], "niqe" in second, "notes" in second) == ("Infinity", False, False)
    assert third == {
        "status": "sizes",
        "name": "c.png",
        "restored": str(FOLDER / "out" / "c.png"),
        "clean": str(FOLDER / "gt" / "c.png"),
        "reason": "c.png is *small*",
    }


WHERE = {"restored": "out", "clean": "gt", "rainy": "rain"}


def test_the_summary_to_every_key(evaluation: Evaluation) -> None:
    data = formats.summary_data(evaluation)
    assert data.pop("ssim") == {
        "mean": 0.95,
        "median": 0.95,
        "deviation": pytest.approx(0.0707, abs=1e-4),
        "pictures": 2,
        "infinite": 0,
    }
    psnr = {"mean": 30.125, "median": 30.125, "deviation": 0.0, "pictures": 1, "infinite": 1}
    assert data.pop("psnr") == psnr
    assert [data.pop(key)["mean"] for key in ("rainy_psnr", "rainy_ssim", "niqe")] == [22.5, 0.625, 5.5]
    published = data.pop("published")
    assert list(published) == ["DRSformer", "Restormer", "MPRNet", "PReNet"]
    assert published["Restormer"] == {"psnr": 32.0, "ssim": 0.9329}
    assert data == {
        "status": "summary",
        "name": "my_method",
        "protocol": "rain200",
        "scored": 2,
        "problems": [
            {"kind": "sizes", "text": "c.png is *small*"},
            {"kind": "missing", "text": "d.png and e.png\nare missing"},
        ],
        "worst": ["a|1.png", "b.png"],
        "dataset": "Rain200H",
    }


def test_a_plain_evaluation_says_no_more_than_there_is() -> None:
    evaluation = Evaluation("x", Settings("rgb"))
    evaluation.take(Row(pair("a.png", rainy=False), "scored", height=1, width=2, psnr=math.inf, ssim=1.0))
    assert formats.as_markdown(evaluation).splitlines()[3:] == [
        f"1 picture, protocol rgb; {EXACT}.",
        "",
        "|  | PSNR | SSIM |",
        "| --- | ---: | ---: |",
        "| mean | – | 1.0000 |",
        "| median | – | 1.0000 |",
        "| standard deviation | – | 0.0000 |",
        "| pictures | 0 | 1 |",
        "",
        "| picture | PSNR | SSIM |",
        "| --- | ---: | ---: |",
        "| a.png | ∞ | 1.0000 |",
    ]
    assert formats.as_latex(evaluation).splitlines() == [
        "% derain eval, rgb, 1 picture: method & PSNR & SSIM",
        "% pictures in each mean: 0 & 1",
        r"x & -- & 1.0000 \\",
    ]
    assert formats.summary_data(evaluation)["psnr"]["mean"] is None
    assert "published" not in formats.summary_data(evaluation)
    evaluation.problems.append(Problem("extra", "y", ("y",)))
    assert "% 1 problem: 1 extra" in formats.as_latex(evaluation).splitlines()


def test_several_exact_pictures_are_several() -> None:
    evaluation = Evaluation("x", Settings())
    for name in ("a.png", "b.png"):
        evaluation.take(Row(pair(name), "scored", psnr=math.inf, ssim=1.0))
    expected = "2 pictures show no difference at all (PSNR ∞) and are kept out of its mean"
    assert formats.sentence(evaluation) == f"2 pictures, protocol rain200; {expected}."


@pytest.mark.parametrize(
    ("value", "data", "words"),
    [
        (1.25, 1.25, "1.250"),
        (-1.0, -1.0, "-1.000"),
        (math.inf, "Infinity", "∞"),
        (-math.inf, None, "–"),
        (math.nan, None, "–"),
        (None, None, "–"),
    ],
)
def test_numbers_that_are_none(value: float | None, data: object, words: str) -> None:
    assert formats.plain(value) == data
    assert formats.printed(value, 3) == words


def test_names_in_latex_are_no_commands() -> None:
    name = "\\~^–∞&%$#_{}a"
    evaluation = Evaluation(name, Settings(), rows=[Row(pair("a.png"), "scored", psnr=1.0, ssim=0.5)])
    expected = (
        r"\textbackslash{}\textasciitilde{}\textasciicircum{}--$\infty$\&\%\$\#\_\{\}a & 1.00 & 0.5000 \\"
    )
    assert formats.as_latex(evaluation).splitlines()[-1] == expected
