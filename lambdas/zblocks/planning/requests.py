"""Requests and seconds of tasks, and how many tasks S3's request rates keep busy.

S3 takes so many requests a second of one partition of a bucket's keys, which may be a scale or the
whole bucket, so that a task's requests count together. What is above the rate is answered with 503
until S3 has divided the partition, which takes minutes to hours: more tasks at the same time would
only take longer, be paid for while they wait, and run out of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from zblocks.geometry import Span, ceil_div
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.planning.bill import WorkerPool, in_bucket
from zblocks.planning.plan import BlockTask, CoarseTask, Plan, part_z
from zblocks.planning.time import START, WorkerSpec, predict_coarse_seconds
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.stream import AHEAD_MAX, AHEAD_MIN

PUT_RATE, GET_RATE = 3500.0, 5500.0  # a second, of a prefix; S3's user guide guarantees them
COARSEN_CONCURRENCY = 40  # coarse tasks at the same time, as deployed by statemachine/
TASK_GETS = 5  # plan, receipt, lock (twice), earlier failure


def block_seconds(plan: Plan, task: BlockTask) -> float:
    """Return the seconds of one block: its share of those of a full one."""
    full = min(plan.block_depth, plan.box.shape.z)
    return START + (plan.predicted_block_s - START) * len(task.slices) / full


def coarse_seconds(plan: Plan, task: CoarseTask, pool: WorkerPool) -> float:
    """Return the seconds of one coarse task."""
    source = plan.scales[task.first - 1]
    z0, z1 = part_z(source, task.depth, task.part)
    size = source.box.with_z(z0, z1).voxels * plan.volume.format.voxel_bytes
    cores = plan.memory_mb / LAMBDA_VCPU_MB if pool.cloud else 1.0
    gets = coarse_gets(plan, task) if in_bucket(plan.destination) else 0
    return predict_coarse_seconds(size, gets, WorkerSpec(plan.memory_mb, cores))


def part_objects(scale: Scale, z: Span) -> int:
    """Return the number of objects in a z range of a scale; of shards, about."""
    if z[0] >= z[1]:
        return 0
    if scale.sharding is None:
        return scale.grid.x * scale.grid.y * ceil_div(z[1] - z[0], scale.chunk.z)
    return max(round(scale.objects * (z[1] - z[0]) / scale.box.shape.z), 1)


def block_puts(plan: Plan, task: BlockTask) -> int:
    """Return the number of objects that a block writes."""
    owned = enumerate(plan.scales[: plan.owned])
    return sum(part_objects(s, plan.owned_z(k, task.index)) for k, s in owned)


def coarse_puts(plan: Plan, task: CoarseTask) -> int:
    """Return the number of objects that a coarse task writes."""
    made = plan.scales[task.first : task.last]
    return sum(part_objects(s, part_z(s, task.depth, task.part)) for s in made)


def slice_gets(plan: Plan, ref: SliceRef) -> int:
    """Return the number of requests that read one slice, without those for its header."""
    if ref.key is None:
        return 0
    whole = plan.rows >= plan.box.shape.y and not ref.width
    if ref.kind in ("jpeg", "jpeg-scans") and whole:
        return 1
    if ref.kind in ("jp2", "jp2-strips", "bmp", "png-indices"):
        return ceil_div(max(ref.bytes, 1), AHEAD_MAX)
    count, at, ahead = 0, 0, AHEAD_MIN
    while at < ref.bytes:
        count, at, ahead = count + 1, at + ahead, min(ahead * 4, AHEAD_MAX)
    # A TIFF's tags may be anywhere: one jump there and one back.
    return max(count, 1) + (2 if ref.kind == "tiff" else 0)


def coarse_gets(plan: Plan, task: CoarseTask) -> int:
    """Return the number of requests that read the chunks which a coarse task is made from."""
    source = plan.scales[task.first - 1]
    z0, z1 = part_z(source, task.depth, task.part)
    chunks = source.grid.x * source.grid.y * ceil_div(z1 - z0, source.chunk.z)
    return chunks + (0 if source.sharding is None else 2 * part_objects(source, (z0, z1)))


class Rates(NamedTuple):
    """Requests that one worker makes in a second."""

    puts: float
    gets: float

    @property
    def served(self) -> float:
        """How many workers S3 serves at the same time."""
        busy = max(self.puts / PUT_RATE, self.gets / GET_RATE)
        return 1 / busy if busy else math.inf


def block_rates(plan: Plan, tasks: Sequence[BlockTask]) -> Rates:
    """Return the requests of a worker that converts blocks, on average."""
    seconds = sum(block_seconds(plan, t) for t in tasks) or 1.0
    puts = sum(block_puts(plan, t) for t in tasks) * in_bucket(plan.destination)
    reads = (r for t in tasks for s in t.slices for r in s.reads)
    gets = sum(slice_gets(plan, r) for r in reads) * in_bucket(plan.source)
    return Rates(puts / seconds, gets / seconds)


def coarse_rates(plan: Plan, pool: WorkerPool) -> Rates:
    """Return the requests of a worker that makes coarser scales, on average."""
    tasks, inside = plan.coarse, in_bucket(plan.destination)
    seconds = sum(coarse_seconds(plan, t, pool) for t in tasks) or 1.0
    puts = sum(coarse_puts(plan, t) for t in tasks) * inside
    gets = sum(coarse_gets(plan, t) for t in tasks) * inside
    return Rates(puts / seconds, gets / seconds)


def blocks_at_once(plan: Plan, tasks: Sequence[BlockTask], pool: WorkerPool) -> int:
    """Return how many blocks are converted at the same time, within the quota and S3's rates."""
    return _limited(pool, pool.at_once, len(tasks), block_rates(plan, tasks))


def coarse_at_once(plan: Plan, pool: WorkerPool) -> int:
    """Return how many coarse tasks are done at the same time, within the same."""
    wanted = min(pool.at_once, COARSEN_CONCURRENCY)
    return _limited(pool, wanted, len(plan.coarse), coarse_rates(plan, pool))


def _limited(pool: WorkerPool, wanted: int, tasks: int, rates: Rates) -> int:
    """Lower `wanted` to what S3 serves; the processes of one machine are too few for that."""
    if not pool.cloud or min(wanted, tasks) <= rates.served:
        return wanted
    return max(int(rates.served), 1)
