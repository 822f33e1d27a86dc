"""Many pairs: on several processors, in order, and sums over them."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import statistics
import threading
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli import machine
from drsformer_cli.errors import MemoryLimitError, UsageError
from drsformer_cli.quality import evaluate as module
from drsformer_cli.quality import formats
from drsformer_cli.quality.evaluate import available_processors, evaluate
from drsformer_cli.quality.folders import gather
from drsformer_cli.quality.judge import Pair, Row, Settings, judge
from drsformer_cli.quality.summary import Evaluation, statistic
from tests.quality.conftest import noisy, picture, write
from tests.running import at_work


def test_processes_bring_what_one_brings_in_order(folders: Path) -> None:
    work = gather(str(folders / "out"), str(folders / "clean"), str(folders / "rainy"))
    assert len(work.pairs) == 5
    assert all(pair.rainy is not None and pair.rainy.name == pair.restored.name for pair in work.pairs)
    pairs = [*work.pairs, Pair("gone", folders / "gone.png", folders / "clean" / "1.png"), *work.pairs]
    settings = Settings("rgb", preview=9000)
    rows = list(evaluate(pairs, settings, workers=2))
    assert rows == [judge(pair, settings) for pair in pairs]
    assert [row.status for row in rows].count("failed") == 1


def test_leaving_early_ends_the_processes(folders: Path) -> None:
    pairs = gather(str(folders / "out"), str(folders / "clean"), None).pairs * 20
    rows = evaluate(pairs, Settings(), workers=2)
    assert len(list(islice(rows, 3))) == 3
    assert len(psutil.Process().children()) >= 2
    rows.close()
    assert not [words for _, words in at_work() if "spawn_main" in words]


def test_a_handful_needs_no_processes(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ProcessPoolExecutor", None)
    pairs = gather(str(folders / "out"), str(folders / "clean"), None).pairs
    assert len(list(evaluate(pairs, Settings()))) == 5


def test_threads_that_are_named_say_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert available_processors() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert available_processors() == machine.processors()


def test_windows_has_room_for_61_processes() -> None:
    assert [module._possible(100, windows=each) for each in (True, False)] == [61, 100]
    assert module._possible(2, windows=True) == 2


def test_ctrl_c_while_processes_start_is_not_lost() -> None:
    begun = []

    def start() -> None:
        with module._deaf():
            signal.raise_signal(signal.SIGINT)
            begun.append(True)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert begun == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_much_is_told_by_the_bytes_of_all_files(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = gather(str(folders / "out"), str(folders / "clean"), str(folders / "rainy")).pairs
    alone = [Pair("gone", folders / "gone.png"), *(Pair(pair.name, pair.restored) for pair in pairs)]
    own = sum(pair.restored.stat().st_size for pair in pairs)
    everything = sum(path.stat().st_size for path in folders.rglob("*.png"))
    for judged, size in ((alone, own), (pairs, everything)):
        for limit, much in ((size - 1, True), (size, False)):
            monkeypatch.setattr(module, "WORTH_PROCESSES", limit)
            assert module._is_much(judged) == much


def dying(pair: Pair, settings: Settings) -> Row:
    os._exit(9)


def test_a_process_that_is_killed_is_told(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "judge", dying)
    pairs = gather(str(folders / "out"), str(folders / "clean"), None).pairs * 2
    with pytest.raises(MemoryLimitError, match="was killed, most likely for want of memory: try --workers 1"):
        list(evaluate(pairs, Settings(), workers=2))


def test_a_process_begins_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before, threads = signal.getsignal(signal.SIGINT), cv2.getNumThreads()
    try:
        module._begin(parent=-1)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert (cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"]) == (1, "1")
    finally:
        signal.signal(signal.SIGINT, before)
        cv2.setNumThreads(threads)


def test_other_threads_leave_ctrl_c_alone() -> None:
    handlers: list[object] = []

    def start() -> None:
        with module._deaf():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


numbers = st.lists(st.one_of(st.floats(0, 100), st.just(math.inf)), max_size=12)


@given(numbers)
def test_infinite_values_are_kept_out(values: list[float]) -> None:
    sums = statistic(values)
    finite = [value for value in values if value < math.inf]
    assert (sums.count, sums.infinite) == (len(finite), len(values) - len(finite))
    if finite:
        assert sums.mean == pytest.approx(statistics.fmean(finite))
        assert sums.median == statistics.median(finite)
    else:
        assert math.isnan(sums.mean)
    assert repr(statistic([*values, math.nan, -math.inf])) == repr(sums)


@pytest.fixture
def evaluation(folders: Path) -> Evaluation:
    settings = Settings()
    found = Evaluation("my_method & co", settings, dataset="rain200h")
    for pair in gather(str(folders / "out"), str(folders / "clean"), str(folders / "rainy")).pairs:
        found.take(judge(pair, settings))
    return found


def test_worst_come_first(evaluation: Evaluation) -> None:
    values = [row.psnr for row in evaluation.worst(3)]
    assert values == sorted(row.psnr for row in evaluation.rows if row.psnr is not None)[:3]


def test_json_is_json(evaluation: Evaluation) -> None:
    text = formats.as_json(evaluation)
    assert text.startswith(formats.JSON_START)
    data = json.loads(text, parse_constant=lambda _: pytest.fail("no JSON"))
    assert data["pictures"][0]["psnr"] == "Infinity"
    assert float(data["pictures"][0]["psnr"]) == math.inf
    sums = data["summary"]["psnr"]
    assert (sums["pictures"], sums["infinite"]) == (4, 1)
    assert sums["mean"] == pytest.approx(statistics.fmean(p["psnr"] for p in data["pictures"][1:]))
    assert data["summary"]["published"]["DRSformer"] == {"psnr": 32.17, "ssim": 0.9326}


def test_markdown(evaluation: Evaluation) -> None:
    text = formats.as_markdown(evaluation)
    assert "1 picture shows no difference at all (PSNR ∞) and is kept out of its mean" in text
    assert "| DRSformer | 32.17 | 0.9326 |" in text
    assert "deep/&#60;b&#62;&#38;'4.png" in text
    assert "| 0.png | ∞ | 1.0000 |" in text


def test_latex(evaluation: Evaluation) -> None:
    text = formats.as_latex(evaluation)
    sums = [evaluation.statistic(measure).mean for measure in evaluation.measures()]
    last = rf"my\_method \& co & {sums[0]:.2f} & {sums[1]:.4f} & {sums[2]:.2f} & {sums[3]:.4f} \\"
    assert text.splitlines()[-1] == last
    evaluation.rows = evaluation.rows[:1]
    assert r"$\infty$" not in formats.as_latex(evaluation)


def test_csv_has_every_digit(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.take(Row(Pair("x,y\n", tmp_path / "z"), "failed", 'it "failed"'))
    lines = list(csv.DictReader(formats.as_csv(evaluation).splitlines(keepends=True)))
    assert float(lines[1]["psnr"]) == evaluation.rows[1].psnr
    assert lines[0]["psnr"] == "inf"
    assert (lines[-1]["name"], lines[-1]["remark"]) == ("x,y\n", 'it "failed"')


def test_what_has_no_partner_is_a_problem(folders: Path) -> None:
    write(folders / "out" / "7.png", picture(7))
    write(folders / "out" / "3.bmp", noisy(picture(3), 3, 3))
    (folders / "out" / "2.png").unlink()
    (folders / "rainy" / "1.png").unlink()
    (folders / "out" / "notes.txt").write_text("")
    work = gather(str(folders / "out"), str(folders / "clean"), str(folders / "rainy"))
    assert {pair.name for pair in work.pairs} == {"0.png", "1.png", "deep/<b>&'4.png"}
    assert [problem.kind for problem in work.problems] == ["missing", "extra", "doubled", "missing"]
    assert str(folders / "clean" / "2.png") in work.problems[0].text
    assert work.left_out == {"not a picture": 1, "rainy without a restored picture": 2}


def test_rainy_ones_that_share_a_picture_are_told(folders: Path) -> None:
    (folders / "rainy" / "1.png").unlink()
    write(folders / "rainy" / "rain-1.png", picture(1))
    write(folders / "rainy" / "1_rain.png", picture(1))
    work = gather(str(folders / "out"), str(folders / "clean"), str(folders / "rainy"))
    (problem,) = work.problems
    assert problem.kind == "doubled"
    for name in ("rain-1.png", "1_rain.png", "would be rainy versions of the same picture"):
        assert name in problem.text
    assert not work.left_out


def test_tables_have_what_has_no_partner(folders: Path) -> None:
    write(folders / "out" / "7.png", picture(7))
    write(folders / "out" / "3.bmp", noisy(picture(3), 3, 3))
    (folders / "out" / "2.png").unlink()
    work = gather(str(folders / "out"), str(folders / "clean"), None)
    evaluation = Evaluation("x", Settings(), problems=work.problems)
    for pair in work.pairs:
        evaluation.take(judge(pair, Settings()))
    lines = list(csv.DictReader(formats.as_csv(evaluation).splitlines(keepends=True)))
    assert {line["name"]: line["status"] for line in lines} == {
        **{pair.name: "scored" for pair in work.pairs},
        "2.png": "missing",
        "7.png": "extra",
        "3.png": "doubled",
        "3.bmp": "doubled",
    }
    assert all(str(folders) in line["remark"] for line in lines[3:])
    assert "% 3 problems: 1 missing, 1 extra, 1 doubled\n" in formats.as_latex(evaluation)


def test_both_kinds_of_folders_may_hold_two_halves(tmp_path: Path) -> None:
    clean = picture(1)
    rainy = noisy(clean, 1, 40)
    both = write(tmp_path / "both.png", np.hstack([rainy, clean]))
    own = write(tmp_path / "own.png", noisy(clean, 2, 5))
    alone = write(tmp_path / "rainy.png", rainy)
    settings = Settings(side_by_side="rainy-clean")
    rows = [judge(Pair("x", own, both, each), settings) for each in (None, alone, both)]
    assert [row.status for row in rows] == ["scored"] * 3
    assert len({row.rainy_psnr for row in rows}) == 1


def test_without_a_truth_there_is_no_protocol(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", picture(1))
    evaluation = Evaluation("x", Settings(), rows=[Row(Pair("a", path), "scored", others={"brisque": 1.0})])
    assert formats.sentence(evaluation) == "1 picture."
    evaluation = Evaluation("x", Settings())
    assert len(formats.as_latex(evaluation).splitlines()) == 1


def test_single_files_belong_together(folders: Path) -> None:
    work = gather(
        str(folders / "out" / "1.png"), str(folders / "clean" / "3.png"), str(folders / "rainy" / "2.png")
    )
    (pair,) = work.pairs
    assert (pair.restored.name, pair.clean and pair.clean.name, pair.rainy and pair.rainy.name) == (
        "1.png",
        "3.png",
        "2.png",
    )


def test_folders_that_lead_to_nothing(folders: Path) -> None:
    (folders / "empty").mkdir()
    with pytest.raises(UsageError, match=r"--gt .*empty holds no pictures\.$"):
        gather(str(folders / "out"), str(folders / "empty"), None)
    for name in ("a.txt", "b.txt", ".c.png"):
        (folders / "empty" / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"empty holds no pictures \(1 hidden, 2 not a picture\)\.$"):
        gather(str(folders / "out"), str(folders / "empty"), None)
    with pytest.raises(UsageError, match=r"--pred .*nowhere does not exist"):
        gather(str(folders / "nowhere"), str(folders / "clean"), None)
