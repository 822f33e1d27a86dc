"""`derain s3://...` against an S3 service on loopback: in and out, failing PUTs, nothing partial or twice."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, run_process, write_picture

NEEDS = 'not installed: pip install "moto[server]" "drsformer-cli[s3]"'


@dataclass
class Service:
    """An S3 service; `fail` says how many PUTs of a key fail, `lose` how many answers to PUTs are lost."""

    url: str
    client: Any
    fail: dict[str, int] = field(default_factory=dict)
    lose: dict[str, int] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)

    def fill(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = prefix + path.relative_to(folder).as_posix()
                self.client.put_object(Bucket="rain", Key=key, Body=path.read_bytes())
        self.puts.clear()

    def objects(self, prefix: str) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket="rain", Prefix=prefix).get("Contents", [])
        return {
            each["Key"].removeprefix(prefix): self.client.get_object(Bucket="rain", Key=each["Key"])[
                "Body"
            ].read()
            for each in listed
        }


class Failing:
    """Stands before the service and answers some PUTs with 503."""

    def __init__(self, app: Any, service: Service) -> None:
        self.app, self.service = app, service

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method == "PUT":
            self.service.puts.append(path)
        for key, left in (self.service.fail | self.service.lose).items():
            if method == "PUT" and path.endswith(key) and left:
                if key in self.service.lose:
                    self.service.lose[key] -= 1
                    list(self.app(environ, lambda *_: None))
                else:
                    self.service.fail[key] -= 1
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start("503 Slow Down", [("Content-Type", "application/xml")])
                return [b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"]
        return self.app(environ, start)


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    pytest.importorskip("moto.server", reason=NEEDS)
    pytest.importorskip("s3fs", reason=NEEDS)
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        service = Service("", None)
        app = Failing(DomainDispatcherApplication(create_backend_app), service)
        http = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        service.url = f"http://127.0.0.1:{http.server_port}"
        patch.setenv("AWS_ENDPOINT_URL", service.url)
        service.client = boto3.client("s3", endpoint_url=service.url)
        service.client.create_bucket(Bucket="rain")
        yield service
        http.shutdown()


@pytest.fixture
def words(tiny: Path) -> list[str]:
    return ["-m", str(tiny), "--device", "cpu"]


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name)


def test_in_and_out(
    server: Service, derain: Command, photos: Path, tmp_path: Path, words: list[str], prefix: str
) -> None:
    (photos / ".hidden.png").write_bytes(b"x")
    (photos / "notes.txt").write_bytes(b"x")
    (photos / "bad.png").write_bytes(b"no picture")
    server.fill(photos, f"{prefix}/in/")
    assert derain(photos, "-o", tmp_path / "disk", *words).status == 1
    expected = {
        path.relative_to(tmp_path / "disk").as_posix(): path.read_bytes()
        for path in (tmp_path / "disk").rglob("*.*g")
    }
    first = derain(f"s3://rain/{prefix}/in/", "-o", f"s3://rain/{prefix}/out", "--json", *words)
    assert first.status == 1
    lines = [json.loads(line) for line in first.out.splitlines()]
    assert (lines[-1]["done"], lines[-1]["failed"]) == (3, 1)
    assert lines[-1]["left_out"] == {"hidden": 1, "not a picture": 1}
    assert {line["output"] for line in lines if line["status"] == "done"} == {
        f"s3://rain/{prefix}/out/{name}" for name in expected
    }
    assert server.objects(f"{prefix}/out/") == expected
    server.puts.clear()
    again = derain(f"s3://rain/{prefix}/in", "-o", f"s3://rain/{prefix}/out/", *words)
    assert "3 done before" in again.err
    assert server.puts == []
    server.client.put_object(
        Bucket="rain", Key=f"{prefix}/in/a.png", Body=(photos / "deep" / "c.png").read_bytes()
    )
    changed = derain(f"s3://rain/{prefix}/in", "-o", f"s3://rain/{prefix}/out/", *words)
    assert "1 restored" in changed.err
    assert server.objects(f"{prefix}/out/")["a.png"] == expected["deep/c.png"]


def test_to_and_from_a_disk(
    server: Service, derain: Command, photos: Path, tmp_path: Path, words: list[str], prefix: str
) -> None:
    up = f"s3://rain/{prefix}"
    assert derain(photos, "-o", up, *words).status == 0
    assert derain(photos, "-o", tmp_path / "disk", *words).status == 0
    stored = server.objects(f"{prefix}/")
    assert stored == {
        name: (tmp_path / "disk" / name).read_bytes() for name in ("a.png", "b.jpg", "deep/c.png")
    }
    assert derain(up, "-o", tmp_path / "down", *words).status == 0
    assert derain(tmp_path / "disk", "-o", tmp_path / "twice", *words).status == 0
    for name in stored:
        assert (tmp_path / "down" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    assert "3 done before" in derain(up, "-o", tmp_path / "down", *words).err
    assert "3 done before" in derain(photos, "-o", up, *words).err
    assert "3 to do" in derain(photos, "-o", up, "--strength", "0.5", "--dry-run", *words).err
    single = derain(f"{up}/a.png", "-o", f"file://{tmp_path.as_posix()}/one.png", *words)
    assert single.status == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "twice" / "a.png").read_bytes()


def test_failing_puts_are_tried_again(
    server: Service, derain: Command, photos: Path, words: list[str], prefix: str
) -> None:
    server.fail, server.lose = {f"{prefix}/a.png": 2}, {f"{prefix}/b.jpg": 1}
    done = derain(photos, "-o", f"s3://rain/{prefix}", *words)
    assert done.status == 0, done.err
    assert (server.fail, server.lose) == ({f"{prefix}/a.png": 0}, {f"{prefix}/b.jpg": 0})
    assert sorted(server.objects(f"{prefix}/")) == ["a.png", "b.jpg", "deep/c.png"]


def test_nothing_of_others_is_replaced(
    server: Service, derain: Command, photos: Path, words: list[str], prefix: str
) -> None:
    server.client.put_object(Bucket="rain", Key=f"{prefix}/a.png", Body=b"mine")
    kept = derain(photos, "-o", f"s3://rain/{prefix}", *words)
    assert kept.status == 1
    assert "was not made by derain" in kept.err
    assert server.objects(f"{prefix}/")["a.png"] == b"mine"
    assert derain(photos, "-o", f"s3://rain/{prefix}", "--overwrite", *words).status == 0
    assert server.objects(f"{prefix}/")["a.png"] != b"mine"
    same = derain(f"s3://rain/{prefix}", "-o", f"s3://rain/{prefix}/", *words)
    assert same.status == 2
    assert "own files" in same.err


def test_workers_and_shards(server: Service, tmp_path: Path, words: list[str], prefix: str) -> None:
    for index in range(8):
        write_picture(tmp_path / "in" / f"{index}.png", index)
    server.fill(tmp_path / "in", f"{prefix}/in/")
    place = (f"s3://rain/{prefix}/in", "-o", f"s3://rain/{prefix}/out")
    one = run_process(*place, "--workers", 2, "--shard", "1/2", *words)
    two = run_process(*place, "--shard", "2/2", *words)
    assert (one.status, two.status) == (0, 0), one.err + two.err
    assert len(server.objects(f"{prefix}/out/")) == 8
    assert sorted(server.puts) == [f"/rain/{prefix}/out/{index}.png" for index in range(8)]
    rest = run_process(*place, "--dry-run", *words)
    assert "8 done before" in rest.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["s3://rain/nothing-there", "-o", "out"], "does not exist"),
        (["s3://rain/x"], "-o"),
        (["s3://rain/x", "s3://rain/y", "-o", "out"], "stands alone"),
        (["-", "-o", "s3://rain/x.png"], "pipe and a URL"),
        (["s3://rain/x", "-o", "out", "--gt", "."], "--gt scores files on a disk"),
        (["ftp://rain/x", "-o", "out"], "nothing is known of ftp://"),
    ],
)
def test_words_that_make_no_sense(server: Service, derain: Command, words: list[str], part: str) -> None:
    refused = derain(*words)
    assert refused.status == 2, refused.err
    assert part in refused.err
    assert len(refused.err.splitlines()) == 1


def test_files_of_a_disk_each_have_a_place(
    server: Service, derain: Command, photos: Path, words: list[str], prefix: str
) -> None:
    up = f"s3://rain/{prefix}"
    one = derain(photos / "a.png", "-o", up, "--dry-run", "--json", *words)
    assert json.loads(one.out.splitlines()[0])["output"] == f"{up}/a.png"
    named = derain(photos / "a.png", "-o", f"{up}/other.jpg", *words)
    assert named.status == 0, named.err
    assert server.objects(f"{prefix}/")["other.jpg"][:3] == b"\xff\xd8\xff"
    several = derain(photos / "a.png", photos / "b.jpg", "-o", f"{up}/both", *words)
    assert several.status == 0, several.err
    assert sorted(server.objects(f"{prefix}/both/")) == ["a.png", "b.jpg"]
