"""Which task writes which scales, and how its chunks and shards are cut to fit.

Blocks cut the stack into boxes; so do the tasks of a coarse stage with its source scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec, ceil_div
from zblocks.outputs.scales import Formats
from zblocks.planning.memory import INTERPRETER_MB, MIB, chunk_bytes, queue_bytes, shard_bytes
from zblocks.planning.parts import count_parts, part_box
from zblocks.planning.plan import CoarseStage
from zblocks.planning.pyramid import DEEPEST, SHALLOWEST
from zblocks.planning.time import WorkerSpec, made_share, packings, predict_coarse_seconds
from zblocks.precomputed.scale import Scale
from zblocks.precomputed.sharding import Sharding, choose_sharding

SHARD_LAYERS = 4  # layers of chunks in a block of each scale: 2 bits of z give 256-chunk shards
CUT_CHUNKS = 8  # chunks along x and y that a block or part has at least: enough for shards of 256
THINNEST = 4  # depth of wide chunks in shards, at least, if blocks are deep enough for two layers
LONGEST = 4  # x of wide chunks by their y, at most
SHARD_ROWS = (8, 4)  # rows of wide chunks that a shard has, at most: the fewer, the less is held
COARSE_SHARE = 0.02  # of all voxels: a coarse task may make so much from stored chunks


def share_out(
    scales: list[Scale], shape: Vec, *, sharded: bool, wide: int = 0, fewer: int = 0
) -> tuple[tuple[Scale, ...], int]:
    """Give blocks of `shape`, as in `part_box`, as many of a volume's scales as they can write.

    With `fewer`, they get that many fewer, or none; coarse tasks make the others.

    With `wide`, chunks that have to be shallower are as much wider, so that they are no more, and a
    shard has at most so many rows of them: all shards of a row are held until they are full.

    Returns the scales, those of the blocks with chunks no deeper than a block; how many are theirs.
    """
    shared: list[Scale] = []
    for scale in scales:
        least = min(THINNEST, max(shape.z // scale.factor.z // 2, 1)) if wide else SHALLOWEST
        layers = _layers(scale, shape.z, sharded=sharded, least=least)
        if not layers:
            break
        chunk = scale.chunk._replace(z=shape.z // scale.factor.z // layers)
        owned = replace(scale, chunk=_widened(chunk, prod(scale.chunk)) if wide else chunk)
        if not _cuts_at_chunks(owned, shape):
            break
        bits = _cell_bits(owned, shape)._replace(z=layers.bit_length() - 1)
        if wide:
            bits = bits._replace(y=min(bits.y, wide.bit_length() - 1))
        shared.append(replace(owned, sharding=_sharding(owned, bits) if sharded else None))
    tiny = scales[-1].box.voxels <= COARSE_SHARE * scales[0].box.voxels
    if len(shared) == len(scales) > 1 and shared[-1].chunks > scales[-1].chunks and tiny:
        shared.pop()  # so that the last scale is one chunk
    shared = shared[: max(len(shared) - fewer, 0)]
    rest = scales[len(shared) :]
    if sharded:
        rest = [replace(s, sharding=_sharding(s, _cell_bits(s, Vec(0, 0, 0)))) for s in rest]
    return (*shared, *rest), len(shared)


def _widened(chunk: Vec, voxels: int) -> Vec:
    """Double a chunk's x, or y if x is `LONGEST` times as long, up to a number of voxels.

    Whole rows of chunks are held in memory, so a larger x costs none.
    """
    while 2 * prod(chunk) <= voxels:
        x, y, z = chunk
        chunk = Vec(2 * x, y, z) if x < LONGEST * y else Vec(x, 2 * y, z)
    return chunk


def _sharding(scale: Scale, bits: Vec) -> Sharding:
    compressed = scale.format.compression == "gzip"
    return choose_sharding(scale.grid, bits, "gzip" if compressed else "raw")


def _cuts_at_chunks(scale: Scale, shape: Vec) -> bool:
    """Return whether blocks are cut along x and y where chunks of a scale are."""
    step = scale.factor.times(scale.chunk)
    return shape.x % step.x == shape.y % step.y == 0


def _cell_bits(scale: Scale, shape: Vec) -> Vec:
    """Return the bits of a block's cells along each axis; of the grid's where it isn't cut."""
    cells = shape.over(scale.factor.times(scale.chunk))
    axes = zip(cells, scale.grid, strict=True)
    return Vec(*((n & -n).bit_length() - 1 if n else whole.bit_length() for n, whole in axes))


