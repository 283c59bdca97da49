"""The plan is made: from what the config asks for and what the headers of the slices say.

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
from zblocks.planning.memory import (
    INTERPRETER_MB,
    MIB,
    QUEUE_BYTES,
    Footprint,
    coarse_bytes,
    predict_peak,
    shard_bytes,
)
from zblocks.planning.ownership import (
    DEEPEST,
    SHALLOWEST,
    SHARD_LAYERS,
    count_blocks,
    plan_scales,
    share_out,
)
from zblocks.planning.plan import (
    VERSION,
    BlockTask,
    CoarseTask,
    FilledSlice,
    GridOptions,
    MissingSlices,
    Plan,
    StackFormat,
)
from zblocks.planning.time import (
    DECODE,
    BlockWork,
    WorkerSpec,
    packing,
    predict_coarse_seconds,
    predict_seconds,
)
from zblocks.precomputed.scale import ChunkFormat, Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import memory, result
from zblocks.slices.transforms.substitutes import Substitutes, count_interpolated

MANY_OBJECTS = 20_000
"""Chunks from which on they are put into shards, unless the user decides."""


@dataclass(frozen=True, slots=True)
class PlanInput:
    """Everything `make_plan` decides from: the stack, and what the config asks for."""

    source: str
    source_role: str
    """ARN of the role that reads the slices, or empty."""
    destination: str
    layer: str
    """`image` or `segmentation`."""
    chunk_format: ChunkFormat
    options: GridOptions
    stack: StackFormat
    slices: tuple[SliceRef, ...]
    """Every z of the stack once, in order."""
    held: int
    """Bytes that the decoder of one slice holds, the most of all slices."""
    in_place: bool
    """Whether all slices can be decoded whole with nothing held beside their pixels."""
    strips: bool
    """Whether the slices can be decoded some rows at a time."""
    missing: MissingSlices
    filled: tuple[FilledSlice, ...] = ()
    region: Region | None = None
    sparse_labels: bool = False
    segment_properties: str = ""
    """Folder of the labels' names, or empty."""
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Pixels of a row of the volume."""
        return result(self.stack.transforms, self.stack.rows).width

    @property
    def height(self) -> int:
        """Rows of a slice of the volume."""
        return result(self.stack.transforms, self.stack.rows).height


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
        sharded = False  # shards know gzip only
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
                fit = Fit(depth, rows, peak, round(seconds, 1))
                return _lay_out(given, (scales, owned), worker, fit)
    raise DoesNotFit(_why_not(given, worker, peaks, seconds))


@dataclass(frozen=True, slots=True)
class Fit:
    """A block that fits."""

    depth: int
    rows: int
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


def _coarse_fits(
    given: PlanInput, scales: tuple[Scale, ...], layers: int, worker: WorkerSpec
) -> bool:
    """Tell whether one worker can make scales [1:] of so many layers of scale 0 of `scales`."""
    source, pixel = scales[0], given.chunk_format.voxel_bytes
    size = source.box.shape
    seconds = predict_coarse_seconds(size.x * size.y * layers * pixel, worker)
    slab = layers * min(source.chunk.y, size.y) * size.x * pixel
    shards = shard_bytes(scales[1:], layers * source.factor.z, pixel)
    peak = INTERPRETER_MB + (2 * slab + shards + 2 * min(QUEUE_BYTES, slab)) // MIB
    return seconds <= worker.limit_s and peak <= worker.memory_mb


def plan_coarse(
    given: PlanInput, scales: tuple[Scale, ...], owned: int, worker: WorkerSpec
) -> tuple[tuple[Scale, ...], tuple[CoarseTask, ...]]:
    """Plan the scales that no block owns: one task, or stages of many where that is too much.

    A stage's tasks cut its source scale into runs of slices, as blocks do the stack; they own some
    more scales each. The last stage is one task.

    Returns:
        The scales, some with shallower chunks now; the tasks.

    Raises:
        DoesNotFit: there is no way.
    """
    tasks: list[CoarseTask] = []
    stage = 0
    while owned < len(scales):
        source = scales[owned - 1]
        if _coarse_fits(given, scales[owned - 1 :], source.box.shape.z, worker):
            tasks.append(CoarseTask(len(tasks), stage, owned, len(scales), 0, 0))
            break
        depth, more, count = _stage(given, scales[owned - 1 :], worker)
        scales, last = (*scales[:owned], *more), owned + count
        parts = count_blocks(more, count, depth)
        tasks += [CoarseTask(len(tasks) + p, stage, owned, last, depth, p) for p in range(parts)]
        owned, stage = last, stage + 1
    return scales, tuple(tasks)


def _stage(
    given: PlanInput, scales: tuple[Scale, ...], worker: WorkerSpec
) -> tuple[int, tuple[Scale, ...], int]:
    """Return the deepest part of scale 0 of `scales` that fits, the rest as it shares them out.

    Returns:
        Its depth in slices of the stack; the scales above; how many of them it owns.

    Raises:
        DoesNotFit: none fits.
    """
    source = scales[0]
    sharded = source.sharding is not None
    layers = DEEPEST
    while layers >= SHALLOWEST:
        depth = layers * source.factor.z
        more, count = share_out(list(scales[1:]), depth, sharded=sharded)
        if count and _coarse_fits(given, (source, *more[:count]), layers, worker):
            return depth, more, count
        layers //= 2
    size = source.box.shape
    msg = (
        f"the scales above {size.x}×{size.y}×{size.z} don't fit in workers of "
        f"{worker.memory_mb} MiB; raise their memory, or ask for fewer scales"
    )
    raise DoesNotFit(msg)


def _lay_out(
    given: PlanInput, shared: tuple[tuple[Scale, ...], int], worker: WorkerSpec, fit: Fit
) -> tuple[Plan, tuple[BlockTask, ...]]:
    scales, owned = shared
    scales, coarse = plan_coarse(given, scales, owned, worker)
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
        owned=owned,
        block_depth=fit.depth,
        blocks=count_blocks(scales, owned, fit.depth),
        coarse=coarse,
        rows=fit.rows,
        memory_mb=worker.memory_mb,
        predicted_peak_mb=fit.peak_mb,
        predicted_block_s=fit.seconds,
        notes=given.notes,
    )
    return plan, tuple(_block(plan, given.slices, i) for i in range(plan.blocks))


def _block(plan: Plan, slices: tuple[SliceRef, ...], index: int) -> BlockTask:
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
