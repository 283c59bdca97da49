"""The memory that a block needs at its peak, with one named term for each thing that is held.

The worker holds, at the same time: the interpreter with its libraries; the rows of all its slices
that are being decoded; what the decoders keep; the unfinished chunk rows of the coarser scales; the
chunks of unfinished shards; and the chunks that wait to be compressed and stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zblocks.precomputed.sharding import shard_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zblocks.precomputed.scale import Scale

MIB = 1 << 20

INTERPRETER_MB = 90
"""Python, numpy, obstore and the codecs, and what their allocators keep (measured)."""

QUEUE_BYTES = 64 * MIB
"""Chunks that may wait for the encoders, in bytes of voxels; the chunk writer keeps to it."""

SLACK = 1.05
"""What allocators keep of what was freed (measured)."""

DECODERS = 4
"""Slices that are decoded at the same time, where there are fewer cores than that."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sizes that decide a block's peak."""

    width: int
    """Pixels of a row of the volume."""
    voxel_bytes: int
    """Of all channels of a voxel."""
    depth: int
    """Slices of the block."""
    rows: int
    """Rows decoded at a time."""
    height: int
    """Rows of the volume."""
    held: int
    """Bytes that the decoder of one slice holds (`SliceHeader.held`), the most of all slices."""
    in_place: bool
    """Whether slices are decoded right into the slab when they are decoded whole."""
    file_bytes: int
    """Size of a slice's file."""
    coarse_bytes: int
    """Unfinished chunk rows of the coarser scales."""
    shard_bytes: int
    """Chunks of unfinished shards of all scales, as if they didn't compress."""
    interpolated: int = 0
    """Slices of the block that are made of two others."""
    kept: int = 0
    """Bytes that are kept of an open slice between the decoder and the volume's rows."""
    passing: int = 0
    """Bytes that rows of one slice need while they pass from the decoder into the volume's."""


def coarse_bytes(scales: Sequence[Scale], depth: int, voxel_bytes: int) -> int:
    """Return the bytes of the coarser scales' rows of chunks that a block fills at a time."""
    return sum(
        (depth // s.factor.z + 1) * min(s.chunk.y, s.box.shape.y) * s.box.shape.x * voxel_bytes
        for s in scales[1:]
    )


def shard_bytes(scales: Sequence[Scale], depth: int, voxel_bytes: int) -> int:
    """Return the bytes of a block's unfinished shards: of each scale one row of shards."""
    voxels = 0
    for s in scales:
        if s.sharding is None:
            continue
        rows = min(shard_size(s.sharding, s.grid).y * s.chunk.y, s.box.shape.y)
        voxels += rows * s.box.shape.x * min(depth // s.factor.z, s.box.shape.z)
    return voxels * voxel_bytes


def predict_peak(size: Footprint) -> int:
    """Return the predicted peak of resident memory, in MiB."""
    slab = size.depth * size.rows * size.width * size.voxel_bytes
    at_once = min(DECODERS, size.depth)
    if size.rows < size.height:
        decoders = (size.depth + size.interpolated) * (size.held + size.kept)
    elif size.in_place:
        decoders = at_once * size.file_bytes
    else:
        decoders = (at_once + min(size.interpolated, at_once)) * (size.held + size.kept)
    decoders += at_once * size.passing
    queue = min(QUEUE_BYTES, slab) * 2
    if size.interpolated:  # the upper slice's rows, while they are mixed with the lower one's
        decoders += min(size.interpolated, DECODERS) * size.rows * size.width * size.voxel_bytes
    total = slab + decoders + size.coarse_bytes + size.shard_bytes + queue
    return INTERPRETER_MB + math.ceil(total * SLACK / MIB)
