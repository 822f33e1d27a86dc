"""One run over the planned pictures: loads a model, feeds events to the display, the report and `--json`."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drsformer_cli.cli.engine import Run, open_engine
from drsformer_cli.cli.progress import Display, display_for
from drsformer_cli.cli.report import planned_row, row, write_line, write_report
from drsformer_cli.cli.tally import Tally
from drsformer_cli.cli.truth import Truth, words_of
from drsformer_cli.cli.words import printable
from drsformer_cli.errors import OutputError, TooLargeError
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.listing import Listing, first_of
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.objects import RemoteStore
from drsformer_cli.jobs.record import plain
from drsformer_cli.jobs.resume import Decision
from drsformer_cli.jobs.store import FolderStore, Store, StreamStore

if TYPE_CHECKING:
    from drsformer_cli.cli.options import ModelOptions
    from drsformer_cli.cli.order import Order, Plan
    from drsformer_cli.quality.judge import Row

MOST_WAITING = 4  # results that are being scored while the model goes on


class Session:
    """What one run needs besides the model; `restore` or `list_tasks` does it and tells if any failed."""

    def __init__(
        self,
        order: Order,
        plan: Plan,
        *,
        quiet: bool,
        verbose: bool,
        model: str = "",
    ) -> None:
        self._order = order
        self._plan = plan
        self._tasks = plan.tasks
        self._quiet = quiet
        self._verbose = verbose
        sizes = {} if isinstance(plan.tasks, Listing) else _sizes(plan.tasks)
        self._tally = Tally(len(plan.tasks), sizes, plan.found.skipped, plan.where)
        self._count()
        self._rows: list[dict[str, Any]] = []
        self._waiting: deque[tuple[Done | Failed | Skipped, Future[Row | None]]] = deque()
        self._truth = None
        if order.truth is not None:
            page = order.report is not None and Path(order.report).suffix.lower() == ".html"
            self._truth = Truth(order.truth, first_of(plan.tasks), name=Path(model).stem, previews=page)

    # ---- the work

    def restore(self, options: ModelOptions) -> bool:
        """Restore all and say how it went. Raises SetupError, and KeyboardInterrupt with a word."""
        display = display_for(self._tally, quiet=self._quiet, verbose=self._verbose)
        if not self._tasks:
            self._end(display)
            return False
        format, quality = self._plan.format, self._plan.quality
        with ExitStack() as stack:
            work = self._order.work
            engine = open_engine(stack, options, work, self._tasks, format, quality, display.note)
            settings = plain({**engine.settings, **self._plan.written()})
            store = self._open_store(stack, settings, display)
            if isinstance(store, FolderStore):
                engine.go_on_as(store.earlier_plan())
            stack.push(lambda _kind, error, _trace: self._end(display, stopped=error is not None))
            stack.enter_context(display)
            self._follow(stack.enter_context(engine.run(self._tasks, store, settings)), display)
        return self._failed()

    def _failed(self) -> bool:
        return bool(self._tally.failures) or (self._truth is not None and self._truth.failed)

    def _follow(self, run: Run, display: Display) -> None:
        try:
            for event in run:
                self._take(event, display)
            self._tell_scored(display, waiting=0)
        except KeyboardInterrupt as stop:
            self._tally.interrupted = True
            for event in run.close():
                self._take(event, display)
            self._tell_scored(display, waiting=0)
            raise type(stop)(self._last_word()) from None
        except Exception:  # what stopped it is no reason to be silent about what stands finished
            self._tell_scored(display, waiting=0)
            raise
        finally:
            if self._truth is not None:
                self._truth.close()

    def _open_store(self, stack: ExitStack, settings: dict[str, Any], display: Display) -> Store:
        if self._order.to_stream:
            return StreamStore(sys.stdout.buffer)
        if self._plan.remote:
            return RemoteStore(settings, overwrite=self._order.overwrite)
        overwrite, part = self._order.overwrite, self._order.part
        store = stack.enter_context(FolderStore(self._tasks, settings, overwrite=overwrite, part=part))
        if store.damaged_lines:
            display.note(
                f"{store.damaged_lines} damaged lines of the manifest: what they held is done again."
            )
        return store

    def _count(self) -> None:
        """Tell the tally how many pictures there are, as far as that is known."""
        self._tally.total = len(self._tasks)
        self._tally.more = isinstance(self._tasks, Listing) and not self._tasks.complete

    def _take(self, event: Event, display: Display) -> None:
        self._count()
        if isinstance(event, Started):
            self._tally.take(event)
            display.show(event)
        elif self._truth is None:
            self._tell(event, {}, display)
        else:
            self._waiting.append((event, self._truth.submit(event)))
            self._tell_scored(display, waiting=MOST_WAITING)

    def _tell_scored(self, display: Display, *, waiting: int) -> None:
        """Tell of results in order once they are scored, until no more than `waiting` are left to be."""
        while self._waiting and (len(self._waiting) > waiting or self._waiting[0][1].done()):
            event, score = self._waiting[0]
            found = score.result()
            self._waiting.popleft()
            self._tell(event, self._truth.take(found) if self._truth is not None else {}, display)

    def _tell(self, event: Done | Failed | Skipped, scores: dict[str, Any], display: Display) -> None:
        if isinstance(event, Failed) and event.kind == TooLargeError.__name__:
            advice = "or, if you trust it, allow more with --max-megapixels."
            event = replace(event, reason=f"{event.reason.rstrip('.')}, {advice}")
        self._tally.take(event)
        display.show(event, words_of(scores))
        data = row(event) | scores
        if self._order.report is not None:
            self._rows.append(data)
        if self._order.json_lines:
            write_line(sys.stdout, data)

    def _end(self, display: Display, *, stopped: bool = False) -> None:
        self._count()
        display.passed_over(self._plan.found.passed_over, self._plan.found.unnamed)
        if self._tally.ended or not stopped:  # the error that stopped it says all there is to say
            display.end()
            if self._truth is not None:
                self._tell_truth(self._truth, display)
        summary = self._tally.row()
        if self._truth is not None:
            summary["scores"] = self._truth.summary()
        if self._order.json_lines:
            write_line(sys.stdout, summary)
        if self._order.report is not None:
            evaluation = self._truth.evaluation if self._truth is not None else None
            write_report(self._order.report, self._rows, summary, evaluation)

    def _tell_truth(self, truth: Truth, display: Display) -> None:
        for sentence in truth.sentences():
            display.note(sentence)
        for problem in truth.evaluation.problems:
            display.line(f"derain: {problem.text}")

    def _last_word(self) -> str:
        through = f"{self._tally.ended} of {self._tally.of()} pictures are through"
        how = "the command without --overwrite" if self._order.overwrite else "the same command"
        return f"interrupted: {through}; {how} goes on where this one stopped."

    # ---- the dry run

    def list_tasks(self, options: ModelOptions) -> bool:
        """Print what would be done and where to.

        The model is not loaded, so a change of what `auto` means for device and precision is not seen.
        """
        display = display_for(self._tally, quiet=self._quiet, verbose=self._verbose)
        store: FolderStore | RemoteStore | None = None
        settings = plain({**options.known_settings(), **self._plan.written()})
        if self._plan.remote:
            store = RemoteStore(settings, overwrite=self._order.overwrite)
        elif not self._order.to_stream:
            store = FolderStore(self._tasks, settings, overwrite=self._order.overwrite)
            store.look()
        for task in self._tasks:
            self._count()
            verdict = self._look(task, store)
            if isinstance(verdict, Decision):
                self._tally.planned += 1
                self._tally.again.update([verdict.again] if verdict.again else [])
                data = planned_row(task, verdict.again)
            else:
                self._tally.take(verdict)
                data = row(verdict)
            if self._order.report is not None:
                self._rows.append(data)
            if self._order.json_lines:
                write_line(sys.stdout, data)
            elif isinstance(verdict, Decision) and not self._quiet:
                again = f" (again: {verdict.again})" if verdict.again else ""
                print(printable(f"{task.name} -> {task.place}{again}"))
        self._end(display)
        return self._failed()

    def _look(self, task: Task, store: Store | None) -> Skipped | Failed | Decision:
        """Return why a task would not be done, or the decision to do it."""
        try:
            decision = store.decide(task) if store is not None else Decision()
        except (OutputError, OSError) as error:
            return Failed.because(task, error)
        return Skipped(task, decision.skip) if decision.skip else decision


def _sizes(tasks: Sequence[Task]) -> dict[str, int]:
    """Return the bytes of each input, 0 where that cannot be told yet."""
    sizes = {}
    for task in tasks:
        try:
            sizes[task.name] = 0 if task.source.path is None else task.source.path.stat().st_size
        except OSError:
            sizes[task.name] = 0  # reading it will say why
    return sizes
