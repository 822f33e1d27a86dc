"""Fetching a model: what is accepted, what is recorded, and what two processes do at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from drsformer_cli.errors import CheckpointError, DownloadError, UsageError, WeightsError
from drsformer_cli.weights import Catalog, Store, fingerprint, get, import_file, read, resolve, verify
from drsformer_cli.weights.transfer import Policy
from tests.weights.conftest import DRIVE_ID, left_in
from tests.weights.samples import COMMON, MEFC, PLAIN, WRONG, code, tiny
from tests.weights.serving import Server, cut, page, status, whole
from tests.weights.test_checkpoint import same

BODY = PLAIN.read_bytes()
BOTH = ["drizzle.json", "drizzle.safetensors"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def fetch(known: Catalog, policy: Policy) -> Any:
    """`get`, of the small catalogue, in short."""

    def fetch(name: str = "drizzle", **options: Any) -> Any:
        return get(name, **{"known": known, "policy": policy, **options})

    return fetch


@pytest.fixture
def another(tmp_path: Path) -> bytes:
    """A sound checkpoint of the same network with other values."""
    torch.save({"params": {name: value * 0.5 for name, value in tiny().items()}}, tmp_path / "another.pth")
    return (tmp_path / "another.pth").read_bytes()


def test_a_model_is_fetched_once(
    fetch: Any, server: Server, cache: Path, store: Store, known: Catalog
) -> None:
    url = server.add("/m.pth", whole(BODY))
    first, second = fetch(url=url), fetch(url=url)
    assert (first.downloaded, second.downloaded) == (True, False)
    assert first.path == second.path == resolve("drizzle", known=known)
    assert server.seen == ["/m.pth"]
    assert left_in(cache) == BOTH
    assert same(read(first.path).tensors, tiny())
    record = store.record("drizzle")
    assert record is not None
    assert (record.source, record.original_sha256) == (url, fingerprint(PLAIN))
    assert verify("drizzle", known=known).sha256 == record.sha256


def test_secrets_of_an_address_are_not_recorded(fetch: Any, server: Server, store: Store) -> None:
    url = server.add("/m.pth", whole(BODY)).replace("//", "//me:word@") + "?key=1"
    path = fetch(url=url).path
    assert b"word" not in path.read_bytes()[:5000]
    assert "key" not in (store.folder / "drizzle.json").read_text()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror(
    suffix: str, slash: str, fetch: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = BODY if suffix == ".pth" else save(tiny())
    server.add(f"/models/drizzle{suffix}", whole(body))
    monkeypatch.setenv("DERAIN_WEIGHTS_MIRROR", f"{server.url}/models{slash}")
    assert same(read(fetch().path).tensors, tiny())
    assert server.seen[-1] == f"/models/drizzle{suffix}"


def test_an_address_comes_before_the_mirror(
    fetch: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_WEIGHTS_MIRROR", f"{server.url}/models")
    server.add("/own/drizzle.pth", whole(BODY))
    assert fetch(url=f"{server.url}/own/").downloaded
    assert server.seen == ["/own/drizzle.pth"]


def test_a_second_download_must_be_the_same(
    fetch: Any, server: Server, cache: Path, store: Store, another: bytes
) -> None:
    url = server.add("/m.pth", whole(BODY), whole(another))
    path = fetch(url=url).path
    path.unlink()
    with pytest.raises(
        DownloadError, match=r"not the file recorded for 'drizzle' .* `derain weights get drizzle --force`"
    ):
        fetch(url=url)
    assert left_in(cache) == ["drizzle.json"]
    server.add("/m.pth", whole(BODY))
    assert same(read(fetch(url=url).path).tensors, tiny())


def test_a_damaged_file_is_fetched_again(fetch: Any, server: Server, store: Store, another: bytes) -> None:
    url = server.add("/m.pth", whole(BODY))
    path = fetch(url=url).path
    path.write_bytes(path.read_bytes()[:-3])
    assert fetch(url=url).downloaded
    assert same(read(path).tensors, tiny())


def test_force_accepts_another(fetch: Any, server: Server, store: Store, another: bytes) -> None:
    url = server.add("/m.pth", whole(BODY), whole(another))
    fetch(url=url)
    assert fetch(url=url, force=True).downloaded
    assert not same(read(store.path("drizzle")).tensors, tiny())
    assert not fetch(url=url).downloaded


def test_force_mends_a_damaged_record(fetch: Any, server: Server, store: Store) -> None:
    url = server.add("/m.pth", whole(BODY))
    fetch(url=url)
    (store.folder / "drizzle.json").write_text("{")
    with pytest.raises(WeightsError, match=r"record .* damaged"):
        fetch(url=url)
    assert fetch(url=url, force=True).downloaded


def test_a_failure_keeps_what_was_there(fetch: Any, server: Server, store: Store, cache: Path) -> None:
    url = server.add("/m.pth", whole(BODY), cut(BODY))
    fetch(url=url)
    with pytest.raises(DownloadError):
        fetch(url=url, force=True)
    assert store.is_whole("drizzle")
    assert left_in(cache) == BOTH


@pytest.mark.parametrize(
    "answer",
    [cut(BODY), cut(BODY, length=False), page("<html>quota</html>"), status(404), status(500)],
    ids=["cut", "cut without length", "web page", "404", "500"],
)
def test_a_failure_leaves_nothing_and_tells_the_other_way(
    answer: Any, fetch: Any, server: Server, cache: Path
) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch(url=server.add("/m.pth", answer))
    assert str(caught.value).startswith("the model 'drizzle' was not downloaded: http://127.0.0.1")
    assert f"open https://drive.google.com/file/d/{DRIVE_ID}/view in a browser" in str(caught.value)
    assert "`derain weights import FILE --name drizzle`" in str(caught.value)
    assert left_in(cache) == []


@pytest.mark.parametrize("kind", [*COMMON[2:], "safetensors lying"])
def test_a_wrong_file_leaves_nothing(
    kind: str, fetch: Any, server: Server, cache: Path, tmp_path: Path
) -> None:
    WRONG[kind][0](tmp_path / "wrong")
    url = server.add("/m.pth", whole((tmp_path / "wrong").read_bytes()))
    with pytest.raises(CheckpointError, match=f"^what came from {url}"):
        fetch(url=url)
    assert left_in(cache) == []


def test_code_leaves_nothing(fetch: Any, server: Server, cache: Path, tmp_path: Path) -> None:
    evil = code(tmp_path / "evil", tmp_path / "ran", "zip")
    with pytest.raises(CheckpointError, match="holds code"):
        fetch(url=server.add("/m.pth", whole(evil.read_bytes())))
    assert left_in(cache) == []
    assert not (tmp_path / "ran").exists()


def test_another_model_than_the_one_asked_for(fetch: Any, server: Server, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="'mefc' variant, but the model 'drizzle' is of the 'plain'"):
        fetch(url=server.add("/m.pth", whole(MEFC.read_bytes())))
    assert left_in(cache) == []


def test_google_drive(fetch: Any, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def drive(file_id: str, target: Path, **_: object) -> None:
        asked.append(file_id)
        target.write_bytes(BODY)

    monkeypatch.setattr("drsformer_cli.weights.download.over_drive", drive)
    assert fetch().downloaded
    assert asked == [DRIVE_ID]
    record = store.record("drizzle")
    assert record is not None
    assert record.source == f"https://drive.google.com/file/d/{DRIVE_ID}/view"


def test_names(fetch: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no model 'drizle'; did you mean drizzle\?"):
        fetch("drizle")
    with pytest.raises(UsageError, match="published nowhere; give an address with --from"):
        fetch("downpour")
    with pytest.raises(WeightsError, match="install derain again"):
        fetch("inside")
    (tmp_path / "inside.safetensors").touch()
    assert fetch("inside").path == tmp_path / "inside.safetensors"
    with pytest.raises(UsageError, match="no http or https address"):
        fetch(url="drizzle.pth")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("value", ["1", "true", "yes"])
@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/", "https://models.invalid/m.pth"])
def test_offline(
    value: str, url: str | None, fetch: Any, cache: Path, known: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_OFFLINE", value)
    with pytest.raises(
        DownloadError, match=r"DERAIN_OFFLINE is set.*`derain weights import FILE --name drizzle`"
    ):
        fetch(url=url)
    assert not cache.exists()
    import_file(PLAIN, "drizzle", known=known)
    assert not fetch(url=url).downloaded
    with pytest.raises(DownloadError, match="DERAIN_OFFLINE is set"):
        fetch(url=url, force=True)


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_not_offline(value: str, fetch: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERAIN_OFFLINE", value)
    assert fetch(url=server.add("/m.pth", whole(BODY))).downloaded


FETCH = f"""
import sys
from drsformer_cli.weights import Catalog, Entry, get, read
from drsformer_cli.weights.transfer import Policy
entry = Entry("drizzle", about="", variant="plain", licence="", drive_id="{DRIVE_ID}")
print("ready", flush=True)
done = get("drizzle", url=sys.argv[1], known=Catalog((entry,)), policy=Policy(attempts=1, silence=60))
print(done.downloaded)
"""


def process(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_make_one_download(server: Server, cache: Path) -> None:
    url = server.add("/m.pth", whole(BODY, pieces=10, pause=0.15))
    both = [process(url), process(url)]
    results = [one.communicate(timeout=60) for one in both]
    assert sorted(out.split()[-1] for out, _ in results) == ["False", "True"], results
    assert server.seen == ["/m.pth"]
    assert left_in(cache) == BOTH


def wait_for(path: Path, size: int) -> None:
    limit = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < limit, f"{path} never came to {size} bytes"
        time.sleep(0.02)


def test_a_killed_download_is_swept_by_the_next(fetch: Any, server: Server, cache: Path) -> None:
    url = server.add("/m.pth", whole(BODY, send=2_000_000, hang=2), whole(BODY))
    with process(url) as first:
        wait_for(cache / ".drizzle.partial" / "original", 500_000)
        first.kill()
    assert not Store().has("drizzle")
    assert fetch(url=url).downloaded
    assert left_in(cache) == BOTH


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as POSIX does")
def test_an_interrupted_download_leaves_nothing(server: Server, cache: Path) -> None:
    url = server.add("/m.pth", whole(BODY, send=2_000_000, hang=2))
    with process(url) as first:
        wait_for(cache / ".drizzle.partial" / "original", 500_000)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)
    assert left_in(cache) == []
