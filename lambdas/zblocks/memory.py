"""How much memory does a block need at its peak? One named term per thing that is held.

The worker holds, at the same time: the interpreter with its libraries; the rows of all its slices
that are being decoded; what the decoders keep; the unfinished chunk rows of the coarser scales;
the chunks of unfinished shards; and the
chunks that wait to be compressed and stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zblocks.precomputed.shards import shard_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zblocks.plan import Volume
    from zblocks.pyramid import Scale

MIB = 1 << 20

INTERPRETER_MB = 110
"""Python, numpy, obstore and the codecs, before the first voxel (measured)."""

QUEUE_BYTES = 64 * MIB
"""Chunks that may wait for the encoders, in bytes of voxels; `convert` holds to it."""

STREAM_ROWS = 640
"""Rows of a slice that a streaming decoder keeps (measured: 40-62 MB for rows of 24 kB × 3)."""

STREAM_BYTES = 2 * MIB
"""Buffers of one open stream, besides its rows."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sizes that decide a block's peak."""

    width: int
    """Pixels of a row."""
    pixel_bytes: int
    """Channels × bytes of a channel."""
    depth: int
    """Slices of the block."""
    rows: int
    """Rows decoded at a time."""
    height: int
    """Rows of a slice."""
    coarse_bytes: int
    """Unfinished chunk rows of the coarser scales."""
    shard_bytes: int
    """Chunks of unfinished shards of all scales, as if they didn't compress."""

    @classmethod
    def of(cls, volume: Volume, scales: Sequence[Scale], depth: int, rows: int) -> Footprint:
        """Return the sizes of a block of `depth` slices, decoded `rows` rows at a time."""
        pixel = volume.channels * (2 if volume.dtype == "uint16" else 1)
        size = scales[0].box.shape
        coarse = sum(
            (depth // s.factor.z + 1) * min(s.chunk.y, s.box.shape.y) * s.box.shape.x * pixel
            for s in scales[1:]
        )
        shards = sum(_open_shards(s, depth) for s in scales if s.sharding) * pixel
        return cls(size.x, pixel, min(depth, size.z), min(rows, size.y), size.y, coarse, shards)


def _open_shards(scale: Scale, depth: int) -> int:
    """Return the voxels of a block's unfinished shards of one scale: one row of shards."""
    bits, size = scale.sharding, scale.box.shape
    if bits is None:
        return 0
    rows = shard_size(bits, scale.grid).y * scale.chunk.y
    return min(rows, size.y) * size.x * min(depth // scale.factor.z, size.z)


def predict_peak(size: Footprint) -> int:
    """Return the predicted peak of resident memory, in MiB."""
    row = size.width * size.pixel_bytes
    slab = size.depth * size.rows * row
    whole = size.rows >= size.height
    decoders = 4 * size.height * row if whole else size.depth * (STREAM_ROWS * row + STREAM_BYTES)
    queue = min(QUEUE_BYTES, slab) * 2
    total = slab + decoders + size.coarse_bytes + size.shard_bytes + queue
    return INTERPRETER_MB + -(-total // MIB)
