"""Workers that make segments, seen from the caller: as a model for each film, and as hands for errands."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.dispatch import Dispatcher, WorkerLostError
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.film_worker import SizeErrand
from drsformer_cli.jobs.hands import Errand, Hands
from drsformer_cli.jobs.worker import Facts, FileErrand
from drsformer_cli.media.files import partial_name

#: Errands that a film's worker has at a time: one with the model, one that is read up to where it begins.
DEPTH = 2
Returned = list[tuple[Any, Any]]


class FilmCrew:
    """Workers that make segments. A context manager."""

    def __init__(self, hands: Hands) -> None:
        self._dispatcher = Dispatcher(hands, agree=self._agree, forget=_forget, depth=DEPTH)
        self._facts: Facts | None = None
        self._numbers = itertools.count()
        self._plans: dict[tuple[tuple[int, int], int | None], dict[str, Any]] = {}
        self._back: Returned = []

    def start(self, tell: Callable[[str], None] = lambda _: None) -> FilmCrew:
        """Wait for the first worker, and tell if that takes long. Raises SetupError."""
        self._dispatcher.start(tell)
        return self

    @property
    def ready(self) -> int:
        """Return how many workers have begun."""
        return self._dispatcher.ready

    def idle(self) -> None:
        """Let workers begin that have not yet. Raises SetupError."""
        self._back += self._dispatcher.wait()

    def _agree(self, facts: Facts) -> None:
        self._facts = self._facts or facts
        self._facts.check_alike(facts)

    # ---- as a model

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of all workers' models."""
        assert self._facts is not None
        return self._facts.settings

    @property
    def limit(self) -> int:
        """Return the memory in bytes that plans rest on: the first worker's."""
        assert self._facts is not None
        return self._facts.limit

    def describe(self, size: tuple[int, int], limit: int, held: Held) -> dict[str, Any]:
        """Return how pictures of (height, width) pixels are done within a limit, as a worker says.

        What comes back meanwhile is kept for `wait`; signals that `held` holds back are raised between two
        waits, when nothing can get lost. Raises SetupError.
        """
        key = size, limit
        if key not in self._plans:
            while not self._dispatcher.has_room():
                held.check()
                self.idle()
            errand = SizeErrand(next(self._numbers), size=size, limit=limit)
            self._dispatcher.give(errand)
            while key not in self._plans:
                held.check()
                for done, outcome in self._dispatcher.wait():
                    if done.number != errand.number:
                        self._back.append((done, outcome))
                    elif isinstance(outcome, WorkerLostError):
                        raise SetupError(f"the workers die ({outcome}); see derain doctor.")
                    elif isinstance(outcome, Exception):
                        raise outcome
                    else:
                        self._plans[key] = outcome
        return self._plans[key]

    # ---- as hands

    def has_room(self) -> bool:
        """Tell whether a worker is waiting for another errand."""
        return self._dispatcher.has_room()

    def next_worker(self) -> int | None:
        """Return the worker that the next errand would go to."""
        return self._dispatcher.next_worker()

    def keywords(self) -> dict[str, Any]:
        """Return what all errands for a file have: a number, a hidden name, the memory limit."""
        name = partial_name(secrets.token_hex(8))
        return {"number": next(self._numbers), "temporary": name, "limit": self.limit}

    def give(self, errand: Errand) -> None:
        """Hand out an errand, for which there is room."""
        self._dispatcher.give(errand)

    def wait(self) -> Returned:
        """Wait a moment; return the errands that came back, each with its outcome. Raises SetupError."""
        back, self._back = self._back, []
        return back or self._dispatcher.wait()

    def close(self) -> Returned:
        """End all workers; return what they had finished by then."""
        back, self._back = self._back, []
        return back + self._dispatcher.close()

    def __enter__(self) -> FilmCrew:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class FilmTerms:
    """The crew as the model of one film, which may rest on another memory limit than the films beside it."""

    def __init__(self, crew: FilmCrew, held: Held) -> None:
        self._crew, self._held, self._limit = crew, held, crew.limit

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of all workers' models."""
        return self._crew.settings

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Rest the film on the memory limit of an earlier plan, or on the first worker's if that is less."""
        limit = plan.get("limit")
        if isinstance(limit, int) and limit > 0:
            self._limit = min(limit, self._crew.limit)

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Return how pictures of this size are done, as a worker says. Raises SetupError."""
        with self._held.covered():
            return self._crew.describe((height, width), self._limit, self._held)


def _forget(errand: Errand) -> None:
    if isinstance(errand, FileErrand):
        errand.forget()
