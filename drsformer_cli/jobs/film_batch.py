"""One film after the other: what is done already, what is to do, and what came of it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from numpy.typing import NDArray

from drsformer_cli.errors import OutputError, SetupError, UsageError
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film import FilmLoop, FilmModel
from drsformer_cli.jobs.film_events import (
    FilmAssembling,
    FilmDone,
    FilmEvent,
    FilmStarted,
    Progress,
    SegmentDone,
)
from drsformer_cli.jobs.film_finish import Sums, deliver
from drsformer_cli.jobs.film_job import FilmJob
from drsformer_cli.jobs.film_plan import FilmPlan, Wish, plan_film
from drsformer_cli.jobs.film_record import differences, without_memory
from drsformer_cli.jobs.film_work import sweep_work
from drsformer_cli.jobs.manifest import Manifest
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.pipeline import restore_each
from drsformer_cli.jobs.record import Record, plain
from drsformer_cli.jobs.resume import Decision, decide, file_ids
from drsformer_cli.media.files import write_atomically
from drsformer_cli.media.video_frames import RUN_UP, ChangedError, Ending, Known, Shot, shots


class Films:
    """Films to be restored, whoever does it.

    Args:
        tasks: the films.
        settings: of the model, as far as they are known: what decides the bytes besides the films.
        wish: what is asked of the encoding.
        overwrite: whether all is done anew, and results in their places are replaced.
    """

    def __init__(
        self, tasks: Sequence[Task], settings: Mapping[str, Any], wish: Wish, *, overwrite: bool = False
    ) -> None:
        self._tasks, self._settings, self._wish, self._overwrite = tasks, settings, wish, overwrite
        self._inputs = file_ids(tasks)

    def failed(self, task: Task, error: Exception) -> Failed:
        """Put what keeps a film from being done into words, so that it does not stop the others.

        Raises the error where it is wrong usage for the one film that was named: that ends the run.
        """
        if isinstance(error, UsageError) and len(self._tasks) == 1 and self._tasks[0].source.named:
            raise error
        return Failed.because(task, error)

    def look(self, task: Task) -> tuple[FilmPlan, Decision]:
        """Return what would be done with a film, and whether. Raises what keeps it from being done."""
        plan = plan_film(task, self._wish)
        settings = plain(plan.settings(self._settings))
        manifest = Manifest.load(task.folder)
        record = manifest.record(task.output.as_posix())
        if record is not None and _done_whole(record):
            settings = without_memory(settings)
        decision = decide(task, manifest, settings, overwrite=self._overwrite, inputs=self._inputs)
        if decision.skip is None:
            if record is not None and not self._overwrite and task.path.exists():
                _refuse_other_settings(task, record, settings)
            _refuse_locked_folder(task)
        return plan, decision

    def sweep(self, plan: FilmPlan) -> None:
        """Remove what a run left that was killed when the film stood complete already."""
        sweep_work(plan.task.path, plain(plan.settings(self._settings)))


class FilmBatch(Films):
    """Restores films with one model; iterating over it runs it and yields its events.

    A film that fails is an event, and the rest go on.

    Raises SetupError, and KeyboardInterrupt, which leave finished segments behind for the next run.
    """

    def __init__(
        self, tasks: Sequence[Task], model: FilmModel, wish: Wish, *, overwrite: bool = False
    ) -> None:
        super().__init__(tasks, model.settings, wish, overwrite=overwrite)
        self._model = model

    def __iter__(self) -> Iterator[FilmEvent]:
        """Run."""
        for task in self._tasks:
            try:
                yield from self._film(task)
            except SetupError:
                raise
            except Exception as error:
                yield self.failed(task, error)

    def _film(self, task: Task) -> Iterator[FilmEvent]:
        plan, decision = self.look(task)
        if decision.skip is not None:
            self.sweep(plan)
            yield Skipped(task, decision.skip)
            return
        with FilmJob(plan, self._model, replace=decision.replace, anew=self._overwrite) as job:
            if plan.as_picture:
                yield from self._animation(job)
                return
            while True:
                try:
                    yield job.begin()
                    yield from self._restore(job)
                    yield from job.finish()
                    return
                except ChangedError:
                    job.start_over()

    def _restore(self, job: FilmJob) -> Iterator[FilmEvent]:
        """Restore all pictures that are missing, from one gap to the next."""
        plan, work = job.plan, job.work
        while not work.complete:
            ending, ahead = Ending(), min(work.ahead, default=None)
            until = None if ahead is None else ahead * plan.segment
            pictures = missing(plan, work.known(RUN_UP), work.count, until, ending)
            done, fresh = work.done, job.fresh
            with FilmLoop(plan, self._model, pictures, job, plan.segment) as loop:
                for step in loop:  # which knows of one gap only
                    if isinstance(step, Progress):
                        yield Progress(done + step.fresh, fresh + step.fresh, plan)
                    else:
                        yield SegmentDone(work.done, plan)
            work.settle()
            if ending.count is not None:
                job.close(ending)

    def _animation(self, job: FilmJob) -> Iterator[FilmEvent]:
        """Restore a GIF at once, as the picture file it is: delays, loop and transparency are its own."""
        from drsformer_cli.media.images import decode, encode

        plan, clock = job.plan, time.perf_counter()
        yield FilmStarted(plan, 0, ())
        data = plan.film.path.read_bytes()
        content = hashlib.sha256(data).hexdigest()
        picture = decode(data, plan.task.name)
        clean: list[NDArray[Any]] = []
        ways: list[dict[str, Any]] = []
        repeated, model_seconds = 0, 0.0
        each = restore_each(self._model, picture)
        while True:
            start = time.perf_counter()
            restored, way = next(each, (None, None))
            model_seconds += time.perf_counter() - start
            if restored is None:
                break
            clean.append(restored)
            repeated += way is None
            ways += [way] if way is not None and way not in ways else []
            yield Progress(len(clean), len(clean), plan)
        yield FilmAssembling(plan)
        finished = job.work.folder / "film.gif"
        write_atomically(finished, encode(picture, clean), replace=True)
        model_seconds = round(model_seconds, 4)
        record = deliver(
            plan,
            finished,
            settings=job.settings,
            how=ways,
            seconds=model_seconds,
            notes=picture.notes,
            replace=job.replace,
            content=content,
        )
        sums = Sums(len(clean), 0, 0, 0, repeated, model_seconds)
        yield FilmDone(plan, record, sums, len(clean), time.perf_counter() - clock)


def missing(
    plan: FilmPlan, known: Sequence[Known], count: int, until: int | None, ending: Ending
) -> Generator[Shot, None, None]:
    """Yield the pictures of a film from number `count` on, before number `until`; see `shots`."""
    cut = plan.cut
    found = shots(
        plan.film, plan.pixels, start=cut.start, end=cut.end, known=known, count=count, ending=ending
    )
    with closing(found):
        for shot in found:
            yield shot
            if shot.index + 1 == until:
                return


def _done_whole(record: Record) -> bool:
    """Tell whether each picture of a result was done whole, so that memory decided nothing."""
    ways = record.plan if isinstance(record.plan, list) else [record.plan]
    return bool(ways) and all(isinstance(way, dict) and way.get("whole") is True for way in ways)


def _refuse_other_settings(task: Task, record: Record, settings: Mapping[str, Any]) -> None:
    """Raise OutputError where a film of other settings stands finished: it may be the work of days."""
    recorded = {name: value for name, value in record.settings.items() if name in settings}
    names = differences(recorded, settings)
    if names:
        raise OutputError(
            f"{task.path} stands finished with other settings ({', '.join(names)}): choose another -o, or "
            "--overwrite replaces it."
        )


def _refuse_locked_folder(task: Task) -> None:
    """Raise OutputError where a result cannot be written, before any work is done."""
    folder = task.path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        what = "does not let you write" if folder.is_dir() else "is no folder"
        raise OutputError(f"{task.path} cannot be written: {folder} {what}. Choose another -o.")
