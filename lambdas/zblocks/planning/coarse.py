"""The tasks that make the scales that no block owns: one, or stages of many."""

from __future__ import annotations

from zblocks.errors import DoesNotFit
from zblocks.planning.memory import INTERPRETER_MB, MIB, QUEUE_BYTES, shard_bytes
from zblocks.planning.ownership import DEEPEST, SHALLOWEST, count_blocks, share_out
from zblocks.planning.plan import CoarseTask
from zblocks.planning.time import WorkerSpec, predict_coarse_seconds
from zblocks.precomputed.scale import Scale


def _coarse_fits(scales: tuple[Scale, ...], layers: int, worker: WorkerSpec) -> bool:
    """Tell whether one worker can make scales [1:] of so many layers of scale 0 of `scales`."""
    source = scales[0]
    pixel = source.format.voxel_bytes
    size = source.box.shape
    seconds = predict_coarse_seconds(size.x * size.y * layers * pixel, worker)
    slab = layers * min(source.chunk.y, size.y) * size.x * pixel
    shards = shard_bytes(scales[1:], layers * source.factor.z, pixel)
    peak = INTERPRETER_MB + (2 * slab + shards + 2 * min(QUEUE_BYTES, slab)) // MIB
    return seconds <= worker.limit_s and peak <= worker.memory_mb


def plan_coarse(
    scales: tuple[Scale, ...], owned: int, worker: WorkerSpec
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
        if _coarse_fits(scales[owned - 1 :], source.box.shape.z, worker):
            tasks.append(CoarseTask(len(tasks), stage, owned, len(scales), 0, 0))
            break
        depth, more, count = _stage(scales[owned - 1 :], worker)
        scales, last = (*scales[:owned], *more), owned + count
        parts = count_blocks(more, count, depth)
        tasks += [CoarseTask(len(tasks) + p, stage, owned, last, depth, p) for p in range(parts)]
        owned, stage = last, stage + 1
    return scales, tuple(tasks)


def _stage(scales: tuple[Scale, ...], worker: WorkerSpec) -> tuple[int, tuple[Scale, ...], int]:
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
        if count and _coarse_fits((source, *more[:count]), layers, worker):
            return depth, more, count
        layers //= 2
    size = source.box.shape
    msg = (
        f"the scales above {size.x}×{size.y}×{size.z} don't fit in workers of "
        f"{worker.memory_mb} MiB; raise their memory, or ask for fewer scales"
    )
    raise DoesNotFit(msg)
