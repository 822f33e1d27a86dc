"""Workers that make segments, seen from the caller: as a model for each film, and as hands for errands."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping
from typing import Any

from drsformer_cli import machine
from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.dispatch import WorkerLostError
from drsformer_cli.jobs.film_signals import Held
from drsformer_cli.jobs.film_worker import SizeErrand
from drsformer_cli.jobs.hands import Errand, Hands
from drsformer_cli.jobs.team import Returned, Team
from drsformer_cli.media.files import partial_name

#: Errands that a film's worker has at a time: one with the model, one that is read up to where it begins.
MOST_SEGMENTS = 2


class FilmCrew(Team):
    """Workers that make segments."""

    def __init__(self, hands: Hands) -> None:
        super().__init__(hands, most=MOST_SEGMENTS)
        self._numbers = itertools.count()
        self._plans: dict[tuple[tuple[int, int], int | None], dict[str, Any]] = {}

    # ---- as a model

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of all workers' models."""
        return self.facts.settings

    @property
    def limit(self) -> int:
        """Return the memory in bytes that plans rest on: the first worker's."""
        return self.facts.limit

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
                returned = self._dispatcher.wait()
                self._back += [each for each in returned if each[0].number != errand.number]
                for outcome in (each[1] for each in returned if each[0].number == errand.number):
                    if isinstance(outcome, WorkerLostError):
                        raise SetupError(f"the workers die ({outcome}); see derain doctor.")
                    if isinstance(outcome, Exception):
                        raise outcome
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

    def end(self) -> Returned:
        """End all workers; return what they had finished by then."""
        return self._end()


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
        self._limit = machine.limit_after(plan, self._crew.limit)

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Return how pictures of this size are done, as a worker says. Raises SetupError."""
        with self._held.covered():
            return self._crew.describe((height, width), self._limit, self._held)
