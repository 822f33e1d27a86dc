"""`derain eval` as a user types it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from drsformer_cli.quality.judge import Pair, Row, Settings, judge
from tests.cli.conftest import Command, environment, run_process
from tests.quality.conftest import folders, noisy, picture, write

__all__ = ["folders"]


def words(folders: Path, *more: object) -> list[object]:
    return ["eval", "--gt", folders / "clean", "--pred", folders / "out", *more]


def test_a_table(derain: Command, folders: Path) -> None:
    outcome = derain(*words(folders, "--input", folders / "rainy", "--dataset", "rain200h"))
    assert (outcome.status, outcome.err) == (0, "")
    assert "1 picture shows no difference at all (PSNR ∞) and is kept out of its mean" in outcome.out
    for text in ("mean", "median", "standard deviation", "rainy PSNR", "DRSformer", "32.17", "Worst:"):
        assert text in outcome.out
    worst = outcome.out[outcome.out.index("Worst:") :]
    assert worst.index("deep/<b>&'4.png") < worst.index("3.png") < worst.index("1.png") < worst.index("∞")


def test_where_no_names_belong_together_a_way_is_shown(derain: Command, folders: Path) -> None:
    outcome = derain(*words(folders, "--pair", "^([a-z])$"))
    assert outcome.status == 1
    assert "derain: no names belong together: --pair REGEX says which do" in outcome.err


def test_a_file_url_is_a_path(derain: Command, folders: Path) -> None:
    gt, pred = ((folders / name).as_uri() for name in ("clean", "out"))
    assert derain("eval", "--gt", gt, "--pred", pred, "-q").status == 0


def test_json_lines(derain: Command, folders: Path) -> None:
    outcome = derain(*words(folders, "--json", "--protocol", "rgb"))
    assert outcome.status == 0
    *rows, summary = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["name"] for row in rows] == ["0.png", "1.png", "2.png", "3.png", "deep/<b>&'4.png"]
    assert rows[0]["psnr"] == "Infinity"
    assert 0 < rows[1]["ssim"] < 1
    assert (summary["status"], summary["protocol"], summary["scored"]) == ("summary", "rgb", 5)


def test_a_file_alone(derain: Command, folders: Path) -> None:
    pair = ["--gt", folders / "clean" / "2.png", "--pred", folders / "out" / "1.png"]
    assert derain("eval", *pair, "-q").status == 0


def test_what_cannot_be_compared_is_listed_and_makes_the_status_1(derain: Command, folders: Path) -> None:
    write(folders / "out" / "extra.png", picture(9))
    write(folders / "out" / "1.png", picture(1, (24, 30)))
    (folders / "out" / "2.png").unlink()
    write(folders / "out" / "3.bmp", picture(3))
    outcome = derain(*words(folders))
    assert outcome.status == 1
    for text in (
        f"{folders / 'clean' / '2.png'} has no restored picture.",
        f"{folders / 'out' / 'extra.png'} has no clean picture.",
        f"{folders / 'out' / '3.bmp'} and {folders / 'out' / '3.png'} would be restored versions",
        f"{folders / 'out' / '1.png'} has 30 x 24 pixels, {folders / 'clean' / '1.png'} 32 x 24.",
    ):
        assert f"derain: {text}" in outcome.err
    assert "2 pictures, protocol rain200" in outcome.out
    assert derain(*words(folders, "--allow-missing", "-q")).status == 0


def test_a_bad_file_does_not_stop_the_rest(derain: Command, folders: Path) -> None:
    (folders / "out" / "1.png").write_bytes(b"damaged")
    for more in ([], ["--allow-missing"]):
        outcome = derain(*words(folders, *more, "--json"))
        assert outcome.status == 1
        rows = [json.loads(line) for line in outcome.out.splitlines()]
        assert [row["status"] for row in rows] == [*["scored", "failed"], *["scored"] * 3, "summary"]
        assert "1.png" in rows[1]["reason"]
        assert "1.png" in outcome.err


def test_reports_of_every_kind(derain: Command, folders: Path) -> None:
    starts = {"html": "<!doctype html>", "json": "{", "csv": "name,", "md": "<!-- ", "tex": "% "}
    paths = [folders / f"report.{kind}" for kind in starts]
    options = [word for path in paths for word in ("--report", path)]
    assert derain(*words(folders, *options, "--name", "mine")).status == 0
    for path, start in zip(paths, starts.values(), strict=True):
        assert path.read_text(encoding="utf-8").startswith(start)
    assert derain(*words(folders, *options)).status == 0  # older reports are replaced
    (folders / "report.md").write_text("my notes")
    outcome = derain(*words(folders, *options))
    assert outcome.status == 2
    assert "report.md is there already and is no report: --overwrite replaces it" in outcome.err
    assert derain(*words(folders, *options, "--overwrite")).status == 0


@pytest.mark.skipif(os.name == "nt", reason="pipes break in another way there")
def test_reports_are_written_though_nobody_reads_the_table(folders: Path) -> None:
    read, write_end = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "drsformer_cli", *words(folders, "--report", folders / "r.csv")]
    done = subprocess.run(
        list(map(str, command)), stdout=write_end, stderr=subprocess.PIPE, env=environment()
    )
    os.close(write_end)
    assert done.returncode in (0, 1)
    assert (folders / "r.csv").read_text().count("scored") == 5


def test_one_report_that_fails_leaves_the_others(folders: Path) -> None:
    from drsformer_cli.cli.verdict import write_reports
    from drsformer_cli.quality.summary import Evaluation

    paths = [folders / "gone" / "r.html", folders / "r.csv", folders / "r.json"]
    (error,) = write_reports(paths, Evaluation("x", Settings()))
    assert "gone" in str(error)
    assert all(path.is_file() for path in paths[1:])


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here takes no files, whoever asks")
def test_a_folder_that_takes_no_files_is_told_first(derain: Command, folders: Path) -> None:
    for start in (words(folders), [folders / "rainy"]):
        outcome = derain(*start, "--report", "/proc/x.csv")
        assert outcome.status == 2
        assert outcome.err == (
            "derain: --report /proc/x.csv: no file can be made in /proc; name another folder.\n"
        )


def test_what_stops_the_rest_leaves_what_there_is(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drsformer_cli.cli import verdict
    from drsformer_cli.errors import MemoryLimitError

    def dying(pairs: list[Pair], settings: Settings, **_: object) -> Iterator[Row]:
        yield from (judge(pair, settings) for pair in pairs[:3])
        raise MemoryLimitError("a process was killed.")

    monkeypatch.setattr(verdict, "evaluate", dying)
    outcome = derain(*words(folders, "--report", folders / "r.csv", "--json"))
    assert outcome.status == 3
    assert outcome.err.splitlines()[-1] == "derain: a process was killed."
    assert f"derain: {folders / 'out' / '3.png'} was not compared." in outcome.err
    assert json.loads(outcome.out.splitlines()[-1])["scored"] == 3
    with (folders / "r.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["scored"] * 3 + ["failed"] * 2


def test_means_over_other_pictures_say_so(derain: Command, folders: Path) -> None:
    (folders / "rainy" / "2.png").unlink()
    outcome = derain(*words(folders, "--input", folders / "rainy", "--allow-missing"))
    counts = next(line for line in outcome.out.splitlines() if line.startswith("pictures"))
    assert counts.split() == ["pictures", "4", "5", "4", "4"]  # one is equal to its truth
    assert "on the average of 3 of the 5 pictures." in outcome.out


def test_remarks_are_counted(derain: Command, folders: Path) -> None:
    from PIL import Image

    with Image.open(folders / "out" / "2.png") as image:
        image.convert("RGBA").save(folders / "out" / "2.png")
    outcome = derain(*words(folders, "--report", folders / "r.md"))
    assert "1 picture was compared with a remark" in outcome.err
    assert "1: alpha is left out of account" in outcome.err
    assert "- 2.png: alpha is left out of account" in (folders / "r.md").read_text(encoding="utf-8")


def test_what_derain_notes_beside_its_results_is_not_left_out(derain: Command, folders: Path) -> None:
    (folders / "out" / ".derain-manifest.jsonl").write_text("")
    assert derain(*words(folders)).err == ""
    (folders / "out" / ".other").write_text("")
    assert "1 left out (1 hidden)" in derain(*words(folders)).err


def test_a_folder_without_pictures_says_what_it_holds(derain: Command, folders: Path) -> None:
    (folders / "none").mkdir()
    (folders / "none" / "a.txt").write_text("")
    outcome = derain("eval", "--gt", folders / "clean", "--pred", folders / "none")
    assert f"--pred {folders / 'none'} holds no pictures (1 not a picture)." in outcome.err


@pytest.mark.parametrize("restored", ["out", "out/*.png", "out/*/*.png", "out/**/*.png"])
def test_a_method_is_called_as_its_folder(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch, restored: str
) -> None:
    monkeypatch.chdir(folders)
    outcome = derain("eval", "--gt", "clean", "--pred", restored, "--json", "--allow-missing")
    assert json.loads(outcome.out.splitlines()[-1])["name"] == "out"


def test_a_narrow_terminal_breaks_no_word(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    outcome = derain(*words(folders, "--input", folders / "rainy"))
    table = outcome.out[: outcome.out.index("Worst:")].split()
    assert {"standard", "deviation"} <= set(table)


def test_names_in_the_report_are_no_markup(derain: Command, folders: Path) -> None:
    derain(*words(folders, "--report", folders / "r.html", "--name", "</script><b>x"))
    page = (folders / "r.html").read_text(encoding="utf-8")
    assert "<b>" not in page.replace("<b>{{", "").split("<script", 1)[1]
    assert "<title>&lt;/script&gt;&lt;b&gt;x" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--pred", "out"], "without clean pictures only --score"),
        (["--pred", "out", "--score", "niqe", "--dataset", "did"], "--dataset is about clean pictures"),
        (["--pred", "out", "--gt", "gone"], "--gt gone does not exist"),
        (
            ["--pred", "out", "--gt", "clean", "--score", "wow"],
            "--score wow is not known: give lpips, brisque",
        ),
        (["--pred", "out", "--gt", "clean", "--report", "a.pdf"], "--report a.pdf is of no known kind"),
        (["--pred", "out", "--gt", "clean", "--report", "no/a.csv"], "lies in no folder"),
        (["--pred", "out", "--gt", "clean", "--pair", "("], "--pair ( is no regular expression"),
        (["--pred", "out", "--gt", "clean", "--pair", r"\d+"], r"--pair \d+ has no group"),
        (["--pred", "out", "--gt", "clean", "--pred", "other"], "--pred is given twice, and stands once: "),
        (["--pred", "out", "--gt", "clean", "--gt", "other"], "--gt is given twice"),
        (["--pred", "out", "--gt", "s3://b/clean"], "--gt s3://b/clean is a URL, and pictures are compared"),
        (["--pred", "out", "--gt", "clean", "-q", "-v"], "-q and -v contradict each other"),
        (
            ["--pred", "out", "--gt", "clean", "--dataset", "did", "--protocol", "rgb"],
            "goes by --protocol did-ddn",
        ),
        (["--gt", "clean"], "--pred"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], said: str
) -> None:
    monkeypatch.chdir(folders)
    outcome = derain("eval", *more)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_score_whose_package_is_missing(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drsformer_cli.quality.extra.find_spec", lambda _: None)
    for name, advice in (("brisque", "[brisque]"), ("lpips", "[lpips]"), ("niqe", "pip install pyiqa")):
        outcome = derain(*words(folders, "--score", name))
        assert outcome.status == 3
        assert advice in outcome.err
        assert outcome.err.count("\n") == 1


def test_help_names_every_option(derain: Command) -> None:
    outcome = derain("eval", "--help")
    assert outcome.status == 0
    listed = outcome.out.replace(",", " ").split()
    for option in (
        *("--gt", "--pred", "--input", "--protocol", "--dataset", "--score", "--pair", "--side-by-side"),
        *("--allow-missing", "--report", "--name", "--workers", "--overwrite", "-q", "--quiet", "--json"),
        *("-v", "--verbose"),
    ):
        assert option in listed


def test_nothing_heavy_is_loaded_for_help() -> None:
    script = (
        "import sys\nfrom drsformer_cli.cli.app import main\nsys.argv = ['derain', 'eval', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('loaded', [n for n in ('torch', 'cv2', 'numpy', 'PIL', 'jinja2') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout.endswith("loaded []\n")


def test_an_evaluation_loads_no_torch(folders: Path) -> None:
    script = (
        "import sys\nfrom drsformer_cli.cli.app import main\n"
        f"sys.argv = ['derain', *{[str(word) for word in words(folders, '-q')]!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout == "False\n", done.stderr


def members(group: int) -> list[str]:
    """Return the processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter(["status", "cmdline"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or []))
    return found


