"""Which task writes which scales, and how its chunks and shards are cut to fit.

Blocks cut the stack into runs of slices; so do the tasks of a coarse stage with its source scale.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec, ceil_div
from zblocks.outputs.scales import Formats
from zblocks.planning.memory import INTERPRETER_MB, MIB, chunk_bytes, queue_bytes, shard_bytes
from zblocks.planning.parts import count_parts, part_box
from zblocks.planning.plan import CoarseTask
from zblocks.planning.pyramid import DEEPEST, SHALLOWEST
from zblocks.planning.time import WorkerSpec, predict_coarse_seconds
from zblocks.precomputed.scale import Scale
from zblocks.precomputed.sharding import Sharding, choose_sharding

SHARD_LAYERS = 4  # layers of chunks in a block of each scale: 2 bits of z give 256-chunk shards
COARSE_SHARE = 0.02  # of all voxels: a coarse task may make so much from stored chunks


def share_out(
    scales: list[Scale], shape: Vec, *, sharded: bool, wide: bool = False
) -> tuple[tuple[Scale, ...], int]:
    """Give blocks of `shape`, as in `part_box`, as many of a volume's scales as they can write.

    With `wide`, chunks that have to be shallower are as much wider, so that they are no more.

    Returns the scales, those of the blocks with chunks no deeper than a block; how many are theirs.
    """
    shared: list[Scale] = []
    for scale in scales:
        layers = _layers(scale, shape.z, sharded=sharded)
        if not layers:
            break
        chunk = scale.chunk._replace(z=shape.z // scale.factor.z // layers)
        owned = replace(scale, chunk=_widened(chunk, prod(scale.chunk)) if wide else chunk)
        if not _cuts_at_chunks(owned, shape):
            break
        bits = _cell_bits(owned, shape)._replace(z=layers.bit_length() - 1)
        shared.append(replace(owned, sharding=_sharding(owned, bits) if sharded else None))
    tiny = scales[-1].box.voxels <= COARSE_SHARE * scales[0].box.voxels
    if len(shared) == len(scales) > 1 and shared[-1].chunks > scales[-1].chunks and tiny:
        shared.pop()  # so that the last scale is one chunk
    rest = scales[len(shared) :]
    if sharded:
        rest = [replace(s, sharding=_sharding(s, _cell_bits(s, Vec(0, 0, 0)))) for s in rest]
    return (*shared, *rest), len(shared)


def _widened(chunk: Vec, voxels: int) -> Vec:
    """Double x and y in turn while a chunk has no more than so many voxels."""
    while 2 * prod(chunk) <= voxels:
        x, y, z = chunk
        chunk = Vec(2 * x, y, z) if x <= y else Vec(x, 2 * y, z)
    return chunk


def _sharding(scale: Scale, bits: Vec) -> Sharding:
    compressed = scale.format.compression == "gzip"
    return choose_sharding(scale.grid, bits, "gzip" if compressed else "raw")


def _cuts_at_chunks(scale: Scale, shape: Vec) -> bool:
    """Tell whether blocks are cut along x and y where chunks of a scale are."""
    step = scale.factor.times(scale.chunk)
    return shape.x % step.x == shape.y % step.y == 0


def _cell_bits(scale: Scale, shape: Vec) -> Vec:
    """Return the bits of a block's cells along each axis; of the grid's where it isn't cut."""
    cells = shape.over(scale.factor.times(scale.chunk))
    axes = zip(cells, scale.grid, strict=True)
    return Vec(*((n & -n).bit_length() - 1 if n else whole.bit_length() for n, whole in axes))


def _layers(scale: Scale, depth: int, *, sharded: bool) -> int:
    """Return how many layers of chunks of a scale a block holds; 0: it can't write the scale."""
    above = depth // scale.factor.z
    if above < min(SHALLOWEST, depth, scale.chunk.z) or above * scale.factor.z != depth:
        return 0
    layers = 1
    while above > scale.chunk.z * layers:
        layers *= 2
    while sharded and layers < SHARD_LAYERS and above >= 2 * layers * SHALLOWEST:
        layers *= 2
    return layers if above % layers == 0 else 0


def plan_coarse(
    scales: tuple[Scale, ...], owned: int, worker: WorkerSpec, formats: Formats
) -> tuple[tuple[Scale, ...], tuple[CoarseTask, ...]]:
    """Plan the scales that blocks don't write: one task, or stages of many where that is too much.

    Blocks write scales [0, owned). Returns the scales, some with shallower chunks than before, and
    the tasks.

    Raises:
        DoesNotFit: not even the smallest tasks fit in the worker.
    """
    tasks: list[CoarseTask] = []
    stage = 0
    while owned < len(scales):
        source, last = scales[owned - 1], len(scales)
        depth, parts = 0, 1
        if not _fits(scales[owned - 1 :], source.box.shape.z, worker, formats):
            depth, more, count = _stage(scales[owned - 1 :], worker, formats)
            scales, last = (*scales[:owned], *more), owned + count
            parts = count_parts(more[:count], Vec(0, 0, depth)).z
        tasks += [
            CoarseTask(len(tasks) + p, stage, owned, last, Vec(0, 0, depth), Vec(0, 0, p))
            for p in range(parts)
        ]
        owned, stage = last, stage + 1
    return scales, tuple(tasks)


def _fits(scales: tuple[Scale, ...], layers: int, worker: WorkerSpec, formats: Formats) -> bool:
    """Tell whether one worker can make scales [1:] from so many slices of the first."""
    source = scales[0]
    pixel, size = source.format.voxel_bytes, source.box.shape
    chunks = source.grid.x * source.grid.y * ceil_div(layers, source.chunk.z)
    seconds = predict_coarse_seconds(size.x * size.y * layers * pixel, chunks, worker)
    return seconds <= worker.limit_s and _peak(scales, layers, formats) <= worker.planned_mb


def _peak(scales: tuple[Scale, ...], layers: int, formats: Formats) -> int:
    """Return the predicted peak of memory of such a task, in MiB."""
    source = scales[0]
    pixel, size = source.format.voxel_bytes, source.box.shape
    slab = layers * min(source.chunk.y, size.y) * size.x * pixel
    shards = shard_bytes(scales[1:], Vec(0, 0, layers * source.factor.z), formats)
    waiting = queue_bytes(slab, chunk_bytes(scales[1:]))
    return INTERPRETER_MB + (2 * slab + shards + waiting) // MIB


def coarse_peak(scales: tuple[Scale, ...], task: CoarseTask, formats: Formats) -> int:
    """Return the predicted peak of memory of a coarse task, in MiB; `scales` are the volume's."""
    source = scales[task.first - 1]
    layers = part_box(source, task.shape, Vec(0, 0, 0)).shape.z
    return _peak(scales[task.first - 1 : task.last], layers, formats)


def _stage(
    scales: tuple[Scale, ...], worker: WorkerSpec, formats: Formats
) -> tuple[int, tuple[Scale, ...], int]:
    """Return the depth of the deepest part that fits, and what `share_out` gives for it."""
    source = scales[0]
    layers = DEEPEST
    while layers >= SHALLOWEST:
        depth = layers * source.factor.z
        more, count = share_out(
            list(scales[1:]), Vec(0, 0, depth), sharded=source.sharding is not None
        )
        if count and _fits((source, *more[:count]), layers, worker, formats):
            return depth, more, count
        layers //= 2
    size = source.box.shape
    msg = (
        f"the scales above {size.x}×{size.y}×{size.z} don't fit in workers of {worker.memory_mb} "
        "MiB; raise their memory, or ask for fewer scales"
    )
    raise DoesNotFit(msg)
