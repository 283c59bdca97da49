"""How long do Plan and Finalize take at S3's latencies, and how much memory?

`python -m benchmarks.planning [--slices N] [--latency MS]`: a plan of N slices. A small server on
the loopback answers like S3 after a delay; a fresh process makes the plan, as the Plan function
does.

`python -m benchmarks.planning --objects N` plans an unsharded volume of N objects, then plans it
again when all of it is there, which compares it with its receipts, then publishes it. `--boxes N` does so with a volume in shards, of N slices of 131,072² voxels, whose blocks are cut
along x and y.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.finished import FinishedVolume
from benchmarks.slow_s3 import SlowS3, start, tiff_header

START = """
import json, sys, time
from zblocks.planning.finish import listed
from zblocks.config import Config
from zblocks.host import peak_mb
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run, prepare
begun, cpu = time.monotonic(), time.process_time()
"""
PLAN = """
config = Config.parse(json.loads(sys.argv[1]), base=None)
done = prepare(config, open_stores(config), [WorkerSpec.on_lambda(int(sys.argv[2]))], Run("run"))
plan = done.plan
found = {
    "blocks": plan.blocks, "block_depth": plan.block_shape.z, "pending": len(done.pending),
    "predicted_block_s": plan.predicted_block_s, "objects": sum(listed(plan)),
}
"""
FINALIZE = """
found = {"status": finalize(open_job("s3://volumes/v", run="run"), Run("run")).status}
"""
END = """
wall, cpu = time.monotonic() - begun, time.process_time() - cpu
print(json.dumps({"wall_s": round(wall, 1), "cpu_s": round(cpu, 1), "peak_mb": peak_mb(), **found}))
"""
CHUNK = [64, 64, 16]
OBJECTS_OF_A_SLICE = 2209
"""Of 12000×9000 pixels in such chunks, all scales together."""

SMALL_MB = 885  # of a worker, which makes boxes small

Figures = dict[str, float | str]


def run(code: str, server: SlowS3, port: int, memory_mb: int = 3008, **fields: object) -> Figures:
    """Run a step in a fresh process; return its figures."""
    config = {
        "source": "s3://slices/stack",
        "destination": "s3://volumes/v",
        "voxel_resolution": [4, 4, 40],
        **fields,
    }
    env = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "PYTHONPATH": "lambdas",
    }
    before = server.requests
    line = [sys.executable, "-c", START + code + END, json.dumps(config), str(memory_mb)]
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return {**json.loads(done.stdout), "requests": server.requests - before}


def measure_plan(slices: int, delay: float) -> dict[str, Figures]:
    """Return what the plan of a stack took."""
    server = SlowS3(slices, delay)
    found = run(PLAN, server, start(server))
    items = len(server.stored["v/.zblocks/stages/0.json"])
    return {f"plan of {slices} slices": {**found, "items_bytes": items}}


def measure_objects(objects: int, delay: float) -> dict[str, Figures]:
    """Return what the steps of a run of many objects took."""
    server = SlowS3(-(-objects // OBJECTS_OF_A_SLICE), delay)
    return measure_run(server, {"sharding": False, "chunk_size": CHUNK})


def measure_boxes(slices: int, delay: float) -> dict[str, Figures]:
    """Return what the steps of a run of many boxes took."""
    options = {"voxel_resolution": [8, 8, 8], "memory_mb": SMALL_MB}
    return measure_run(SlowS3(slices, delay, tiff_header()), options)


def measure_run(server: SlowS3, options: dict[str, Any]) -> dict[str, Figures]:
    """Return what the steps of a run took."""
    port = start(server)
    first = run(PLAN, server, port, **options)
    finished = FinishedVolume(server)
    assert finished.receipts
    port = start(finished)
    again = run(PLAN, finished, port, **options)
    return {"first plan": first, "plan of what is done": again,
            "Finalize": run(FINALIZE, finished, port)}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--slices", type=int, default=10_000)
    parser.add_argument("--objects", type=int, help="of a volume that is finished, too")
    parser.add_argument("--boxes", type=int, help="slices of a volume in boxes that is finished")
    parser.add_argument("--latency", type=float, default=40.0, help="ms before every answer")
    options = parser.parse_args()
    delay = options.latency / 1000
    if options.boxes:
        found = measure_boxes(options.boxes, delay)
    elif options.objects:
        found = measure_objects(options.objects, delay)
    else:
        found = measure_plan(options.slices, delay)
    print(f"{options.latency:g} ms before every answer")
    for step, figures in found.items():
        print(step)
        for name, value in figures.items():
            print(f"  {name:18} {value}")


if __name__ == "__main__":
    main()
