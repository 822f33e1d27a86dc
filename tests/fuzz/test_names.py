"""File names that mean something to a shell, a terminal, a report or a system: just names to derain."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drsformer_cli.jobs.film_plan import Wish
from tests.cli.conftest import Command, write_picture
from tests.jobs.films import Same, restore
from tests.media.builders import noise, saved
from tests.media.clips import film, pattern, run

NAMES = [
    *(
        "a\nb",
        "-rf",
        "--help",
        "-",
        "..",
        "...",
        " ",
        "~",
        "*",
        "[x]",
        "a\tb",
        "%d",
        "%s%n",
        "{0}",
        "$(touch x)",
    ),
    *(
        "`touch x`",
        "|touch x",
        ";touch x",
        "a'b\"c&d<e>",
        "<script>alert(1)</script>",
        "[red]x[/red]",
        "\\",
        "a\\b",
    ),
    *("\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\r\x1b[Aover", "‮gnp.exe", "​", "é", "é", "日本"),
    *(
        "CON",
        "nul",
        "com1",
        "x:y",
        "trailing.",
        "a|b",
        "q?",
        "=cmd|' /C calc'!A0",
        "@x",
        "\\input{x}",
        "a_b^c$d#e~",
    ),
    *(
        "file:a",
        "concat:a|b",
        "http:..a",
        "x" * 200,
        "\udce9t\udce9",
        "\x7f",
        "\x9b31m",
        "javascript:alert(1)",
    ),
]
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f‮​]")


def possible(folder: Path, names: list[str], suffix: str) -> list[str]:
    """The names that this system can give a file."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in names:
        try:
            (folder / f"{name}{suffix}").touch(exist_ok=False)
        except (OSError, ValueError):
            continue
        made.append(f"{name}{suffix}")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder of pictures with all these names that the search takes (not the hidden ones)."""
    inside = tmp_path / "in"
    names = possible(inside, NAMES, ".png")
    for number, name in enumerate(names):
        (inside / name).write_bytes(saved(noise(16, 16, 3, seed=number), "PNG"))
    return inside, [name for name in names if not name.startswith(".")]


def harmless(*texts: str) -> None:
    """Nothing in what is shown can steer a terminal or hide what it says."""
    for text in texts:
        assert not CONTROL.search(text), CONTROL.search(text)


def test_pictures_of_any_name_are_restored(
    derain: Command, folder: tuple[Path, list[str]], tiny: Path, tmp_path: Path
) -> None:
    inside, names = folder
    out, report = tmp_path / "out", tmp_path / "r.json"
    words = [inside, "-o", out, "-m", tiny, "--device", "cpu", "-v"]
    first = derain(*words, "--report", report)
    assert first.status == 0, first.err
    harmless(first.out, first.err)
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == set(names)
    rows = json.loads(report.read_text())["pictures"]
    assert {Path(row["output"]).name for row in rows} == set(names)
    again = derain(*words, "--json")
    harmless(again.out, again.err)
    lines = [json.loads(line) for line in again.out.splitlines()]
    assert {line["status"] for line in lines} == {"skipped", "summary"}
    assert not (tmp_path / "x").exists()
    assert not Path("x").exists()


def test_one_by_one_on_the_command_line(
    derain: Command,
    folder: tuple[Path, list[str]],
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, names = folder
    monkeypatch.chdir(inside)
    taken = [name for name in names if name != "-.png"]
    outcome = derain("-m", tiny, "--device", "cpu", "-o", tmp_path / "out", "--", *taken)
    assert outcome.status == 0, outcome.err
    harmless(outcome.out, outcome.err)
    for name in ("-rf.png", "--help.png"):
        refused = derain(name)
        assert refused.status == 2
        harmless(refused.err)


def test_failures_of_any_name_are_told_harmlessly(
    derain: Command, folder: tuple[Path, list[str]], tiny: Path, tmp_path: Path
) -> None:
    inside, names = folder
    for name in names:
        (inside / name).write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    outcome = derain(inside, "-o", tmp_path / "out", "-m", tiny, "--device", "cpu", "-v")
    assert outcome.status == 1
    harmless(outcome.out, outcome.err)
    assert outcome.err.count("derain: ") + outcome.err.count("failed: ") >= len(names)


class Tags(HTMLParser):
    """The tags and the words outside of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def test_reports_escape_names(
    derain: Command, folder: tuple[Path, list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inside, _ = folder
    reports = [tmp_path / f"r.{kind}" for kind in ("html", "csv", "json", "md", "tex")]
    words = [word for report in reports for word in ("--report", report)]
    outcome = derain("eval", "--gt", inside, "--pred", inside, *words)
    assert outcome.status in (0, 1), outcome.err
    harmless(outcome.out, outcome.err)
    html, table, data, markdown, latex = (report.read_text(encoding="utf-8") for report in reports)
    page = Tags()
    page.feed(html)
    plain = tmp_path / "plain"
    write_picture(plain / "a.png", 0, (16, 16))
    assert derain("eval", "--gt", plain, "--pred", plain, "--report", plain / "r.html").status == 0
    usual = Tags()
    usual.feed((plain / "r.html").read_text(encoding="utf-8"))
    assert set(page.tags) == set(usual.tags)
    pictures = json.loads(data)["pictures"]
    assert page.tags.count("script") == usual.tags.count("script") - 1 + len(pictures)
    assert "alert(1)</script>" not in html
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert len(rows) == len(pictures)
    computed = [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert not computed
    names = {picture["name"] for picture in pictures if picture["name"].isprintable()}
    assert {row["name"].removeprefix("./") for row in rows} >= names
    harmless(markdown.replace("\n", ""), latex)
    for line in markdown.splitlines():
        assert not line.startswith("|") or line.endswith("|"), line
        assert "<script" not in line
    assert "\\input{" not in latex
    for line in latex.splitlines():
        assert line.startswith("%") or line.rstrip().endswith("\\\\"), line


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-rf.png", "@x.png"])
def test_tables_hold_no_formula(
    derain: Command, tiny: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spreadsheet would compute a name that begins so; the path that is written is the same file's."""
    monkeypatch.chdir(tmp_path)
    write_picture(Path("in") / name)
    assert derain("in", "-o", "=out", "--report", "r.csv", "-m", tiny, "--device", "cpu").status == 0
    with Path("r.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["output"] == str(tmp_path / "=out" / name)
    assert derain("eval", "--gt", "in", "--pred", "=out", "--report", "e.csv").status == 0
    with Path("e.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["name"], row["restored"]) == (f"./{name}", f"./=out/{name}")
    assert float(row["psnr"]) != 0


def test_models_of_any_name(
    derain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "models"
    for name in possible(folder, NAMES[::5], ".pth"):
        path = folder / name
        path.write_bytes(tiny.read_bytes() if "x" not in name else b"no model")
        outcome = derain("weights", "import", path, "--force")
        assert outcome.status in (0, 2, 3)
        harmless(outcome.out, outcome.err)
        assert "unexpected" not in outcome.err
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*\.(safetensors|json)", name) for name in kept), kept
    assert derain("weights", "verify").status == 0
    for name in ("../../x", "a/../../x", "\x1b[2J", "con", "x" * 300, "", ".", "-"):
        refused = derain("weights", "import", tiny, f"--name={name}")
        assert refused.status == 2
        harmless(refused.err)


FILMS = [
    "-x",
    "concat:a",
    "pipe:0",
    "file:a",
    "http:x",
    "a\nb",
    "%03d",
    "x:y",
    "\x1b[2J",
    "|touch x",
    "日本",
    "\udce9",
]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows none of these names")
def test_films_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = film(tmp_path / "sound.mp4", seconds=0.12)
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for name in possible(Path(), FILMS, ".mp4"):
        Path(name).write_bytes(sound.read_bytes())
        done = restore(Path(name), Path("out") / name, Same())
        assert done.sums.pictures == 3, name
        assert (Path("out") / name).stat().st_size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "sound.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such name")
@pytest.mark.parametrize("end", [None, Fraction(1, 10)])
def test_a_name_that_numbers_files(tmp_path: Path, end: Fraction | None) -> None:
    run(*pattern(0.3, 10), tmp_path / "sound.gif")
    path = (tmp_path / "sound.gif").rename(tmp_path / "%03d.gif")
    done = restore(path, tmp_path / "out" / "a%02d.gif", Same(), Wish(end=end))
    assert done.sums.pictures == (3 if end is None else 1)
    made = [each.name for each in (tmp_path / "out").iterdir() if not each.name.startswith(".derain-")]
    assert made == ["a%02d.gif"]


def test_details_of_an_error_are_harmless(
    derain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -v the traceback of a bug quotes what it was about."""

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("\x1b[2Jname")

    monkeypatch.setattr("drsformer_cli.cli.order.Order.plan", fails)
    outcome = derain(write_picture(tmp_path / "a.png"), "-v")
    assert outcome.status == 1
    assert "Traceback" in outcome.err
    harmless(outcome.err)
