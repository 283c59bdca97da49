"""The scales of a volume: their factors, their sizes, and the shapes of their chunks.

1. Each scale halves the axes whose voxels are finest (within a factor of √2), so that coarse voxels
   approach cubes; an axis that is one voxel long is not halved.
2. The last scale is the first that fits in one chunk.
3. Scale k covers the same space as scale 0: from floor(offset / f) to ceil((offset + size) / f).
4. Chunks hold about 2^18 voxels and are, in nm, as close to cubes as powers of two allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

from zblocks.geometry import Box, Vec
from zblocks.planning.plan_input import GridOptions
from zblocks.precomputed.scale import ChunkFormat, Resolution, Scale, scale_key

CHUNK_BITS = 18  # a default chunk has 2^18 voxels: few requests, and still fast to load
SHARDED_DEPTH = 16  # default depth of chunks in shards: a full block holds four layers of them
SHALLOWEST = 8  # depth below which blocks don't make chunks shallower to write a scale themselves
DEEPEST = 64  # depth above which blocks gain nothing, as chunks are whole; small stacks need many
MAX_SCALES = 64
ONE = Vec(1, 1, 1)


def plan_scales(
    box: Box, options: GridOptions, chunk_format: ChunkFormat, *, sharded: bool
) -> list[Scale]:
    """Return all scales of a scale 0 box, the finest first, each with the best shape of chunks."""
    scales: list[Scale] = []
    for factor, resolution, scaled in plan_steps(box, options.resolution):
        layered = sharded and factor.z * SHALLOWEST <= DEEPEST  # blocks may write this scale
        chunk = options.chunk or default_chunk(resolution, SHARDED_DEPTH if layered else DEEPEST)
        key = scale_key(resolution)
        scales.append(Scale(key, factor, resolution, scaled, chunk, chunk_format))
        last = options.scales == len(scales) if options.scales else scaled.grid(chunk) == ONE
        if last or len(scales) == MAX_SCALES:
            break
    return scales


def plan_steps(box: Box, resolution: Resolution) -> Iterator[tuple[Vec, Resolution, Box]]:
    """Walk scales 0, 1, 2 … as (factor, nm per voxel, box), until no axis can be halved."""
    factor, finest = ONE, box
    while True:
        yield factor, resolution, box
        step = _halving(box, resolution)
        if step == ONE:
            return
        factor = factor.times(step)
        box = finest.coarsen(factor)
        x, y, z = (r * s for r, s in zip(resolution, step, strict=True))
        resolution = (x, y, z)


def _halving(box: Box, resolution: Resolution) -> Vec:
    """Return 2 for each axis to halve next, else 1."""
    coarser = box.coarsen(Vec(2, 2, 2)).shape
    shrinks = [b < a for a, b in zip(box.shape, coarser, strict=True)]
    axes = list(zip(resolution, shrinks, strict=True))
    limit = min((r for r, can in axes if can), default=0) * math.sqrt(2)
    return Vec(*(2 if can and r <= limit else 1 for r, can in axes))


def default_chunk(resolution: Resolution, deepest: int = 512) -> Vec:
    """Return the chunk of 2^18 voxels, with sides of 8 to 512, that is closest to a cube in nm.

    The closest has the smallest ratio of its longest to its shortest side; of several, one with
    equal x and y is preferred, then the deepest. `resolution` is in nm per voxel, xyz; `deepest`
    limits z, in voxels.
    """

    def rank(bits: tuple[int, ...]) -> tuple[float, int, int]:
        extent = [r * 2**b for r, b in zip(resolution, bits, strict=True)]
        return round(max(extent) / min(extent), 9), abs(bits[0] - bits[1]), -bits[2]

    shapes = product(range(3, 10), repeat=3)
    best = min((b for b in shapes if sum(b) == CHUNK_BITS and 1 << b[2] <= deepest), key=rank)
    return Vec(*(1 << b for b in best))
