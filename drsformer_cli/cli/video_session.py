"""One run over films: loads a model, feeds what happens to the display and to `--json`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from drsformer_cli.cli.engine import open_films
from drsformer_cli.cli.report import full_name, planned_row, row, write_line
from drsformer_cli.cli.video_progress import FilmDisplay, display_for
from drsformer_cli.cli.video_tally import FilmTally
from drsformer_cli.cli.words import printable
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_batch import Films
from drsformer_cli.jobs.film_events import FilmDone, FilmEvent, SegmentDone
from drsformer_cli.jobs.film_naming import FilmTasks
from drsformer_cli.jobs.film_plan import FilmPlan, Wish
from drsformer_cli.jobs.naming import Task

if TYPE_CHECKING:
    from drsformer_cli.cli.options import ModelOptions
    from drsformer_cli.cli.work import Work


class FilmSession:
    """What one run over films needs besides the model; `restore` or `list_films` tells whether any failed."""

    def __init__(
        self,
        films: FilmTasks,
        wish: Wish,
        work: Work,
        *,
        overwrite: bool,
        quiet: bool,
        verbose: bool,
        json_lines: bool,
    ) -> None:
        self._films, self._wish, self._work, self._overwrite = films, wish, work, overwrite
        self._json_lines, self._quiet = json_lines, quiet
        self._tally = FilmTally(films.tasks, films.left_out)
        self._display: FilmDisplay = display_for(self._tally, quiet=quiet, verbose=verbose)

    def restore(self, options: ModelOptions) -> bool:
        """Restore all and say how it went.

        Raises SetupError, UsageError for a film named alone, and KeyboardInterrupt with a word.
        """
        if not self._films.tasks:
            self._end()
            return False
        try:
            with ExitStack() as stack:
                run = open_films(
                    stack,
                    options,
                    self._work,
                    self._films.tasks,
                    self._wish,
                    overwrite=self._overwrite,
                    tell=self._display.note,
                )
                stack.enter_context(self._display)
                for event in run:
                    self._take(event)
        except KeyboardInterrupt as stop:
            self._tally.interrupted = True
            raise type(stop)(self._last_word()) from None
        finally:
            if self._json_lines:
                write_line(sys.stdout, self._tally.row())
        self._tell_end()
        return bool(self._tally.failures)

    def _take(self, event: FilmEvent) -> None:
        self._tally.take(event)
        self._display.show(event)
        if self._json_lines:
            data = self._row(event)
            if data is not None:
                write_line(sys.stdout, data)

    def _row(self, event: FilmEvent) -> dict[str, Any] | None:
        if isinstance(event, FilmDone):
            height, width = event.plan.film.upright
            return {
                "status": "done",
                "input": full_name(event.plan.task),
                "output": str(event.plan.task.path),
                "width": width,
                "height": height,
                "frames": event.sums.pictures,
                "repeated": event.sums.repeated,
                "lost": event.sums.lost,
                "seconds": round(event.seconds, 3),
                "fps": round(event.fresh / event.seconds, 4) if event.seconds else 0.0,
                "notes": event.record.notes,
                "plan": event.record.plan,
            }
        if isinstance(event, SegmentDone) and (plan := event.plan) is not None:
            return {
                "status": "progress",
                "input": full_name(plan.task),
                "frames": event.pictures,
                "of": plan.frames,
                "fps": round(self._tally.speed(), 4),
            }
        return row(event) if isinstance(event, (Skipped, Failed)) else None

    def _end(self) -> None:
        if self._json_lines:
            write_line(sys.stdout, self._tally.row())
        self._tell_end()

    def _tell_end(self) -> None:
        self._display.passed_over(self._films.passed_over, self._films.unnamed)
        self._display.end()

    def _last_word(self) -> str:
        tally = self._tally
        through = f"{tally.ended} of {tally.total} films are through"
        film = tally.current
        if len(tally.in_work) > 1:
            done = sum(one.safe for one in tally.in_work)
            through += f", and {done} pictures of {len(tally.in_work)} others are kept"
            return f"interrupted: {through}; the same command goes on there."
        if film is not None and film.plan.as_picture:
            name = film.plan.task.name
            return f"interrupted: {through}; a GIF is done in one piece, so {name} is begun anew next time."
        if film is not None:
            through = f"{film.safe} of {film.plan.frames or 'the'} pictures of {film.plan.task.name} are kept"
            if film.now > film.safe:
                segment = f"they are kept in segments of {film.plan.segment}"
                through += f", the last {film.now - film.safe} are done again ({segment})"
            if not film.safe:
                return f"interrupted: {through}; the same command begins this film anew."
        return f"interrupted: {through}; the same command goes on there."

    # ---- the dry run

    def list_films(self, options: ModelOptions) -> bool:
        """Print what would be done with each film, what would be kept, converted and dropped."""
        settings, overwrite = options.known_settings(), self._overwrite
        batch = Films(self._films.tasks, settings, self._wish, overwrite=overwrite)
        for task in self._films.tasks:
            try:
                plan, decision = batch.look(task)
            except Exception as error:
                self._take(batch.failed(task, error))
                continue
            if decision.skip is not None:
                self._take(Skipped(task, decision.skip))
                continue
            self._tally.planned += 1
            self._list(task, plan)
        self._end()
        return bool(self._tally.failures)

    def _list(self, task: Task, plan: FilmPlan) -> None:
        if self._json_lines:
            own = {
                "frames": plan.frames,
                "codec": plan.encoding.codec,
                "pixels": plan.encoding.pixels,
                "words": plan.words(),
                "notes": plan.notes,
            }
            write_line(sys.stdout, planned_row(task) | own)
        elif not self._quiet:
            print(printable(f"{task.name} -> {task.place}"))
            for line in plan.words():
                print(printable(f"  {line}"))
