"""Time and dollars for large volumes, from measured rates and list prices: docs/scaling.md.

`python -m benchmarks.scaling` reads what `python -m benchmarks` measured last. Blocks, objects and
the bill are the product's own (`zblocks.planning`); what a block takes is a model of
the measured rates, and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.finish import listed
from zblocks.planning.plan import BlockTask, MissingSlices, Plan, StackFormat
from zblocks.planning.plan_input import GridOptions, PlanInput
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import PUT_RATE
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.scale import ChunkFormat
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.stream import held_bytes
from zblocks.slices.transforms.rows import RowFormat

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / ".cache" / "bench" / "bench.json"
VOXELS = 1576 * 1864 * 189


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


def block_seconds(voxels: float, rates: Rates, worker: WorkerSpec) -> float:
    """Return what a block takes: cores and network work side by side, the slower one decides."""
    cpu = voxels * rates.cpu_ns * 1e-9 / worker.cores
    moved = voxels * (rates.out_bytes + rates.in_bytes) / rates.network
    return rates.start_s + max(cpu, moved)


def measured(plan: Plan, rates: Rates) -> Plan:
    """Return a plan whose blocks take what was measured, not what the planner allows for."""
    slices = plan.box.shape.z
    voxels = plan.box.voxels / slices * min(plan.block_shape.z, slices)
    seconds = block_seconds(voxels, rates, WorkerSpec.on_lambda(plan.memory_mb))
    return replace(plan, predicted_block_s=seconds)


def plan_of(
    size: tuple[int, int, int], *, sharded: bool, memory_mb: int
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Return the planner's plan and blocks of a stack of JPEGs, voxels of 4×4×40 nm."""
    width, height, depth = size
    bytes_each = int(width * height * 0.15)
    stack = PlanInput(
        source="s3://a",
        source_role="",
        destination="s3://b",
        layer="image",
        chunk_format=ChunkFormat("uint8", 1, "raw", "gzip"),
        options=GridOptions((4.0, 4.0, 40.0), Vec(0, 0, 0), None, None, sharding=sharded),
        stack=StackFormat(RowFormat(width, height, 1, "uint8"), "auto", ()),
        slices=tuple(SliceRef(z, "s", bytes_each, "e", "jpeg") for z in range(depth)),
        held=held_bytes(width, height),
        in_place=True,
        strips=True,
        missing=MissingSlices(),
    )
    return make_plan(stack, WorkerSpec.on_lambda(memory_mb))


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
    kind = "shards" if sharded else "one per chunk"
    try:
        plan, tasks = plan_of(size, sharded=sharded, memory_mb=memory_mb)
    except DoesNotFit:
        return f"| {name} | {kind} | {memory_mb} | refused |" + " |" * 6
    plan = measured(plan, rates)
    e = estimate(plan, tasks, WorkerPool(1000), Prices())
    objects = sum(listed(plan))
    gb_s = next(line.quantity for line in e.bill.lines if line.unit == "GB-s")
    dollars, per = e.bill.dollars, e.bill.dollars / (plan.box.voxels / 1e12)
    return (
        f"| {name} | {kind} | {memory_mb} | {plan.blocks} × {plan.block_shape.z} | {objects:,} "
        f"| {plan.predicted_block_s:.0f} | {e.seconds / 60:.1f} | {gb_s:,.0f} | {dollars:,.2f} "
        f"| {per:.2f} |"
    )


def page() -> str:
    """Return docs/scaling.md."""
    rates, prices = read_rates("zblocks sharded gzip"), Prices()
    memories = {"10 Gvoxel": 2048, "1 Tvoxel": 2048, "100 Tvoxel": 10_240}
    rows = [
        row(name, size, sharded=sharded, memory_mb=memories[name])
        for name, size in SIZES.items()
        for sharded in (True, False)
    ]
    inputs = [
        ("CPU per voxel, all scales", f"{rates.cpu_ns:.1f} ns",
         "measured by `make bench` on x86_64; arm64 is assumed to be as fast"),
        ("bytes out per voxel", f"{rates.out_bytes:.2f}", "measured on the stack of the benchmark"),
        ("bytes in per voxel", f"{rates.in_bytes}", "the JPEGs of the benchmark"),
        ("network per worker", f"{rates.network / 1e6:.0f} MB/s", "assumed"),
        ("cold start", f"{rates.start_s:.0f} s", "assumed"),
        ("cores per worker", f"memory / {LAMBDA_VCPU_MB} MiB", "documented"),
        ("PUTs per prefix", f"{PUT_RATE:.0f} per second", "documented"),
        ("Lambda, arm64",
         f"${prices.lambda_gb_s_arm64} per GB-s, ${prices.lambda_million_requests} per million",
         f"list price, {prices.region}, {prices.date}, see [costs](costs.md#prices)"),
        ("Step Functions", f"${prices.transitions_thousand} per 1,000 transitions", "same"),
        ("S3", f"PUT ${prices.put_thousand}, GET ${prices.get_thousand} per 1,000", "same"),
    ]  # fmt: skip
    table = "\n".join(rows)
    listed = "\n".join(f"| {name} | {value} | {source} |" for name, value, source in inputs)
    return TEMPLATE.format(rows=table, inputs=listed)


TEMPLATE = """# Scaling

Made by `python -m benchmarks.scaling`. Blocks, objects and cost are those of `zblocks plan`; the time
of a block comes from a model. Nothing here has been run on AWS. Stacks of 8-bit JPEGs, 4×4×40 nm.

| volume | objects | worker MiB | blocks × slices | number of objects | s per block | minutes | GB-s | $ | $ per Tvoxel |
|---|---|---|---|---|---|---|---|---|---|
{rows}

With 1,000 concurrent workers. A volume keeps no more workers busy than it has blocks. Refused:
Finalize, which is one function, couldn't compare that many objects with their receipts in time.

## Inputs

| input | value | source |
|---|---|---|
{inputs}

Computation and network transfer are assumed to overlap: the slower one decides. Storage and traffic
out of the region are not included. Cost, and the time of Plan, coarser scales and Finalize, are computed as
by `zblocks plan`.
"""


if __name__ == "__main__":
    text = page()
    (ROOT / "docs" / "scaling.md").write_text(text)
    print(text)
