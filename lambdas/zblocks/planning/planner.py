"""Makes the plan, from what the config asks for and what the headers of the slices say.

1. The scales, and whether their chunks go into shards.
2. The deepest block, decoded in the tallest strips, that one worker can convert in its memory and
   time; `ownership` says which scales it owns.
3. The tasks that make the scales above those.

Pure: nothing is read, and nothing is decided later.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Span, Vec, ceil_div
from zblocks.planning.coarse import plan_coarse
from zblocks.planning.memory import (
    Footprint,
    coarse_bytes,
    predict_peak,
    shard_bytes,
)
from zblocks.planning.ownership import (
    DEEPEST,
    SHARD_LAYERS,
    count_blocks,
    plan_scales,
    share_out,
)
from zblocks.planning.plan import (
    VERSION,
    BlockTask,
    MissingSlices,
    Plan,
)
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.time import (
    DECODE,
    BlockWork,
    WorkerSpec,
    packing,
    predict_seconds,
)
from zblocks.precomputed.scale import Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import memory
from zblocks.slices.transforms.substitutes import Substitutes, count_interpolated

MANY_OBJECTS = 20_000
"""Chunks above which they are put into shards, unless the user decides."""


def volume_id(given: PlanInput) -> str:
    """Return the volume's identity; equal exactly if the finished volumes would be equal."""
    missing = given.missing
    if all(s.key is not None for s in given.slices):
        missing = MissingSlices()  # what missing slices would become is of no account
    steps = [s for s in given.stack.transforms if given.filled or not isinstance(s, Substitutes)]
    voxels = (given.layer, given.chunk_format, given.options, given.sparse_labels)
    slices = (given.region, given.stack.rows, given.stack.channels, steps, missing)
    parts = (VERSION, given.source, *voxels, *slices)
    refs = (repr((s.z, s.key, s.bytes, s.etag, s.page)) for s in given.slices)
    return hashlib.sha256("\n".join([repr(parts), *refs]).encode()).hexdigest()[:32]


