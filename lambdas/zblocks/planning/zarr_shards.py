"""The shards of an OME-Zarr image: boxes of chunks, cut so that one task writes each as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from zblocks.geometry import Vec
from zblocks.outputs.scales import Formats, StoredAs, stored_as, zarr_array
from zblocks.planning.plan import CoarseStage
from zblocks.precomputed.scale import Scale

SHARD_CHUNKS = 256  # of a shard, at most
SHARD_BYTES = 256 << 20  # of its voxels, at most
SHARD_ROWS = 8  # rows of chunks of a shard, at most: all shards of a row are held until it is full


def zarr_shard(scale: Scale, shape: Vec) -> Vec:
    """Return the chunks of a shard, xyz, of a scale that tasks of `shape` write.

    `shape` is in scale 0 voxels; an axis of 0 isn't cut.
    """
    cells = shape.over(scale.factor.times(scale.chunk))
    axes = zip(shape, cells, scale.grid, strict=True)
    most = [(n & -n) if cut else 1 << (whole - 1).bit_length() for cut, n, whole in axes]
    most[1] = min(most[1], SHARD_ROWS)
    size, chunk_bytes = [1, 1, 1], prod(scale.chunk) * scale.format.voxel_bytes
    limit = min(SHARD_CHUNKS, max(SHARD_BYTES // chunk_bytes, 1))
    grown = True
    while grown:
        grown = False
        for axis in range(3):
            if 2 * size[axis] <= most[axis] and 2 * prod(size) <= limit:
                size[axis] *= 2
                grown = True
    return Vec(*size)


def zarr_shards(
    scales: Sequence[Scale], shape: Vec, stages: Sequence[CoarseStage]
) -> tuple[Vec, ...]:
    """Return the chunks of each scale's shards, xyz; blocks have `shape`, as in `part_box`."""
    made_by = {k: c.shape for c in stages for k in range(c.first, c.last)}
    return tuple(zarr_shard(s, made_by.get(k, shape)) for k, s in enumerate(scales))


def stored_in(scale: Scale, formats: Formats, shape: Vec) -> tuple[StoredAs, ...]:
    """Return how each format stores a scale that tasks of `shape` write."""
    shard = zarr_shard(scale, shape) if formats.zarr_sharded else None
    return stored_as(scale, zarr_array(scale, formats, "", shard, 0), formats)
