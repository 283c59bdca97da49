"""An S3 that is as strict as Amazon's: a front that refuses what emulators let pass."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""What the emulator wants of every request."""


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the emulator's."""

    status: int
    code: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: str = ""  # elements of the error

    @property
    def body(self) -> bytes:
        said = f"<Code>{self.code}</Code><Message>{self.text}</Message>{self.more}"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{said}</Error>'.encode()


DENIED = Refusal(403, "AccessDenied", "Access Denied")
UNCHECKED = Refusal(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required")
HOME = "us-east-1"
SETTINGS = ("notification", "versioning", "object-lock", "ownershipControls")
CHECKSUMS = ("content-md5", "x-amz-checksum-")


class Guard:
    """Decides which requests pass; remembers the kinds that did, and those that didn't."""

    def __init__(
        self,
        *,
        public: tuple[str, ...] = (),
        paying: tuple[str, ...] = (),
        locked: tuple[str, ...] = (),
        tiers: Mapping[str, str] | None = None,
        regions: Mapping[str, str] | None = None,
        others: tuple[str, ...] = (),
        secret: tuple[str, ...] = (),
    ) -> None:
        self.url = ""
        self.public, self.paying = public, paying
        self.locked = locked  # buckets with Object Lock
        self.tiers = tiers or {}
        """Ends of keys whose objects are in one of Intelligent-Tiering's archive tiers."""
        self.regions = {"slices": HOME, "volumes": HOME, **(regions or {})}
        """Of buckets; requests that are signed for another region are refused."""
        self.others = others  # buckets of another account
        self.secret = secret  # buckets whose settings may not be asked
        self.passed: set[tuple[str, str]] = set()
        """Buckets, and kinds of requests to them: `LIST`, `RANGE`, or the method."""
        self.refused: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def refusal(self, request: BaseHTTPRequestHandler) -> Refusal | None:
        """Return what is answered to a request that doesn't pass."""
        parts = urlsplit(request.path)
        bucket, kind = parts.path.strip("/").partition("/")[0], request.command
        if kind == "GET" and {"list-type", "prefix"} & set(parse_qs(parts.query)):
            kind = "LIST"
        elif kind == "GET" and "Range" in request.headers:
            kind = "RANGE"
        if kind == "HEAD" and not parts.path.strip("/").removeprefix(bucket):
            return self._head(request, bucket)
        found = self._refusal(request, bucket)
        with self._lock:
            if found is None:
                self.passed.add((bucket, kind))
            else:
                self.refused.append((bucket, kind))
        return found

    def _head(self, request: BaseHTTPRequestHandler, bucket: str) -> Refusal:
        """Answer HeadBucket, which has the region in any case."""
        headers, region = request.headers, self.regions.get(bucket)
        if region is None:
            return Refusal(404, "NotFound", "Not Found")
        known = "Authorization" in headers or bucket in self.public
        ours = bucket not in self.others or "x-amz-expected-bucket-owner" not in headers
        status = 200 if known and ours else 403
        return Refusal(status, "", "", {"x-amz-bucket-region": region})

    def _refusal(self, request: BaseHTTPRequestHandler, bucket: str) -> Refusal | None:
        path, headers = urlsplit(request.path).path.strip("/"), request.headers
        reads = request.command in ("GET", "HEAD")
        allowed = "Authorization" in headers or (reads and bucket in self.public)
        query = urlsplit(request.path).query.partition("&")[0].partition("=")[0]
        settings = "/" not in path and request.command == "GET" and query in SETTINGS
        if settings and bucket in self.secret:
            return DENIED
        signed = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/", headers.get("Authorization", ""))
        region = self.regions.get(bucket)
        if signed and region and region != signed[1]:
            return Refusal(301, "PermanentRedirect", "", {"x-amz-bucket-region": region})
        if bucket in self.paying and not settings:
            allowed = allowed and headers.get("x-amz-request-payer") == "requester"
        if not allowed:
            return DENIED
        puts = bucket in self.locked and request.command == "PUT" and "/" in path
        deletes = request.command == "POST" and "delete" in urlsplit(request.path).query
        if puts or deletes:
            checked = any(name.lower().startswith(CHECKSUMS) for name in headers)
            return None if checked else UNCHECKED
        for end, tier in self.tiers.items():
            if request.command == "GET" and path.endswith(end):
                return _archived("INTELLIGENT_TIERING", tier)
        return None


def _archived(storage: str, tier: str) -> Refusal:
    text = "The operation is not valid for the object's access tier"
    more = f"<StorageClass>{storage}</StorageClass><AccessTier>{tier}</AccessTier>"
    return Refusal(403, "InvalidObjectState", text, more=more)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        self.body = body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if refusal := self.server.guard.refusal(self):
            headers = {"Content-Type": "application/xml", **refusal.headers}
            self._answer(refusal.status, headers, refusal.body)
            return
        host = urlsplit(self.server.upstream).netloc
        connection = http.client.HTTPConnection(host, timeout=60)
        headers = {"Authorization": SIGNED, **self.headers, "Host": host}
        if "x-amz-checksum-sha256" in self.headers:  # it looks only for what SDKs send, too
            headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
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
