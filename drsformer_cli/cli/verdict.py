"""An evaluation as it runs and as it ends: progress, a table on the terminal, lines of JSON, reports."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from drsformer_cli.cli.report import check_place, write_line
from drsformer_cli.cli.words import left_out, printable
from drsformer_cli.errors import DerainError, OutputError, SetupError, UsageError
from drsformer_cli.media.files import write_atomically
from drsformer_cli.quality import formats
from drsformer_cli.quality.evaluate import evaluate
from drsformer_cli.quality.folders import Problem, Work
from drsformer_cli.quality.formats import printed
from drsformer_cli.quality.published import SOURCE
from drsformer_cli.quality.report import as_html, preview_budget
from drsformer_cli.quality.summary import Evaluation, count_of

MOST_TOLD = 20  # problems of a kind on the terminal; -v, reports and --json have all
KINDS = {
    "missing": "without a partner that should be there",
    "extra": "without a clean picture",
    "doubled": "sharing a partner",
    "sizes": "of different sizes",
    "failed": "failed",
}
TEXTS: dict[str, tuple[str, Callable[[Evaluation], str]]] = {
    ".json": (formats.JSON_START, formats.as_json),
    ".csv": (",".join(formats.CSV_COLUMNS), formats.as_csv),
    ".md": (formats.MARKDOWN_START, formats.as_markdown),
    ".tex": (formats.LATEX_START, formats.as_latex),
}


def check_reports(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Raise UsageError for reports of no known kind, in no folder, or in the place of another file.

    Empty files and older reports may be replaced, and with `overwrite` any file.
    """
    for path in paths:
        kind = path.suffix.lower()
        if kind != ".html" and kind not in TEXTS:
            raise UsageError(f"--report {path} is of no known kind: give .html, .json, .csv, .md or .tex.")
        start = formats.HTML_START if kind == ".html" else TEXTS[kind][0]
        check_place(path, start.encode(), overwrite=overwrite)


def write_reports(paths: Sequence[Path], evaluation: Evaluation) -> list[DerainError]:
    """Write reports by the extensions of their names; return what kept some from being written."""
    failures: list[DerainError] = []
    for path in paths:
        if path.suffix.lower() == ".html":
            text = as_html(evaluation, path)
        else:
            text = TEXTS[path.suffix.lower()][1](evaluation)
        try:
            write_atomically(path, text.encode("utf-8", "backslashreplace"), replace=True)
        except (OutputError, SetupError) as error:
            failures.append(error)
    return failures


