"""A real HTTP server in this process that answers as it is told to, well or badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Exchange:
    """One request as the server sees it, and ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self.method, self.path = handler.command, handler.path
        self.headers = dict(handler.headers)
        size = int(handler.headers.get("content-length", 0))
        self.body: Any = json.loads(handler.rfile.read(size)) if size else None

    def send(self, status: int, data: bytes | Any, **headers: str) -> None:
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        headers = {"content_length": str(len(data)), **headers}
        self._handler.send_response(status)
        kind = headers.pop("kind", "application/json")
        for name, value in {"content-type": kind, **headers}.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()
        self.write(data)

    def begin_events(self) -> None:
        self._handler.send_response(200)
        self._handler.send_header("content-type", "text/event-stream; charset=utf-8")
        self._handler.send_header("connection", "close")
        self._handler.end_headers()

    def event(self, value: Any) -> None:
        self.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def pieces(self, *texts: str) -> None:
        for text in texts:
            self.event({"choices": [{"delta": {"content": text}, "finish_reason": None}]})

    def done(self, finish: str = "stop", **usage: int) -> None:
        self.event({"choices": [{"delta": {}, "finish_reason": finish}]})
        if usage:
            self.event({"choices": [], "usage": usage})
        self.write(b"data: [DONE]\n\n")

    def write(self, data: bytes) -> None:
        try:
            self._handler.wfile.write(data)
            self._handler.wfile.flush()
        except OSError:
            pass  # who asked has gone

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


Answer = Callable[[Exchange], None]


class Server:
    """`answers` are used up in turn, the last for all further requests; `asked` is what came."""

    def __init__(self, port: int, answers: list[Answer], asked: list[Exchange]) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.answers = answers
        self.asked = asked


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    left, asked, lock = list(answers), [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            exchange = Exchange(self)
            with lock:
                asked.append(exchange)
                answer = left.pop(0) if len(left) > 1 else left[0]
            answer(exchange)
            self.close_connection = True

        do_GET = do_POST = _answer  # noqa: N815 - names of the base class

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(server.server_address[1], left, asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
