"""Threads that are waited for, also when a signal comes amid the waiting."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from drsformer_cli.jobs.side_thread import SideThread


def test_its_end_is_waited_for() -> None:
    go, done = threading.Event(), []
    thread = SideThread(lambda: (go.wait(), done.append(True), None)[-1])
    assert thread.wait()  # it was never begun
    thread.start()
    assert not thread.wait(0.05)
    go.set()
    assert thread.wait()
    assert done == [True]
    assert thread not in threading.enumerate()


def test_one_that_dies_of_an_error_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _told: None)

    def fail() -> None:
        raise ValueError

    thread = SideThread(fail)
    thread.start()
    assert thread.wait(10)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers that send signals are of POSIX")
@pytest.mark.parametrize("seconds", [None, 60.0])
def test_an_interrupt_amid_the_waiting_does_not_end_it(seconds: float | None) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    go, done = threading.Event(), []

    def work() -> None:
        go.wait()
        time.sleep(0.2)
        done.append(True)

    thread = SideThread(work)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        thread.start()
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            thread.wait(seconds)
        go.set()
        assert thread.wait(seconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert done == [True]
