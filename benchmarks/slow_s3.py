"""A server on the loopback that answers like S3, after a delay: GET with ranges, LIST, PUT, DELETE."""

from __future__ import annotations

import asyncio
import io
import re
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import simplejpeg
import tifffile

SLICE_BYTES = 5_000_000
"""What the listing says of every slice; only its first kilobytes are ever asked for."""

PAGE = 1000  # keys in one answer to a LIST
Listed = tuple[str, int, str]
"""Key, bytes and ETag of an object."""


def jpeg_header() -> bytes:
    """Return the beginning of a JPEG of 12000×9000 pixels."""
    plane = np.zeros((9000, 12000, 1), np.uint8)
    return simplejpeg.encode_jpeg(plane, colorspace="GRAY")[: 1 << 15]


def tiff_header() -> bytes:
    """Return a TIFF of 131,072² pixels in tiles of 1,024², some bytes for each."""
    file, tile = io.BytesIO(), b"\0" * 100
    with tifffile.TiffWriter(file, bigtiff=True) as writer:
        writer.write(
            (tile for _ in range(128 * 128)), shape=(1 << 17, 1 << 17), dtype="uint8",
            tile=(1024, 1024), compression="zlib", metadata=None,
        )  # fmt: skip
    return file.getvalue()


class SlowS3:
    """Slices, of which only the headers are there, and objects in memory.

    `header` is the beginning of every slice; that of a JPEG unless it is given.
    """

    def __init__(self, slices: int, delay: float, header: bytes = b"") -> None:
        self.slice = header or jpeg_header()
        ext = "tif" if header else "jpg"
        self.keys = [f"stack/s_{z:05d}.{ext}" for z in range(slices)]
        self.stored: dict[str, bytes] = {}
        self.delay = delay
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *rest = head.decode().split("\r\n")
                headers = dict(h.lower().split(": ", 1) for h in rest if ": " in h)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests += 1
                await asyncio.sleep(self.delay)
                writer.write(self.answer(line, headers, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def answer(self, line: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return the whole response."""
        method, target, _ = line.split(" ")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        key = unquote(path).removeprefix("/").partition("/")[2]
        if "list-type" in query:
            after = (query.get("continuation-token") or query.get("start-after") or [""])[0]
            return respond(200, listing(*self.listed(query.get("prefix", [""])[0], after)))
        if method == "POST" and urlsplit(target).query == "delete":
            keys = [key.decode() for key in re.findall(rb"<Key>(.*?)</Key>", body)]
            for one in keys:
                self.stored.pop(one, None)
            done = "".join(f"<Deleted><Key>{one}</Key></Deleted>" for one in keys)
            return respond(200, f"<DeleteResult>{done}</DeleteResult>".encode())
        if method == "PUT":
            self.stored[key] = body
            return respond(200, b"", 'ETag: "put"\r\n')
        data = self.get(key)
        if data is None:
            return respond(404, b"<Error><Code>NoSuchKey</Code></Error>")
        size = SLICE_BYTES if key.startswith("stack/") else len(data)
        asked = re.match(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        if not asked:
            return respond(200, data, 'ETag: "e"\r\n')
        start, stop = int(asked[1]), min(int(asked[2]) + 1, size)
        place = f"bytes {start}-{stop - 1}/{size}"
        part = data[start:stop].ljust(stop - start, b"\0")
        return respond(206, part, f'ETag: "e"\r\nContent-Range: {place}\r\n')

    def get(self, key: str) -> bytes | None:
        """Return an object; of a slice, its beginning."""
        return self.slice if key.startswith("stack/") else self.stored.get(key)

    def listed(self, prefix: str, after: str) -> tuple[list[Listed], str]:
        """Return a page of a listing, and the key after which the next one begins."""
        keys = [k for k in self.keys if k.startswith(prefix) and k > after]
        rows = [(key, SLICE_BYTES, "e") for key in keys[:PAGE]]
        return rows, rows[-1][0] if len(keys) > PAGE else ""


def listing(rows: list[Listed], last: str) -> bytes:
    """Return the answer to a LIST."""
    found = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>{etag}</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, size, etag in rows
    )
    after = f"<NextContinuationToken>{last}</NextContinuationToken>" if last else ""
    more = str(bool(last)).lower()
    return (
        f'<?xml version="1.0"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{after}{found}'
        "</ListBucketResult>"
    ).encode()


def respond(status: int, body: bytes, headers: str = "") -> bytes:
    """Return an HTTP response."""
    date = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n{date}{headers}\r\n"
    return head.encode() + body


def start(server: SlowS3) -> int:
    """Serve on the loopback in a thread; return the port."""
    ready: list[int] = []

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=256)
        ready.append(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    while not ready:
        time.sleep(0.01)
    return ready[0]
