"""The time, requests and dollars that a run is predicted to take; and the bill for work done.

1. The seconds of every task, from the plan's own prediction; workers take the tasks in order.
2. Requests: ranges of every slice, objects, receipts and documents, pages of listings.

Not counted: free tiers, traffic to machines outside AWS, work of failed attempts, traces and keys.
On one machine only requests to buckets cost money, so that its bill has no other lines.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from zblocks.geometry import Vec, ceil_div
from zblocks.planning.bill import Bill, Line, Prices, WorkerPool, in_bucket
from zblocks.planning.blocks import Block
from zblocks.planning.finish import CORES, MEMORY_MB, PAGE, finalize_seconds, listed
from zblocks.planning.plan import BlockTask, Plan
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.requests import (
    PUT_RATE,
    TASK_GETS,
    all_objects,
    block_puts,
    block_seconds,
    blocks_at_once,
    coarse_at_once,
    coarse_gets,
    coarse_seconds,
    slices_gets,
)
from zblocks.planning.time import (
    LATENCY,
    RATIO,
    START,
    WorkerSpec,
    made_share,
    packings,
    predict_coarse_seconds,
)
from zblocks.slices.slice_ref import SliceRef

GB = 1e9

# As deployed by infra/ and statemachine/.
CONTROL_MEMORY_MB = 1769  # of the Lambda that makes the plan
PARENT_TRANSITIONS = 6  # states that an execution enters until it ends, without stages
STAGE_TRANSITIONS = 3  # of the blocks, or of a stage of coarse tasks
CHILD_TRANSITIONS = 2  # of a task: the start of its child execution, and its only state

# Requests of a run as a whole.
RUN_GETS = 40  # about: what is at the destination, what Finalize reads of it, and its samples
RUN_PUTS = 11  # lock, config, items, plan, pending, report, provenance, info, the map's results
RUN_LISTS = 6  # without pages of objects: receipts, failures, the destination
HEADERS_AT_ONCE = 64  # slices whose headers Plan reads at the same time

SAMPLED = 200  # slices of which the planner counts the requests
LOG_BYTES = 2000  # that one call of a function writes; assumed


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is predicted to take."""

    bill: Bill
    at_once: int  # blocks that are converted at the same time
    plan_s: float
    blocks_s: float  # seconds until all blocks are done
    coarse_s: float
    finalize_s: float
    busy_s: float  # seconds of all workers together, for blocks and coarse tasks
    stored_gb: float  # size of the volume
    month: float  # dollars a month for storing it; 0 in a folder

    @property
    def seconds(self) -> float:
        """From the start to the link."""
        return self.plan_s + self.blocks_s + self.coarse_s + self.finalize_s


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What tasks reported, or are predicted to report."""

    blocks: int
    tasks: int  # blocks and coarse tasks
    seconds: float  # of all tasks together
    objects: int
    read: tuple[SliceRef, ...]  # slices, once for each time that they were read
    retries: int = 0  # of states: attempts that failed, or found no free function


def estimate(
    plan: Plan, pending: Sequence[BlockTask], pool: WorkerPool, prices: Prices
) -> Estimate:
    """Predict what a run takes that converts the pending blocks."""
    scales = plan.scales
    blocks = [block_seconds(plan, task) for task in pending]
    coarse = coarse_seconds(plan, pool)
    objects = block_puts(plan, pending)
    work = WorkDone(
        blocks=len(pending),
        tasks=len(pending) + len(coarse),
        seconds=sum(blocks) + sum(coarse),
        objects=objects + sum(all_objects(plan, k) for k in range(plan.owned, len(scales))),
        read=tuple(r for t in pending for s in t.slices for r in s.reads),
    )
    stored = stored_gb(plan)
    least = objects / PUT_RATE if in_bucket(plan.destination) else 0.0
    at_once, wide = blocks_at_once(plan, pending, pool), coarse_at_once(plan, pool)
    return Estimate(
        bill=actual(plan, pending, work, pool, prices),
        at_once=at_once,
        plan_s=_plan_seconds(pending),
        blocks_s=max(_makespan(blocks, at_once), least),
        coarse_s=sum(_makespan([coarse[i] for i in stage], wide) for stage in plan.stages()),
        finalize_s=finalize_seconds(plan, CORES if pool.cloud else 1.0),
        busy_s=work.seconds,
        stored_gb=stored,
        month=stored * prices.storage_gb_month if in_bucket(plan.destination) else 0.0,
    )


def actual(
    plan: Plan, tasks: Sequence[BlockTask], done: WorkDone, pool: WorkerPool, prices: Prices
) -> Bill:
    """Return the bill for work done in a run that converts `tasks`.

    The seconds of Plan and Finalize, and requests for documents, are predicted.
    """
    slices = _read_by(tasks)
    # A TIFF's tags may need a second request.
    probes = sum(1 + s.kind.startswith("tiff") for s in slices if s.key is not None)
    pages = sum(ceil_div(n, PAGE) for n in listed(plan))
    source, target = in_bucket(plan.source), in_bucket(plan.destination)
    gets = (slices_gets(plan, done.read) + probes) * source
    lists = ceil_div(len(slices), PAGE) * source + (pages + len(plan.scales) + RUN_LISTS) * target
    requests = (
        ("PUT", (done.objects + done.tasks + RUN_PUTS) * target, "put_thousand"),
        ("LIST", lists, "put_thousand"),
        ("GET", gets + _target_gets(plan, done.blocks) * target, "get_thousand"),
    )
    lines = [
        Line("S3", what, n, "requests", *prices.each(price, 1e3))
        for what, n, price in requests
        if n
    ]
    if pool.cloud and plan.from_afar:
        read = sum(ref.bytes for ref in done.read) * plan.stack.file_share
        what, far = f"traffic from {plan.source_region}", read / GB
        lines.append(Line("S3", what, far, "GB", *prices.each("other_region_gb")))
    if plan.bucket.sends_events:
        told = lines[0].quantity
        price = prices.each("events_million", 1e6)
        lines.append(Line("EventBridge", "events", told, "events", *price))
    if not pool.cloud:
        return Bill(tuple(lines))
    control = _plan_seconds(tasks) * CONTROL_MEMORY_MB + finalize_seconds(plan, CORES) * MEMORY_MB
    gb_s = (done.seconds * plan.memory_mb + control) / 1024
    changes = _transitions(plan, done.tasks) + done.retries
    calls, compute = done.tasks + 2, f"compute, {pool.architecture}"
    return Bill((
        Line("Lambda", compute, gb_s, "GB-s", *prices.each(f"lambda_gb_s_{pool.architecture}")),
        Line("Lambda", "calls", calls, "requests", *prices.each("lambda_million_requests", 1e6)),
        Line("Step Functions", "transitions", changes, "transitions",
             *prices.each("transitions_thousand", 1e3)),
        Line("CloudWatch", "logs", calls * LOG_BYTES / GB, "GB", *prices.each("logs_gb")),
        *lines,
    ))  # fmt: skip


def predict_dollars(plan: Plan, slices: Sequence[SliceRef]) -> float:
    """Return the dollars that `estimate` predicts for a volume, less what all its plans share.

    The planner compares many plans, so blocks aren't looked at one by one, and every n-th slice
    stands for those around it. List prices of arm64 are used.
    """
    pool, prices = WorkerPool(1), Prices()
    step = ceil_div(len(slices), SAMPLED)
    reads = slices_gets(plan, (r for s in slices[::step] for r in s.reads)) * step
    layer = plan.block_grid.x * plan.block_grid.y
    puts = sum(listed(plan)) + plan.blocks + len(plan.coarse)
    full = Vec(*map(min, plan.full_block, plan.box.shape))
    blocks_s = plan.blocks * START
    blocks_s += (plan.predicted_block_s - START) * plan.box.voxels / prod(full)
    seconds = blocks_s + sum(coarse_seconds(plan, pool))
    gets = reads * layer * in_bucket(plan.source)
    gets += _target_gets(plan, plan.blocks) * in_bucket(plan.destination)
    return (
        seconds * plan.memory_mb / 1024 * prices.lambda_gb_s_arm64
        + puts * in_bucket(plan.destination) * prices.put_thousand / 1e3
        + gets * prices.get_thousand / 1e3
        + _transitions(plan, plan.blocks + len(plan.coarse)) * prices.transitions_thousand / 1e3
    )


def least_dollars(given: PlanInput, block: Block, worker: WorkerSpec) -> float:
    """Return a lower bound on the predicted dollars of a plan with such blocks.

    It counts the blocks' seconds, and reading back the coarsest scale that they write.
    """
    source, *made = scales = block.scales[block.owned - 1 :]
    box, prices, gets = block.scales[0].box, Prices(), 0
    full = Vec(*(min(n or whole, whole) for n, whole in zip(block.shape, box.shape, strict=True)))
    seconds = (block.seconds - START) * box.voxels / prod(full)
    if made:
        chunks, gets = source.format, source.chunks * in_bucket(given.destination)
        read, packs = source.box.voxels * chunks.voxel_bytes, packings(chunks, given.formats)
        made_bytes = read * made_share(scales)
        seconds += predict_coarse_seconds(read, made_bytes, 0, packs, worker) - START
    compute = seconds * worker.memory_mb / 1024 * prices.lambda_gb_s_arm64
    return compute + gets * prices.get_thousand / 1e3


def _plan_seconds(tasks: Sequence[BlockTask]) -> float:
    return START + len(_read_by(tasks)) * LATENCY / HEADERS_AT_ONCE


def _read_by(tasks: Sequence[BlockTask]) -> list[SliceRef]:
    """Return the slices of blocks, each once: Plan reads each header once."""
    return list({s.z: s for t in tasks for s in t.slices}.values())


def _transitions(plan: Plan, tasks: int) -> int:
    """Return the state transitions of an execution; each retry is one more."""
    stages = 1 + len(plan.coarse_stages)
    return PARENT_TRANSITIONS + STAGE_TRANSITIONS * stages + CHILD_TRANSITIONS * tasks


def _target_gets(plan: Plan, blocks: int) -> int:
    """Return the requests to the destination: documents, and chunks that coarse tasks read."""
    return coarse_gets(plan) + (TASK_GETS + 1) * (blocks + len(plan.coarse)) + RUN_GETS


def stored_gb(plan: Plan) -> float:
    """Return the predicted size of the volume."""
    voxels = sum(s.box.voxels for s in plan.scales) * plan.volume.format.voxel_bytes
    return voxels * stored_ratio(plan) / GB


def stored_ratio(plan: Plan) -> float:
    """Return the stored bytes per byte of voxels."""
    return sum(RATIO[pack] for pack in packings(plan.volume.format, plan.formats))


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last task ends if workers take the tasks in order."""
    free = [0.0] * max(min(workers, len(seconds)), 1)
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)
