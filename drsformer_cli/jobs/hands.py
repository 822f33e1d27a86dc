"""What workers are to whoever hands out the work, wherever they live: on this machine or on many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

#: Errands a worker has at a time: one that it reads, one that its model works on, one that it writes.
MOST_ERRANDS = 3


@dataclass(frozen=True)
class Errand:
    """A piece of work on its way; kinds of work add what they need. `attempt` counts from 0."""

    number: int
    attempt: int = 0

    def forget(self) -> None:
        """Clear away what may have been written in vain, where the kind of work writes anything."""


class Worker(Protocol):
    """Does errands, up to `MOST_ERRANDS` at once from as many threads."""

    @property
    def facts(self) -> Any:
        """Return what it says of itself at first: what decides its results."""

    def do(self, errand: Any, /) -> Any:
        """Do one errand, and return what became of it. A SetupError it raises ends the run."""


class Recipe(Protocol):
    """What a worker is made of, where it will live; it can be pickled."""

    def make(self) -> Worker:
        """Load what is to be loaded. Raises SetupError."""


@dataclass(frozen=True)
class Ready:
    """A worker has begun its life."""

    worker: int
    facts: Any


@dataclass(frozen=True)
class Unfit:
    """A worker could not begin."""

    worker: int
    error: Exception


@dataclass(frozen=True)
class Answer:
    """A worker has done an errand; `outcome` is an exception where that ends the run."""

    worker: int
    number: int
    outcome: Any


@dataclass(frozen=True)
class Lost:
    """A worker is dead, in words."""

    worker: int
    reason: str


Report = Ready | Unfit | Answer | Lost


class Hands(Protocol):
    """Workers of one kind of place. None of this waits, but `poll`."""

    @property
    def count(self) -> int:
        """Return how many workers there are to be."""

    @property
    def waiting(self) -> str:
        """Return what workers that have not begun for long may be at, in words."""

    def hire(self, slot: int, /) -> int:
        """Begin a worker for a place from 0 to `count` - 1; return a number that no other has had."""

    def send(self, worker: int, errand: Errand, /) -> None:
        """Give a worker an errand. If it is dead, `poll` tells."""

    def poll(self, seconds: float, /) -> list[Report]:
        """Return what has happened, as soon as anything has, or when the time is over."""

    def close(self) -> None:
        """End all workers at once, whatever they do."""