class Verdict:
    """Runs an evaluation; `reach` says how it went."""

    def __init__(
        self,
        evaluation: Evaluation,
        work: Work,
        reports: Sequence[Path],
        *,
        quiet: bool,
        verbose: bool = False,
        json_lines: bool,
        workers: int | None,
    ) -> None:
        self._evaluation = evaluation
        self._work = work
        self._reports = reports
        self._quiet = quiet
        self._most_told = len(evaluation.problems) + len(work.pairs) if verbose else MOST_TOLD
        self._json = json_lines
        self._workers = workers
        self._errors = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._out = Console(highlight=False, markup=False, emoji=False)

    def reach(self, *, allow_missing: bool) -> bool:
        """Judge all pairs, write and show what came out; tell whether it makes the exit status 1.

        Raises SetupError for what ended it early, and OutputError or StorageError for a report that could not
        be written: once all that there is has been written and shown.
        """
        evaluation = self._evaluation
        if any(path.suffix.lower() == ".html" for path in self._reports):
            budget = preview_budget(len(self._work.pairs))
            evaluation.settings = replace(evaluation.settings, preview=budget)
        stop = self._run()
        failures = write_reports(self._reports, evaluation)
        self._tell_problems()
        # last, for whoever reads standard output may have gone
        if self._json:
            write_line(sys.stdout, {**formats.summary_data(evaluation), "interrupted": False})
        elif evaluation.scored and not self._quiet:
            self._show()
        errors: list[DerainError] = [*([stop] if stop else []), *failures]
        for error in errors[1:]:
            self._error_line(f"derain: {error}")
        if errors:
            raise errors[0]
        failed = count_of(evaluation.problems, "failed") > 0
        return failed or not evaluation.scored or (bool(evaluation.problems) and not allow_missing)

    def _run(self) -> SetupError | None:
        """Judge all pairs; return what kept the rest, which the problems name, from being judged."""
        pairs, evaluation = self._work.pairs, self._evaluation
        rows = evaluate(pairs, evaluation.settings, workers=self._workers)
        with closing(rows), self._progress() as progress:
            bar = progress.add_task("", total=len(pairs))
            try:
                for row in rows:
                    evaluation.take(row)
                    progress.advance(bar)
                    if self._json:
                        write_line(sys.stdout, formats.row_data(row))
            except SetupError as error:
                if not evaluation.rows:  # nothing is lost
                    raise
                for pair in pairs[len(evaluation.rows) :]:
                    text = f"{pair.restored} was not compared."
                    evaluation.problems.append(Problem("failed", text, (pair.name,)))
                return error
            except KeyboardInterrupt as stop:
                if self._json:
                    write_line(sys.stdout, {**formats.summary_data(evaluation), "interrupted": True})
                done = f"{len(evaluation.rows)} of {len(pairs)} pictures were compared"
                raise type(stop)(f"interrupted: {done}; no report is written.") from None
        return None

    def _progress(self) -> Progress:
        shown = self._errors.is_terminal and not self._errors.is_dumb_terminal and not self._quiet
        return Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("compared"),
            TimeRemainingColumn(),
            console=self._errors,
            transient=True,
            disable=not shown,
        )

    def _show(self) -> None:
        """Print the sums, the published figures and the worst pictures."""
        evaluation = self._evaluation
        measures = evaluation.measures()
        self._line(formats.sentence(evaluation))
        table = self._table("", [measure.title for measure in measures])
        for cells in formats.sums(evaluation):
            table.add_row(*cells)
        self._out.print(table)
        if text := formats.gain_words(evaluation):
            self._line(text)
        if evaluation.published is not None:
            self._line(f"Published for {evaluation.published.title} ({SOURCE}):")
            table = self._table("method", ["PSNR", "SSIM"])
            for method, (psnr, ssim) in evaluation.published.published.items():
                table.add_row(method, f"{psnr:.2f}", f"{ssim:.4f}")
            self._out.print(table)
        self._line("Worst:")
        table = self._table("picture", [measure.title for measure in measures])
        for row in evaluation.worst():
            values = (printed(m.value(row), m.decimals) for m in measures)
            table.add_row(Text(printable(row.pair.name)), *values)
        self._out.print(table)

    def _table(self, first: str, others: Sequence[str]) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
        table.add_column(first, overflow="fold", min_width=9)  # "deviation" is a word
        for title in others:
            table.add_column(title, justify="right", min_width=7)
        return table

    def _line(self, text: str) -> None:
        self._out.print(Text(printable(text)), soft_wrap=True)

    def _tell_problems(self) -> None:
        """Say on standard error what could not be compared, and what the search passed over."""
        told: Counter[str] = Counter()
        for problem in self._evaluation.problems:
            told[problem.kind] += 1
            if told[problem.kind] <= self._most_told:
                self._error_line(f"derain: {problem.text}")
        for kind, count in told.items():
            if count > self._most_told:
                self._error_line(f"derain: and {count - self._most_told} more {KINDS[kind]}.")
        if told:
            words = ", ".join(f"{count} {KINDS[kind]}" for kind, count in told.items())
            self._error_line(f"derain: not all could be compared: {words}.")
        if told["missing"] and told["extra"] and not self._work.pairs:
            self._error_line(
                "derain: no names belong together: --pair REGEX says which do, see derain eval -h."
            )
        if not self._quiet and self._work.left_out:
            (words,) = left_out(self._work.left_out)
            self._error_line(f"{words}.")
        if not self._quiet and (noted := self._evaluation.noted):
            pictures = "1 picture was" if noted == 1 else f"{noted} pictures were"
            notes = Counter(note for row in self._evaluation.scored for note in row.notes)
            words = ", ".join(f"{count}: {note}" for note, count in notes.most_common(3))
            self._error_line(f"{pictures} compared with a remark, which --json and reports have ({words}).")

    def _error_line(self, text: str) -> None:
        self._errors.print(Text(printable(text)), soft_wrap=True)