def _layers(scale: Scale, depth: int, *, sharded: bool, least: int) -> int:
    """Return how many layers of chunks of a scale a block holds; 0: it can't write the scale."""
    above = depth // scale.factor.z
    if above < min(SHALLOWEST, depth, scale.chunk.z) or above * scale.factor.z != depth:
        return 0
    layers = 1
    while above > scale.chunk.z * layers:
        layers *= 2
    while sharded and layers < SHARD_LAYERS and above >= 2 * layers * least:
        layers *= 2
    return layers if above % layers == 0 else 0


def plan_coarse(
    scales: tuple[Scale, ...], owned: int, worker: WorkerSpec, formats: Formats
) -> tuple[tuple[Scale, ...], tuple[CoarseStage, ...]]:
    """Plan the scales that blocks don't write: one task, or stages of many where that is too much.

    Blocks write scales [0, owned). Returns the scales, some with shallower chunks than before, and
    the stages.

    Raises:
        DoesNotFit: not even the smallest tasks fit in the worker.
    """
    stages: list[CoarseStage] = []
    while owned < len(scales):
        shape, last = Vec(0, 0, 0), len(scales)
        if not _fits(scales[owned - 1 :], shape, worker, formats):
            shape, more, count = _stage(scales[owned - 1 :], worker, formats)
            scales, last = (*scales[:owned], *more), owned + count
        grid = count_parts(scales[owned:last], shape)
        stages.append(CoarseStage(owned, last, shape, grid))
        owned = last
    return scales, tuple(stages)


def _fits(scales: tuple[Scale, ...], shape: Vec, worker: WorkerSpec, formats: Formats) -> bool:
    """Return whether one worker can make a part, of this shape, of scales [1:] from the first."""
    source = scales[0]
    size = part_box(source, shape, Vec(0, 0, 0)).shape
    chunks = prod(ceil_div(n, chunk) for n, chunk in zip(size, source.chunk, strict=True))
    read, packs = prod(size) * source.format.voxel_bytes, packings(source.format, formats)
    seconds = predict_coarse_seconds(read, read * made_share(scales), chunks, packs, worker)
    return seconds <= worker.limit_s and _peak(scales, shape, formats) <= worker.planned_mb


def _peak(scales: tuple[Scale, ...], shape: Vec, formats: Formats) -> int:
    """Return the predicted peak of memory of such a task, in MiB."""
    source = scales[0]
    size = part_box(source, shape, Vec(0, 0, 0)).shape
    slab = size.z * min(source.chunk.y, size.y) * size.x * source.format.voxel_bytes
    shards = shard_bytes(scales[1:], shape, formats)
    waiting = queue_bytes(slab, chunk_bytes(scales[1:]))
    return INTERPRETER_MB + (2 * slab + shards + waiting) // MIB


def coarse_peak(scales: tuple[Scale, ...], stage: CoarseStage, formats: Formats) -> int:
    """Return the predicted peak of memory of a stage's tasks, in MiB; `scales` are the volume's."""
    return _peak(scales[stage.first - 1 : stage.last], stage.shape, formats)


def _stage(
    scales: tuple[Scale, ...], worker: WorkerSpec, formats: Formats
) -> tuple[Vec, tuple[Scale, ...], int]:
    """Return the shape of the deepest and then largest part that fits, and what `share_out` gives.

    Shallow parts would make chunks shallower, and shards smaller.
    """
    source = scales[0]
    for shape in _part_shapes(scales):
        more, count = share_out(list(scales[1:]), shape, sharded=source.sharding is not None)
        if count and _fits((source, *more[:count]), shape, worker, formats):
            return shape, more, count
    size = source.box.shape
    msg = (
        f"the scales above {size.x}×{size.y}×{size.z} don't fit in workers of {worker.memory_mb} "
        "MiB; raise their memory, or ask for fewer scales"
    )
    raise DoesNotFit(msg)


def _part_shapes(scales: tuple[Scale, ...]) -> Iterator[Vec]:
    """Yield shapes of parts in scale 0 voxels, the deepest first, then the largest."""
    source, made = scales[0], scales[1]
    step = made.factor.times(made.chunk)
    x, y, _ = made.factor.times(made.box.shape)
    areas = product(cut_lengths(x, CUT_CHUNKS * step.x, step.x),
                    cut_lengths(y, CUT_CHUNKS * step.y, step.y))  # fmt: skip
    largest_first = sorted(areas, key=lambda a: -(a[0] or x) * (a[1] or y))
    layers = DEEPEST
    while layers >= SHALLOWEST:
        yield from (Vec(*area, layers * source.factor.z) for area in largest_first)
        layers //= 2


def cut_lengths(whole: int, least: int, step: int) -> list[int]:
    """Return lengths to cut an axis into: 0 (not cut), and `step` doubled, from `least` on."""
    doubled = [step << n for n in range((whole - 1).bit_length())]
    return [0, *(n for n in doubled if least <= n < whole)]
