"""An S3 that fails: a proxy that spoils some requests on their way, and counts all of them."""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
CONFLICTS = {
    name: f"<Error><Code>{name}</Code><Message>Please try again.</Message></Error>".encode()
    for name in ("ConditionalRequestConflict", "OperationAborted")
}
"""S3's answers of status 409, by the error's code."""
KEYS_REFUSED = (
    b"<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code><Message>Please reduce your request "
    b"rate.</Message></Error></DeleteResult>"
)
"""S3's answer, of status 200, to a deletion of objects of which it deleted none."""
FAULTS = ("500", "503", "short body", "reset before", "reset after")
STALL_S = 65
"""Longer than the client waits."""


class Weather:
    """Decides which requests fail, and how; tells observers of those that passed."""

    def __init__(self, seed: int, share: float, stalls: int = 0) -> None:
        self._random = random.Random(seed)
        self._share = share
        self._stalls = stalls
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.on_put: Callable[[str], None] = lambda _key: None
        """Called with the path of each object that was stored."""

    def next_fault(self, method: str) -> str:
        """Return what happens to the next request; empty for nothing."""
        with self._lock:
            if self._random.random() >= self._share:
                return ""
            fault = self._random.choice(FAULTS)
            if self._stalls and method == "PUT":
                self._stalls -= 1
                fault = "stall"
            if fault == "short body" and method != "GET":
                fault = "500"
            self.injected[fault] += 1
            return fault

    def wait(self, request: str) -> None:
        """Return when a request may be passed on: at once."""

    def note(self, request: str, status: int) -> None:
        """Count a request that got through."""
        method, path, _ = request.split(" ", 2)
        with self._lock:
            self.passed[method] += 1
        if method == "PUT" and status == 200:
            self.on_put(path)


class Held(Weather):
    """Spoils nothing, but holds some requests up from some moment on, until it is released.

    So a run stands still in the middle of its work for as long as a test needs.
    """

    def __init__(self, since: str, what: str) -> None:
        """Take two patterns of `METHOD /path`, with the AWS operation where a header names it.

        Args:
            since: of the request after whose answer others are held.
            what: of those.
        """
        super().__init__(0, 0.0)
        self.reached, self.released = threading.Event(), threading.Event()
        self._since, self._what, self._begun = since, what, False

    def wait(self, request: str) -> None:
        """Return when a request may be passed on."""
        if self._begun and re.search(self._what, request):
            self.reached.set()
            self.released.wait()

    def note(self, request: str, status: int) -> None:
        """Begin to hold requests once the one that they wait for was answered."""
        super().note(request, status)
        self._begun = self._begun or bool(re.search(self._since, request))


class _Handler(BaseHTTPRequestHandler):
    """Passes requests on, or spoils them."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self._reset()  # of a killed client: S3 stores whole bodies only
            return
        self.server.weather.wait(self._request)
        fault = self.server.weather.next_fault(self.command)
        if fault == "stall":
            threading.Event().wait(STALL_S)
        if fault in ("reset before", "stall"):
            self._reset()
        elif fault == "500":
            self._answer(500, {}, b"")
        elif fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
        elif fault == "keys refused":
            self._answer(200, {"Content-Type": "application/xml"}, KEYS_REFUSED)
        elif fault in CONFLICTS:
            self._answer(409, {"Content-Type": "application/xml"}, CONFLICTS[fault])
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    @property
    def _request(self) -> str:
        return f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}"

    def _pass_on(self, body: bytes, fault: str) -> None:
        status, headers, data = self._forward(body)
        self.server.weather.note(self._request, status)
        if fault == "reset after":
            self._reset()
        elif fault == "short body" and len(data) > 1:
            self._answer(status, headers, data, cut=len(data) // 2)
        else:
            self._answer(status, headers, data)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        host = urlsplit(self.server.upstream).netloc
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(self.command, self.path, body, {**self.headers, "Host": host})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        drop = ("connection", "transfer-encoding", "server", "date")
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in drop}
        return answer.status, headers, data

    def _answer(
        self, status: int, headers: dict[str, str], data: bytes, cut: int | None = None
    ) -> None:
        lengths = [v for k, v in headers.items() if k.lower() == "content-length"]
        size = lengths[0] if self.command == "HEAD" and lengths else str(len(data))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.wfile.flush()
            self._reset()

    def _reset(self) -> None:
        """Close the connection with a reset, not in order."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # reset, by us or by a killed client
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


class _Server(ThreadingHTTPServer):
    """Listens."""

    weather: Weather
    upstream: str
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def failing(upstream: str, weather: Weather) -> Iterator[str]:
    """Serve a spoilt `upstream` on the loopback; yield its url."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.weather, server.upstream = weather, upstream
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
