"""What will a plan take: minutes, and dollars of each service? And what did it take?

1. Every task's seconds, from the plan's own prediction; workers take the tasks in order.
2. Requests, counted: ranges per slice, objects, receipts and documents, pages of listings.
3. Each quantity times its price is a line of the bill. Free tiers are not looked at.

On one machine only requests to buckets cost anything, so its bill has no other lines.
What is not on the bill: storage (said apart, by the month), traffic out of the region, tries that
failed, traces and keys.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.errors import CostCeiling
from zblocks.geometry import ceil_div
from zblocks.planning.plan import BlockTask, CoarseTask, Plan, SliceRef, part_z, pixel_bytes
from zblocks.planning.prices import Prices
from zblocks.planning.pyramid import Scale
from zblocks.planning.time import (
    LAMBDA_VCPU_MB,
    RATIO,
    START,
    Worker,
    predict_coarse_seconds,
)
from zblocks.run.receipt import Receipt

GB = 1e9
CONTROL_MEMORY_MB = 1769
"""Of the plan's function."""

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

LOG_BYTES = 2000
"""Lines that one call of a function leaves in its log; assumed."""

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
class Fleet:
    """Who does the work."""

    concurrency: int
    """Workers at the same time."""
    architecture: str = "arm64"
    """`arm64` or `x86_64`."""
    cloud: bool = True
    """Whether they are Lambdas; else processes of one machine."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    service: str
    what: str
    quantity: float
    unit: str
    unit_price: float
    """Dollars."""

    @property
    def dollars(self) -> float:
        """What it comes to."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run costs."""

    lines: tuple[Line, ...]

    @property
    def dollars(self) -> float:
        """The sum."""
        return math.fsum(line.dollars for line in self.lines)

    @property
    def largest(self) -> Line | None:
        """The line that costs the most."""
        return max(self.lines, key=lambda line: line.dollars, default=None)

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines as JSON."""
        return [asdict(line) | {"dollars": line.dollars} for line in self.lines]


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


@dataclass(frozen=True, slots=True)
class _Usage:
    """What work takes of each service."""

    plan_s: float
    worker_s: float
    """Of blocks, coarser scales, and Finalize."""
    calls: int
    transitions: int
    source_gets: int
    target_gets: int
    puts: int
    source_lists: int
    target_lists: int


def estimate(plan: Plan, due: Sequence[BlockTask], fleet: Fleet, prices: Prices) -> Estimate:
    """Predict what a run takes.

    Args:
        plan: what is to be done.
        due: the blocks that the run converts.
        fleet: who does it.
        prices: dollars.
    """
    objects = sum(_objects(s, plan.owned_z(k, t.index))
                  for t in due for k, s in enumerate(plan.scales[: plan.owned]))  # fmt: skip
    blocks = [block_seconds(plan, task) for task in due]
    coarse = {c.index: coarse_seconds(plan, c, fleet) for c in plan.coarse}
    slices = sum(len(t.slices) for t in due)
    pages = sum(ceil_div(s.objects, PAGE) for s in plan.scales)
    plan_s = START + slices * LATENCY / (2 * SIDE_BY_SIDE)
    longest = max(ceil_div(s.objects, PAGE) for s in plan.scales)  # scales are listed at once
    finalize_s = START + longest * PAGE_SECONDS + len(due) * LATENCY / SIDE_BY_SIDE
    usage = _Usage(
        plan_s=plan_s,
        worker_s=sum(blocks) + sum(coarse.values()) + finalize_s,
        calls=len(due) + len(plan.coarse) + 2,
        transitions=count_transitions(plan, len(due)),
        source_gets=sum(slice_gets(plan, r) for t in due for s in t.slices for r in s.reads)
        + _probes(due),
        target_gets=_target_gets(plan, len(due)),
        puts=objects + _coarse_objects(plan) + len(due) + len(plan.coarse) + RUN_PUTS,
        source_lists=ceil_div(slices, PAGE),
        target_lists=pages + len(plan.scales) + RUN_LISTS,
    )
    stored = (
        sum(s.box.voxels for s in plan.scales) * pixel_bytes(plan.volume) * stored_ratio(plan) / GB
    )
    return Estimate(
        bill=_bill(plan, usage, fleet, prices),
        plan_s=plan_s,
        blocks_s=max(_makespan(blocks, fleet.concurrency), _put_seconds(plan, due)),
        coarse_s=sum(_makespan([coarse[i] for i in stage], min(fleet.concurrency, 40))
                     for stage in plan.stages()),
        finalize_s=finalize_s,
        busy_s=sum(blocks) + sum(coarse.values()),
        stored_gb=stored,
        month=stored * prices.storage_gb_month if in_bucket(plan.destination) else 0.0,
    )  # fmt: skip


def actual(
    plan: Plan, tasks: Sequence[BlockTask], receipts: Sequence[Receipt], fleet: Fleet,
    prices: Prices,
) -> Bill:  # fmt: skip
    """Return what the work of these receipts took.

    Workers' seconds, objects and slices are as receipted; Plan's and Finalize's own seconds, and
    requests for documents, are those predicted. Tries that failed leave no receipt.
    """
    said = estimate(plan, tasks, fleet, prices)
    kinds = {r.key: r for t in tasks for s in t.slices for r in s.reads}
    read = [kinds.get(s.key, SliceRef(s.z, s.key, s.bytes)) for r in receipts for s in r.sources]
    done = len({r.task for r in receipts if r.task.startswith("block-")})
    pages = sum(ceil_div(s.objects, PAGE) for s in plan.scales)
    usage = _Usage(
        plan_s=said.plan_s,
        worker_s=sum(r.seconds for r in receipts) + said.finalize_s,
        calls=len(receipts) + 2,
        transitions=count_transitions(plan, done),
        source_gets=sum(slice_gets(plan, s) for s in read) + _probes(tasks),
        target_gets=_target_gets(plan, done),
        puts=sum(len(r.objects) for r in receipts) + len(receipts) + RUN_PUTS,
        source_lists=ceil_div(sum(len(t.slices) for t in tasks), PAGE),
        target_lists=pages + len(plan.scales) + RUN_LISTS,
    )
    return _bill(plan, usage, fleet, prices)


def so_far(seconds: float, objects: int, memory_mb: int, fleet: Fleet, prices: Prices) -> float:
    """Return the dollars of workers' seconds and objects, the two that most bills are made of."""
    gb_s = seconds * memory_mb / 1024 * prices.lambda_gb_s(fleet.architecture)
    return (gb_s if fleet.cloud else 0.0) + objects * prices.put_thousand / 1e3


