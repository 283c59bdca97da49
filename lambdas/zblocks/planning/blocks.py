"""Which boxes of a volume one worker can convert within its memory and time.

A block is a run of slices. Where parts of slices can be read, it is cut along x to fit in memory,
and along y to fit in time. `ownership` says which scales it writes then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec, ceil_div
from zblocks.outputs.scales import count_objects
from zblocks.planning.bill import in_bucket
from zblocks.planning.memory import (
    Footprint,
    chunk_bytes,
    coarse_bytes,
    count_decoders,
    predict_peak,
    shard_bytes,
)
from zblocks.planning.ownership import CUT_CHUNKS, SHARD_LAYERS, SHARD_ROWS, cut_lengths, share_out
from zblocks.planning.parts import part_box
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.pyramid import DEEPEST, plan_scales
from zblocks.planning.time import WorkerSpec, predict_put_seconds, predict_work
from zblocks.planning.zarr_shards import stored_in
from zblocks.precomputed.scale import Scale
from zblocks.slices.transforms.rows import memory

ENOUGH_BLOCKS = 10_000  # to keep all workers that a map may have busy, however long each takes
CUT_SECONDS = 240.0  # of a block that can be cut, so that many workers share the work
MUCH_SMALLER = 4  # blocks that are so many times smaller than others only add starts of workers
MANY_OBJECTS = 20_000  # volumes of more chunks are sharded, unless the config says otherwise
NO_SHARDS = '"compression": "br" rules out shards, which "gzip" (the default) allows'


@dataclass(frozen=True, slots=True)
class Block:
    """The shape of blocks that a worker can convert, and what follows from it."""

    shape: Vec  # scale 0 voxels; 0: not cut along this axis
    rows: int
    scales: tuple[Scale, ...]  # of the whole volume, as blocks of this depth share them out
    owned: int
    decoders: int  # slices that are decoded at the same time
    peak_mb: int
    seconds: float
    in_memory: bool  # of the worker
    in_time: bool

    @property
    def fits(self) -> bool:
        """Whether the worker can convert it."""
        return self.in_memory and self.in_time


def fitting_blocks(given: PlanInput, worker: WorkerSpec) -> list[Block]:
    """Return blocks that a worker can convert.

    First those that write every scale that blocks of their shape can, the deepest first, then the
    largest; then those that write one scale less, and so on. If a worker's seconds cost nothing,
    only the first is returned.

    Raises:
        DoesNotFit: not even the smallest block fits in the worker's memory and time.
    """
    wanted, sharded = choose_scales(given)
    tried: list[Block] = []
    for fewer in range(len(wanted) if worker.paid else 1):
        tried += _try_blocks(given, worker, wanted, sharded=sharded, fewer=fewer)
    found = [block for block in tried if block.fits]
    if not found:
        raise DoesNotFit(_why_not(given, worker, tried))
    return found


def _try_blocks(
    given: PlanInput, worker: WorkerSpec, wanted: list[Scale], *, sharded: bool, fewer: int
) -> Iterator[Block]:
    """Yield blocks that write `fewer` scales less than blocks of their shape can."""
    largest = 0
    for shape, limit in _shapes_within(given, worker, wanted, sharded=sharded):
        voxels = prod(_full(given, shape))
        if voxels * MUCH_SMALLER < largest:
            continue
        wide = worker.paid and shape.z < DEEPEST and given.options.chunk is None
        for rows in SHARD_ROWS if wide else (0,):
            shares = share_out(wanted, shape, sharded=sharded, wide=rows, fewer=fewer)
            block = _block(given, worker, shape, shares, limit) if shares[1] else None
            if block is None or block.in_memory:
                break
        if block:
            yield block
        if block and block.fits:
            largest = max(largest, voxels)
            if not worker.paid:
                return


def _shapes_within(
    given: PlanInput, worker: WorkerSpec, scales: list[Scale], *, sharded: bool
) -> Iterator[tuple[Vec, float]]:
    """Yield shapes of blocks, each with the seconds that it may take."""
    for depth in _depths(scales[0].chunk.z, fixed=given.options.chunk is not None, sharded=sharded):
        *larger, smallest = _shapes(given, scales, depth)
        for shape in larger:
            enough = _count_blocks(given, shape) >= ENOUGH_BLOCKS
            yield shape, worker.limit_s if enough else min(CUT_SECONDS, worker.limit_s)
        yield smallest, worker.limit_s


def _count_blocks(given: PlanInput, shape: Vec) -> int:
    across, down, depth = _full(given, shape)
    x, y = ceil_div(given.rows.width, across), ceil_div(given.rows.height, down)
    return x * y * ceil_div(len(given.slices), depth)


def _block(
    given: PlanInput,
    worker: WorkerSpec,
    shape: Vec,
    shares: tuple[tuple[Scale, ...], int],
    limit_s: float,
) -> Block:
    """Return a block with as many rows at a time as fit in memory, or else as few as possible."""
    scales, owned = shares
    written, height = scales[:owned], _full(given, shape).y
    decoders = count_decoders(given.totals.kinds, worker.cores)
    size = replace(_footprint(given, written, shape), decoders=decoders)
    for rows in _row_choices(given, height, scales[0].chunk.y):
        peak = predict_peak(replace(size, rows=min(rows, height)))
        fits = peak <= worker.planned_mb
        if fits:
            break
    seconds = block_seconds(given, shape, written, rows, worker)
    return Block(shape, rows, scales, owned, decoders, peak, seconds, fits, seconds <= limit_s)


def block_seconds(
    given: PlanInput, shape: Vec, scales: Sequence[Scale], rows: int, worker: WorkerSpec
) -> float:
    """Return the seconds that a block of a shape takes to write these scales.

    An axis of 0 isn't cut. `rows` are decoded at a time.
    """
    work = predict_work(given, _full(given, shape), scales, rows)
    puts = predict_put_seconds(_puts(given, scales, shape), worker)
    return round(max(work.seconds(worker), puts), 1)


def _full(given: PlanInput, shape: Vec) -> Vec:
    return Vec(shape.x or given.rows.width, shape.y or given.rows.height, shape.z)


def _shapes(given: PlanInput, scales: list[Scale], depth: int) -> list[Vec]:
    """Return shapes of blocks `depth` slices deep, the largest first; an axis of 0 isn't cut."""
    if given.pieces is None:
        return [Vec(0, 0, depth)]
    rows, chunk = given.rows, scales[0].chunk
    across = cut_lengths(rows.width, max(given.pieces[0], CUT_CHUNKS * chunk.x), chunk.x)
    down = cut_lengths(rows.height, max(given.pieces[1], CUT_CHUNKS * chunk.y), chunk.y)
    shapes = [Vec(x, y, depth) for x, y in product(across, down)]
    return sorted(shapes, key=lambda s: -(s.x or rows.width) * (s.y or rows.height))


