"""Time and dollars for large volumes, from measured rates and list prices: docs/scaling.md.

`python -m benchmarks.scaling` reads what `python -m benchmarks` measured last. The number of
blocks and objects is the planner's own; what a block takes is a model, and says so.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from zblocks.geometry import Vec
from zblocks.plan import Plan, SliceRef, Volume, Wishes
from zblocks.planner import Job, make_plan
from zblocks.slices import STREAM_BYTES, STREAM_ROWS
from zblocks.timing import LAMBDA_VCPU_MB, Worker

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / ".cache" / "bench" / "bench.json"
VOXELS = 1576 * 1864 * 189


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of us-east-1, November 2026, dollars."""

    lambda_gb_s: float = 0.0000133334
    """arm64."""
    lambda_million: float = 0.20
    transitions_thousand: float = 0.025
    """Step Functions, standard."""
    put_thousand: float = 0.005
    get_thousand: float = 0.0004


@dataclass(frozen=True, slots=True)
class Rates:
    """What one voxel costs."""

    cpu_ns: float
    """Nanoseconds of one core per scale 0 voxel, all scales included; measured."""
    out_bytes: float
    """Bytes written per scale 0 voxel; measured."""
    in_bytes: float
    """Bytes of JPEG read per scale 0 voxel; of the benchmark's stack."""
    network: float = 70e6
    """Bytes a worker moves to and from S3 in a second; assumed."""
    start_s: float = 4.0
    """Cold start, seconds; assumed."""
    put_rate: float = 3500.0
    """PUTs a second that S3 takes per partitioned prefix; documented."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One row."""

    blocks: int
    objects: int
    block_s: float
    total_s: float
    gb_s: float
    dollars: float


def block_seconds(voxels: float, rates: Rates, worker: Worker) -> float:
    """Return what a block takes: cores and network work side by side, the slower one decides."""
    cpu = voxels * rates.cpu_ns * 1e-9 / worker.cores
    moved = voxels * (rates.out_bytes + rates.in_bytes) / rates.network
    return rates.start_s + max(cpu, moved)


def puts_seconds(plan: Plan, workers: int, block_s: float, rates: Rates) -> float:
    """Simulate second by second how long S3 takes the objects of the finest scale.

    Workers bring objects as fast as they make them; S3 takes at most `put_rate` a second of one
    prefix (a scale is a prefix of its own, and the finest has the most objects).
    """
    left, waiting, seconds = float(plan.scales[0].objects), 0.0, 0
    made = left / plan.blocks / block_s * min(workers, plan.blocks)
    while left > 0 or waiting > 0:
        now = min(made, left)
        left -= now
        waiting = max(waiting + now - rates.put_rate, 0.0)
        seconds += 1
    return seconds


def estimate(plan: Plan, rates: Rates, prices: Prices, concurrency: int) -> Estimate:
    """Return time and dollars of a plan."""
    worker = Worker.on_lambda(plan.memory_mb)
    slices = plan.box.shape.z
    voxels = plan.box.voxels / slices * min(plan.block_depth, slices)
    block_s = block_seconds(voxels, rates, worker)
    waves = math.ceil(plan.blocks / concurrency)
    total_s = max(waves * block_s, puts_seconds(plan, concurrency, block_s, rates)) + 30
    gb_s = plan.box.voxels / voxels * block_s * plan.memory_mb / 1024
    objects = sum(s.objects for s in plan.scales)
    puts, gets = objects + 2 * plan.blocks, 2 * slices + 3 * plan.blocks
    dollars = (
        gb_s * prices.lambda_gb_s
        + plan.blocks * prices.lambda_million / 1e6
        + 4 * plan.blocks * prices.transitions_thousand / 1e3
        + puts * prices.put_thousand / 1e3
        + gets * prices.get_thousand / 1e3
    )
    return Estimate(plan.blocks, objects, block_s, total_s, gb_s, dollars)


def plan_of(size: tuple[int, int, int], *, sharded: bool, memory_mb: int) -> Plan:
    """Return the planner's plan of a stack of JPEGs, voxels of 4×4×40 nm."""
    width, height, depth = size
    bytes_each = int(width * height * 0.15)
    slices = tuple(SliceRef(z, "s", bytes_each, "e", "jpeg") for z in range(depth))
    wishes = Wishes((4.0, 4.0, 40.0), Vec(0, 0, 0), None, None, sharding=sharded)
    volume = Volume("uint8", 1, "raw", 0, "gzip", 0)
    held = STREAM_ROWS["jpeg"] * width + STREAM_BYTES
    job = Job("s3://a", "s3://b", volume, wishes, width, height, slices, held, in_place=True)
    return make_plan(job, Worker.on_lambda(memory_mb))[0]