def block_seconds(plan: Plan, task: BlockTask) -> float:
    """Return what one block takes: its share of what a full one does."""
    full = min(plan.block_depth, plan.box.shape.z)
    return START + (plan.predicted_block_s - START) * len(task.slices) / full


def coarse_seconds(plan: Plan, task: CoarseTask, fleet: Fleet) -> float:
    """Return what a coarse task takes."""
    source = plan.scales[task.first - 1]
    z0, z1 = part_z(source, task.depth, task.part)
    size = source.box.shape
    cores = plan.memory_mb / LAMBDA_VCPU_MB if fleet.cloud else 1.0
    worker = Worker(plan.memory_mb, cores)
    return predict_coarse_seconds(size.x * size.y * (z1 - z0) * pixel_bytes(plan.volume), worker)


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


def refuse_above(ceiling: float, bill: Bill) -> None:
    """Refuse what is predicted to cost more than is allowed.

    Raises:
        CostCeiling: it is; names the largest line.
    """
    most = bill.largest
    if bill.dollars <= ceiling or most is None:
        return
    msg = (
        f"max_cost_usd: this run is predicted to cost ${show_dollars(bill.dollars)}, more than "
        f"${show_dollars(ceiling)}; most of it is {most.service} {most.what} "
        f"(${show_dollars(most.dollars)}); look at `zblocks plan`, raise max_cost_usd, or "
        f"{ADVICE.get(most.what, 'convert fewer or smaller slices')}"
    )
    raise CostCeiling(msg)


ADVICE = {"PUT": 'write fewer objects: "sharding": true, or larger chunks'}
"""What makes a line smaller."""


def show_dollars(amount: float) -> str:
    """Return an amount as people read it: cents, or what can be told apart from nothing."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.2g}"


def in_bucket(url: str) -> bool:
    """Tell whether requests to this place cost anything."""
    return url.startswith("s3://")


def _bill(plan: Plan, usage: _Usage, fleet: Fleet, prices: Prices) -> Bill:
    """Put prices to quantities."""
    lines = []
    if fleet.cloud:
        gb_s = usage.worker_s * plan.memory_mb / 1024 + usage.plan_s * CONTROL_MEMORY_MB / 1024
        a_gb_s = prices.lambda_gb_s(fleet.architecture)
        lines = [
            Line("Lambda", f"compute, {fleet.architecture}", gb_s, "GB-s", a_gb_s),
            Line("Lambda", "calls", usage.calls, "requests", prices.lambda_million_requests / 1e6),
            Line("Step Functions", "transitions", usage.transitions, "transitions",
                 prices.transitions_thousand / 1e3),
            Line("CloudWatch", "logs", usage.calls * LOG_BYTES / GB, "GB", prices.logs_gb),
        ]  # fmt: skip
    gets = usage.source_gets * in_bucket(plan.source)
    gets += usage.target_gets * in_bucket(plan.destination)
    puts = usage.puts * in_bucket(plan.destination)
    lists = usage.source_lists * in_bucket(plan.source)
    lists += usage.target_lists * in_bucket(plan.destination)
    requests = (
        ("PUT", puts, prices.put_thousand),
        ("LIST", lists, prices.put_thousand),
        ("GET", gets, prices.get_thousand),
    )
    lines += [Line("S3", what, n, "requests", each / 1e3) for what, n, each in requests if n]
    return Bill(tuple(lines))


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


def _objects(scale: Scale, z: tuple[int, int]) -> int:
    """Return how many objects hold slices [z0, z1) of a scale, in its voxels."""
    if z[0] >= z[1]:
        return 0
    if scale.sharding is None:
        return scale.grid.x * scale.grid.y * ceil_div(z[1] - z[0], scale.chunk.z)
    return max(round(scale.objects * (z[1] - z[0]) / scale.box.shape.z), 1)


def _coarse_objects(plan: Plan) -> int:
    """Return the objects that coarse tasks write."""
    return sum(s.objects for s in plan.scales[plan.owned :])


def stored_ratio(plan: Plan) -> float:
    """Return the bytes stored for a byte of voxels."""
    volume = plan.volume
    return RATIO.get(volume.compression if volume.encoding == "raw" else volume.encoding, 1.0)


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """Return when the last task ends, if workers take them in order."""
    free = [0.0] * max(min(workers, len(seconds)), 1)
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _put_seconds(plan: Plan, due: Sequence[BlockTask]) -> float:
    """Return the least time in which S3 takes the objects of the scale that has the most."""
    if not in_bucket(plan.destination):
        return 0.0
    finest = sum(_objects(plan.scales[0], plan.owned_z(0, t.index)) for t in due)
    return finest / PUT_RATE
