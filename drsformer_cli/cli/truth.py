"""`--gt`: scoring results as they are written, by the measures of `derain eval`, beside the model at work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from drsformer_cli.cli.report import SCORES
from drsformer_cli.jobs.events import Done, Failed, Skipped
from drsformer_cli.jobs.naming import Task
from drsformer_cli.quality.folders import Problem, doubled_ones, names_of, search
from drsformer_cli.quality.formats import infinite_words, printed, row_data, summary_data
from drsformer_cli.quality.judge import Pair, Row, Settings, judge
from drsformer_cli.quality.pairing import pair
from drsformer_cli.quality.protocols import Protocol
from drsformer_cli.quality.report import preview_budget
from drsformer_cli.quality.summary import Evaluation


@dataclass(frozen=True)
class TruthOptions:
    """What `--gt` and the options beside it ask for."""

    folder: str
    protocol: Protocol
    allow_missing: bool


class Truth:
    """The clean pictures of a run: scores what has been written, one by one, in a thread of its own."""

    def __init__(self, options: TruthOptions, tasks: Sequence[Task], *, name: str, previews: bool) -> None:
        """Find the clean picture of each task. Raises UsageError where there is nothing to find."""
        self._options = options
        self._clean, problems = _paired(options.folder, tasks)
        budget = preview_budget(len(tasks)) if previews else 0
        self.evaluation = Evaluation(name, Settings(options.protocol, preview=budget), problems=problems)
        self._thread = ThreadPoolExecutor(1)

    def submit(self, event: Done | Failed | Skipped) -> Future[Row | None]:
        """Begin to score the result of an event; None comes back where there is none, or no truth."""
        return self._thread.submit(self._judge, event)

    def _judge(self, event: Done | Failed | Skipped) -> Row | None:
        task = event.task
        clean = self._clean.get(task.name)
        if clean is None or isinstance(event, Failed) or not task.path.is_file():
            return None
        name = task.output.as_posix()
        return judge(Pair(name, task.path, clean, task.source.path), self.evaluation.settings)

    def take(self, row: Row | None) -> dict[str, Any]:
        """Add a row to the sums; return what of it belongs to the data of its picture."""
        if row is None:
            return {}
        self.evaluation.take(row)
        if row.status != "scored":
            return {"unscored": row.reason}
        data = row_data(row)
        return {key: data[key] for key in SCORES if key in data}

    def summary(self) -> dict[str, Any]:
        """Return the sums as JSON-able data."""
        return {key: value for key, value in summary_data(self.evaluation).items() if key != "status"}

    def sentences(self) -> list[str]:
        """Say how good the results are."""
        lines = []
        means = {m.key: (m, self.evaluation.statistic(m)) for m in self.evaluation.measures()}
        if "psnr" in means:
            words = {key: printed(sums.mean, measure.decimals) for key, (measure, sums) in means.items()}
            text = f"mean PSNR {words['psnr']} dB, SSIM {words['ssim']}"
            if "rainy_psnr" in words:
                text += f"; of the rainy pictures {words['rainy_psnr']} dB, {words['rainy_ssim']}"
            count = len(self.evaluation.scored)
            lines.append(f"{text} ({count} compared, protocol {self._options.protocol}).")
            if infinite := means["psnr"][1].infinite:
                lines.append(f"{infinite_words(means['psnr'][0], infinite)}.")
        return lines

    @property
    def failed(self) -> bool:
        """Tell whether something that should have been scored was not."""
        kinds = {problem.kind for problem in self.evaluation.problems}
        return bool(kinds & {"failed"} if self._options.allow_missing else kinds)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(cancel_futures=True)


def words_of(data: dict[str, Any]) -> list[str]:
    """Return the scores among a picture's data in a few words."""
    if "psnr" not in data:
        return []
    return [f"{printed(float(data['psnr']), 2)} dB", f"SSIM {printed(float(data['ssim']), 4)}"]


def _paired(folder: str, tasks: Sequence[Task]) -> tuple[dict[str, Path], list[Problem]]:
    """Return the clean picture of each task that has one, by the task's name, and why others have none."""
    clean = names_of(search(folder, "--gt").sources)
    if len(clean) == len(tasks) == 1:
        return {tasks[0].name: next(iter(clean.values()))}, []
    # inputs of several folders are told apart by their places in the output, which differ for each of them
    shared = len({task.source.relative for task in tasks}) < len(tasks)
    names = {task.output if shared else task.source.relative: task for task in tasks}
    found = pair(list(clean), [PurePath(name) for name in names])
    called = {PurePath(name): task.name for name, task in names.items()}
    problems = [
        Problem("missing", f"{called[name]} has no clean picture of its own in {folder}.", (called[name],))
        for name in found.extra
    ]
    problems += doubled_ones(found, {"clean": clean, "restored": called})
    return {called[name]: clean[partner] for name, partner in found.pairs.items()}, problems
