"""The loop over pictures for workers: decides, hands out, gives results their names, keeps the manifest.

Only the caller knows what is done and what is left. A worker leaves a finished file under a hidden name; the
caller writes the intent, gives the file its name, and records it, as many at once as there are.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from drsformer_cli import machine
from drsformer_cli.errors import SetupError
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.hands import Hands
from drsformer_cli.jobs.naming import Task, absolute
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.jobs.resume import Decision, input_path
from drsformer_cli.jobs.store import Publisher, Staged
from drsformer_cli.jobs.team import Returned, Team, failed
from drsformer_cli.jobs.worker import Facts, Finished, PictureErrand
from drsformer_cli.media.files import partial_name


class Crew(Team):
    """Workers that restore pictures: `start`, then iterate over what `over` returns. A context manager.

    Events come in the order in which pictures are finished, which is not that of the tasks.
    """

    def __init__(self, hands: Hands) -> None:
        super().__init__(hands)
        self._limit: int | None = None
        self._given: dict[int, tuple[Task, Decision]] = {}
        self._tasks: Iterable[Task] = ()
        self._settings: dict[str, Any] = {}
        self._store: Publisher | None = None
        self._events: deque[Event] = deque()
        self._fault: SetupError | None = None

    def start(self, tell: Callable[[str], None] = lambda _: None) -> Facts:
        """Wait for the first worker, and tell if that takes long; return what its results rest on.

        Raises SetupError.
        """
        facts = super().start(tell)
        self._limit = facts.limit
        return facts

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Rest all plans on the memory limit of an earlier one, or on the first worker's if that is less."""
        self._limit = machine.limit_after(plan, self.facts.limit)

    def over(self, tasks: Iterable[Task], store: Publisher, settings: Mapping[str, Any]) -> Crew:
        """Name the work; return self, to be iterated."""
        self._tasks, self._store, self._settings = tasks, store, dict(settings)
        return self

    def __iter__(self) -> Iterator[Event]:
        """Do tasks and yield what happens. Raises SetupError after all events of finished pictures."""
        waiting = enumerate(self._tasks)
        more = True
        try:
            while more or self._dispatcher.busy:
                while more and self._dispatcher.has_room():
                    number, task = next(waiting, (-1, None))
                    if task is None:
                        more = False
                    else:
                        yield self._hand_out(number, task)
                self._finish(self.wait())
                while self._events:
                    yield self._events.popleft()
                if self._fault is not None:
                    raise self._fault
            yield from self.close()
        except SetupError:
            yield from self.close()
            raise

    def _hand_out(self, number: int, task: Task) -> Event:
        assert self._store is not None
        try:
            decision = self._store.decide(task)
            if decision.skip is not None:
                return Skipped(task, decision.skip)
            errand = self._errand(number, task, decision)
        except SetupError:
            raise
        except Exception as error:  # a picture that cannot be looked at must not stop the others
            return Failed.because(task, error)
        self._given[number] = task, decision
        self._dispatcher.give(errand)
        return Started(task)

    def _errand(self, number: int, task: Task, decision: Decision) -> PictureErrand:
        url = task.url
        return PictureErrand(
            number,
            path=task.source.url or absolute(task.source.path or "").as_posix(),
            is_url=task.source.url is not None,
            name=task.name,
            folder="" if url else str(task.path.parent),
            temporary="" if url else partial_name(secrets.token_hex(8)),
            limit=self._limit,
            url=url,
            replace=decision.replace,
            settings=self._settings if url else {},
        )

    def _finish(self, returned: Returned) -> None:
        """Give results their names, and keep the events. Raises StorageError."""
        staged: list[Staged] = []
        finished: list[tuple[Finished, Decision]] = []
        for errand, outcome in returned:
            task, decision = self._given.pop(errand.number)
            if isinstance(outcome, Finished):
                finished.append((outcome, decision))
                record = self._record(task, outcome)
                staged.append(Staged(task, errand.place, record, decision.replace))
            elif isinstance(outcome, SetupError):
                self._fault = self._fault or outcome
            else:
                self._events.append(failed(task, outcome))
        if not staged:
            return
        assert self._store is not None
        records = self._store.publish(staged)
        for each, (done, decision), record_or_error in zip(staged, finished, records, strict=True):
            if isinstance(record_or_error, Record):
                self._events.append(Done(each.task, record_or_error, done.sizes, decision.again))
            else:
                self._events.append(Failed.because(each.task, record_or_error))

    def _record(self, task: Task, done: Finished) -> Record:
        return Record(
            output=task.output.as_posix(),
            input=Input(input_path(task), done.read_bytes, done.read_mtime_ns, done.read_sha256),
            result=Result(done.bytes, 0, done.sha256),
            settings=self._settings,
            plan=done.plan,
            seconds=done.seconds,
            notes=done.notes,
        )

    def close(self) -> list[Event]:
        """End all workers, name what they had finished, and return the events that were not yielded."""
        self._finish(self._end())
        self._given.clear()
        events = list(self._events)
        self._events.clear()
        return events

    def __exit__(self, *error: object) -> None:
        self.close()
