"""What a plan takes: minutes, requests and dollars; and what the work of a run took.

1. Every task's seconds, from the plan's own prediction; workers take the tasks in order.
2. Requests, counted: ranges per slice, objects, receipts and documents, pages of listings.

Not counted: traffic out of the region, tries that failed, traces and keys.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zblocks.geometry import Span, ceil_div
from zblocks.planning.bill import GB, Bill, Usage, WorkerPool, in_bucket, make_bill
from zblocks.planning.plan import BlockTask, CoarseTask, Plan, part_z
from zblocks.planning.prices import Prices
from zblocks.planning.time import (
    LAMBDA_VCPU_MB,
    RATIO,
    START,
    WorkerSpec,
    packing,
    predict_coarse_seconds,
)
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef

PUT_RATE = 3500.0
"""PUTs a second that S3 takes for one prefix at least; a scale is a prefix. Source: S3's guide."""

LATENCY = 0.03
"""Seconds of a small request to S3; assumed."""

SIDE_BY_SIDE = 32
"""Small requests under way at the same time, as Plan and Finalize make them; Plan even twice."""

PAGE = 1000
"""Keys of one answer to a LIST."""
PAGE_SECONDS = 0.15
"""Seconds of such an answer; assumed."""

CHILD_TRANSITIONS = 2
"""Of a block: its child execution is started, and its one state entered. Source: Step Functions'
guide on transitions; a test counts the states."""

PARENT_TRANSITIONS = 7
"""States that an execution enters on its way to the end, those of Coarsen's parts aside."""

TASK_GETS = 5
"""Of a task: the plan, whether there is a receipt, the claim (twice), whether it failed before."""

RUN_GETS = 40
"""Of a run, about: what stands at the destination, what Finalize reads of it, and its samples."""

RUN_PUTS = 11
"""Of a run: claim, config, items, plan, due, report, provenance, info, and the map's results."""

RUN_LISTS = 6
"""Of a run, besides pages of objects: receipts, failures, the destination."""

AHEAD_MIN, AHEAD_MAX = 1 << 14, 1 << 20
"""Bytes that a slice in strips is fetched by: four times as many each time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What work will take."""

    bill: Bill
    plan_s: float
    blocks_s: float
    """Seconds of all blocks, with as many workers as there are."""
    coarse_s: float
    finalize_s: float
    busy_s: float
    """Seconds of all workers together, blocks and coarser scales."""
    stored_gb: float
    """What the volume will take."""
    month: float
    """Dollars a month for keeping it; 0 in a folder."""

    @property
    def seconds(self) -> float:
        """From the start to the link."""
        return self.plan_s + self.blocks_s + self.coarse_s + self.finalize_s