SIZES = {
    "10 Gvoxel": (2200, 2200, 2066),
    "1 Tvoxel": (10_000, 10_000, 10_000),
    "100 Tvoxel": (46_416, 46_416, 46_416),
}


def read_rates(tool: str) -> Rates:
    """Return the measured rates of one of our jobs."""
    rounds = json.loads(MEASURED.read_text())["rounds"]
    figures = sorted((r[tool] for r in rounds), key=lambda f: f["cpu_s"])[len(rounds) // 2]
    return Rates(
        cpu_ns=figures["cpu_s"] / VOXELS * 1e9, out_bytes=figures["out_mb"] * 1e6 / VOXELS,
        in_bytes=0.15,
    )  # fmt: skip


def row(name: str, size: tuple[int, int, int], *, sharded: bool, memory_mb: int) -> str:
    """Return one row of the table."""
    rates = read_rates("zblocks sharded gzip" if sharded else "zblocks gzip")
    plan = plan_of(size, sharded=sharded, memory_mb=memory_mb)
    e = estimate(plan, rates, Prices(), 1000)
    kind = "sharded" if sharded else "one object a chunk"
    per = e.dollars / (plan.box.voxels / 1e12)
    return (
        f"| {name} | {kind} | {memory_mb} | {e.blocks} × {plan.block_depth} | {e.objects:,} "
        f"| {e.block_s:.0f} | {e.total_s / 60:.1f} | {e.gb_s:,.0f} | {e.dollars:,.2f} | {per:.2f} |"
    )


def page() -> str:
    """Return docs/scaling.md."""
    rates, prices = read_rates("zblocks sharded gzip"), Prices()
    memories = {"10 Gvoxel": 2048, "1 Tvoxel": 2048, "100 Tvoxel": 8192}
    rows = [
        row(name, size, sharded=sharded, memory_mb=memories[name])
        for name, size in SIZES.items()
        for sharded in (True, False)
    ]
    inputs = [
        ("CPU per voxel, all scales", f"{rates.cpu_ns:.1f} ns",
         "measured by `make bench` on x86_64; arm64 is assumed to be as fast"),
        ("bytes out per voxel", f"{rates.out_bytes:.2f}", "measured, the benchmark's stack"),
        ("bytes in per voxel", f"{rates.in_bytes}", "the benchmark's JPEGs"),
        ("network per worker", f"{rates.network / 1e6:.0f} MB/s", "assumed"),
        ("cold start", f"{rates.start_s:.0f} s", "assumed"),
        ("cores per worker", f"memory / {LAMBDA_VCPU_MB} MiB", "documented"),
        ("PUTs per prefix", f"{rates.put_rate:.0f} per second", "documented"),
        ("Lambda, arm64", f"${prices.lambda_gb_s} per GB-s, ${prices.lambda_million} per million",
         "list price, us-east-1, November 2026"),
        ("Step Functions", f"${prices.transitions_thousand} per 1,000 transitions", "same"),
        ("S3", f"PUT ${prices.put_thousand}, GET ${prices.get_thousand} per 1,000", "same"),
    ]  # fmt: skip
    table = "\n".join(rows)
    listed = "\n".join(f"| {name} | {value} | {source} |" for name, value, source in inputs)
    return TEMPLATE.format(rows=table, inputs=listed)


TEMPLATE = """# Scaling

Made by `python -m benchmarks.scaling`. Blocks and objects are the planner's; what a block takes is
a model; nothing here was run on AWS. Stacks of JPEGs, 8 bit, 4×4×40 nm.

| volume | objects are | worker MiB | blocks × slices | objects | block s | minutes | GB-s | $ | $ per Tvoxel |
|---|---|---|---|---|---|---|---|---|---|
{rows}

1,000 workers at the same time. A stack has no more blocks than it has runs of slices, so a volume
keeps only as many workers busy as it has blocks.

## Inputs

| input | value | from |
|---|---|---|
{inputs}

Cores and network are taken to work side by side: the slower one decides. Storage and traffic out of
the region are not counted. Plan, Coarsen and Finalize are counted as 30 s.
"""


if __name__ == "__main__":
    text = page()
    (ROOT / "docs" / "scaling.md").write_text(text)
    print(text)
