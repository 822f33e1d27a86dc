"""A real HTTP server on loopback whose answers a test chooses, one per request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Serves `routes`: a path, and the answers to its requests in turn; the last one is repeated."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.routes: dict[str, list[Answer]] = {}
        self.seen: list[str] = []

    def add(self, path: str, *answers: Answer) -> str:
        self.routes[path] = list(answers)
        return self.url + path

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        path = urlsplit(handler.path).path
        self.seen.append(path)
        answers = self.routes.get(path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(handler)


@contextmanager
def serve() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            # The client has had enough: what some tests are about.
            with suppress(BrokenPipeError, ConnectionResetError):
                server.handle(self)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def whole(
    body: bytes,
    *,
    length: bool = True,
    send: int | None = None,
    pieces: int = 1,
    pause: float = 0.0,
    hang: float = 0.0,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Answer with `body`: only its first `send` bytes, in `pieces` with a `pause` after each, then `hang`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {"Content-Type": "application/octet-stream"}).items():
            handler.send_header(name, value)
        handler.end_headers()
        sent = body if send is None else body[:send]
        step = -(-len(sent) // pieces)
        for start in range(0, len(sent), step):
            handler.wfile.write(sent[start : start + step])
            handler.wfile.flush()
            time.sleep(pause)
        time.sleep(hang)

    return answer


def cut(body: bytes, *, length: bool = True) -> Answer:
    """Answer with the first half of `body`, and hang up."""
    return whole(body, length=length, send=len(body) // 2)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Answer with bytes that never end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def page(text: str) -> Answer:
    return whole(text.encode(), headers={"Content-Type": "text/html; charset=utf-8"})


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def redirect(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer
