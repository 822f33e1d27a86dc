"""An evaluation as files: JSON, CSV, Markdown and a row for LaTeX. Infinity is written out, and said."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from typing import Any

from drsformer_cli.quality.judge import Row
from drsformer_cli.quality.published import SOURCE
from drsformer_cli.quality.summary import Evaluation, Measure

NO_VALUE = "–"
COUNTS = "pictures"
MARK = "derain eval"
MARKDOWN_START = f"<!-- {MARK} -->"
LATEX_START = f"% {MARK}"
HTML_START = f"<!doctype html>\n<!-- {MARK} -->"
JSON_START = '{\n "derain eval": '


def plain(value: float | None) -> float | str | None:
    """Return a number as JSON can hold it: infinity becomes the word "Infinity", no number null."""
    if value is None or math.isfinite(value):
        return value
    return "Infinity" if value == math.inf else None


def printed(value: float | None, decimals: int) -> str:
    """Return a number for people: ∞ for no difference at all, a dash for none."""
    if value is None or not (math.isfinite(value) or value == math.inf):
        return NO_VALUE
    return "∞" if math.isinf(value) else f"{value:.{decimals}f}"


def row_data(row: Row) -> dict[str, Any]:
    """Return a row as JSON-able data."""
    data: dict[str, Any] = {"status": row.status, "name": row.pair.name, "restored": str(row.pair.restored)}
    for key, path in (("clean", row.pair.clean), ("rainy", row.pair.rainy)):
        if path is not None:
            data[key] = str(path)
    if row.status != "scored":
        return {**data, "reason": row.reason}
    data |= {"width": row.width, "height": row.height}
    values = {
        "psnr": row.psnr,
        "ssim": row.ssim,
        "rainy_psnr": row.rainy_psnr,
        "rainy_ssim": row.rainy_ssim,
        **row.others,
    }
    data |= {key: plain(value) for key, value in values.items() if value is not None}
    return {**data, "notes": list(row.notes)} if row.notes else data


def summary_data(evaluation: Evaluation) -> dict[str, Any]:
    """Return the sums as JSON-able data."""
    data: dict[str, Any] = {
        "status": "summary",
        "name": evaluation.name,
        "protocol": evaluation.protocol,
        "scored": len(evaluation.scored),
        "problems": [{"kind": each.kind, "text": each.text} for each in evaluation.problems],
    }
    for measure in evaluation.measures():
        sums = evaluation.statistic(measure)
        data[measure.key] = {
            "mean": plain(sums.mean),
            "median": plain(sums.median),
            "deviation": plain(sums.deviation),
            "pictures": sums.count,
            "infinite": sums.infinite,
        }
    data["worst"] = [row.pair.name for row in evaluation.worst()]
    if evaluation.published is not None:
        data["dataset"] = evaluation.published.title
        data["published"] = {
            method: {"psnr": psnr, "ssim": ssim}
            for method, (psnr, ssim) in evaluation.published.published.items()
        }
    return data


def as_json(evaluation: Evaluation) -> str:
    """Return everything as one JSON object."""
    data = {
        MARK: 1,
        "summary": summary_data(evaluation),
        "pictures": [row_data(row) for row in evaluation.rows],
    }
    return json.dumps(data, indent=1) + "\n"


#: What a spreadsheet takes for the beginning of a formula, also behind what it leaves out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def path_cell(path: str) -> str:
    """Return a path as CSV can hold it: the same file, but nothing that a spreadsheet would compute."""
    return f"./{path}" if path.startswith(_FORMULA) and len(path) > 1 else path  # "-" is a stream


def words_cell(text: str) -> str:
    """Return prose as CSV can hold it: nothing that a spreadsheet would compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_csv(evaluation: Evaluation) -> str:
    """Return the rows as CSV, at full precision, and below them a line for each name without a partner.

    Names that a spreadsheet would take for formulas are written as paths from here, `./=a.png`.
    """
    measures = evaluation.measures()
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([*CSV_COLUMNS, *(measure.key for measure in measures)])
    for row in evaluation.rows:
        paths = [path_cell(str(path or "")) for path in _files(row)]
        numbers = ["" if value is None else repr(value) for value in (m.value(row) for m in measures)]
        remark = row.reason or "; ".join(row.notes)
        start = [path_cell(row.pair.name), row.status, *paths, row.width or "", row.height or ""]
        writer.writerow([*start, words_cell(remark), *numbers])
    blank = [""] * (len(CSV_COLUMNS) - 3)
    for problem in evaluation.problems:
        for name in problem.names:  # what has no row above
            start = [path_cell(name), problem.kind, *blank, words_cell(problem.text)]
            writer.writerow([*start, *("" for _ in measures)])
    return buffer.getvalue()


CSV_COLUMNS = ("name", "status", "restored", "clean", "rainy", "width", "height", "remark")


def _files(row: Row) -> tuple[Any, Any, Any]:
    return row.pair.restored, row.pair.clean, row.pair.rainy


