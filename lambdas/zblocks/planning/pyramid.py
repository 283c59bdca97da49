"""The scales of a volume: their factors and sizes, and the default shape of chunks.

1. At each scale halve the axes whose voxels are finest (within a factor of √2), so that coarse
   voxels approach cubes; an axis that is one voxel long is left alone.
2. Stop at the first scale that fits one chunk.
3. Scale k covers the same space as scale 0: from floor(offset / f) to ceil((offset + size) / f).
4. Chunks hold about 2^18 voxels and are, in nm, as near to cubes as powers of two allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from zblocks.geometry import Box, Vec
from zblocks.precomputed.scale import Resolution

CHUNK_BITS = 18
"""A default chunk holds 2^18 voxels: large enough for few requests, small enough to draw soon."""


def plan_steps(box: Box, resolution: Resolution) -> Iterator[tuple[Vec, Resolution, Box]]:
    """Walk scale 0, 1, 2 … as (factor, nm per voxel, box); ends when no axis can shrink."""
    factor, finest = Vec(1, 1, 1), box
    while True:
        yield factor, resolution, box
        step = halving(box, resolution)
        if step == Vec(1, 1, 1):
            return
        factor = factor.times(step)
        box = finest.coarsen(factor)
        x, y, z = (r * s for r, s in zip(resolution, step, strict=True))
        resolution = (x, y, z)


def halving(box: Box, resolution: Resolution) -> Vec:
    """Return 2 for each axis to halve next, else 1: the finest ones among those that can shrink."""
    shrinks = [b < a for a, b in zip(box.shape, box.coarsen(Vec(2, 2, 2)).shape, strict=True)]
    if not any(shrinks):
        return Vec(1, 1, 1)
    finest = min(r for r, can in zip(resolution, shrinks, strict=True) if can)
    limit = finest * math.sqrt(2)
    return Vec(
        *(2 if can and r <= limit else 1 for r, can in zip(resolution, shrinks, strict=True))
    )


def default_chunk(resolution: Resolution, deepest: int = 512) -> Vec:
    """Return the chunk of 2^18 voxels, powers of two from 8 to 512, that is nearest to a cube.

    It is at most `deepest` slices deep.

    Nearest: the smallest ratio of the longest to the shortest side in nm; among equals the one
    with equal x and y, then the deepest.
    """
    sides = range(3, 10)

    def rank(bits: tuple[int, ...]) -> tuple[float, int, int]:
        extent = [r * 2**b for r, b in zip(resolution, bits, strict=True)]
        return round(max(extent) / min(extent), 9), abs(bits[0] - bits[1]), -bits[2]

    shapes = (b for b in product(sides, repeat=3) if sum(b) == CHUNK_BITS and 1 << b[2] <= deepest)
    best = min(shapes, key=rank)
    return Vec(*(1 << b for b in best))


def fits_one_chunk(box: Box, chunk: Vec) -> bool:
    """Tell whether one chunk holds the whole box."""
    return box.grid(chunk) == Vec(1, 1, 1)
