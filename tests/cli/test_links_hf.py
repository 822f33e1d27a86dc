"""`derain hf://...` with a hub on loopback: what is read, what is refused, what is not asked twice."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drsformer_cli.media import remote
from tests.cli.conftest import Command, Outcome, environment
from tests.cli.hub_service import SIGNATURE, TOKEN, Hub, Repo
from tests.cli.loopback import serving

NEEDS = 'not installed: pip install "drsformer-cli[hf]"'
RAIN = "hf://datasets/wet/rain"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub that huggingface_hub takes for the only one, with nobody signed in and no pauses."""
    constants = pytest.importorskip("huggingface_hub.constants", reason=NEEDS)
    from huggingface_hub import HfFileSystem

    hub = Hub()
    with serving(hub):
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "nobody"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(remote.time, "sleep", lambda _: None)
        HfFileSystem.clear_instance_cache()
        yield hub
        HfFileSystem.clear_instance_cache()


@pytest.fixture
def words(tiny: Path) -> list[str]:
    return ["-m", str(tiny), "--device", "cpu"]


@pytest.fixture
def rain(hub: Hub, photos: Path) -> Repo:
    """Return a repository of three pictures and what does not belong to them."""
    (photos / "a.png").rename(photos / "a b%20#?ü@2x.png")
    paths = [path for path in photos.rglob("*") if path.is_file()]
    files = {path.relative_to(photos).as_posix(): path.read_bytes() for path in paths}
    hub.repos["wet/rain"] = Repo(files={"main": {**files, "README.md": b"x", ".gitattributes": b"x"}})
    return hub.repos["wet/rain"]


def in_a_line(outcome: Outcome) -> str:
    """Return what was said, which must be one sentence without a secret."""
    (line,) = outcome.err.splitlines()
    assert not any(secret in outcome.out + line for secret in (TOKEN, SIGNATURE))
    return line


def contents(hub: Hub) -> int:
    """Return how many files were read."""
    return sum("/resolve/" in each.path for each in hub.asked)


def test_in(hub: Hub, rain: Repo, derain: Command, photos: Path, tmp_path: Path, words: list[str]) -> None:
    assert derain(photos, "-o", tmp_path / "disk", *words).status == 0
    disk = tmp_path / "disk"
    expected = {path.relative_to(disk).as_posix(): path.read_bytes() for path in disk.rglob("*.*g")}
    first = derain(f"{RAIN}/", "-o", tmp_path / "out", "--json", *words)
    assert first.status == 0, first.err
    summary = json.loads(first.out.splitlines()[-1])
    assert (summary["done"], summary["left_out"]) == (3, {"hidden": 1, "not a picture": 1})
    assert {name: (tmp_path / "out" / name).read_bytes() for name in expected} == expected
    assert all(each.query.get("recursive", "False").lower() == "false" for each in hub.asked)
    hub.asked.clear()
    assert "3 done before" in derain(RAIN, "-o", tmp_path / "out", *words).err
    assert contents(hub) == 0
    rain.files["main"]["b.jpg"] = rain.files["main"]["deep/c.png"]
    remote._open(RAIN)[0].clear_instance_cache()
    assert "1 restored" in derain(RAIN, "-o", tmp_path / "out", *words).err
    assert contents(hub) == 1


def test_revisions(hub: Hub, rain: Repo) -> None:
    for revision in ("first", "v/1", "refs/pr/3"):
        rain.files[revision] = {"in/x.png": revision.encode(), "in/y.txt": b"as it is"}
    for typed, revision in (("first", "first"), ("v%2F1", "v/1"), ("refs/pr/3", "refs/pr/3")):
        place = f"{RAIN}@{typed}/in"
        assert [name for name, _ in remote._entries(place)] == ["x.png", "y.txt"]
        assert remote.read(f"{place}/x.png") == revision.encode()
        assert remote.read(f"{place}/y.txt") == b"as it is"
        assert remote.look(f"{place}/none.png") is None
    assert remote.look(f"{RAIN}@second") is None


