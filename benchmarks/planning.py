"""How long does a plan of 10,000 slices take at S3's latencies, and how much memory?

`python -m benchmarks.planning [--slices N] [--latency MS]`: a small server on the loopback answers
like S3 after a delay; the plan is made by a fresh process, as the Plan function makes it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import simplejpeg

SLICE_BYTES = 5_000_000
"""What the listing says of every slice; only its first kilobytes are ever asked for."""

CHILD = """
import json, sys, time
from zblocks.config import Config
from zblocks.host import peak_mb
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.start import Run, prepare
config = Config.parse(json.loads(sys.argv[1]), base=None)
begun, cpu = time.monotonic(), time.process_time()
plan = prepare(config, open_stores(config), WorkerSpec.on_lambda(3008), Run()).plan
print(json.dumps({
    "wall_s": round(time.monotonic() - begun, 1), "cpu_s": round(time.process_time() - cpu, 1),
    "peak_mb": peak_mb(), "blocks": plan.blocks, "block_depth": plan.block_depth,
    "predicted_block_s": plan.predicted_block_s,
}))
"""


class SlowS3:
    """Objects in memory, behind a delay: GET with ranges, LIST, PUT."""

    def __init__(self, slices: int, delay: float) -> None:
        plane = np.zeros((9000, 12000, 1), np.uint8)
        self.slice = simplejpeg.encode_jpeg(plane, colorspace="GRAY")[: 1 << 15]
        self.keys = [f"stack/s_{z:05d}.jpg" for z in range(slices)]
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
        method, path, _ = line.split(" ")
        key = path.split("?")[0].removeprefix("/").partition("/")[2]
        if "list-type=2" in path:
            return respond(200, self.listing(path))
        if method == "PUT":
            self.stored[key] = body
            return respond(200, b"", 'ETag: "put"\r\n')
        data = self.slice if key.startswith("stack/") else self.stored.get(key)
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

    def listing(self, path: str) -> bytes:
        """Return a page of a thousand keys."""
        token = re.search(r"continuation-token=(\d+)", path)
        first = int(token[1]) if token else 0
        ours = self.keys if "prefix=stack" in path else []
        rows = "".join(
            f"<Contents><Key>{key}</Key><Size>{SLICE_BYTES}</Size><ETag>e</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in ours[first : first + 1000]
        )
        more = first + 1000 < len(ours)
        after = f"<NextContinuationToken>{first + 1000}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0"?><ListBucketResult><IsTruncated>'
            f"{str(more).lower()}</IsTruncated>{after}{rows}</ListBucketResult>"
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


def measure(slices: int, latency_ms: float) -> dict[str, float]:
    """Return what the plan of a stack took."""
    server = SlowS3(slices, latency_ms / 1000)
    config = {
        "source": "s3://slices/stack",
        "destination": "s3://volumes/v",
        "voxel_resolution": [4, 4, 40],
        "ext": ".jpg",
    }
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{start(server)}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "PYTHONPATH": "lambdas",
    }
    line = [sys.executable, "-c", CHILD, json.dumps(config)]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    items = len(server.stored["v/.zblocks/items.json"])
    return {**json.loads(done.stdout), "requests": server.requests, "items_bytes": items}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--slices", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=40.0, help="ms before every answer")
    options = parser.parse_args()
    found = measure(options.slices, options.latency)
    print(f"{options.slices} slices, {options.latency:g} ms before every answer")
    for name, value in found.items():
        print(f"  {name:18} {value}")


if __name__ == "__main__":
    main()
