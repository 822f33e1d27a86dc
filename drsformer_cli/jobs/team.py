"""What workers of all kinds have in common: they are alike, and so are the words for what they did not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drsformer_cli.jobs.dispatch import Dispatcher, WorkerLostError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.hands import MOST_ERRANDS, Hands
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.worker import Facts, Refused

T = TypeVar("T", bound="Team")
#: Errands that came back, each with its outcome.
Returned = list[tuple[Any, Any]]


class Team:
    """Workers with the same model each, which have up to `most` errands at a time. A context manager."""

    def __init__(self, hands: Hands, *, most: int = MOST_ERRANDS) -> None:
        self._dispatcher = Dispatcher(
            hands, agree=self._agree, forget=lambda errand: errand.forget(), most=most
        )
        self._facts: Facts | None = None
        self._back: Returned = []

    def start(self, tell: Callable[[str], None] = lambda _: None) -> Facts:
        """Wait for the first worker, and tell if that takes long; return what its results rest on.

        Raises SetupError.
        """
        self._dispatcher.start(tell)
        return self.facts

    @property
    def facts(self) -> Facts:
        """Return what all results rest on, once the first worker has begun."""
        assert self._facts is not None
        return self._facts

    def _agree(self, facts: Facts) -> None:
        """Raise SetupError for a worker whose results would not be those of the others."""
        self._facts = self._facts or facts
        self._facts.check_alike(facts)

    @property
    def ready(self) -> int:
        """Return how many workers have begun."""
        return self._dispatcher.ready

    def idle(self) -> None:
        """Let workers begin that have not yet; what comes back is kept for `wait`. Raises SetupError."""
        self._back += self._dispatcher.wait()

    def wait(self) -> Returned:
        """Wait a moment; return the errands that came back, each with its outcome. Raises SetupError."""
        back, self._back = self._back, []
        return back or self._dispatcher.wait()

    def _end(self) -> Returned:
        """End all workers; return what they had finished by then."""
        back, self._back = self._back, []
        return back + self._dispatcher.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()


def failed(task: Task, outcome: Any, what: str = "it") -> Failed:
    """Put what came of an errand that was not done into words; `what` the workers took on."""
    if isinstance(outcome, Refused):
        return Failed(task, outcome.kind, outcome.reason, outcome.details)
    if isinstance(outcome, WorkerLostError):
        reason = f"each worker that took {what} on died ({outcome}); is there enough memory?"
        return Failed(task, "WorkerLostError", reason)
    return Failed.because(task, outcome)
