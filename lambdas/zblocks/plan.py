"""What is to be done, all of it, as data: workers only obey.

`make_plan` is pure: what the user asked for and what the slices' headers say go in, every scale,
z-block and chunk comes out. Nothing is decided later.

A z-block is a run of `block_depth` slices. It owns, of every scale, the chunks that lie above it:
chunks get shallower as z is halved, so the same slices hold whole chunks of several scales. The
few scales above those are made from the last of them in a second, small step (`CoarseTask`).

Chunk grids start at each scale's own offset, floor(offset / factor). Where factor does not divide
the offset, a block reads up to `factor - 1` slices before its own: its halo.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec, ceil_div
from zblocks.memory import (
    INTERPRETER_MB,
    MIB,
    QUEUE_BYTES,
    Footprint,
    coarse_bytes,
    predict_peak,
    shard_bytes,
)
from zblocks.precomputed.shards import ShardBits, choose_bits
from zblocks.pyramid import (
    Resolution,
    Scale,
    default_chunk,
    fits_one_chunk,
    plan_steps,
)
from zblocks.timing import BlockWork, Worker, predict_coarse_seconds, predict_seconds

VERSION = 1
"""Version of the documents on the work prefix."""

SHALLOWEST = 8
"""Chunks are not made shallower than this to let a block own them; Coarsen takes over."""

DEEPEST = 64
"""Blocks of more slices gain nothing: their chunks are whole, and small stacks need many blocks."""

MANY_OBJECTS = 20_000
"""Chunks from which on they are put into shards, unless the user decides."""

SHARDED_DEPTH = 16
"""A sharded chunk's depth unless the user decides: four layers of them in a full block."""

SHARD_LAYERS = 4
"""Layers of chunks that a block wants of each scale: two z bits make shards of 256 chunks."""

COARSE_SHARE = 0.02
"""Of all voxels, what Coarsen may make from stored chunks rather than from slices."""

MAX_SCALES = 64


@dataclass(frozen=True, slots=True)
class SliceRef:
    """One slice of the stack. Its z is carried along, so that nothing can shift."""

    z: int
    """Scale 0 voxel, global."""
    key: str | None
    """Object key relative to the source; None: filled with `Volume.fill`."""
    bytes: int = 0
    etag: str = ""
    kind: str = ""
    """What its first bytes say that it is: `jpeg`, `png` or `tiff`."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What every chunk of the volume has in common."""

    dtype: str
    """`uint8` or `uint16`."""
    channels: int
    encoding: str
    """`raw` or `jpeg`."""
    jpeg_quality: int
    compression: str
    """Content-Encoding of raw chunks: `gzip` or `none`."""
    fill: int
    """Value of the voxels of a missing slice."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the grid; None where zblocks chooses."""

    resolution: Resolution
    """nm per voxel, xyz."""
    offset: Vec
    """Scale 0 voxels, xyz."""
    chunk: Vec | None
    """Of scale 0; coarser ones may be shallower."""
    scales: int | None
    sharding: bool | None = None
    """None: shards if there would be more than `MANY_OBJECTS` chunks."""


@dataclass(frozen=True, slots=True)
class BlockTask:
    """The work of one z-block."""

    index: int
    z0: int
    z1: int
    """The scale 0 slices [z0, z1) that it owns."""
    slices: tuple[SliceRef, ...]
    """Every slice that it reads, in z order: its own and its halo."""

    @property
    def name(self) -> str:
        """Name of its receipt, in the order of z."""
        return f"block-{self.index:05d}"


