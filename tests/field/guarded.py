"""An S3 that checks who asks: a front that refuses what Amazon would, which emulators don't."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied</Message></Error>"
)
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""What the emulator wants of every request."""


class Guard:
    """Decides which requests pass; remembers the kinds that did, and those that didn't."""

    def __init__(self, public: tuple[str, ...] = (), paying: tuple[str, ...] = ()) -> None:
        self.url = ""
        self.public, self.paying = public, paying
        self.passed: set[tuple[str, str]] = set()
        """Buckets, and kinds of requests to them: `LIST`, `RANGE`, or the method."""
        self.refused: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def allows(self, request: BaseHTTPRequestHandler) -> bool:
        """Tell whether a request passes."""
        parts, headers = urlsplit(request.path), request.headers
        bucket, kind = parts.path.strip("/").partition("/")[0], request.command
        if kind == "GET" and {"list-type", "prefix"} & set(parse_qs(parts.query)):
            kind = "LIST"
        elif kind == "GET" and "Range" in headers:
            kind = "RANGE"
        reads = request.command in ("GET", "HEAD")
        allowed = "Authorization" in headers or (reads and bucket in self.public)
        settings = "/" not in parts.path.strip("/") and kind == "GET"
        if bucket in self.paying and not settings:  # of the bucket itself
            allowed = allowed and headers.get("x-amz-request-payer") == "requester"
        with self._lock:
            if allowed:
                self.passed.add((bucket, kind))
            else:
                self.refused.append((bucket, kind))
        return allowed


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.server.guard.allows(self):
            self._answer(403, {"Content-Type": "application/xml"}, DENIED)
            return
        host = urlsplit(self.server.upstream).netloc
        connection = http.client.HTTPConnection(host, timeout=60)
        headers = {"Authorization": SIGNED, **self.headers, "Host": host}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        drop = ("connection", "transfer-encoding", "server", "date")
        given = {k: v for k, v in answer.getheaders() if k.lower() not in drop}
        self._answer(answer.status, given, answer.read())
        connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        if not (self.command == "HEAD" and status == 200):
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(data))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def guarded(upstream: str, guard: Guard) -> Iterator[Guard]:
    """Serve an S3 behind a guard, on the loopback; its `url` is the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.guard, server.upstream = True, guard, upstream
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    guard.url = f"http://localhost:{server.server_address[1]}"
    try:
        yield guard
    finally:
        server.shutdown()
        server.server_close()
