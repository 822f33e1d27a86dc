"""A service on loopback that a store's own library asks by HTTP, and that keeps what it was asked."""

from __future__ import annotations

import json
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request: its path as it was sent, in parts that are decoded, and all else."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> list[str]:
        """Return what stands between the slashes, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


@dataclass(frozen=True)
class Answer:
    """What is answered; with `ranges`, only the bytes that the request's Range names."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False

    def within(self, wanted: str | None) -> Answer:
        """Return the part of it that a Range header names."""
        if not (self.ranges and wanted and self.body):
            return self
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last or len(self.body)), len(self.body) - 1)
        if begin >= len(self.body):
            return Answer(416)
        said = {"Content-Range": f"bytes {begin}-{end}/{len(self.body)}"}
        return Answer(206, self.body[begin : end + 1], {**self.headers, **said})


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


class Service(ABC):
    """Answers requests, and some with 503.

    `fail` says how many that is for an end of a path, `lose` for how many uploads that name something it is
    said although they were done.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.fail: dict[str, int] = {}
        self.lose: dict[str, int] = {}
        self._counting = threading.Lock()

    @abstractmethod
    def answer(self, asked: Asked) -> Answer:
        """Return the answer to a request."""

    def respond(self, asked: Asked) -> Answer:
        """Return the answer, or 503 in its place."""
        self.asked.append(asked)
        if self._due(self.fail, lambda end: unquote(asked.path).endswith(end)):
            return Answer(503, b"later")
        answer = self.answer(asked)
        if asked.method == "POST" and self._due(self.lose, lambda end: end.encode() in asked.body):
            return Answer(503, b"later")
        return answer.within(asked.headers.get("Range"))

    def _due(self, left: dict[str, int], fits: Callable[[str], bool]) -> bool:
        """Tell whether an answer is to be 503 that many times yet, and count it."""
        with self._counting:
            due = next((end for end in left if left[end] and fits(end)), None)
            if due is not None:
                left[due] -= 1
        return due is not None

    def count(self, method: str, end: str) -> int:
        """Return how many requests there were for an end of a path."""
        return sum(each.method == method and unquote(each.path).endswith(end) for each in self.asked)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of all but those who do not wait: of two questions, a library may need one answer alone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(service: Service) -> Iterator[None]:
    """Let a service answer on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            answer = service.respond(Asked(self.command, url.path, query, self.headers, body))
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *words: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            server.shutdown()
