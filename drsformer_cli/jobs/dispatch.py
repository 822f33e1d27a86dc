"""Who has which errand: hands them out, a few to a worker, and again when a worker is lost."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.hands import MOST_ERRANDS, Answer, Errand, Hands, Lost, Ready, Report, Unfit

MOST_ATTEMPTS = 3  # an errand is done again twice when its worker is lost
MOST_STILLBORN = 3  # workers in a row that die before they are ready
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 30  # without a worker that has begun, before that is told


class WorkerLostError(Exception):
    """Each worker that had the errand died. It is the errand's outcome, and never raised."""


@dataclass
class _Hand:
    slot: int
    ready: bool = False
    alone: bool = False  # it has an errand that a lost worker had, and no other beside it
    errands: dict[int, Errand] = field(default_factory=dict)


class Dispatcher:
    """The one scheduler for workers wherever they are.

    When a worker is lost, a new one takes its place and what it had is done again. One of its errands may
    have killed it, and nobody knows which; so each is done again alone, where the next death is its own.

    Args:
        hands: the workers.
        agree: is told the facts of each new worker, and raises SetupError for one unlike the others.
        forget: is told each errand whose worker is lost, to clear away what it left.
        most: errands that a worker has at a time.
    """

    def __init__(
        self,
        hands: Hands,
        *,
        agree: Callable[[Any], None],
        forget: Callable[[Any], None],
        most: int = MOST_ERRANDS,
    ) -> None:
        self._hands, self._most = hands, most
        self._agree = agree
        self._forget = forget
        self._crew: dict[int, _Hand] = {}
        self._again: deque[Errand] = deque()
        self._stillborn = 0
        self._unfit: Exception | None = None
        self._back: list[tuple[Any, Any]] = []

    def start(self, tell: Callable[[str], None]) -> None:
        """Hire all workers and wait for the first; tell, once, that it takes long.

        Raises SetupError when none can begin.
        """
        for slot in range(self._hands.count):
            self._hire(slot)
        told, begun = False, time.monotonic()
        while not self.ready:
            if not told and time.monotonic() - begun >= PATIENCE_SECONDS:
                why = f"no worker has begun after {PATIENCE_SECONDS} s: {self._hands.waiting}"
                tell(f"{why}; the work begins as soon as one has.")
                told = True
            self.wait()

    def _hire(self, slot: int) -> None:
        self._crew[self._hands.hire(slot)] = _Hand(slot)

    @property
    def busy(self) -> bool:
        """Tell whether any errand has been given and not come back."""
        return bool(self._again) or any(hand.errands for hand in self._crew.values())

    @property
    def ready(self) -> int:
        """Return how many workers have begun."""
        return sum(hand.ready for hand in self._crew.values())

    def in_flight(self) -> list[Errand]:
        """Return the errands that workers have now."""
        return [errand for hand in self._crew.values() for errand in hand.errands.values()]

    def has_room(self) -> bool:
        """Tell whether a worker is waiting for another errand."""
        return not self._again and self.next_worker() is not None

    def next_worker(self) -> int | None:
        """Return the worker that the next errand would go to, None if none has room."""
        return self._free(1 if self._crowd() else self._most)

    def _crowd(self) -> bool:
        """Tell whether some worker has nothing: then nobody is given a second errand before it."""
        return any(hand.ready and not hand.errands for hand in self._crew.values())

    def _free(self, most: int) -> int | None:
        """Return the worker with the fewest errands, if it has less than `most`."""
        counts = [
            (len(hand.errands), worker)
            for worker, hand in self._crew.items()
            if hand.ready and not hand.alone and len(hand.errands) < most
        ]
        return min(counts)[1] if counts else None

    def give(self, errand: Errand) -> None:
        """Hand out an errand, for which there is room."""
        worker = self._free(self._most)
        assert worker is not None
        self._send(worker, errand)

    def _send(self, worker: int, errand: Errand) -> None:
        self._crew[worker].errands[errand.number] = errand
        self._hands.send(worker, errand)

    def wait(self) -> list[tuple[Any, Any]]:
        """Wait a moment; return the errands that came back, each with its outcome.

        Raises SetupError when there is nobody left to do the work. What came back with that, `close` returns.
        """
        faults: list[Exception] = []
        for report in self._hands.poll(POLL_SECONDS):
            try:
                self._take(report)
            except Exception as error:  # raised below, when no report is left that could get lost
                faults.append(error)
        if faults:
            raise faults[0]
        while self._again and (worker := self._free(1)) is not None:
            self._crew[worker].alone = True
            self._send(worker, self._again.popleft())
        return self._returned()

    def _returned(self) -> list[tuple[Any, Any]]:
        back, self._back = self._back, []
        return back

    def _take(self, report: Report) -> None:
        hand = self._crew.get(report.worker)
        if hand is None:
            return  # it was given up already
        if isinstance(report, Ready):
            self._agree(report.facts)
            hand.ready, self._stillborn = True, 0
        elif isinstance(report, Answer):
            errand = hand.errands.pop(report.number, None)
            hand.alone = False
            if errand is not None:
                self._back.append((errand, report.outcome))
        elif isinstance(report, Unfit):
            del self._crew[report.worker]
            self._unfit = self._unfit or report.error
            if not self._crew:
                raise self._unfit
        else:
            self._lose(report)

    def _lose(self, lost: Lost) -> None:
        hand = self._crew.pop(lost.worker)
        self._stillborn += not hand.ready
        if self._stillborn >= MOST_STILLBORN:
            raise SetupError(f"the workers die while they start ({lost.reason}); see derain doctor.")
        for errand in hand.errands.values():
            self._forget(errand)
            if errand.attempt + 1 < MOST_ATTEMPTS:
                self._again.append(dataclasses.replace(errand, attempt=errand.attempt + 1))
            else:
                self._back.append((errand, WorkerLostError(lost.reason)))
        self._hire(hand.slot)

    def close(self) -> list[tuple[Any, Any]]:
        """End all workers; return what they had finished by then."""
        for report in self._hands.poll(0):
            if isinstance(report, Answer):
                self._take(report)
        left = self.in_flight()
        self._hands.close()
        for errand in left:
            self._forget(errand)
        self._crew.clear()
        self._again.clear()
        return self._returned()
