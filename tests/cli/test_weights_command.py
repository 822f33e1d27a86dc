"""`derain weights`, as a person or a script types it, with its exit statuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from drsformer_cli.cli import weights
from drsformer_cli.cli.weights import weights_app
from drsformer_cli.errors import DerainError
from tests.weights.conftest import left_in
from tests.weights.samples import COMMON, MEFC, PLAIN, WRONG, code, full
from tests.weights.serving import Server, page, serve, whole

ROOT = Path(__file__).parents[2]
COMMANDS = ("list", "get", "import", "verify", "where")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DERAIN_OFFLINE", "DERAIN_WEIGHTS_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that fits `rain200l`: the full network, with values that share their memory."""
    return full("plain", tmp_path_factory.mktemp("full") / "rain200l.pth").read_bytes()


def typed(*words: str) -> str:
    """Run the commands in this process; returns what was printed on stdout."""
    result = CliRunner().invoke(weights_app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def derain(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `derain weights` as its own process."""
    return subprocess.run(
        [sys.executable, "-m", "drsformer_cli", "weights", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def refused(*words: str) -> str:
    """Run `derain weights` and expect one clear sentence on stderr, status 3, and nothing on stdout."""
    result = derain(*words)
    assert result.returncode == 3, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in line
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(command: str) -> None:
    text = typed(command, "--help")
    assert f"  derain weights {command}" in text
    assert "--json" in text


def test_help_lists_every_command() -> None:
    assert [command for command in COMMANDS if f"\n  {command} " not in typed("--help")] == []


def test_list_as_a_table(cache: Path) -> None:
    text = typed("list")
    for word in ("compact", "rain200l", "rain200h", "did", "ddn", "spa", "41.23 / 0.9894", "CVPR 2023"):
        assert word in text
    assert text.count("not downloaded, 135 MB") == 5
    assert text.count("published without a licence") == 1
    assert "light rain (Rain200L)" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not cache.exists()


def test_list_for_scripts() -> None:
    typed("import", str(PLAIN), "--name", "mine")
    rows = {row["name"]: row for row in map(json.loads, typed("list", "--json").splitlines())}
    assert list(rows) == ["compact", "rain200l", "rain200h", "did", "ddn", "spa", "mine"]
    assert rows["did"]["state"] == "not downloaded"
    assert rows["did"]["figures"] == [
        {"dataset": "DID-Data", "psnr": 35.35, "ssim": 0.9646, "protocol": "did-ddn"}
    ]
    assert rows["mine"]["state"] == "ready"
    assert rows["mine"]["source"] == PLAIN.name
    assert all(row.keys() == rows["mine"].keys() for row in rows.values())


def test_list_survives_a_damaged_record(cache: Path) -> None:
    typed("import", str(PLAIN), "--name", "mine")
    (cache / "mine.json").write_text("{")
    assert json.loads(typed("list", "--json").splitlines()[-1])["state"] == "damaged"


def test_list_and_where_need_no_torch() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from drsformer_cli.cli.weights import weights_app\n"
        "for words in (['list'], ['where']):\n"
        "    assert CliRunner().invoke(weights_app, words).exit_code == 0, words\n"
        "print(sorted({'torch', 'numpy', 'requests', 'gdown', 'pooch'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_import_verify_where(cache: Path) -> None:
    assert "mine: imported (mefc)" in typed("import", str(MEFC), "--name", "mine")
    assert "mine: sound (mefc), SHA-256 " in typed("verify", "mine")
    assert typed("where", "mine").strip() == str(cache / "mine.safetensors")
    assert typed("where").strip() == str(cache)
    assert json.loads(typed("where", "mine", "--json")) == {
        "name": "mine",
        "path": str(cache / "mine.safetensors"),
    }
    row = json.loads(typed("verify", "mine", "--json"))
    assert row["sound"]
    assert row["variant"] == "mefc"
    again = json.loads(typed("import", str(PLAIN), "--name", "mine", "--force", "--json"))
    assert (again["name"], again["variant"], again["path"]) == ("mine", "plain", row["path"])


def test_verify_tells_of_every_model(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        typed("import", str(PLAIN), "--name", name)
    for name in ("a", "c"):
        (cache / f"{name}.safetensors").write_bytes((cache / "b.safetensors").read_bytes()[:-1])
    result = CliRunner().invoke(weights_app, ["verify", "a", "b", "c"])
    assert isinstance(result.exception, DerainError)
    assert str(result.exception) == "2 of 3 models are not sound: a, c; get or import them again with --force"
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["a", "b", "c"]
    assert "b: sound" in result.stdout


def test_get_from_an_address(server: Server, published: bytes, cache: Path) -> None:
    url = server.add("/m.pth", whole(published))
    first = derain("get", "rain200l", "--from", url)
    assert first.returncode == 0
    assert first.stdout == f"rain200l: downloaded, {cache / 'rain200l.safetensors'}\n"
    assert first.stderr == ""
    row = json.loads(derain("get", "rain200l", "--from", url, "--json").stdout)
    assert row == {"name": "rain200l", "path": str(cache / "rain200l.safetensors"), "downloaded": False}
    assert server.seen == ["/m.pth"]
    assert left_in(cache) == ["rain200l.json", "rain200l.safetensors"]
    assert derain("verify", "rain200l").returncode == 0


def test_get_what_is_bundled(cache: Path) -> None:
    assert "compact: already here" in typed("get", "compact")
    assert not cache.exists()


def test_get_fails_in_one_sentence(server: Server, published: bytes, cache: Path) -> None:
    line = refused("get", "rain200l", "--from", server.add("/p.pth", page("<html>Sign in</html>")))
    assert "web page instead of a checkpoint" in line
    assert "https://drive.google.com/file/d/1Mm6hWdpjo9eEoNlCHAxd03etY3ks-zyy/view" in line
    assert "`derain weights import FILE --name rain200l`" in line
    assert "of another size" in refused(
        "get", "rain200l", "--from", server.add("/tiny.pth", whole(PLAIN.read_bytes()))
    )
    assert "'plain' variant" in refused("get", "rain200h", "--from", server.add("/l.pth", whole(published)))
    assert left_in(cache) == []


def test_get_offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("DERAIN_OFFLINE", "1")
    assert "DERAIN_OFFLINE is set" in refused("get", "rain200l")
    assert not cache.exists()


@pytest.mark.parametrize("kind", COMMON)
def test_each_wrong_kind_through_the_command(kind: str, tmp_path: Path, cache: Path) -> None:
    make, word = WRONG[kind]
    make(tmp_path / "wrong.pth")
    assert word in refused("import", str(tmp_path / "wrong.pth"))
    assert not cache.exists()


def test_code_through_the_command(tmp_path: Path, cache: Path) -> None:
    path = code(tmp_path / "evil.pth", tmp_path / "ran", "zip")
    assert "holds code" in refused("import", str(path))
    assert "holds code" in refused("verify", str(path))
    assert not cache.exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("import", str(PLAIN), "--name", "UPPER"), 2),
        (("get", "rain200l", "--from", "nonsense"), 2),
        (("get",), 2),
        (("nothing",), 2),
        (("where", "rain200x"), 3),
        (("verify", "rain200l"), 3),
        (("import", "none.pth"), 3),
    ],
)
def test_exit_statuses(words: tuple[str, ...], status: int) -> None:
    result = derain(*words)
    assert result.returncode == status
    assert "Traceback" not in result.stderr
    assert result.stderr != ""


def test_a_model_of_ones_own_is_listed_without_a_licence() -> None:
    typed("import", str(PLAIN), "--name", "mine")
    text = typed("list")
    assert "mine" in text
    assert not any("mine" in line for line in text.splitlines() if line.startswith("Licence of "))


def test_a_terminal_shows_how_much_has_come(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with weights._progress("did") as silent:
        assert silent is None
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with weights._progress("did") as tell:
        assert tell is not None
        tell(3_000_000, 6_000_000)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capfd.readouterr().err)
    assert re.search(r"did .*3\.0/6\.0 MB", shown)