def _puts(given: PlanInput, scales: Sequence[Scale], shape: Vec) -> int:
    """Return how many objects a block of this shape writes to a bucket, in these scales."""
    first = Vec(0, 0, 0)
    stored = (each for s in scales for each in stored_in(s, given.formats, shape))
    objects = sum(count_objects(each, part_box(each.scale, shape, first)) for each in stored)
    return objects * in_bucket(given.destination)


def _too_many_objects(given: PlanInput, puts: int, seconds: float) -> str:
    brotli = given.chunk_format.compression == "br"
    shards = NO_SHARDS if brotli else 'give "sharding": true'
    return (
        f"slices of {given.rows.width}×{given.rows.height}: even the smallest block has {puts:,} "
        f"objects to write, which takes a worker {seconds:.0f} s; {shards}, or larger chunks "
        "(chunk_size)"
    )


def choose_scales(given: PlanInput) -> tuple[list[Scale], bool]:
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
    """Return how many rows to decode at a time: the whole block first, then halves of it."""
    rows = [height]
    while given.strips and rows[-1] > chunk_y:
        rows.append(ceil_div(rows[-1] // 2, chunk_y) * chunk_y)
    return rows


def _footprint(given: PlanInput, scales: tuple[Scale, ...], shape: Vec) -> Footprint:
    """Return the sizes that decide the peak of a block that is decoded as a whole."""
    voxel, stack, size = given.chunk_format.voxel_bytes, given.stack, given.rows
    halo = max(s.factor.z - 1 if scales[0].box.start.z % s.factor.z else 0 for s in scales)
    held = min(shape.z + halo, len(given.slices))
    widest = max(stack.rows.width, given.totals.widest)
    width, height = shape.x or size.width, shape.y or size.height
    if shape.x and given.pieces:  # with what fills the first tile and the last one
        widest = min(width + 2 * given.pieces[0], widest)
    steps = memory(stack.transforms, replace(stack.rows, width=widest))
    whole = max(stack.rows.width, widest)

    def part(whole_slice: int) -> int:
        """Return the bytes for the columns that the block reads."""
        return ceil_div(whole_slice * widest, whole)

    return Footprint(
        width=width,
        voxel_bytes=voxel,
        interpolated=min(given.totals.interpolated, held),
        depth=held,
        rows=height,
        height=height,
        held=part(given.held),
        decoding=part(given.decoding) + given.decoding_piece,
        held_whole=part(given.held_whole) + given.decoding_piece,
        in_place=given.in_place and all(step.in_place for step in stack.transforms),
        kept=steps.kept,
        passing=steps.passing,
        file_bytes=given.totals.largest,
        coarse_bytes=coarse_bytes(scales, shape._replace(z=held), voxel),
        shard_bytes=shard_bytes(scales, shape, given.formats),
        chunk_bytes=chunk_bytes(scales),
    )


def _why_not(given: PlanInput, worker: WorkerSpec, tried: list[Block]) -> str:
    """Say why none of the blocks fits."""
    peaks = [block.peak_mb for block in tried if block.in_time]
    what = f"slices of {given.rows.width}×{given.rows.height}"
    shallower = " or choose a shallower chunk_size" if given.options.chunk else ""
    if peaks:
        enough = worker.needed_mb(min(peaks))
        return (
            f"{what} need a worker with at least {enough} MiB, this one has "
            f"{worker.memory_mb}; raise its memory to {enough}{shallower}"
        )
    last = min(tried, key=lambda block: block.seconds)
    puts = _puts(given, last.scales[: last.owned], last.shape)
    if predict_put_seconds(puts, worker) > worker.limit_s:
        return _too_many_objects(given, puts, last.seconds)
    return (
        f"{what}: even the smallest block would take a worker {last.seconds:.0f} s, more than the "
        f"{worker.limit_s:.0f} s that a plan may use; raise its memory, which also buys "
        f"cores{shallower}"
    )