def make_plan(given: PlanInput, worker: WorkerSpec) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Decide everything.

    Args:
        given: what was asked for and what the slices are.
        worker: what one worker has.

    Raises:
        DoesNotFit: not even the smallest block fits in the worker's memory or time.
    """
    start = given.options.offset
    box = Box(
        start, Vec(start.x + given.width, start.y + given.height, start.z + len(given.slices))
    )
    wanted = plan_scales(box, given.options, given.chunk_format, sharded=False)
    sharded = given.options.sharding
    if sharded is None and given.chunk_format.compression == "br":
        sharded = False  # shards allow only gzip
    if sharded is None:
        sharded = sum(s.chunks for s in wanted) > MANY_OBJECTS
    if sharded:
        wanted = plan_scales(box, given.options, given.chunk_format, sharded=True)
    return _decide(given, wanted, worker, sharded=sharded)


def _decide(
    given: PlanInput, wanted: list[Scale], worker: WorkerSpec, *, sharded: bool
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Take the deepest block, decoded in the tallest strips, that fits in the worker."""
    peaks, seconds = [], 0.0
    for depth in _depths(wanted[0].chunk.z, fixed=given.options.chunk is not None, sharded=sharded):
        scales, owned = share_out(wanted, depth, sharded=sharded)
        seconds = predict_seconds(_block_work(given, depth), worker)
        if seconds > worker.limit_s:
            continue
        for rows in _row_choices(given, scales[0].chunk.y):
            peak = predict_peak(_footprint(given, scales[:owned], depth, rows))
            peaks.append(peak)
            if peak <= worker.memory_mb:
                block = _Block(depth, rows, scales, owned, peak, round(seconds, 1))
                return _lay_out(given, block, worker)
    raise DoesNotFit(_why_not(given, worker, peaks, seconds))


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that fits in a worker."""

    depth: int
    rows: int
    scales: tuple[Scale, ...]
    """Of the whole volume, as blocks of this depth share them out."""
    owned: int
    peak_mb: int
    seconds: float


def _footprint(given: PlanInput, scales: tuple[Scale, ...], depth: int, rows: int) -> Footprint:
    voxel, stack = given.chunk_format.voxel_bytes, given.stack
    halo = max(s.factor.z - 1 if scales[0].box.start.z % s.factor.z else 0 for s in scales)
    held = min(depth + halo, len(given.slices))
    widest = max(stack.rows.width, *(s.width for s in given.slices))
    steps = memory(stack.transforms, replace(stack.rows, width=widest))
    return Footprint(
        width=given.width,
        voxel_bytes=voxel,
        interpolated=min(count_interpolated(given.slices), held),
        depth=held,
        rows=min(rows, given.height),
        height=given.height,
        held=given.held,
        in_place=given.in_place and all(step.in_place for step in stack.transforms),
        kept=steps.kept,
        passing=steps.passing,
        file_bytes=max(s.bytes for s in given.slices),
        coarse_bytes=coarse_bytes(scales, held, voxel),
        shard_bytes=shard_bytes(scales, depth, voxel),
    )


def _block_work(given: PlanInput, depth: int) -> BlockWork:
    read = [r for s in given.slices for r in s.reads]
    count = min(depth, len(given.slices))
    rows = given.stack.rows
    decoded = given.region.box.stop.y if given.region else rows.height  # not those below it
    return BlockWork(
        voxel_bytes=given.width * given.height * count * given.chunk_format.voxel_bytes,
        slice_bytes=rows.width * decoded * count * rows.pixel_bytes,
        source_bytes=int(sum(r.bytes for r in read) * min(depth / len(given.slices), 1.0)),
        kind=min((r.kind for r in read), key=DECODE.__getitem__),
        packing=packing(given.chunk_format),
    )


def _why_not(given: PlanInput, worker: WorkerSpec, peaks: list[int], seconds: float) -> str:
    what = f"slices of {given.width}×{given.height}"
    shallower = " or choose a shallower chunk_size" if given.options.chunk else ""
    if not peaks:
        return (
            f"{what}: even the smallest block would take {seconds:.0f} s of a worker, more than "
            f"the {worker.limit_s:.0f} s that may be planned for; raise its memory, which buys "
            f"cores{shallower}"
        )
    return (
        f"{what} need a worker with at least {min(peaks)} MiB, this one has {worker.memory_mb}; "
        f"raise its memory to {min(peaks)}{shallower}"
    )


def _depths(chunk_z: int, *, fixed: bool, sharded: bool) -> list[int]:
    """Return block depths to try, in slices, deepest first.

    A depth below the chunk's own makes chunks shallower, so it needs a chunk that zblocks chose.
    """
    deepest = max(DEEPEST, SHARD_LAYERS * chunk_z) if sharded else DEEPEST
    depths = [chunk_z]
    while depths[0] * 2 <= deepest:
        depths.insert(0, depths[0] * 2)
    if not fixed:
        while depths[-1] > 1:
            depths.append(depths[-1] // 2)
    return depths


def _row_choices(given: PlanInput, chunk_y: int) -> list[int]:
    """Return how many rows to decode at a time: whole slices first, then rows of chunks."""
    rows = [given.height]
    while given.strips and rows[-1] > chunk_y:
        rows.append(max(ceil_div(rows[-1] // 2, chunk_y) * chunk_y, chunk_y))
        if rows[-1] >= rows[-2]:
            rows[-1] = chunk_y
    return rows


def _lay_out(
    given: PlanInput, block: _Block, worker: WorkerSpec
) -> tuple[Plan, tuple[BlockTask, ...]]:
    scales, coarse = plan_coarse(block.scales, block.owned, worker)
    plan = Plan(
        volume_id=volume_id(given),
        source=given.source,
        source_role=given.source_role,
        destination=given.destination,
        volume=Volume(given.layer, scales, given.segment_properties),
        stack=given.stack,
        missing=given.missing,
        filled=given.filled,
        sparse_labels=given.sparse_labels,
        region=given.region,
        owned=block.owned,
        block_depth=block.depth,
        blocks=count_blocks(scales, block.owned, block.depth),
        coarse=coarse,
        rows=block.rows,
        memory_mb=worker.memory_mb,
        predicted_peak_mb=block.peak_mb,
        predicted_block_s=block.seconds,
        notes=given.notes,
    )
    return plan, tuple(_task(plan, given.slices, i) for i in range(plan.blocks))


def _task(plan: Plan, slices: tuple[SliceRef, ...], index: int) -> BlockTask:
    z0, z1 = read_range(plan, index)
    first = plan.box.start.z
    own = plan.owned_z(0, index)
    return BlockTask(index, *own, slices[z0 - first : z1 - first])


def read_range(plan: Plan, block: int) -> Span:
    """Return the scale 0 slices [z0, z1) that a block reads: its own and its halo."""
    ranges = []
    for k in range(plan.owned):
        z0, z1 = plan.owned_z(k, block)
        if z0 < z1:
            f = plan.scales[k].factor.z
            ranges.append((z0 * f, z1 * f))
    box = plan.box
    return max(min(a for a, _ in ranges), box.start.z), min(max(b for _, b in ranges), box.stop.z)