def test_what_is_not_kept_apart_is_compared_by_its_content(
    hub: Hub, rain: Repo, derain: Command, tmp_path: Path, words: list[str], photos: Path
) -> None:
    rain.files["main"] = {"a.webp": (photos / "b.jpg").read_bytes()}
    assert "1 restored" in derain(RAIN, "-o", tmp_path / "out", *words).err
    hub.asked.clear()
    assert "1 done before" in derain(RAIN, "-o", tmp_path / "out", *words).err
    assert contents(hub) == 1


def test_with_the_hub_and_the_token_of_the_environment(hub: Hub, rain: Repo, tmp_path: Path) -> None:
    rain.access = "private"
    who = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    program = f"from drsformer_cli.media.remote import read; print(read('{RAIN}/README.md'))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(**who), capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("b'x'\n", "")


@pytest.mark.parametrize(
    ("access", "token", "status", "part"),
    [
        ("private", "", 3, "needs credentials, or is not there: set HF_TOKEN, or run hf auth login"),
        (None, "", 3, "or correct the name (Invalid username or password)"),
        (None, TOKEN, 2, "does not exist; check the spelling"),
        ("public", "hf_wrong", 3, "(Invalid credentials in Authorization header)"),
    ],
)
def test_what_is_refused_at_once(
    hub: Hub,
    rain: Repo,
    derain: Command,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    access: str | None,
    token: str,
    status: int,
    part: str,
) -> None:
    rain.access = access or ""
    if access is None:
        hub.repos.clear()
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    refused = derain(RAIN, "-o", "out", "-v", *words)
    assert refused.status == status
    assert part in in_a_line(refused)
    assert "hf_wrong" not in refused.err
    assert hub.count("GET", "/api/datasets/wet/rain") == 1
    assert contents(hub) == 0


@pytest.mark.parametrize(
    ("access", "status", "part"),
    [("gated", 3, "set HF_TOKEN"), ("denied", 1, "you are not in the authorized list")],
)
def test_what_is_seen_but_not_read(
    hub: Hub,
    rain: Repo,
    derain: Command,
    words: list[str],
    tmp_path: Path,
    access: str,
    status: int,
    part: str,
) -> None:
    rain.access = access
    rain.files["main"] = {"a.png": rain.files["main"]["b.jpg"]}
    refused = derain(RAIN, "-o", tmp_path / "out", "-v", *words)
    assert refused.status == status
    assert part in refused.err
    assert "Traceback" not in refused.err
    assert contents(hub) == 1, "what is final was asked again"


def test_a_signature_is_never_shown(
    hub: Hub, rain: Repo, derain: Command, words: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("huggingface_hub").propagate = True
    hub.closed = True  # what a link with a signature leads to
    refused = derain(RAIN, "-o", tmp_path / "out", "-v", *words)
    assert refused.status == 1
    assert "access is denied" in refused.err
    assert any(each.query.get("Signature") == SIGNATURE for each in hub.asked)
    assert SIGNATURE not in refused.err + refused.out + caplog.text


def test_a_hub_that_is_away_for_a_while(
    hub: Hub, rain: Repo, derain: Command, words: list[str], tmp_path: Path
) -> None:
    hub.fail = {"/tree/main": 2, "/rain": 1, "b.jpg": 1, "c.png": 7}
    done = derain(RAIN, "-o", tmp_path / "out", *words)
    assert done.status == 0, done.err
    assert set(hub.fail.values()) == {0}
    assert "503" not in done.err


def test_a_hub_that_is_away(
    hub: Hub, derain: Command, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    away = derain(RAIN, "-o", "out", *words)
    assert away.status == 3
    assert f"{RAIN} cannot be reached: " in in_a_line(away)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    forbidden = derain(RAIN, "-o", "out", *words)
    assert (forbidden.status, "unset HF_HUB_OFFLINE" in in_a_line(forbidden)) == (3, True)


@pytest.mark.parametrize(
    ("order", "part"),
    [
        (["hf://rain", "-o", "out"], "hf://rain is no address of a store: "),
        ([f"{RAIN}/b.jpg", "-o", f"{RAIN}/out.png"], "out.png: results cannot be written there"),
    ],
)
def test_words_that_make_no_sense(
    hub: Hub, rain: Repo, derain: Command, words: list[str], order: list[str], part: str
) -> None:
    refused = derain(*order, *words)
    assert refused.status == 2
    assert part in in_a_line(refused)
