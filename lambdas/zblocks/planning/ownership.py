"""Which scales the slices of a block own, and the shapes of their chunks and shards.

Blocks divide the stack by these rules, and so do the tasks of a stage of Coarsen.
"""

from __future__ import annotations

from dataclasses import replace

from zblocks.geometry import Box, ceil_div
from zblocks.planning.plan import GridOptions
from zblocks.planning.pyramid import default_chunk, fits_one_chunk, plan_steps
from zblocks.precomputed.scale import ChunkFormat, Scale, scale_key
from zblocks.precomputed.sharding import Sharding, choose_sharding

SHALLOWEST = 8
"""Chunks are not made shallower than this to let a block own them; Coarsen takes over."""

DEEPEST = 64
"""Blocks of more slices gain nothing: their chunks are whole, and small stacks need many blocks."""

SHARDED_DEPTH = 16
"""A sharded chunk's depth unless the user decides: four layers of them in a full block."""

SHARD_LAYERS = 4
"""Layers of chunks that a block wants of each scale: two z bits make shards of 256 chunks."""

COARSE_SHARE = 0.02
"""Of all voxels, what Coarsen may make from stored chunks rather than from slices."""

MAX_SCALES = 64


def plan_scales(
    box: Box, options: GridOptions, chunk_format: ChunkFormat, *, sharded: bool
) -> list[Scale]:
    """Return all scales with the chunk shapes that they would like best."""
    scales: list[Scale] = []
    for factor, resolution, scaled in plan_steps(box, options.resolution):
        layered = sharded and factor.z * SHALLOWEST <= DEEPEST  # a block may own this scale
        chunk = options.chunk or default_chunk(resolution, SHARDED_DEPTH if layered else DEEPEST)
        key = scale_key(resolution)
        scales.append(Scale(key, factor, resolution, scaled, chunk, chunk_format))
        enough = options.scales == len(scales) if options.scales else fits_one_chunk(scaled, chunk)
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
        sharding = _sharding(owned, layers.bit_length() - 1) if sharded else None
        shared.append(replace(owned, sharding=sharding))
    tiny = scales[-1].box.voxels <= COARSE_SHARE * scales[0].box.voxels
    if len(shared) == len(scales) > 1 and shared[-1].chunks > scales[-1].chunks and tiny:
        shared.pop()  # so that the last scale is one chunk
    rest = scales[len(shared) :]
    if sharded:
        rest = [replace(s, sharding=_sharding(s, s.grid.z.bit_length())) for s in rest]
    return (*shared, *rest), len(shared)


def _sharding(scale: Scale, z_bits: int) -> Sharding:
    compressed = scale.format.compression == "gzip"
    return choose_sharding(scale.grid, z_bits, "gzip" if compressed else "raw")


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
