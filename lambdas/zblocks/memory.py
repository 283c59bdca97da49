"""How much memory does a block need at its peak? One named term per thing that is held.

The worker holds, at the same time: the interpreter with its libraries; the rows of all its slices
that are being decoded; what the decoders keep; the unfinished chunk rows of the coarser scales;
the chunks of unfinished shards; and the
chunks that wait to be compressed and stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zblocks.precomputed.shards import shard_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zblocks.pyramid import Scale

MIB = 1 << 20

INTERPRETER_MB = 90
"""Python, numpy, obstore and the codecs, and what their allocators keep (measured)."""

QUEUE_BYTES = 64 * MIB
"""Chunks that may wait for the encoders, in bytes of voxels; the sink holds to it."""

STREAM_ROWS = {"jpeg": 2150, "png": 1650, "tiff": 1800}
"""Rows of a slice that libvips keeps while it is read in strips (measured)."""

STREAM_BYTES = MIB
"""What is fetched ahead of one open stream."""

OPENJPEG = 10
"""Bytes that OpenJPEG and Pillow hold of each pixel's channel while they decode a slice."""

SLACK = 1.05
"""What allocators keep of what was freed (measured)."""

DECODERS = 4
"""Slices that are decoded at the same time, where there are fewer cores than that."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sizes that decide a block's peak."""

    width: int
    """Pixels of a row of the volume."""
    pixel_bytes: int
    """Channels × bytes of a channel."""
    depth: int
    """Slices of the block."""
    rows: int
    """Rows decoded at a time."""
    height: int
    """Rows of the volume."""
    kind: str
    """Of the slices, as `SliceRef.kind`."""
    file_bytes: int
    """Size of a slice's file."""
    coarse_bytes: int
    """Unfinished chunk rows of the coarser scales."""
    shard_bytes: int
    """Chunks of unfinished shards of all scales, as if they didn't compress."""
    channels: int = 1
    blends: int = 0
    """Slices of the block that are made of two others."""
    slice_width: int = 0
    slice_height: int = 0
    """Pixels of the largest slice; 0: as in the volume."""
    slice_pixel: int = 0
    """Bytes of all channels of a slice's pixel; 0: as in the volume."""
    streamed: bool = False
    """Whether slices are read as streams even where a block holds them whole."""
    kept: int = 0
    """Bytes that are kept of an open slice between the decoder and the volume's rows."""
    passing: int = 0
    """Bytes that rows of one slice need while they pass from the decoder into the volume's."""


def coarse_bytes(scales: Sequence[Scale], depth: int, pixel_bytes: int) -> int:
    """Return the bytes of the coarser scales' rows of chunks that a block fills at a time."""
    return sum(
        (depth // s.factor.z + 1) * min(s.chunk.y, s.box.shape.y) * s.box.shape.x * pixel_bytes
        for s in scales[1:]
    )


def shard_bytes(scales: Sequence[Scale], depth: int, pixel_bytes: int) -> int:
    """Return the bytes of a block's unfinished shards: of each scale one row of shards."""
    voxels = 0
    for s in scales:
        if s.sharding is None:
            continue
        rows = min(shard_size(s.sharding, s.grid).y * s.chunk.y, s.box.shape.y)
        voxels += rows * s.box.shape.x * min(depth // s.factor.z, s.box.shape.z)
    return voxels * pixel_bytes


def _decoder(size: Footprint) -> int:
    """Return the bytes that are held of one slice besides its rows in the slab."""
    width, height = size.slice_width or size.width, size.slice_height or size.height
    row = width * (size.slice_pixel or size.pixel_bytes)
    if size.kind == "jp2":
        held = size.file_bytes + OPENJPEG * width * height * size.channels
    elif size.kind == "jpeg" and size.rows >= size.height and not size.streamed:
        held = size.file_bytes
    else:
        held = min(STREAM_ROWS.get(size.kind, 0), height) * row + STREAM_BYTES
    return held + size.kept


def predict_peak(size: Footprint) -> int:
    """Return the predicted peak of resident memory, in MiB."""
    slab = size.depth * size.rows * size.width * size.pixel_bytes
    opened = size.depth + size.blends if size.rows < size.height else DECODERS
    decoders = opened * _decoder(size) + DECODERS * size.passing
    queue = min(QUEUE_BYTES, slab) * 2
    if size.blends:  # the upper slice's rows, while they are mixed with the lower one's
        decoders += min(size.blends, DECODERS) * size.rows * size.width * size.pixel_bytes
    total = slab + decoders + size.coarse_bytes + size.shard_bytes + queue
    return INTERPRETER_MB + math.ceil(total * SLACK / MIB)
