"""The memory that a block needs at its peak, with a named term for everything that is held.

A worker holds at the same time: the interpreter with its libraries; the rows of all slices that are
being decoded (the slab); what the decoders hold; unfinished rows of chunks of the coarser scales;
the chunks of unfinished shards; and chunks that wait to be encoded and stored.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, prod

from zblocks.geometry import ONE, Vec
from zblocks.outputs.scales import Formats
from zblocks.planning.parts import part_box
from zblocks.planning.zarr_shards import stored_in
from zblocks.precomputed.scale import Scale

MIB = 1 << 20
INTERPRETER_MB = 90  # Python, numpy, obstore, codecs, and what allocators keep of them (measured)
QUEUE_BYTES = 64 * MIB  # of voxels in chunks that wait for the encoders, at most
QUEUE_CHUNKS = 4  # that may wait, however large they are
SLACK = 1.05  # factor for freed memory that allocators keep (measured)
DECODERS = 4  # slices that are decoded at the same time, even by a worker with fewer cores
FEW_DECODERS = 2  # of kinds whose decoders need much memory, and cores all the time
LARGE = ("jp2", "jp2-strips", "jp2-tiles")  # these kinds, as `SliceHeader.kind`


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sizes that decide a block's peak."""

    width: int  # of the block, voxels
    voxel_bytes: int  # of all channels of a voxel
    depth: int  # slices that the block reads
    rows: int  # rows decoded at a time
    height: int  # of the block, voxels
    held: int  # bytes that the decoder of one slice holds (`SliceHeader.held`), at most
    in_place: bool  # whether slices that are decoded as a whole are decoded directly into the slab
    file_bytes: int  # size of a slice's file, at most
    coarse_bytes: int  # unfinished rows of chunks of the coarser scales
    shard_bytes: int  # chunks of unfinished shards of all scales, before compression
    chunk_bytes: int  # the largest chunk, before compression
    decoding: int = 0  # bytes more while rows are decoded (`SliceHeader.decoding`)
    held_whole: int = 0  # bytes that the decoder holds of a slice that it decodes as a whole
    interpolated: int = 0  # slices of the block that are made from two others
    kept: int = 0  # bytes that row transforms keep for each open slice (`RowMemory.kept`)
    decoders: int = DECODERS  # slices that are decoded at the same time, at most
    passing: int = 0
    """Bytes that row transforms need while rows of a slice are read (`RowMemory.passing`)."""


def coarse_bytes(scales: Sequence[Scale], shape: Vec, voxel_bytes: int) -> int:
    """Return the bytes that one row of chunks of every coarser scale of a block takes, in sum.

    `shape` is the block's, in scale 0 voxels; an axis of 0 isn't cut.
    """
    first, voxels = Vec(0, 0, 0), 0
    for s in scales[1:]:
        size = part_box(s, shape, first).shape
        voxels += (shape.z // s.factor.z + 1) * min(s.chunk.y, size.y) * (size.x + 1)
    return voxels * voxel_bytes


def shard_bytes(scales: Sequence[Scale], shape: Vec, formats: Formats) -> int:
    """Return the bytes that one row of shards of every sharded scale of a block takes, in sum.

    `shape` is the block's. What formats encode alike is held once.
    """
    first, total = Vec(0, 0, 0), 0
    for s in scales:
        size = part_box(s, shape, first).shape
        rows: dict[Hashable, int] = {}
        for stored in stored_in(s, formats, shape):
            if stored.group != ONE:
                form = stored.form(s.chunk_box(first))
                rows[form] = max(rows.get(form, 0), min(stored.group.y * s.chunk.y, size.y))
        total += sum(rows.values()) * size.x * size.z * s.format.voxel_bytes
    return total


def chunk_bytes(scales: Sequence[Scale]) -> int:
    """Return the bytes of the largest chunk, before compression."""
    return max(prod(map(min, s.chunk, s.box.shape)) * s.format.voxel_bytes for s in scales)


def queued_chunks(slab: int, chunk: int) -> int:
    """Return how many chunks may wait for the encoders: up to the slab's bytes, but some always."""
    return max(QUEUE_CHUNKS, min(QUEUE_BYTES, slab) // chunk)


def queue_bytes(slab: int, chunk: int) -> int:
    """Return the bytes of chunks that wait, and of what they are encoded to, at most."""
    return 2 * queued_chunks(slab, chunk) * chunk


def count_decoders(kinds: Iterable[str], cores: float) -> int:
    """Return how many slices of these kinds a worker decodes at the same time."""
    return max(round(cores), FEW_DECODERS if set(kinds) & set(LARGE) else DECODERS)


def predict_peak(size: Footprint) -> int:
    """Return the predicted peak of resident memory, in MiB."""
    rows = size.rows * size.width * size.voxel_bytes
    slab, at_once = size.depth * rows, min(size.decoders, size.depth)
    if size.rows < size.height:
        decoders = (size.depth + size.interpolated) * (size.held + size.kept)
        decoders += at_once * size.decoding
    elif size.in_place:
        decoders = at_once * size.file_bytes
    else:
        held = max(size.held, size.held_whole) + size.kept
        decoders = (at_once + min(size.interpolated, at_once)) * held
    # Rows of the upper slice, while they are mixed with those of the lower one.
    mixed = min(size.interpolated, size.decoders) * rows
    total = slab + decoders + at_once * size.passing + mixed + queue_bytes(slab, size.chunk_bytes)
    return INTERPRETER_MB + ceil((total + size.coarse_bytes + size.shard_bytes) * SLACK / MIB)
