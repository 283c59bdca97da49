"""Time and dollars of volumes of many sizes and kinds, as `zblocks plan` predicts: docs/scaling.md.

`python -m benchmarks.scaling` writes the page, in some minutes. Nothing is measured: rates, sizes
of files and prices are those of the planner. From `KEPT` on, the page stays as it is.
"""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.stacks import SECTIONS, STACKS, Stack
from zblocks.errors import DoesNotFit
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.finish import listed
from zblocks.planning.plan import BlockTask, Plan
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import PUT_RATE
from zblocks.planning.time import (
    DECODE,
    LATENCY,
    MOVE,
    NETWORK,
    PACK,
    RATIO,
    SAFETY,
    START,
    TIMEOUT,
    WorkerSpec,
)
from zblocks.run.forecast import LAMBDA_SIZES_MB
from zblocks.slices.jp2_rows import AROUND

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
KEPT = "## Predictions and measurements"


def jpegs(size: tuple[int, int, int], *, sharded: bool) -> Stack:
    """Return a stack of JPEGs, 8 bits, of sections."""
    return Stack(size, "jpeg", "uint8", resolution=SECTIONS, ratio=0.15, sharding=sharded)


def cubes(side: int) -> Stack:
    """Return a stack of tiled TIFFs, 8 bits, as wide and as deep as high."""
    return Stack((side, side, side), "tiff", "uint8", sharding=True)


SIZES = {
    "10 Gvoxel uint8, JPEG, shards": jpegs((2200, 2200, 2066), sharded=True),
    "10 Gvoxel uint8, JPEG, one per chunk": jpegs((2200, 2200, 2066), sharded=False),
    "1 Tvoxel uint8, JPEG, shards": jpegs((10_000, 10_000, 10_000), sharded=True),
    "1 Tvoxel uint8, JPEG, one per chunk": jpegs((10_000, 10_000, 10_000), sharded=False),
    "100 Tvoxel uint8, tiled TIFF, 46,416³": cubes(46_416),
    "1 Pvoxel uint8, tiled TIFF, 100,000³": cubes(100_000),
}


def plan_of(
    size: tuple[int, int, int], *, sharded: bool, memory_mb: int
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Return the planner's plan and blocks of a stack of JPEGs, voxels of 4×4×40 nm."""
    return make_plan(jpegs(size, sharded=sharded).given, WorkerSpec.on_lambda(memory_mb))


def row(name: str, stack: Stack) -> str:
    """Return one row of the table."""
    try:
        plan, tasks = make_plan(stack.given, *map(WorkerSpec.on_lambda, LAMBDA_SIZES_MB))
    except DoesNotFit as error:
        return f"| {name} | refused: {error} |" + " |" * 7
    guess = estimate(plan, tasks, WorkerPool(1000), Prices())
    x, y, z = plan.full_block
    gb_s = next(line.quantity for line in guess.bill.lines if line.unit == "GB-s")
    dollars = guess.bill.dollars
    cells = (
        name,
        f"{plan.memory_mb:,}",
        f"{plan.blocks:,} of {x:,}×{y:,}×{z}",
        f"{sum(listed(plan)):,}",
        f"{plan.predicted_block_s:.0f}",
        f"{guess.seconds / 60:.1f}",
        f"{gb_s:,.0f}",
        f"{dollars:,.2f}",
        f"{dollars / (math.prod(stack.size) / 1e12):.2f}",
    )
    return f"| {' | '.join(cells)} |"


def inputs() -> list[tuple[str, str, str]]:
    """Return what predictions are made from: name, value, source."""
    prices, ours = Prices(), "measured, x86_64; arm64 is assumed to be as fast"
    rates = [
        (f"decoding, {name}",
         f"{DECODE[kind][0]:g} CPU s per GB of files and {DECODE[kind][1]:g} per GB of pixels", ours)
        for name, kind in (("JPEG", "jpeg"), ("TIFF", "tiff"), ("JPEG 2000", "jp2-strips"))
    ]  # fmt: skip
    return [
        *rates,
        ("JPEG 2000 in strips", f"{AROUND} rows around each count as pixels, too", ours),
        ("chunks with gzip, all scales", f"{MOVE + PACK['gzip']:g} CPU s per GB of voxels", ours),
        ("bytes out", f"{RATIO['gzip']} per byte of voxels",
         "assumed; 0.42 measured of the brain of `make bench`, 0.75 of the slices below"),
        ("bytes in", "JPEG 0.15 per sample, TIFF 0.7 per byte of pixels, JPEG 2000 0.5 per pixel, RGB 1.3",
         "assumed; `zblocks plan` takes those of the files"),
        ("network per worker", f"{NETWORK / 1e6:.0f} MB/s", "assumed"),
        ("a small request", f"{LATENCY} s", "assumed"),
        ("cold start", f"{START:.0f} s", "assumed"),
        ("cores per worker", f"memory / {LAMBDA_VCPU_MB} MiB", "documented"),
        ("PUTs per prefix", f"{PUT_RATE:.0f} per second", "documented"),
        ("longest block", f"{TIMEOUT:.0f} s / {SAFETY} = {TIMEOUT / SAFETY:.0f} s",
         f"Lambda's limit, documented; {SAFETY} is the safety factor"),
        ("Lambda, arm64",
         f"${prices.lambda_gb_s_arm64} per GB-s, ${prices.lambda_million_requests} per million",
         f"list price, {prices.region}, {prices.date}, see [costs](costs.md#prices)"),
        ("Step Functions", f"${prices.transitions_thousand} per 1,000 transitions", "same"),
        ("S3", f"PUT ${prices.put_thousand}, GET ${prices.get_thousand} per 1,000", "same"),
    ]  # fmt: skip


def page(kept: str) -> str:
    """Return docs/scaling.md, with what is kept of it."""
    rows = "\n".join(row(name, stack) for name, stack in (SIZES | STACKS).items())
    given = "\n".join(f"| {' | '.join(each)} |" for each in inputs())
    return TEMPLATE.format(rows=rows, inputs=given, sizes=" or ".join(
        f"{mb:,}" for mb in LAMBDA_SIZES_MB), safety=SAFETY) + kept  # fmt: skip


TEMPLATE = """# Scaling

Made by `python -m benchmarks.scaling`: what `zblocks plan` predicts for Lambda, with workers of
{sizes} MiB, arm64, `max_concurrency` 1000. Nothing here has been run on AWS. The first four stacks
and those of fewer than 2,000 slices have voxels of 4×4×40 nm, the others cubes. Volumes of many
chunks are in shards, unless they have one object per chunk.

| volume | worker MiB | blocks | number of objects | s per block | minutes | GB-s | $ | $ per Tvoxel |
|---|---|---|---|---|---|---|---|---|
{rows}

A volume keeps no more workers busy than it has blocks.

## Inputs

| input | value | source |
|---|---|---|
{inputs}

A block decodes as many rows of its slices as fit in memory, and then encodes them. In each of these,
cores and network work side by side, and the slower one decides. Rates and bytes are not rounded up:
dollars are what a run is expected to cost. A safety factor of {safety} is in the limit only: a block is
planned for that much less than the time after which Lambda ends it. Storage and traffic out of the
region are not included.

"""


if __name__ == "__main__":
    before, mark, after = PAGE.read_text().partition(KEPT)
    text = page(mark + after)
    PAGE.write_text(text)
    print(text)