@pytest.mark.skipif(os.name == "nt", reason="signals are sent in another way there")
def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    clean = picture(1, (400, 400))
    for index in range(150):
        write(tmp_path / "clean" / f"{index}.bmp", clean)
        write(tmp_path / "out" / f"{index}.bmp", noisy(clean, index, 9))
    command = [sys.executable, "-m", "drsformer_cli", *map(str, words(tmp_path, "--json", "--workers", 2))]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "scored"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("derain: interrupted: ")
    assert err.count("\n") == 1
    last = json.loads(out.splitlines()[-1])
    assert (last["status"], last["interrupted"]) == ("summary", True)
    deadline = time.monotonic() + 10
    while left := members(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_process_of_its_own(folders: Path) -> None:
    outcome = run_process(*map(str, words(folders, "--workers", "2", "--json")))
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) == 6


@pytest.mark.parametrize("verbose", [False, True])
def test_problems_without_end_are_summed_up(derain: Command, folders: Path, verbose: bool) -> None:
    for index in range(23):
        write(folders / "out" / f"extra{index:02}.png", picture(index))
    outcome = derain(*words(folders, *(["-v"] if verbose else [])))
    assert outcome.status == 1
    told = [line for line in outcome.err.splitlines() if line.endswith(" has no clean picture.")]
    assert len(told) == (23 if verbose else 20)
    assert ("derain: and 3 more without a clean picture." in outcome.err.splitlines()) != verbose
    assert "derain: not all could be compared: 23 without a clean picture." in outcome.err


def test_nothing_is_written_where_nothing_could_be_begun(
    derain: Command, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from drsformer_cli.cli import verdict
    from drsformer_cli.errors import SetupError

    def unable(*_words: object, **_options: object) -> Iterator[Row]:
        raise SetupError("no process can be started.")
        yield

    monkeypatch.setattr(verdict, "evaluate", unable)
    outcome = derain(*words(folders, "--report", folders / "r.json"))
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err == "derain: no process can be started.\n"
    assert not (folders / "r.json").exists()


def test_each_report_that_fails_is_told(
    folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from drsformer_cli.cli.verdict import Verdict
    from drsformer_cli.errors import OutputError
    from drsformer_cli.quality.folders import gather
    from drsformer_cli.quality.summary import Evaluation

    work = gather(str(folders / "out"), str(folders / "clean"), None, pattern=None)
    reports = [folders / "gone" / "a.json", folders / "gone" / "b.csv", folders / "c.csv"]
    verdict = Verdict(Evaluation("x", Settings()), work, reports, quiet=True, json_lines=False, workers=1)
    with pytest.raises(OutputError, match="gone"):
        verdict.reach(allow_missing=False)
    assert "derain: the folder " in capsys.readouterr().err
    assert reports[2].read_text().count("scored") == 5
