"""Without being asked no command touches the network; and what is asked for gives no secret away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from drsformer_cli.errors import DownloadError, UsageError
from drsformer_cli.weights import Store, get
from drsformer_cli.weights.transfer import Policy, check_url, shown
from tests.cli.conftest import Command, environment, write_picture
from tests.cli.test_train_and_doctor import RECIPE
from tests.media.clips import film

# Runs each command in turn; whatever asks the system for the network is written down and refused.
DRIVER = """
import json, sys
asked = []
def refuse(event, words):
    asks = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto",
                     "socket.bind", "urllib.Request", "http.client.connect", "ftplib.connect")
    if asks and not isinstance(words[1] if len(words) > 1 else None, (str, bytes)):
        asked.append([event, repr(words)[:200]])
        raise OSError("the network is refused")
    if asks and event not in ("socket.connect", "socket.bind"):
        asked.append([event, repr(words)[:200]])
        raise OSError("the network is refused")
sys.addaudithook(refuse)
from drsformer_cli.cli import app
done = []
for words in json.loads(sys.stdin.read()):
    sys.argv = ["derain", *words]
    try:
        app.main()
    except SystemExit as end:
        done.append([words, end.code or 0, asked[:]])
    asked.clear()
sys.__stdout__.flush()
print("\\n" + json.dumps(done))
"""
COMMANDS = ("run", "video", "eval", "train", "bench", "doctor", "weights")
MODEL_COMMANDS = ("list", "get", "import", "verify", "where")


def test_a_refusal_is_seen() -> None:
    """The guard itself works: a command that needs the network fails, and is written down."""
    (row,) = run([["weights", "get", "rain200h", "--from", "https://localhost:9/a.pth"]], Path.cwd())
    assert row[1] == 3
    assert row[2]


def run(commands: list[list[str]], cache: Path) -> list[tuple[list[str], int, list[object]]]:
    """The commands, how each ended, and what it asked of the network."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(commands).encode(),
        capture_output=True,
        env=environment(DERAIN_CACHE=str(cache / "cache"), DERAIN_WEIGHTS_MIRROR="", DERAIN_OFFLINE=""),
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    rows: list[tuple[list[str], int, list[object]]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def test_no_command_asks_for_the_network(tmp_path: Path, golden: Path) -> None:
    tiny = str(golden / "tiny_mefc.pth")
    picture = write_picture(tmp_path / "in" / "a.png")
    for index in range(2):
        write_picture(tmp_path / "photographs" / f"{index}.png", index, (256, 256))
    clip = film(tmp_path / "a.mp4", seconds=0.08)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    quick = ["--device", "cpu"]
    out, report = tmp_path / "out", tmp_path / "r.html"
    commands: list[list[object]] = [
        [picture.parent, "-o", out, *quick],
        [picture.parent, "-o", tmp_path / "scored", "--gt", out, "--report", report, "-m", tiny, *quick],
        ["video", clip, "-o", tmp_path / "b.mp4", "-m", tiny, *quick],
        ["eval", "--gt", picture.parent, "--pred", out, "--report", tmp_path / "e.html"],
        [
            "train",
            tmp_path / "photographs",
            "-o",
            tmp_path / "run",
            "--config",
            tmp_path / "recipe.toml",
            *quick,
        ],
        [
            "bench",
            "-m",
            tiny,
            "--size",
            "96x64",
            "--repeat",
            "1",
            "--tile",
            "off",
            *quick,
        ],
        ["doctor"],
        ["weights", "list"],
        ["weights", "where"],
        ["weights", "import", tiny, "--name", "mine"],
        ["weights", "verify"],
        *([command, "--help"] for command in COMMANDS),
        *(["weights", command, "--help"] for command in MODEL_COMMANDS),
        ["--help"],
        ["--version"],
        [picture, "-m", "rain200h", "-o", tmp_path / "c.png"],
    ]
    rows = run([[str(word) for word in words] for words in commands], tmp_path)
    assert len(rows) == len(commands)
    for words, status, asked in rows:
        assert not asked, f"{words}: {asked}"
        # a model that is not here is asked for, not fetched
        assert status == (3 if "rain200h" in words else 0), words
    Image.open(out / "a.png").verify()


SECRETS = (
    "https://user:hunter2@example.invalid/m.pth",
    "https://example.invalid/m.pth?X-Amz-Signature=hunter2&token=hunter2",
    "https://example.invalid/m.pth#hunter2",
    "https://hunter2@example.invalid:8443/m.pth?sig=hunter2",
    "ftp://user:hunter2@example.invalid/m.pth",
    "https://user:hunter2@[bad/m.pth",
    "file:///tmp/m.pth?hunter2",
)


@pytest.mark.parametrize("url", SECRETS)
def test_no_secret_of_an_address_is_told(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test, hunter2 or not")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    policy = Policy(attempts=1, connect=1, silence=1)
    with pytest.raises((DownloadError, UsageError)) as caught:
        get("rain200h", url=url, store=Store(tmp_path / "cache"), policy=policy)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in shown(url)
    kept = [path.read_text(errors="replace") for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not any("hunter2" in text for text in kept)


@pytest.mark.parametrize(
    "url", ["ftp://a/b.pth", "file:///etc/passwd", "s3://a/b", "//a/b", "a.pth", "javascript:x"]
)
def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(UsageError, match="no http or https address"):
        check_url(url)


@pytest.mark.parametrize(
    "url", ["https://user:hunter2@a.invalid/a.png?sig=hunter2", "s3://key:hunter2@bucket/a"]
)
def test_a_secret_in_an_input_is_not_told(derain: Command, url: str, tmp_path: Path) -> None:
    """An address that is given as an input, with a user and a password in it."""
    for words in ([url, "-o", tmp_path / "a.png"], [write_picture(tmp_path / "b.png"), "-o", url]):
        outcome = derain(*words)
        assert outcome.status in (1, 2), outcome.err
        assert "hunter2" not in outcome.out + outcome.err