def estimate(
    plan: Plan, pending: Sequence[BlockTask], pool: WorkerPool, prices: Prices
) -> Estimate:
    """Predict what a run takes.

    Args:
        plan: what is to be done.
        pending: the blocks that the run converts.
        pool: who does it.
        prices: dollars.
    """
    objects = sum(_objects(s, plan.owned_z(k, t.index))
                  for t in pending for k, s in enumerate(plan.scales[: plan.owned]))  # fmt: skip
    blocks = [block_seconds(plan, task) for task in pending]
    coarse = {c.index: coarse_seconds(plan, c, pool) for c in plan.coarse}
    slices = sum(len(t.slices) for t in pending)
    pages = sum(ceil_div(s.objects, PAGE) for s in plan.scales)
    plan_s = START + slices * LATENCY / (2 * SIDE_BY_SIDE)
    longest = max(ceil_div(s.objects, PAGE) for s in plan.scales)  # scales are listed at once
    finalize_s = START + longest * PAGE_SECONDS + len(pending) * LATENCY / SIDE_BY_SIDE
    usage = Usage(
        plan_s=plan_s,
        worker_s=sum(blocks) + sum(coarse.values()) + finalize_s,
        calls=len(pending) + len(plan.coarse) + 2,
        transitions=count_transitions(plan, len(pending)),
        source_gets=sum(slice_gets(plan, r) for t in pending for s in t.slices for r in s.reads)
        + _probes(pending),
        target_gets=_target_gets(plan, len(pending)),
        puts=objects + _coarse_objects(plan) + len(pending) + len(plan.coarse) + RUN_PUTS,
        source_lists=ceil_div(slices, PAGE),
        target_lists=pages + len(plan.scales) + RUN_LISTS,
    )
    stored = (
        sum(s.box.voxels for s in plan.scales)
        * plan.volume.format.voxel_bytes
        * stored_ratio(plan)
        / GB
    )
    return Estimate(
        bill=make_bill(plan, usage, pool, prices),
        plan_s=plan_s,
        blocks_s=max(_makespan(blocks, pool.concurrency), _put_seconds(plan, pending)),
        coarse_s=sum(_makespan([coarse[i] for i in stage], min(pool.concurrency, 40))
                     for stage in plan.stages()),
        finalize_s=finalize_s,
        busy_s=sum(blocks) + sum(coarse.values()),
        stored_gb=stored,
        month=stored * prices.storage_gb_month if in_bucket(plan.destination) else 0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What tasks reported."""

    blocks: int
    tasks: int
    """Blocks and coarse tasks."""
    seconds: float
    objects: int
    read: tuple[SliceRef, ...]
    """Slices, once for each time that they were read."""


def actual(
    plan: Plan, tasks: Sequence[BlockTask], done: WorkDone, pool: WorkerPool, prices: Prices
) -> Bill:
    """Return the bill of work that was done.

    Plan's and Finalize's own seconds, and requests for documents, are those predicted.
    """
    predicted = estimate(plan, tasks, pool, prices)
    usage = Usage(
        plan_s=predicted.plan_s,
        worker_s=done.seconds + predicted.finalize_s,
        calls=done.tasks + 2,
        transitions=count_transitions(plan, done.blocks),
        source_gets=sum(slice_gets(plan, s) for s in done.read) + _probes(tasks),
        target_gets=_target_gets(plan, done.blocks),
        puts=done.objects + done.tasks + RUN_PUTS,
        source_lists=ceil_div(sum(len(t.slices) for t in tasks), PAGE),
        target_lists=sum(ceil_div(s.objects, PAGE) for s in plan.scales)
        + len(plan.scales)
        + RUN_LISTS,
    )
    return make_bill(plan, usage, pool, prices)


def block_seconds(plan: Plan, task: BlockTask) -> float:
    """Return what one block takes: its share of what a full one does."""
    full = min(plan.block_depth, plan.box.shape.z)
    return START + (plan.predicted_block_s - START) * len(task.slices) / full


def coarse_seconds(plan: Plan, task: CoarseTask, pool: WorkerPool) -> float:
    """Return what a coarse task takes."""
    source = plan.scales[task.first - 1]
    z0, z1 = part_z(source, task.depth, task.part)
    size = source.box.shape
    cores = plan.memory_mb / LAMBDA_VCPU_MB if pool.cloud else 1.0
    worker = WorkerSpec(plan.memory_mb, cores)
    return predict_coarse_seconds(
        size.x * size.y * (z1 - z0) * plan.volume.format.voxel_bytes, worker
    )


def count_transitions(plan: Plan, blocks: int) -> int:
    """Return the state transitions of an execution that succeeds at the first try."""
    return PARENT_TRANSITIONS + len(plan.stages()) + len(plan.coarse) + CHILD_TRANSITIONS * blocks


def slice_gets(plan: Plan, ref: SliceRef) -> int:
    """Return the requests that one slice is read with, its header aside."""
    if ref.key is None:
        return 0
    whole = plan.rows >= plan.box.shape.y and not ref.width
    if ref.kind in ("jpeg", "jpeg-scans") and whole:
        return 1
    if ref.kind in ("jp2", "bmp", "png-indices"):
        return ceil_div(max(ref.bytes, 1), AHEAD_MAX)
    count, at, ahead = 0, 0, AHEAD_MIN
    while at < ref.bytes:
        count, at, ahead = count + 1, at + ahead, min(ahead * 4, AHEAD_MAX)
    # A TIFF's tags may lie anywhere: there and back.
    return max(count, 1) + (2 if ref.kind == "tiff" else 0)


def _probes(tasks: Iterable[BlockTask]) -> int:
    """Return the requests for the headers of slices; a TIFF's tags may need a second one."""
    return sum(1 + (s.kind == "tiff") for t in tasks for s in t.slices if s.key is not None)


def _target_gets(plan: Plan, blocks: int) -> int:
    """Return the requests for what lies at the destination: documents, and chunks to coarsen."""
    coarse = 0
    for task in plan.coarse:
        source = plan.scales[task.first - 1]
        layers = part_z(source, task.depth, task.part)
        coarse += source.grid.x * source.grid.y * ceil_div(layers[1] - layers[0], source.chunk.z)
        coarse += 0 if source.sharding is None else 2 * _objects(source, layers)
    tasks = blocks + len(plan.coarse)
    return coarse + TASK_GETS * tasks + tasks + RUN_GETS


def _objects(scale: Scale, z: Span) -> int:
    if z[0] >= z[1]:
        return 0
    if scale.sharding is None:
        return scale.grid.x * scale.grid.y * ceil_div(z[1] - z[0], scale.chunk.z)
    return max(round(scale.objects * (z[1] - z[0]) / scale.box.shape.z), 1)


def _coarse_objects(plan: Plan) -> int:
    return sum(s.objects for s in plan.scales[plan.owned :])


def stored_ratio(plan: Plan) -> float:
    """Return the bytes stored for a byte of voxels."""
    return RATIO.get(packing(plan.volume.format), 1.0)


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last task ends, if workers take them in order."""
    free = [0.0] * max(min(workers, len(seconds)), 1)
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _put_seconds(plan: Plan, pending: Sequence[BlockTask]) -> float:
    """Return the least time in which S3 takes the objects of the scale that has the most."""
    if not in_bucket(plan.destination):
        return 0.0
    finest = sum(_objects(plan.scales[0], plan.owned_z(0, t.index)) for t in pending)
    return finest / PUT_RATE
