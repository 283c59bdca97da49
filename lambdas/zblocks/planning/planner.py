"""Makes the plan from what the config asks for and what the headers of the slices say.

1. The scales, and whether their chunks go into shards.
2. The deepest block, and the most rows to decode at a time, that one worker can convert within its
   memory and time; where parts of slices can be read, it is cut along x to fit in memory, and along
   y to fit in time. `ownership` says which scales such a block writes.
3. The tasks that make the coarser scales.

Nothing is read here, and nothing is left to be decided later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import msgspec

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec, ceil_div
from zblocks.planning.bill import in_bucket
from zblocks.planning.damage import declare_missing
from zblocks.planning.finish import refuse_endless
from zblocks.planning.memory import Footprint, coarse_bytes, predict_peak, shard_bytes
from zblocks.planning.ownership import SHARD_LAYERS, plan_coarse, share_out
from zblocks.planning.parts import count_parts, part_box
from zblocks.planning.plan import VERSION, BlockTask, MissingSlices, Plan, PlanInput
from zblocks.planning.pyramid import DEEPEST, plan_scales
from zblocks.planning.requests import count_objects
from zblocks.planning.time import WorkerSpec, predict_put_seconds, predict_seconds
from zblocks.precomputed.scale import Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import memory
from zblocks.slices.transforms.substitutes import Substitutes, count_interpolated

CUT_SECONDS = 240.0  # of a block that can be cut, so that many workers share the work
CUT_CHUNKS = 8  # chunks along x and y that a block has at least: enough for shards of 256
MANY_OBJECTS = 20_000  # volumes of more chunks are sharded, unless the config says otherwise
NO_SHARDS = '"compression": "br" rules out shards, which "gzip" (the default) allows'


def volume_id(given: PlanInput) -> str:
    """Return the volume's identity: equal exactly if the finished volumes would be equal."""
    missing = given.missing
    if all(s.key is not None for s in given.slices):
        missing = MissingSlices()  # what would replace missing slices makes no difference
    steps = [s for s in given.stack.transforms if given.filled or not isinstance(s, Substitutes)]
    voxels = (given.layer, given.chunk_format, given.options, given.sparse_labels)
    slices = (given.region, given.stack.rows, given.stack.channels, steps, missing)
    parts = (VERSION, given.source, *voxels, *slices)
    refs = (repr((s.z, s.key, s.bytes, s.etag, s.page)) for s in given.slices)
    return hashlib.sha256("\n".join([repr(parts), *refs]).encode()).hexdigest()[:32]


def make_plan(given: PlanInput, worker: WorkerSpec) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Decide everything; return the plan, and the tasks of its blocks.

    Raises:
        DoesNotFit: not even the smallest block fits in the worker's memory and time, or there are
            too many objects for Finalize.
        SliceError: every slice is damaged.
    """
    block = _choose_block(given, worker)
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
        block_shape=block.shape,
        block_grid=count_parts(scales[: block.owned], block.shape),
        coarse=coarse,
        rows=block.rows,
        memory_mb=worker.memory_mb,
        predicted_peak_mb=block.peak_mb,
        predicted_block_s=block.seconds,
        notes=given.notes,
        pieces=given.pieces,
        skip_damaged=given.skip_damaged,
        requester_pays=given.requester_pays,
        source_region=given.source_region,
        bucket=given.bucket,
    )
    refuse_endless(plan, worker)
    return declare_missing(plan, _tasks(plan, given.slices), given.damaged)


def _tasks(plan: Plan, slices: tuple[SliceRef, ...]) -> list[BlockTask]:
    """Give every block all slices that its voxels are made from."""
    layer, first, tasks = plan.block_grid.x * plan.block_grid.y, plan.box.start.z, []
    for index in range(plan.blocks):
        if index % layer == 0:  # all blocks of a layer have the same slices
            read = plan.read_box(index)
            own = slices[read.start.z - first : read.stop.z - first]
        tasks.append(BlockTask(index, plan.owned_box(0, index), own))
    return tasks


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that fits in a worker."""

    shape: Vec  # scale 0 voxels; 0: not cut along this axis
    rows: int
    scales: tuple[Scale, ...]  # of the whole volume, as blocks of this depth share them out
    owned: int
    peak_mb: int
    seconds: float


def _choose_block(given: PlanInput, worker: WorkerSpec) -> _Block:
    wanted, sharded = _choose_scales(given)
    peaks, seconds, puts = [], 0.0, 0
    longest = max(len(msgspec.json.encode(s)) for s in given.slices)
    for depth in _depths(wanted[0].chunk.z, fixed=given.options.chunk is not None, sharded=sharded):
        if depth * (longest + 1) > worker.item_bytes:
            continue
        shapes = _shapes(given, wanted, depth)
        for shape in shapes:
            full = Vec(shape.x or given.rows.width, shape.y or given.rows.height, depth)
            scales, owned = share_out(wanted, shape, sharded=sharded)
            puts = _puts(given, scales[:owned], shape)
            seconds = max(predict_seconds(given, full, worker), predict_put_seconds(puts, worker))
            limit = worker.limit_s if shape == shapes[-1] else min(CUT_SECONDS, worker.limit_s)
            if seconds > limit or not owned:
                continue
            for rows in _row_choices(given, full.y, scales[0].chunk.y):
                peak = predict_peak(_footprint(given, scales[:owned], shape, rows))
                if peak <= worker.planned_mb:
                    return _Block(shape, rows, scales, owned, peak, round(seconds, 1))
                peaks.append(peak)
    if not peaks and predict_put_seconds(puts, worker) > worker.limit_s:
        raise DoesNotFit(_too_many_objects(given, puts, seconds))
    raise DoesNotFit(_why_not(given, worker, peaks, seconds))


