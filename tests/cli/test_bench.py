"""`derain bench`: figures of this machine, each case in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from drsformer_cli.cli import bench, bench_case
from drsformer_cli.cli.bench import Case, default_tiles, parse_dimensions, what_auto_chooses
from drsformer_cli.errors import UsageError
from drsformer_cli.restore import restorer
from tests.cli.conftest import Command, write_picture


def test_a_table_of_every_precision_whole_and_in_tiles(derain: Command, tiny: Path, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "rainy.png", 1, (70, 100))
    outcome = derain("bench", picture, "-m", tiny, "--device", "cpu", "--repeat", 2)
    assert outcome.status == 0, outcome.err
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0].startswith("100 x 70 pixels on cpu, ")
    for way in ("fp32 whole 0.", "fp32 tiles of 64 0.", "bf16 whole 0.", "bf16 tiles of 64 0."):
        assert [line for line in lines if line.startswith(way) and line.endswith(" GiB")], outcome.out
    assert lines[-2].startswith("auto: fp32: this ")
    assert lines[-1].startswith("auto: whole, for that needs about 0.")


def test_json_for_scripts(derain: Command, tiny: Path) -> None:
    words = [
        "bench",
        "-m",
        tiny,
        "--size",
        "72x80",
        "--device",
        "cpu",
        "--tile",
        "64",
        "--repeat",
        3,
        "--json",
    ]
    outcome = derain(*words)
    assert outcome.status == 0, outcome.err
    *cases, auto = (json.loads(line) for line in outcome.out.splitlines())
    assert [(case["type"], case["precision"], case["tile"]) for case in cases] == [
        ("case", "fp32", 64),
        ("case", "bf16", 64),
    ]
    for case in cases:
        middle = sorted(case["seconds"])[1]
        assert len(case["seconds"]) == 3
        assert case["megapixels"] == pytest.approx(72 * 80 / 1e6 / middle)
        assert 50e6 < case["peak"] < 2e9
        assert (case["whole"], case["device_peak"], case["problem"]) == (False, None, "")
    assert (auto["type"], auto["precision"], auto["whole"]) == ("auto", "fp32", True)
    assert auto["memory"] < auto["limit"]


def test_what_auto_chooses_under_a_budget(tiny: Path) -> None:
    model = restorer.load(str(tiny), device="cpu", memory=3 << 29)
    small, large = what_auto_chooses(model, 300, 400), what_auto_chooses(model, 3000, 4000)
    assert (small["whole"], large["whole"]) == (True, False)
    assert small["why_tile"].startswith("whole, for that needs about 0.")
    assert large["why_tile"].startswith(f"tiles of {large['tile'][1]} x {large['tile'][0]}, ")
    assert "leave room in 1.5 GiB" in large["why_tile"]
    assert large["limit"] == 3 << 29


def test_what_does_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "p.npy", np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr(restorer, "memory_limit", lambda device: 1 << 20)
    found = bench_case.run(str(tmp_path / "p.npy"), str(tiny), "cpu", "fp32", "off", 1)
    assert not found["fits"]
    assert "not tried: it needs about" in found["problem"]


@pytest.mark.parametrize(
    ("status", "said", "problem"),
    [
        (-9, b"", "for want of memory"),
        (3, b"warning\n/tmp/x: no such thing.\n", "/tmp/x: no such thing."),
        (5, b"", "ended with 5"),
    ],
)
def test_a_case_that_fails_is_told_and_the_others_go_on(
    derain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: bytes, problem: str
) -> None:
    failed = subprocess.CompletedProcess([sys.executable], status, b"", said)
    monkeypatch.setattr(bench.subprocess, "run", lambda *words, **keywords: failed)
    outcome = derain("bench", "-m", tiny, "--size", "72x72", "--device", "cpu")
    assert outcome.status == 1
    assert outcome.out.count(problem) == 4
    assert "auto: " in outcome.out
    assert "warning" not in outcome.out


def test_v_tells_all_that_a_failed_case_said(
    derain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = b"Traceback (most recent call last):\n  File x.py\nTypeError: no such thing\n"
    failed = subprocess.CompletedProcess([sys.executable], 1, b"", trace)
    monkeypatch.setattr(bench.subprocess, "run", lambda *words, **keywords: failed)
    outcome = derain("bench", "-m", tiny, "--size", "72x72", "--device", "cpu", "--tile", "off", "-v")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    problems = [index for index, line in enumerate(lines) if line.endswith("whole: TypeError: no such thing")]
    assert len(problems) == 2
    for index in problems:
        assert lines[index + 1 : index + 4] == [f"  {line}" for line in trace.decode().splitlines()]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--size", "big"], 2, "--size big is no size of a picture"),
        (["--size", "0x10"], 2, "--size 0x10 is no size"),
        (["--size", "99999x99999"], 2, "--size 99999x99999 is no size"),
        (["a.png", "--size", "8x8"], 2, "a picture has its own size"),
        (["nowhere.png"], 2, "there is no file nowhere.png"),
        (["."], 1, ". cannot be read"),
        (["--tile", "auto"], 2, "--tile auto cannot be measured"),
        (["--tile", "7"], 2, "--tile 7: "),
        (["-m", "no-such-model"], 3, "no-such-model"),
        (["--device", "tpu"], 2, "--device tpu is not known"),
        (["--repeat", "0"], 2, "--repeat"),
    ],
)
def test_wrong_words(derain: Command, words: list[str], status: int, sentence: str) -> None:
    outcome = derain("bench", *words)
    assert (outcome.status, outcome.out) == (status, "")
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1


def test_help_has_examples_and_every_option(derain: Command) -> None:
    text = derain("bench", "--help").out
    assert "derain bench --size 4000x3000" in text
    for option in ("--size", "--model", "--device", "--tile", "--memory", "--repeat", "--json"):
        assert option in text


def test_sizes_and_tiles() -> None:
    assert parse_dimensions(" 1920X1080 ") == (1920, 1080)
    with pytest.raises(UsageError):
        parse_dimensions("1920")
    assert default_tiles(3000, 4000) == ["off", 512]
    assert default_tiles(512, 300) == ["off", 256]
    assert default_tiles(64, 10) == ["off"]
    assert (Case("fp32", "off").way, Case("fp32", 64).way) == ("whole", "tiles of 64")


def test_the_peak_memory_of_this_process_is_counted() -> None:
    before = bench_case.peak_memory()
    block = bytearray(300 << 20)
    assert bench_case.peak_memory() >= max(before, len(block))


def test_a_machine_that_starts_no_process_is_told(
    derain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_keywords: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(bench.subprocess, "run", refuse)
    outcome = derain("bench", "-m", tiny, "--size", "72x72", "--device", "cpu")
    assert outcome.status == 3
    assert outcome.err == "derain: no process can be started to measure in: Cannot allocate memory.\n"


def test_a_case_says_in_a_sentence_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order = {
        "picture": "none.npy",
        "model": "no-such-model",
        "device": "cpu",
        "precision": "fp32",
        "tile": "off",
        "repeat": 1,
    }
    monkeypatch.setattr(sys, "argv", ["bench_case", json.dumps(order)])
    with pytest.raises(SystemExit) as ended:
        bench_case.main()
    assert ended.value.code == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("there is no model 'no-such-model'")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("precision", "native", "why"),
    [
        ("bf16", True, "native here, and this model was measured to give the same pictures in it"),
        ("fp32", True, "this model was not measured to give the same pictures in bf16 on such a device"),
        ("fp32", False, "this device is not known to compute faster in bf16"),
    ],
)
def test_why_auto_takes_a_precision(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, precision: str, native: bool, why: str
) -> None:
    from drsformer_cli.restore import device

    monkeypatch.setattr(device, "native_bf16", lambda _device: native)
    model = restorer.load(str(tiny), device="cpu", precision=precision)
    assert what_auto_chooses(model, 64, 64)["why_precision"] == why


@pytest.mark.skipif(sys.platform == "win32", reason="the system tells it in another way there")
@pytest.mark.parametrize("status", [None, "Name:\tpython\n"])
def test_the_peak_is_told_where_proc_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str | None
) -> None:
    said = tmp_path / "status"
    if status is not None:
        said.write_text(status)
    monkeypatch.setattr(bench_case, "Path", lambda _name: said)
    block = bytearray(200 << 20)
    assert len(block) <= bench_case.peak_memory() < 1 << 42
