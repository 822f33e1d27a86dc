"""One run over the planned pictures: loads a model, feeds events to the display, the report and `--json`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from drsformer_cli.cli.progress import Display, display_for
from drsformer_cli.cli.report import planned_row, row, summary_row, write_line, write_report
from drsformer_cli.cli.tally import Tally
from drsformer_cli.cli.words import printable
from drsformer_cli.errors import OutputError
from drsformer_cli.jobs.events import Event, Failed, Skipped, Started
from drsformer_cli.jobs.manifest import plain
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import Pipeline
from drsformer_cli.jobs.store import FolderStore, Store, StreamStore

if TYPE_CHECKING:
    from drsformer_cli.cli.options import ModelOptions
    from drsformer_cli.cli.order import Order, Plan


class Session:
    """What one run needs besides the model; `restore` or `list_tasks` does it and tells if any failed."""

    def __init__(
        self,
        order: Order,
        plan: Plan,
        *,
        quiet: bool,
        verbose: bool,
    ) -> None:
        self._order = order
        self._plan = plan
        self._tasks = plan.tasks
        self._quiet = quiet
        self._verbose = verbose
        self._tally = Tally(len(plan.tasks), _sizes(plan.tasks), plan.left_out, plan.where)
        self._rows: list[dict[str, Any]] = []

    # ---- the work

    def restore(self, options: ModelOptions) -> bool:
        """Restore all and say how it went. Raises SetupError, and KeyboardInterrupt with a word."""
        display = display_for(self._tally, quiet=self._quiet, verbose=self._verbose)
        if not self._tasks:
            self._end(display)
            return False
        model = options.load()
        format, quality = self._plan.format, self._plan.quality
        settings = plain({**model.settings, **self._plan.written()})
        with ExitStack() as stack:
            store = self._open_store(stack, settings, display)
            if isinstance(store, FolderStore):
                model.go_on_as(store.earlier_plan())
            stack.push(lambda _kind, error, _trace: self._end(display, stopped=error is not None))
            stack.enter_context(display)
            pipeline = Pipeline(self._tasks, model, store, settings=settings, format=format, quality=quality)
            self._follow(stack.enter_context(pipeline), display)
        return bool(self._tally.failures)

    def _follow(self, pipeline: Pipeline, display: Display) -> None:
        try:
            for event in pipeline:
                self._take(event, display)
        except KeyboardInterrupt as stop:
            self._tally.interrupted = True
            for event in pipeline.close():
                self._take(event, display)
            raise type(stop)(self._last_word()) from None

    def _open_store(self, stack: ExitStack, settings: dict[str, Any], display: Display) -> Store:
        if self._order.to_stream:
            return StreamStore(sys.stdout.buffer)
        store = stack.enter_context(FolderStore(self._tasks, settings, overwrite=self._order.overwrite))
        if store.damaged_lines:
            display.note(
                f"{store.damaged_lines} damaged lines of the manifest: what they held is done again."
            )
        return store

    def _take(self, event: Event, display: Display) -> None:
        self._tally.take(event)
        display.show(event)
        if not isinstance(event, Started):
            data = row(event)
            if self._order.report is not None:
                self._rows.append(data)
            if self._order.json_lines:
                write_line(sys.stdout, data)

    def _end(self, display: Display, *, stopped: bool = False) -> None:
        if self._verbose:
            for path in self._plan.to_convert:
                display.note(f"{path}: left out; convert it to PNG, JPEG, WebP or TIFF first.")
        if self._tally.ended or not stopped:  # the error that stopped it says all there is to say
            display.end()
        if self._order.json_lines:
            write_line(sys.stdout, summary_row(self._tally))
        if self._order.report is not None:
            write_report(self._order.report, self._rows, summary_row(self._tally))

    def _last_word(self) -> str:
        through = f"{self._tally.ended} of {self._tally.total} pictures are through"
        how = "the command without --overwrite" if self._order.overwrite else "the same command"
        return f"interrupted: {through}; {how} goes on where this one stopped."

    # ---- the dry run

    def list_tasks(self, options: ModelOptions) -> bool:
        """Print what would be done and where to.

        The model is not loaded, so a change of what `auto` means for device and precision is not seen.
        """
        display = display_for(self._tally, quiet=self._quiet, verbose=self._verbose)
        store = None
        if not self._order.to_stream:
            settings = plain({**options.known_settings(), **self._plan.written()})
            store = FolderStore(self._tasks, settings, overwrite=self._order.overwrite)
            store.look()
        for task in self._tasks:
            verdict = self._look(task, store)
            if verdict is not None:
                self._tally.take(verdict)
                data = row(verdict)
            else:
                self._tally.planned += 1
                data = planned_row(task)
            self._rows.append(data)
            if self._order.json_lines:
                write_line(sys.stdout, data)
            elif verdict is None and not self._quiet:
                print(printable(f"{task.name} -> {task.place}"))
        self._end(display)
        return bool(self._tally.failures)

    def _look(self, task: Task, store: FolderStore | None) -> Skipped | Failed | None:
        """Return why a task would not be done, None if it would."""
        try:
            decision = store.decide(task) if store is not None else None
        except (OutputError, OSError) as error:
            return Failed.because(task, error)
        return Skipped(task, decision.skip) if decision is not None and decision.skip else None


def _sizes(tasks: list[Task]) -> dict[str, int]:
    """Return the bytes of each input, 0 where that cannot be told yet."""
    sizes = {}
    for task in tasks:
        try:
            sizes[task.name] = 0 if task.source.path is None else task.source.path.stat().st_size
        except OSError:
            sizes[task.name] = 0  # reading it will say why
    return sizes