def _shapes(given: PlanInput, scales: list[Scale], depth: int) -> list[Vec]:
    """Return shapes of blocks of so many slices, the largest first; 0: not cut along this axis."""
    if given.pieces is None:
        return [Vec(0, 0, depth)]
    rows, chunk = given.rows, scales[0].chunk
    across = _lengths(rows.width, max(given.pieces[0], CUT_CHUNKS * chunk.x), chunk.x)
    down = _lengths(rows.height, max(given.pieces[1], CUT_CHUNKS * chunk.y), chunk.y)
    shapes = [Vec(x, y, depth) for x, y in product(across, down)]
    return sorted(shapes, key=lambda s: -(s.x or rows.width) * (s.y or rows.height))


def _lengths(whole: int, least: int, chunk: int) -> list[int]:
    """Return lengths to cut an axis into: none of it, or a chunk's, doubled."""
    doubled = [chunk << n for n in range((whole - 1).bit_length())]
    return [0, *(n for n in doubled if least <= n < whole)]


def _puts(given: PlanInput, scales: Sequence[Scale], shape: Vec) -> int:
    """Return how many objects a block of this shape writes to a bucket, in these scales."""
    objects = sum(count_objects(s, part_box(s, shape, Vec(0, 0, 0))) for s in scales)
    return objects * in_bucket(given.destination)


def _too_many_objects(given: PlanInput, puts: int, seconds: float) -> str:
    brotli = given.chunk_format.compression == "br"
    shards = NO_SHARDS if brotli else 'give "sharding": true'
    return (
        f"slices of {given.rows.width}×{given.rows.height}: even the smallest block has {puts:,} "
        f"objects to write, which takes a worker {seconds:.0f} s; {shards}, or larger chunks "
        "(chunk_size)"
    )


def _choose_scales(given: PlanInput) -> tuple[list[Scale], bool]:
    """Return the scales, and whether their chunks go into shards."""
    start, size, options = given.options.offset, given.rows, given.options
    stop = Vec(start.x + size.width, start.y + size.height, start.z + len(given.slices))
    box, chunks = Box(start, stop), given.chunk_format
    scales = plan_scales(box, options, chunks, sharded=False)
    sharded = options.sharding
    if sharded is None:  # shards can't be compressed with brotli
        sharded = chunks.compression != "br" and sum(s.chunks for s in scales) > MANY_OBJECTS
    return plan_scales(box, options, chunks, sharded=True) if sharded else scales, sharded


def _depths(chunk_z: int, *, fixed: bool, sharded: bool) -> list[int]:
    """Return block depths to try, in slices, the deepest first.

    Blocks that are shallower than a chunk make chunks shallower, so `fixed` chunks rule them out.
    """
    deepest = max(DEEPEST, SHARD_LAYERS * chunk_z) if sharded else DEEPEST
    doublings = max((deepest // chunk_z).bit_length() - 1, 0)
    halvings = 0 if fixed else chunk_z.bit_length() - 1
    return [(chunk_z << doublings) >> k for k in range(doublings + halvings + 1)]


def _row_choices(given: PlanInput, height: int, chunk_y: int) -> list[int]:
    """Return how many rows to decode at a time: all of the block first, then rows of chunks."""
    rows = [height]
    while given.strips and rows[-1] > chunk_y:
        rows.append(ceil_div(rows[-1] // 2, chunk_y) * chunk_y)
    return rows


def _footprint(given: PlanInput, scales: tuple[Scale, ...], shape: Vec, rows: int) -> Footprint:
    voxel, stack, size = given.chunk_format.voxel_bytes, given.stack, given.rows
    halo = max(s.factor.z - 1 if scales[0].box.start.z % s.factor.z else 0 for s in scales)
    held = min(shape.z + halo, len(given.slices))
    widest = max(stack.rows.width, *(s.width for s in given.slices))
    width, height = shape.x or size.width, shape.y or size.height
    if shape.x and given.pieces:  # with what fills the first tile and the last one
        widest = min(width + 2 * given.pieces[0], widest)
    steps = memory(stack.transforms, replace(stack.rows, width=widest))
    return Footprint(
        width=width,
        voxel_bytes=voxel,
        interpolated=min(count_interpolated(given.slices), held),
        depth=held,
        rows=min(rows, height),
        height=height,
        held=ceil_div(given.held * widest, max(stack.rows.width, widest)),
        decoding=given.decoding,
        held_whole=given.held_whole,
        in_place=given.in_place and all(step.in_place for step in stack.transforms),
        kept=steps.kept,
        passing=steps.passing,
        file_bytes=max(s.bytes for s in given.slices),
        coarse_bytes=coarse_bytes(scales, shape._replace(z=held), voxel),
        shard_bytes=shard_bytes(scales, shape, voxel),
    )


def _why_not(given: PlanInput, worker: WorkerSpec, peaks: list[int], seconds: float) -> str:
    what = f"slices of {given.rows.width}×{given.rows.height}"
    shallower = " or choose a shallower chunk_size" if given.options.chunk else ""
    if peaks:
        enough = worker.needed_mb(min(peaks))
        return (
            f"{what} need a worker with at least {enough} MiB, this one has "
            f"{worker.memory_mb}; raise its memory to {enough}{shallower}"
        )
    if seconds <= worker.limit_s:
        return (
            f"the keys of even the smallest block's slices are longer than the "
            f"{worker.item_bytes / 1024:.0f} KiB that a work item may have; give the slices "
            f"shorter keys{shallower}, or convert on one machine"
        )
    return (
        f"{what}: even the smallest block would take a worker {seconds:.0f} s, more than the "
        f"{worker.limit_s:.0f} s that a plan may use; raise its memory, which also buys "
        f"cores{shallower}"
    )
