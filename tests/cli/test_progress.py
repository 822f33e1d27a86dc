"""What a person sees: every line safe for a terminal, the sums right, times readable."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from drsformer_cli.cli.progress import Display, LiveDisplay, PlainDisplay, ways
from drsformer_cli.cli.tally import Tally
from drsformer_cli.cli.words import duration, number, printable
from drsformer_cli.jobs.events import Done, Event, Failed, Skipped, Started
from drsformer_cli.jobs.naming import Task
from drsformer_cli.jobs.record import Input, Record, Result
from drsformer_cli.media.discover import MOST_NAMED, Source


def task(name: str) -> Task:
    return Task(Source(Path(name), PurePath(name), Path(), False), Path("/out"), PurePath(name))


PLAN = {"tile": [1000, 2000], "whole": True, "precision": "fp32"}


def done(name: str, notes: list[str] | None = None) -> Done:
    record = Record(name, Input(name, 1, 1, ""), Result(1, 1, ""), {}, PLAN, 0.5, notes or [])
    return Done(task(name), record, ((1000, 2000),))


def show(display: Display, *events: Event) -> str:
    with display:
        for event in events:
            display.tally.take(event)
            display.show(event)
    display.end()
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue()


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, highlight=False, markup=False)


EVENTS = (
    Started(task("a.png")),
    done("a.png", ["gain map dropped"]),
    Skipped(task("b.png"), "done before"),
    Started(task("[bold]c.png")),
    Failed(task("[bold]c.png"), "ValueError", "unexpected ValueError: no\x07", "Traceback\n  [red]line"),
)


def test_plain_lines() -> None:
    shown = show(PlainDisplay(console(), Tally(3, {}, Counter(hidden=2))), *EVENTS)
    assert shown.splitlines()[:3] == [
        f"[1/3] a.png -> {Path('/out/a.png')} (2.00 MP, 0.5 s, whole, fp32)",
        "  a.png: gain map dropped",
        "[3/3] failed: [bold]c.png: unexpected ValueError: no\\x07.",
    ]
    assert shown.splitlines()[3].startswith(
        "1 restored, 1 done before, 1 failed, 2 left out (2 hidden); 2.00 meg"
    )
    assert len(shown.splitlines()) == 4


def test_the_ways_of_frames_are_told_once_each() -> None:
    tiled = {"tile": [64, 80], "whole": False, "precision": "fp32"}
    assert ways([PLAN, tiled]) == ["whole", "fp32", "in tiles of 80 x 64"]
    assert ways({}) == []


def test_failures_far_above_are_told_again() -> None:
    failure = Failed(task("a.png"), "UnreadableError", "a.png is damaged.")
    near = show(PlainDisplay(console(), Tally(5)), failure, *(done(f"{n}.png") for n in range(4)))
    assert near.count("a.png is damaged.") == 1
    far = show(PlainDisplay(console(), Tally(9)), failure, *(done(f"{n}.png") for n in range(8)))
    assert far.splitlines()[0] == "[1/9] failed: a.png is damaged."
    assert far.splitlines()[-1] == "derain: a.png is damaged."


def test_the_end_says_where_the_results_are() -> None:
    tally = Tally(2, where="out/")
    tally.take(done("a.png"))
    assert tally.sentence().startswith("1 restored into out/; 2.00 megapixels")
    tally = Tally(1, where="out/")
    tally.take(Skipped(task("a.png"), "done before"))
    assert tally.sentence() == "0 restored, 1 done before in out/."


def test_the_end_says_what_was_made_again() -> None:
    tally = Tally(2)
    tally.take(replace(done("a.png"), again="strength 1 -> 0.5"))
    tally.take(done("b.png"))
    assert tally.sentence().startswith("2 restored, 1 of them again (strength 1 -> 0.5); ")


def test_more_is_said_when_asked() -> None:
    shown = show(PlainDisplay(console(), Tally(3), verbose=True), *EVENTS)
    assert "  a.png: tile [1000, 2000], whole True, precision fp32" in shown
    assert "[2/3] b.png: done before" in shown
    assert "  Traceback\n    [red]line\n" in shown
    assert shown.count("Traceback") == 1


def test_quiet_says_why_pictures_failed_and_no_more() -> None:
    shown = show(Display(console(), Tally(3)), *EVENTS)
    assert shown == "derain: [bold]c.png: unexpected ValueError: no\\x07.\n"


def test_the_live_line_leaves_the_essentials() -> None:
    shown = show(LiveDisplay(console(terminal=True), Tally(3, {"a.png": 10, "b.png": 10})), *EVENTS)
    assert "gain map dropped" in shown
    assert "1 restored, 1 done before, 1 failed" in shown
    assert "[bold]c.png" in shown
    assert "\x07" not in shown


def test_long_names_are_not_wrapped() -> None:
    name = "long" * 60 + ".png"
    shown = show(PlainDisplay(console(), Tally(1)), done(name))
    assert any(name in line for line in shown.splitlines())


def test_the_reason_has_the_name_once() -> None:
    failure = Failed(task("a.png"), "UnreadableError", "a.png is damaged.")
    shown = show(PlainDisplay(console(), Tally(1)), failure)
    assert shown == "[1/1] failed: a.png is damaged.\n0 restored, 1 failed.\n"


def test_time_left_goes_by_the_size_of_what_is_left() -> None:
    tally = Tally(3, {"a.png": 100, "b.png": 300, "c.png": 500})
    assert tally.seconds_left() is None
    tally.take(Started(task("a.png")))
    assert tally.seconds_left() is None
    tally.take(done("a.png"))
    left, worked = tally.seconds_left(), tally.megapixels / tally.speed()
    assert left is not None
    assert left == pytest.approx(8 * worked, rel=0.2)
    tally.take(Skipped(task("b.png"), "done before"))
    later = tally.seconds_left()
    assert later is not None
    assert later == pytest.approx(5 * tally.megapixels / tally.speed(), rel=0.2)
    assert tally.ended == 2


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_nothing_printable_can_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0.00"), (2, "2.00"), (0.5, "0.50"), (0.0384, "0.038"), (0.000384, "0.00038"), (1e-7, "1e-07")],
)
def test_small_numbers_are_not_rounded_to_nothing(value: float, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_live_line_says_more_when_asked() -> None:
    tally = Tally(2)
    display = LiveDisplay(console(terminal=True), tally, verbose=True)
    with display:
        for event, scores in ((done("a.png"), ["30.00 dB"]), (Skipped(task("b.png"), "done before"), [])):
            tally.take(event)
            display.show(event, scores)
    assert isinstance(display.console.file, io.StringIO)
    shown = display.console.file.getvalue()
    assert "a.png: 30.00 dB" in shown
    assert "a.png: tile [1000, 2000], whole True" in shown
    assert "b.png: done before" in shown


def test_what_was_left_out_is_named_and_the_rest_counted() -> None:
    def shown(unnamed: int, *, verbose: bool = True) -> str:
        display = PlainDisplay(console(), Tally(0, {}, Counter()), verbose=verbose)
        entries = [(f"{number}.txt", "not a picture") for number in range(MOST_NAMED - 1)]
        display.passed_over([*entries, ("a.nef", "camera raw")], unnamed)
        assert isinstance(display.console.file, io.StringIO)
        return display.console.file.getvalue()

    exactly = shown(0)
    assert exactly.count("\n") == MOST_NAMED
    assert exactly.endswith("a.nef: left out (camera raw); convert it to PNG, JPEG, WebP or TIFF first.\n")
    assert shown(3) == exactly + "Left out were 3 more, which are not named.\n"
    assert shown(3, verbose=False) == ""