@dataclass(frozen=True, slots=True)
class CoarseTask:
    """The scales [first, last) that no block owns, made from scale `first - 1`."""

    index: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Name of its receipt."""
        return f"coarse-{self.index:05d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole job, without the slices (those are in the blocks' tasks)."""

    fingerprint: str
    """Identity of the volume: the same slices asked for in the same way."""
    source: str
    destination: str
    volume: Volume
    scales: tuple[Scale, ...]
    owned: int
    """Scales [0, owned) are written by blocks."""
    block_depth: int
    """Scale 0 slices of a full block."""
    blocks: int
    coarse: tuple[CoarseTask, ...]
    rows: int
    """Rows of all slices decoded at a time; the slice height when slices are decoded whole."""
    memory_mb: int
    predicted_peak_mb: int
    predicted_block_s: float
    """Seconds that a full block takes a worker."""
    filled: tuple[tuple[int, str, str], ...]
    """Slices that hold the fill value: z, name in the list, why."""
    notes: tuple[str, ...]

    @property
    def box(self) -> Box:
        """Scale 0 voxels."""
        return self.scales[0].box

    def owned_z(self, scale: int, block: int) -> tuple[int, int]:
        """Return the z range of a scale, in its voxels, that a block writes (may be empty)."""
        box, depth = self.scales[scale].box, self.block_depth // self.scales[scale].factor.z
        z0 = min(box.start.z + block * depth, box.stop.z)
        return z0, min(z0 + depth, box.stop.z)


