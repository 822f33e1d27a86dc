"""The bytes of one file over a real connection, and every way it goes wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

from drsformer_cli.errors import DownloadError, StorageError, UsageError
from drsformer_cli.weights.transfer import Policy, check_url, over_drive, over_http, shown
from tests.weights.conftest import DRIVE_ID
from tests.weights.samples import PLAIN
from tests.weights.serving import Server, cut, endless, page, redirect, status, whole

BODY = PLAIN.read_bytes()
SMALL = bytes(range(256)) * 64


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_a_file_comes_whole_and_is_told_of(server: Server, target: Path, policy: Policy) -> None:
    told: list[tuple[int, int | None]] = []
    url = server.add("/m.pth", whole(BODY))
    assert over_http([url], target, policy=policy, progress=lambda *now: told.append(now)) == url
    assert target.read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 5


@pytest.mark.parametrize("length", [True, False])
def test_a_slow_server_may_take_longer_than_any_silence(
    length: bool, server: Server, target: Path, policy: Policy
) -> None:
    url = server.add("/m.pth", whole(BODY, length=length, pieces=8, pause=0.15))
    start = time.monotonic()
    over_http([url], target, policy=policy)
    assert time.monotonic() - start > 2 * policy.silence
    assert target.read_bytes() == BODY
    assert len(server.seen) == 1


@pytest.mark.parametrize("length", [True, False])
def test_a_cut_is_noticed_and_tried_again(length: bool, server: Server, target: Path, policy: Policy) -> None:
    url = server.add("/m.pth", cut(BODY, length=length), cut(BODY, length=length), whole(BODY, length=length))
    over_http([url], target, policy=policy)
    assert target.read_bytes() == BODY
    assert len(server.seen) == 3


@pytest.mark.parametrize("length", [True, False])
def test_a_file_that_is_always_cut(length: bool, server: Server, target: Path, policy: Policy) -> None:
    url = server.add("/m.pth", cut(BODY, length=length))
    with pytest.raises(DownloadError, match=r"m\.pth: the connection was cut .* \(3 attempts\)"):
        over_http([url], target, policy=policy)
    assert len(server.seen) == 3


def test_nothing_at_all_came(server: Server, target: Path, policy: Policy) -> None:
    with pytest.raises(DownloadError, match="the connection was cut"):
        over_http([server.add("/m.pth", whole(b"", length=False))], target, policy=policy)


def test_a_server_that_goes_silent(server: Server, target: Path, policy: Policy) -> None:
    url = server.add("/m.pth", whole(BODY, send=1000, hang=1.5))
    with pytest.raises(DownloadError, match=r"nothing came for 0\.5 seconds \(2 attempts\)"):
        over_http([url], target, policy=Policy(attempts=2, pause=0.01, silence=0.5))


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_errors_that_pass(code: int, server: Server, target: Path, policy: Policy) -> None:
    over_http([server.add("/m.pth", status(code), whole(BODY))], target, policy=policy)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_errors_that_do_not(code: int, server: Server, target: Path, policy: Policy) -> None:
    with pytest.raises(DownloadError, match=rf"m\.pth: the server answered {code}$"):
        over_http([server.add("/m.pth", status(code))], target, policy=policy)
    assert len(server.seen) == 1


def test_the_pause_grows(server: Server, target: Path) -> None:
    url = server.add("/m.pth", status(503))
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"answered 503 \(3 attempts\)"):
        over_http([url], target, policy=Policy(attempts=3, pause=0.2))
    assert time.monotonic() - start >= 0.2 + 0.4


def test_nobody_listens(target: Path, policy: Policy) -> None:
    with pytest.raises(DownloadError, match=r"the server cannot be reached \(3 attempts\)"):
        over_http(["http://127.0.0.1:1/m.pth"], target, policy=policy)


def test_no_certificate(server: Server, target: Path, policy: Policy) -> None:
    url = server.url.replace("http:", "https:")
    with pytest.raises(DownloadError, match="the server's certificate cannot be trusted"):
        over_http([f"{url}/m.pth"], target, policy=policy)


@pytest.mark.parametrize(
    "text", ["<!doctype html><p>Sign in", "\n <HTML>", "﻿<html>", "<?xml version='1.0'?><e/>"]
)
def test_a_web_page(text: str, server: Server, target: Path, policy: Policy) -> None:
    with pytest.raises(DownloadError, match="web page instead of a checkpoint"):
        over_http([server.add("/m.pth", page(text))], target, policy=policy)
    assert len(server.seen) == 1


@pytest.mark.parametrize("code", [403, 410])
def test_some_servers_say_otherwise_that_they_have_no_such_file(
    code: int, server: Server, target: Path, policy: Policy
) -> None:
    missing, there = server.add("/m.pth", status(code)), server.add("/m.safetensors", whole(SMALL))
    assert over_http([missing, there], target, policy=policy) == there
    assert target.read_bytes() == SMALL


def test_the_second_address(server: Server, target: Path, policy: Policy) -> None:
    there = server.add("/m.safetensors", whole(SMALL))
    assert over_http([server.url + "/m.pth", there], target, policy=policy) == there
    with pytest.raises(DownloadError, match=r"a\.pth and .*b\.pth: the server answered 404"):
        over_http([server.url + "/a.pth", server.url + "/b.pth"], target, policy=policy)


def test_too_big_by_its_length(server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match="more than 1,000 bytes would come"):
        over_http([server.add("/m.pth", whole(BODY))], target, policy=Policy(limit=1000))
    assert target.stat().st_size == 0


def test_too_big_without_an_end(server: Server, target: Path) -> None:
    with pytest.raises(DownloadError, match="more than 3,000,000 bytes"):
        over_http([server.add("/m.pth", endless)], target, policy=Policy(limit=3_000_000))
    assert target.stat().st_size <= 3_000_000


def test_redirects(server: Server, target: Path, policy: Policy) -> None:
    server.add("/there", whole(SMALL))
    over_http([server.add("/here", redirect("/there"))], target, policy=policy)
    assert target.read_bytes() == SMALL


def test_no_redirect_from_a_guarded_way_into_the_open(server: Server, target: Path, policy: Policy) -> None:
    url = server.add("/here", redirect("http://models.invalid/m.pth?key=secret"))
    with pytest.raises(
        DownloadError, match=r"leads to http://models\.invalid/m\.pth, which is not encrypted"
    ):
        over_http([url], target, policy=policy)


def test_a_redirect_to_something_else(server: Server, target: Path, policy: Policy) -> None:
    with pytest.raises(DownloadError):
        over_http([server.add("/here", redirect("file:///etc/passwd"))], target, policy=policy)
    with pytest.raises(DownloadError):
        over_http([server.add("/round", redirect("/round"))], target, policy=policy)


@pytest.mark.parametrize(
    "url",
    [
        "m.pth",
        "/m.pth",
        "file:///m.pth",
        "ftp://a/m.pth",
        "http://",
        "https:///m.pth",
        "",
        "http://[",
        "https://me:word@[x/m.pth",
    ],
)
def test_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="no http or https address") as refused:
        check_url(url)
    assert "word" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    assert shown("https://me:word@host:81/a/m.pth?key=1#x") == "https://host:81/a/m.pth"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(server: Server, policy: Policy) -> None:
    with pytest.raises(StorageError, match="cannot"):
        over_http([server.add("/m.pth", whole(BODY))], Path("/dev/full"), policy=policy)
    with pytest.raises(StorageError, match="cannot"):
        over_http([server.add("/s.pth", whole(SMALL))], Path("/dev/full"), policy=policy)
    assert len(server.seen) == 2


class ToLoopback(HTTPAdapter):
    """Carries what is meant for Google to the server of the test; everything else is real."""

    server: Server

    def send(self, request: requests.PreparedRequest, *args: object, **options: object) -> requests.Response:  # type: ignore[override]
        asked = request.url or ""
        local = request.copy()
        local.url = self.server.url + "/" + asked.split("/", 3)[3]
        response = super().send(local, *args, **options)  # type: ignore[arg-type]
        response.url = asked
        return response


@pytest.fixture
def google(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    adapter = ToLoopback()
    adapter.server = server
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: adapter)
    return server


FILE = {"Content-Disposition": 'attachment; filename="net_g.pth"', "Content-Type": "application/octet-stream"}
WARNING = """<html><body><form id="download-form" action="https://drive.usercontent.google.com/download">
<input type="hidden" name="id" value="x">
<input type="hidden" name="confirm" value="t"></form></body></html>"""
QUOTA = '<html><p class="uc-error-subcaption">Too many users have viewed or downloaded this file</p></html>'
SIGN_IN = "<!doctype html><html><head><title>Sign in - Google Accounts</title></head></html>"


def test_drive_gives_the_file(google: Server, target: Path, policy: Policy) -> None:
    told: list[tuple[int, int | None]] = []
    google.add("/uc", whole(BODY, headers=FILE))
    over_drive(DRIVE_ID, target, policy=policy, progress=lambda *now: told.append(now))
    assert target.read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY))


def test_drive_warns_of_a_big_file_first(google: Server, target: Path, policy: Policy) -> None:
    google.add("/uc", page(WARNING))
    google.add("/download", whole(BODY, headers=FILE))
    over_drive(DRIVE_ID, target, policy=policy)
    assert target.read_bytes() == BODY
    assert google.seen == ["/uc", "/download"]


@pytest.mark.parametrize("text", [QUOTA, SIGN_IN, "<html></html>"])
def test_drive_gives_a_web_page(text: str, google: Server, target: Path, policy: Policy) -> None:
    google.add("/uc", page(text))
    with pytest.raises(DownloadError, match="Google Drive answered with a web page"):
        over_drive(DRIVE_ID, target, policy=policy)


def test_drive_gives_a_web_page_as_the_file(google: Server, target: Path, policy: Policy) -> None:
    google.add("/uc", whole(SIGN_IN.encode(), headers=FILE))
    with pytest.raises(DownloadError, match="Google Drive answered with a web page"):
        over_drive(DRIVE_ID, target, policy=policy)


def test_drive_is_cut_and_tried_again(google: Server, target: Path, policy: Policy) -> None:
    google.add("/uc", whole(BODY, send=1000, headers=FILE), whole(BODY, headers=FILE))
    over_drive(DRIVE_ID, target, policy=policy)
    assert target.read_bytes() == BODY


def test_drive_is_always_cut(google: Server, target: Path, policy: Policy) -> None:
    google.add("/uc", whole(BODY, send=1000, headers=FILE))
    with pytest.raises(DownloadError, match=r"Google Drive: the connection was cut .* \(3 attempts\)"):
        over_drive(DRIVE_ID, target, policy=policy)
    assert len(google.seen) == 3


def test_drive_gives_too_much(google: Server, target: Path) -> None:
    google.add("/uc", whole(BODY, headers=FILE))
    with pytest.raises(DownloadError, match="more than 1,000 bytes"):
        over_drive(DRIVE_ID, target, policy=Policy(limit=1000))


def test_drive_leaves_no_cookies(
    google: Server, target: Path, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    google.add("/uc", whole(BODY, headers=FILE))
    over_drive(DRIVE_ID, target, policy=policy)
    assert not (tmp_path / "home").exists()
