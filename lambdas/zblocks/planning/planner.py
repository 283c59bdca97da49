"""What the user asked for and what the slices' headers say go in; the whole plan comes out.

1. The scales, and whether their chunks go into shards.
2. The deepest block, decoded in the tallest strips, that one worker can convert in its memory and
   time; `sharing` says which scales it owns.
3. The tasks that make the scales above those.

Pure: nothing is read, and nothing is decided later.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec, ceil_div
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
    Plan,
    SliceRef,
    Volume,
    Wishes,
    pixel_bytes,
    slice_pixel_bytes,
)
from zblocks.planning.pyramid import Scale
from zblocks.planning.time import DECODE, BlockWork, Worker, predict_coarse_seconds, predict_seconds
from zblocks.slices.transforms.contrast import SCRATCH_BYTES
from zblocks.slices.transforms.region import PIECE

MANY_OBJECTS = 20_000
"""Chunks from which on they are put into shards, unless the user decides."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything `make_plan` decides from."""

    source: str
    destination: str
    volume: Volume
    wishes: Wishes
    width: int
    height: int
    """Pixels of every slice, as the volume has it."""
    slices: tuple[SliceRef, ...]
    """Every z of the stack once, in order."""
    held: int
    """Bytes that the decoder of one slice holds, the most of all slices."""
    in_place: bool
    """Whether all slices are decoded right into the slab when they are decoded whole."""
    filled: tuple[tuple[int, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    source_role: str = ""
    """ARN of the role that reads the slices, or empty."""
    strips: bool = True
    """Whether the slices can be decoded some rows at a time."""


def fingerprint(volume: Volume, wishes: Wishes, source: str, slices: tuple[SliceRef, ...]) -> str:
    """Return the volume's identity; equal exactly if the finished volumes would be equal."""
    if all(s.key is not None for s in slices):  # what missing ones would become is of no account
        volume = replace(volume, missing="fill", missing_in_means=True)
    parts = [
        repr((VERSION, volume, wishes, source)),
        *(repr((s.z, s.key, s.bytes, s.etag, *[s.page] * (s.page > 0))) for s in slices),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def make_plan(job: Job, worker: Worker) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Decide everything.

    Args:
        job: what was asked for and what the slices are.
        worker: what one worker has.

    Raises:
        DoesNotFit: not even the smallest block fits in the worker's memory or time.
    """
    start = job.wishes.offset
    box = Box(start, Vec(start.x + job.width, start.y + job.height, start.z + len(job.slices)))
    wanted = plan_scales(box, job.wishes, sharded=False)
    sharded = job.wishes.sharding
    if sharded is None and job.volume.compression == "br":
        sharded = False  # shards know gzip only
    if sharded is None:
        sharded = sum(s.chunks for s in wanted) > MANY_OBJECTS
    if sharded:
        wanted = plan_scales(box, job.wishes, sharded=True)
    return _decide(job, wanted, worker, sharded=sharded)


def _decide(
    job: Job, wanted: list[Scale], worker: Worker, *, sharded: bool
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Take the deepest block, decoded in the tallest strips, that fits in the worker."""
    peaks, seconds = [], 0.0
    for depth in _depths(wanted[0].chunk.z, fixed=job.wishes.chunk is not None, sharded=sharded):
        scales, owned = share_out(wanted, depth, sharded=sharded)
        seconds = predict_seconds(_block_work(job, depth), worker)
        if seconds > worker.limit_s:
            continue
        for rows in _row_choices(job, scales[0].chunk.y):
            peak = predict_peak(_footprint(job, scales[:owned], depth, rows))
            peaks.append(peak)
            if peak <= worker.memory_mb:
                fit = Fit(depth, rows, peak, round(seconds, 1))
                return _lay_out(job, (scales, owned), worker, fit)
    raise DoesNotFit(_why_not(job, worker, peaks, seconds))


@dataclass(frozen=True, slots=True)
class Fit:
    """A block that fits."""

    depth: int
    rows: int
    peak_mb: int
    seconds: float


def _footprint(job: Job, scales: tuple[Scale, ...], depth: int, rows: int) -> Footprint:
    """Return the sizes of a block of `depth` slices, decoded `rows` rows at a time."""
    volume = job.volume
    pixel = pixel_bytes(volume)
    halo = max(s.factor.z - 1 if scales[0].box.start.z % s.factor.z else 0 for s in scales)
    held = min(depth + halo, len(job.slices))
    width = _widest(job)
    framed = volume.framing is not None and volume.framing.in_plane
    return Footprint(
        width=job.width,
        pixel_bytes=pixel,
        blends=min(sum(len(s.instead) > 1 for s in job.slices), held),
        depth=held,
        rows=min(rows, job.height),
        height=job.height,
        held=job.held,
        in_place=job.in_place and not (volume.align or volume.slice_dtype or framed),
        kept=PIECE * width * pixel if volume.align else 0,
        passing=_passing(volume, width),
        file_bytes=max(s.bytes for s in job.slices),
        coarse_bytes=coarse_bytes(scales, held, pixel),
        shard_bytes=shard_bytes(scales, depth, pixel),
    )


def _widest(job: Job) -> int:
    """Return the pixels of a row of the widest slice or canvas."""
    framing = job.volume.framing
    return max(framing.width if framing else job.width, *(s.width for s in job.slices))


def _passing(volume: Volume, width: int) -> int:
    """Return the bytes that rows of a slice need in the readers that change them."""
    held = SCRATCH_BYTES if volume.contrast else 0
    if volume.contrast and volume.slice_dtype:
        held += PIECE * width * slice_pixel_bytes(volume)
    if volume.framing is not None and volume.framing.in_plane:
        held += PIECE * width * pixel_bytes(volume)
    return held


def _block_work(job: Job, depth: int) -> BlockWork:
    """Return what a block of so many slices has to do."""
    read = [r for s in job.slices for r in s.reads]
    share = min(depth / len(job.slices), 1.0)
    width, rows = job.width, job.height
    if framing := job.volume.framing:
        width, rows = framing.width, framing.box.stop.y  # those below aren't decoded
    raw = job.volume.encoding == "raw"
    packing = job.volume.compression if raw else job.volume.encoding
    return BlockWork(
        voxel_bytes=job.width * job.height * min(depth, len(job.slices)) * pixel_bytes(job.volume),
        slice_bytes=width * rows * min(depth, len(job.slices)) * slice_pixel_bytes(job.volume),
        source_bytes=int(sum(r.bytes for r in read) * share),
        kind=min((r.kind for r in read), key=DECODE.__getitem__),
        packing=packing,
    )


def _why_not(job: Job, worker: Worker, peaks: list[int], seconds: float) -> str:
    """Say why no block fits and what would do."""
    what = f"slices of {job.width}×{job.height}"
    shallower = " or choose a shallower chunk_size" if job.wishes.chunk else ""
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


def _row_choices(job: Job, chunk_y: int) -> list[int]:
    """Return how many rows to decode at a time: whole slices first, then rows of chunks."""
    rows = [job.height]
    while job.strips and rows[-1] > chunk_y:
        rows.append(max(ceil_div(rows[-1] // 2, chunk_y) * chunk_y, chunk_y))
        if rows[-1] >= rows[-2]:
            rows[-1] = chunk_y
    return rows


def _coarse_fits(job: Job, scales: tuple[Scale, ...], layers: int, worker: Worker) -> bool:
    """Tell whether one worker can make scales [1:] of so many layers of scale 0 of `scales`."""
    source, pixel = scales[0], pixel_bytes(job.volume)
    size = source.box.shape
    seconds = predict_coarse_seconds(size.x * size.y * layers * pixel, worker)
    slab = layers * min(source.chunk.y, size.y) * size.x * pixel
    shards = shard_bytes(scales[1:], layers * source.factor.z, pixel)
    peak = INTERPRETER_MB + (2 * slab + shards + 2 * min(QUEUE_BYTES, slab)) // MIB
    return seconds <= worker.limit_s and peak <= worker.memory_mb


def plan_coarse(
    job: Job, scales: tuple[Scale, ...], owned: int, worker: Worker
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
        if _coarse_fits(job, scales[owned - 1 :], source.box.shape.z, worker):
            tasks.append(CoarseTask(len(tasks), stage, owned, len(scales), 0, 0))
            break
        depth, more, count = _stage(job, scales[owned - 1 :], worker)
        scales, last = (*scales[:owned], *more), owned + count
        parts = count_blocks(more, count, depth)
        tasks += [CoarseTask(len(tasks) + p, stage, owned, last, depth, p) for p in range(parts)]
        owned, stage = last, stage + 1
    return scales, tuple(tasks)


def _stage(
    job: Job, scales: tuple[Scale, ...], worker: Worker
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
        if count and _coarse_fits(job, (source, *more[:count]), layers, worker):
            return depth, more, count
        layers //= 2
    size = source.box.shape
    msg = (
        f"the scales above {size.x}×{size.y}×{size.z} don't fit in workers of "
        f"{worker.memory_mb} MiB; raise their memory, or ask for fewer scales"
    )
    raise DoesNotFit(msg)


def _lay_out(
    job: Job, shared: tuple[tuple[Scale, ...], int], worker: Worker, fit: Fit
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Write down the plan and cut the stack into blocks."""
    scales, owned = shared
    scales, coarse = plan_coarse(job, scales, owned, worker)
    plan = Plan(
        fingerprint=fingerprint(job.volume, job.wishes, job.source, job.slices),
        source=job.source,
        source_role=job.source_role,
        destination=job.destination,
        volume=job.volume,
        scales=scales,
        owned=owned,
        block_depth=fit.depth,
        blocks=count_blocks(scales, owned, fit.depth),
        coarse=coarse,
        rows=fit.rows,
        memory_mb=worker.memory_mb,
        predicted_peak_mb=fit.peak_mb,
        predicted_block_s=fit.seconds,
        filled=job.filled,
        notes=job.notes,
    )
    return plan, tuple(_block(plan, job.slices, i) for i in range(plan.blocks))


def _block(plan: Plan, slices: tuple[SliceRef, ...], index: int) -> BlockTask:
    """Return the task of one block."""
    z0, z1 = read_range(plan, index)
    first = plan.box.start.z
    own = plan.owned_z(0, index)
    return BlockTask(index, *own, slices[z0 - first : z1 - first])


def read_range(plan: Plan, block: int) -> tuple[int, int]:
    """Return the scale 0 slices [z0, z1) that a block reads: its own and its halo."""
    ranges = []
    for k in range(plan.owned):
        z0, z1 = plan.owned_z(k, block)
        if z0 < z1:
            f = plan.scales[k].factor.z
            ranges.append((z0 * f, z1 * f))
    box = plan.box
    return max(min(a for a, _ in ranges), box.start.z), min(max(b for _, b in ranges), box.stop.z)