def as_markdown(evaluation: Evaluation) -> str:
    """Return the sums, the published figures beside them, each picture, and what is not among them."""
    measures = evaluation.measures()
    lines = [MARKDOWN_START, f"# {_cell(evaluation.name)}", "", sentence(evaluation), ""]
    lines += _table(
        ["", *(measure.title for measure in measures)],
        sums(evaluation),
    )
    if text := gain_words(evaluation):
        lines += ["", text]
    if evaluation.published is not None:
        lines += ["", f"Published for {evaluation.published.title} ({SOURCE}):", ""]
        lines += _table(
            ["method", "PSNR", "SSIM"],
            [[name, f"{p:.2f}", f"{s:.4f}"] for name, (p, s) in evaluation.published.published.items()],
        )
    lines += [
        "",
        *_table(["picture", *(m.title for m in measures)], [_cells(r, measures) for r in evaluation.scored]),
    ]
    noted = [row for row in evaluation.scored if row.notes]
    if noted:
        lines += ["", "Remarks:", ""]
        lines += [f"- {_cell(row.pair.name)}: {_cell('; '.join(row.notes))}" for row in noted]
    if evaluation.problems:
        lines += ["", "Not compared, or not as they should be:", ""]
        lines += [f"- {problem.kind}: {_cell(problem.text)}" for problem in evaluation.problems]
    return "\n".join(lines) + "\n"


def _cells(row: Row, measures: list[Measure]) -> list[str]:
    return [_cell(row.pair.name), *(printed(measure.value(row), measure.decimals) for measure in measures)]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _cell(text: str) -> str:
    """Return text with all that Markdown or HTML would take for its own written out."""
    return "".join(f"&#{ord(char)};" if char in "|<>&`*_[]\\" else _shown(char) for char in text)


def _shown(char: str) -> str:
    """Return a character, but written out as an escape where it could steer a terminal or a page."""
    return char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")


def as_latex(evaluation: Evaluation) -> str:
    """Return a row of a table: the method, then the means; with published figures, a row for each of them."""
    measures = evaluation.measures()
    means = [_latex(printed(evaluation.statistic(m).mean, m.decimals)) for m in measures]
    scored = len(evaluation.scored)
    what = [f"{scored} {'picture' if scored == 1 else 'pictures'}"]
    if evaluation.protocol is not None:
        what.insert(0, evaluation.protocol)
    head = " & ".join(["method", *(measure.title for measure in measures)])
    lines = [f"{LATEX_START}, {', '.join(what)}: {head}"]
    if counts := [row[1:] for row in sums(evaluation) if row[0] == COUNTS]:
        lines.append(f"% pictures in each mean: {' & '.join(counts[0])}")
    if evaluation.problems:
        kinds = Counter(problem.kind for problem in evaluation.problems)
        total = f"{len(evaluation.problems)} problem{'s' if len(evaluation.problems) > 1 else ''}"
        lines.append(f"% {total}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    if evaluation.published is not None:
        lines.append(f"% published for {evaluation.published.title}: {SOURCE}")
        blank = ["--"] * (len(measures) - 2)
        for name, (psnr, ssim) in evaluation.published.published.items():
            lines.append(" & ".join([name, f"{psnr:.2f}", f"{ssim:.4f}", *blank]) + r" \\")
    if means:
        lines.append(" & ".join([_latex(evaluation.name), *means]) + r" \\")
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "–": "--", "∞": r"$\infty$", **{char: f"\\{char}" for char in "&%$#_{}"},
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for each in text for char in _shown(each))


def sentence(evaluation: Evaluation) -> str:
    """Say in words what the numbers are of."""
    scored = len(evaluation.scored)
    text = f"{scored} {'picture' if scored == 1 else 'pictures'}"
    if evaluation.protocol is not None:
        text += f", protocol {evaluation.protocol}"
    if evaluation.published is not None:
        text += f", {evaluation.published.title}"
    words = [text]
    for measure in evaluation.measures():
        if infinite := evaluation.statistic(measure).infinite:
            words.append(infinite_words(measure, infinite))
    return "; ".join(words) + "."


def infinite_words(measure: Measure, count: int) -> str:
    """Say that some pictures have no difference at all."""
    show, are = ("1 picture shows", "is") if count == 1 else (f"{count} pictures show", "are")
    return f"{show} no difference at all ({measure.title} ∞) and {are} kept out of its mean"


def sums(evaluation: Evaluation) -> list[list[str]]:
    """Return the rows of a table of sums, a column for each measure: mean, median, standard deviation.

    Where not every mean is of all pictures, the last row tells of how many each of them is.
    """
    found = [(measure, evaluation.statistic(measure)) for measure in evaluation.measures()]
    rows = [
        [title, *(printed(getattr(each, key), measure.decimals) for measure, each in found)]
        for title, key in (("mean", "mean"), ("median", "median"), ("standard deviation", "deviation"))
    ]
    if any(each.count != len(evaluation.scored) for _, each in found):
        rows.append([COUNTS, *(str(each.count) for _, each in found)])
    return rows


def gain_words(evaluation: Evaluation) -> str:
    """Say how much nearer to the truth the results are than the rainy pictures; empty where none is known."""
    gain = evaluation.mean_gain()
    if gain is None:
        return ""
    return f"{gain:+.2f} dB against the rainy pictures, on the average{evaluation.of_how_many()}."