def fingerprint(volume: Volume, wishes: Wishes, source: str, slices: tuple[SliceRef, ...]) -> str:
    """Return the volume's identity; equal exactly if the finished volumes would be equal."""
    parts = [
        repr((VERSION, volume, wishes, source)),
        *(repr((s.z, s.key, s.bytes, s.etag)) for s in slices),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def plan_scales(box: Box, wishes: Wishes, *, sharded: bool) -> list[Scale]:
    """Return all scales with the chunk shapes that they would like best."""
    scales: list[Scale] = []
    for factor, resolution, scaled in plan_steps(box, wishes.resolution):
        layered = sharded and factor.z * SHALLOWEST <= DEEPEST  # a block may own this scale
        chunk = wishes.chunk or default_chunk(resolution, SHARDED_DEPTH if layered else DEEPEST)
        scales.append(Scale(factor, resolution, scaled, chunk))
        enough = wishes.scales == len(scales) if wishes.scales else fits_one_chunk(scaled, chunk)
        if enough or len(scales) == MAX_SCALES:
            break
    return scales


def share_out(scales: list[Scale], depth: int, *, sharded: bool) -> tuple[tuple[Scale, ...], int]:
    """Give blocks of `depth` slices as many scales as they can own.

    Returns:
        The scales, those owned with chunks no deeper than the block is there; how many are owned.
    """
    shared: list[Scale] = []
    for scale in scales:
        layers = _layers(scale, depth, sharded=sharded)
        if not layers:
            break
        owned = replace(scale, chunk=scale.chunk._replace(z=depth // scale.factor.z // layers))
        bits = choose_bits(owned.grid, layers.bit_length() - 1) if sharded else None
        shared.append(replace(owned, sharding=bits))
    last = shared[-1]
    tiny = last.box.voxels <= COARSE_SHARE * scales[0].box.voxels
    if len(shared) == len(scales) > 1 and last.chunks > scales[-1].chunks and tiny:
        shared.pop()  # so that the last scale is one chunk
    rest = scales[len(shared) :]
    if sharded:
        rest = [replace(s, sharding=choose_bits(s.grid, s.grid.z.bit_length())) for s in rest]
    return (*shared, *rest), len(shared)


def _layers(scale: Scale, depth: int, *, sharded: bool) -> int:
    """Return how many layers of chunks a block holds at a scale; 0 if it can't own the scale."""
    above = depth // scale.factor.z
    if above < min(SHALLOWEST, depth, scale.chunk.z) or above * scale.factor.z != depth:
        return 0
    layers = 1
    while above > scale.chunk.z * layers:
        layers *= 2
    while sharded and layers < SHARD_LAYERS and above >= 2 * layers * SHALLOWEST:
        layers *= 2
    return layers if above % layers == 0 else 0


def count_blocks(scales: tuple[Scale, ...], owned: int, depth: int) -> int:
    """Return how many blocks cover every owned scale."""
    return max(ceil_div(s.box.shape.z, depth // s.factor.z) for s in scales[:owned])


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


@dataclass(frozen=True, slots=True)
class Job:
    """Everything `make_plan` decides from."""

    source: str
    destination: str
    volume: Volume
    wishes: Wishes
    width: int
    height: int
    """Pixels of every slice."""
    slices: tuple[SliceRef, ...]
    """Every z of the stack once, in order."""
    filled: tuple[tuple[int, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    strips: bool = True
    """Whether the slices can be decoded some rows at a time."""


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
        if owned < len(scales):
            _check_coarse_time(job, scales[owned - 1], worker)
        for rows in _row_choices(job, scales[0].chunk.y):
            block = predict_peak(_footprint(job, scales[:owned], depth, rows))
            peak = max(block, _coarse_peak(job, scales[owned - 1 :]))
            peaks.append(peak)
            if peak <= worker.memory_mb:
                fit = Fit(depth, rows, peak, round(seconds, 1))
                return _lay_out(job, (scales, owned), worker, fit)
    raise DoesNotFit(_why_not(job, worker, peaks, seconds))


def _coarse_peak(job: Job, scales: tuple[Scale, ...]) -> int:
    """Return the MiB that one worker needs to make the rest of `scales` from the first of them."""
    if len(scales) == 1:
        return 0
    source, pixel = scales[0], pixel_bytes(job.volume)
    size, rows = source.box.shape, min(source.chunk.y, source.box.shape.y)
    slab = size.z * rows * size.x * pixel
    shards = shard_bytes(scales[1:], size.z * source.factor.z, pixel)
    return INTERPRETER_MB + (2 * slab + shards + 2 * min(QUEUE_BYTES, slab)) // MIB


def _check_coarse_time(job: Job, source: Scale, worker: Worker) -> None:
    """See that one worker can make the scales above `source` in time.

    Raises:
        DoesNotFit: it can't; that takes a volume of tens of teravoxels with cubic voxels.
    """
    seconds = predict_coarse_seconds(source.box.voxels * pixel_bytes(job.volume), worker)
    if seconds > worker.limit_s:
        size = source.box.shape
        msg = (
            f"the coarsest scales are made by one worker from a scale of {size.x}×{size.y}×"
            f"{size.z}, which takes {seconds:.0f} s, more than the {worker.limit_s:.0f} s that may "
            f"be planned for; ask for fewer scales"
        )
        raise DoesNotFit(msg)


@dataclass(frozen=True, slots=True)
class Fit:
    """A block that fits."""

    depth: int
    rows: int
    peak_mb: int
    seconds: float


def _footprint(job: Job, scales: tuple[Scale, ...], depth: int, rows: int) -> Footprint:
    """Return the sizes of a block of `depth` slices, decoded `rows` rows at a time."""
    pixel, kind = pixel_bytes(job.volume), next(s.kind for s in job.slices if s.key is not None)
    halo = max(s.factor.z - 1 if scales[0].box.start.z % s.factor.z else 0 for s in scales)
    held = min(depth + halo, len(job.slices))
    return Footprint(
        width=job.width,
        pixel_bytes=pixel,
        depth=held,
        rows=min(rows, job.height),
        height=job.height,
        kind=kind,
        file_bytes=max(s.bytes for s in job.slices),
        coarse_bytes=coarse_bytes(scales, held, pixel),
        shard_bytes=shard_bytes(scales, depth, pixel),
    )


def pixel_bytes(volume: Volume) -> int:
    """Return the bytes of all channels of a voxel."""
    return volume.channels * (2 if volume.dtype == "uint16" else 1)


def _block_work(job: Job, depth: int) -> BlockWork:
    """Return what a block of so many slices has to do."""
    present = [s for s in job.slices if s.key is not None]
    share = min(depth / len(job.slices), 1.0)
    packing = "jpeg" if job.volume.encoding == "jpeg" else job.volume.compression
    return BlockWork(
        voxel_bytes=job.width * job.height * min(depth, len(job.slices)) * pixel_bytes(job.volume),
        source_bytes=int(sum(s.bytes for s in present) * share),
        kind=present[0].kind,
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


def _lay_out(
    job: Job, shared: tuple[tuple[Scale, ...], int], worker: Worker, fit: Fit
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Write down the plan and cut the stack into blocks."""
    scales, owned = shared
    coarse = (CoarseTask(0, owned, len(scales)),) if owned < len(scales) else ()
    plan = Plan(
        fingerprint=fingerprint(job.volume, job.wishes, job.source, job.slices),
        source=job.source,
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


def plan_to_json(plan: Plan) -> bytes:
    """Return the document `plan.json`."""
    scales = [
        {
            "key": s.key,
            "factor": s.factor,
            "resolution": s.resolution,
            "start": s.box.start,
            "stop": s.box.stop,
            "chunk": s.chunk,
            "sharding": s.sharding
            and [s.sharding.preshift, s.sharding.minishard, s.sharding.shard],
        }
        for s in plan.scales
    ]
    document = {
        "version": VERSION,
        "fingerprint": plan.fingerprint,
        "source": plan.source,
        "destination": plan.destination,
        "volume": {name: getattr(plan.volume, name) for name in Volume.__slots__},
        "scales": scales,
        "owned": plan.owned,
        "block_depth": plan.block_depth,
        "blocks": plan.blocks,
        "coarse": [{"index": c.index, "first": c.first, "last": c.last} for c in plan.coarse],
        "rows": plan.rows,
        "memory_mb": plan.memory_mb,
        "predicted_peak_mb": plan.predicted_peak_mb,
        "predicted_block_s": plan.predicted_block_s,
        "filled": plan.filled,
        "notes": plan.notes,
    }
    return json.dumps(document, indent=1).encode()


def plan_from_json(data: bytes) -> Plan:
    """Read `plan.json` back."""
    document = json.loads(data)
    return Plan(
        fingerprint=document["fingerprint"],
        source=document["source"],
        destination=document["destination"],
        volume=Volume(**document["volume"]),
        scales=tuple(_scale_from_json(s) for s in document["scales"]),
        owned=document["owned"],
        block_depth=document["block_depth"],
        blocks=document["blocks"],
        coarse=tuple(CoarseTask(**c) for c in document["coarse"]),
        rows=document["rows"],
        memory_mb=document["memory_mb"],
        predicted_peak_mb=document["predicted_peak_mb"],
        predicted_block_s=document["predicted_block_s"],
        filled=tuple((z, name, why) for z, name, why in document["filled"]),
        notes=tuple(document["notes"]),
    )


def _scale_from_json(document: dict[str, Any]) -> Scale:
    x, y, z = document["resolution"]
    return Scale(
        factor=Vec(*document["factor"]),
        resolution=(x, y, z),
        box=Box(Vec(*document["start"]), Vec(*document["stop"])),
        chunk=Vec(*document["chunk"]),
        sharding=ShardBits(*document["sharding"]) if document["sharding"] else None,
    )


def task_to_json(task: BlockTask) -> dict[str, Any]:
    """Return one element of the map's input `items.json`."""
    slices = [[s.z, s.key, s.bytes, s.etag, s.kind] for s in task.slices]
    return {"index": task.index, "z0": task.z0, "z1": task.z1, "slices": slices}


def task_from_json(document: dict[str, Any]) -> BlockTask:
    """Read one element of `items.json` back."""
    slices = tuple(SliceRef(*s) for s in document["slices"])
    return BlockTask(document["index"], document["z0"], document["z1"], slices)
