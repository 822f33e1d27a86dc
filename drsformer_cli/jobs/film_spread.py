"""Films by workers: the segments of one film are made by many at once, and the next film begins meanwhile.

Only the caller knows what is done and what is left. A worker leaves a finished segment under a hidden name;
the caller gives it its name, enters it in the film's work, and compares what comes before it with the segment
that does, so that all fit together whoever made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.events import Skipped
from drsformer_cli.jobs.film_allot import AllottedFilm
from drsformer_cli.jobs.film_batch import Films
from drsformer_cli.jobs.film_crew import FilmCrew, FilmTerms
from drsformer_cli.jobs.film_events import FilmEvent
from drsformer_cli.jobs.film_job import FilmJob
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.team import Returned


class FilmSpread(Films):
    """Restores films with a crew; iterating over it runs it and yields events, those of several films mixed.

    A film that fails is an event, when what is in work of it has come back. Raises SetupError, and
    KeyboardInterrupt, which leave finished segments behind for the next run.
    """

    def __init__(self, tasks: Sequence[Task], crew: FilmCrew, wish: Wish, *, overwrite: bool = False) -> None:
        super().__init__(tasks, crew.settings, wish, overwrite=overwrite)
        self._crew = crew
        self._films: list[AllottedFilm] = []
        self._given: dict[int, AllottedFilm] = {}
        self._waiting = list(reversed(tasks))
        self._held = Held()

    def __iter__(self) -> Iterator[FilmEvent]:
        """Run."""
        with self._held:
            try:
                while self._waiting or self._films:
                    self._held.check()
                    yield from self._hand_out()
                    for film in [one for one in self._films if one.over]:
                        yield from self._end(film)
                    yield from self._receive(self._crew.wait())
            except (Exception, KeyboardInterrupt):
                yield from self._receive(self._crew.end(), anyway=True)  # what is finished is kept
                raise
            finally:
                self._held.close()
                self._crew.end()
                for film in self._films:
                    film.close()

    def _hand_out(self) -> Iterator[FilmEvent]:
        """Give errands as long as there is room, those of the next film when this one has no more."""
        while self._crew.has_room():
            self._held.check()
            film = next((one for one in self._films if one.wants()), None)
            if film is not None:
                errand = film.next_errand(self._crew)
                self._given[errand.number] = film
                self._crew.give(errand)
            elif self._waiting:
                yield from self._open(self._waiting.pop())
            else:
                return

    def _open(self, task: Task) -> Iterator[FilmEvent]:
        """Take up a film. What keeps it from being done is an event, unless that ends the run."""
        with ExitStack() as stack:
            try:
                with self._held.exposed():
                    event = self._begun(task, stack)
            except SetupError:
                raise
            except Exception as error:
                event = self.failed(task, error)
        yield event

    def _begun(self, task: Task, stack: ExitStack) -> FilmEvent:
        plan, decision = self.look(task)
        if decision.skip is not None:
            self.sweep(plan)
            return Skipped(task, decision.skip)
        terms = FilmTerms(self._crew, self._held)
        job = FilmJob(plan, terms, replace=decision.replace, anew=self._overwrite)
        stack.enter_context(job)
        film = AllottedFilm(job)
        started = film.begin()
        film.stack = stack.pop_all()
        self._films.append(film)
        return started

    def _receive(self, returned: Returned, *, anyway: bool = False) -> Iterator[FilmEvent]:
        """Keep what has come back. Raises SetupError when all is kept, unless something else is raised."""
        fault: SetupError | None = None
        for errand, outcome in returned:
            film = self._given.pop(errand.number, None)
            if film is None:
                continue
            try:
                yield from film.take(errand, outcome)
            except SetupError as error:
                fault = fault or error
            except Exception as error:  # this film's misfortune must not stop the others
                film.fail(error)
        if fault is not None and not anyway:
            raise fault

    def _end(self, film: AllottedFilm) -> Iterator[FilmEvent]:
        """Put a film together."""
        events = film.finish()
        try:
            while film.failure is None:
                with self._held.exposed():
                    event = next(events, None)
                if event is None:
                    break
                yield event
        except SetupError:
            raise
        except Exception as error:  # this film's misfortune must not stop the others
            film.fail(error)
        film.close()
        self._films.remove(film)
        if film.failure is not None:
            yield film.failure
