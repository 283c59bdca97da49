"""Shards: many chunks in one object (`neuroglancer_uint64_sharded_v1`).

Format: Neuroglancer, `src/datasource/precomputed/sharded.md`; chunk ids: `volume.md`, "Sharded
chunk storage". The hash is the identity, so that neighbouring chunks share a shard.

A chunk's id interleaves the bits of its grid cell, x, y, z, lowest first, leaving out bits that no
cell of the grid uses. Its lowest `preshift` bits are its place in a minishard, the next ones name
the minishard, the rest name the shard. So a shard is a box of cells, 2^bits along each axis, and a
worker that owns the box writes the shard in one piece.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from zblocks.geometry import Box, Vec

MAX_BITS = 9
"""Chunks of a shard: at most 2^9."""

_ENTRY = 16
"""Bytes of a minishard's entry in the shard index: start and end, uint64."""


ShardingInfo = TypedDict(
    "ShardingInfo",
    {
        "@type": str,
        "preshift_bits": int,
        "hash": str,
        "minishard_bits": int,
        "shard_bits": int,
        "minishard_index_encoding": str,
        "data_encoding": str,
    },
)
"""The `sharding` member of a scale's `info`."""


@dataclass(frozen=True, slots=True)
class ShardBits:
    """How a chunk id is split, lowest bits first."""

    preshift: int
    minishard: int
    shard: int

    @property
    def low(self) -> int:
        """Bits that chunks of one shard may differ in."""
        return self.preshift + self.minishard


def axis_bits(grid: Vec) -> list[int]:
    """Return which axis (0, 1, 2 for x, y, z) each bit of a chunk id comes from, lowest first."""
    longest = max(grid).bit_length()
    return [a for bit in range(longest) for a in range(3) if (1 << bit) < grid[a]]


def chunk_id(cell: Vec, grid: Vec) -> int:
    """Return the compressed Morton code of a grid cell, xyz."""
    code, taken = 0, [0, 0, 0]
    for place, axis in enumerate(axis_bits(grid)):
        code |= ((cell[axis] >> taken[axis]) & 1) << place
        taken[axis] += 1
    return code


def choose_bits(grid: Vec, z_bits: int) -> ShardBits:
    """Split ids so that a worker who owns 2^z_bits layers of chunks owns whole shards.

    Args:
        grid: chunks per axis, xyz.
        z_bits: how many of the lowest bits may be z's.
    """
    axes = axis_bits(grid)
    low = 0
    for axis in axes[:MAX_BITS]:
        if axis == 2:
            if not z_bits:
                break
            z_bits -= 1
        low += 1
    return ShardBits(preshift=low, minishard=0, shard=len(axes) - low)


def shard_size(bits: ShardBits, grid: Vec) -> Vec:
    """Return how many cells a shard spans, per axis, xyz."""
    axes = axis_bits(grid)[: bits.low]
    return Vec(*(1 << axes.count(a) for a in range(3)))


def shard_boxes(bits: ShardBits, grid: Vec) -> Iterator[tuple[int, Box]]:
    """Walk the shards of a grid: number, and the box of cells that it holds."""
    cells = Box(Vec(0, 0, 0), grid)
    for box in cells.cells(shard_size(bits, grid)):
        yield chunk_id(box.start, grid) >> bits.low, box


def shard_name(bits: ShardBits, number: int) -> str:
    """Return a shard's file name: its number in hexadecimal, padded to the bits that it has."""
    return f"{number:0{-(-bits.shard // 4)}x}.shard"


def sharding_info(bits: ShardBits, data_encoding: str) -> ShardingInfo:
    """Return the `sharding` member of a scale's `info`."""
    return {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": bits.preshift,
        "hash": "identity",
        "minishard_bits": bits.minishard,
        "shard_bits": bits.shard,
        "minishard_index_encoding": "gzip",
        "data_encoding": data_encoding,
    }


def build_shard(bits: ShardBits, chunks: Mapping[int, bytes]) -> bytes:
    """Return the bytes of one shard from its chunks, encoded, by id.

    Layout: the shard index; the chunks by ascending id; the minishard indices. All offsets count
    from the end of the shard index.
    """
    data: list[bytes] = []
    at = 0
    minishards: dict[int, list[tuple[int, int, int]]] = {}
    for number in sorted(chunks):
        chunk = chunks[number]
        inside = (number >> bits.preshift) & ((1 << bits.minishard) - 1)
        minishards.setdefault(inside, []).append((number, at, len(chunk)))
        data.append(chunk)
        at += len(chunk)
    index = np.zeros((1 << bits.minishard, 2), "<u8")
    for inside, entries in sorted(minishards.items()):
        packed = gzip.compress(_minishard_index(entries), mtime=0)
        index[inside] = at, at + len(packed)
        data.append(packed)
        at += len(packed)
    return b"".join([index.tobytes(), *data])


def _minishard_index(entries: list[tuple[int, int, int]]) -> bytes:
    """Return the index of one minishard: ids, starts and sizes, the first two as differences."""
    ids, starts, sizes = np.array(entries, "<u8").T
    ends = starts + sizes
    rows = np.zeros((3, len(entries)), "<u8")
    rows[0] = np.diff(ids, prepend=np.uint64(0))
    rows[1, 0] = starts[0]
    rows[1, 1:] = starts[1:] - ends[:-1]
    rows[2] = sizes
    return rows.tobytes()


def index_range(bits: ShardBits, number: int) -> tuple[int, int]:
    """Return (start, length) of a chunk's entry in the shard index, bytes of the file."""
    inside = (number >> bits.preshift) & ((1 << bits.minishard) - 1)
    return inside * _ENTRY, _ENTRY


def minishard_range(bits: ShardBits, entry: bytes) -> tuple[int, int]:
    """Return (start, length) of the minishard index that an entry points to; length 0: none."""
    start, end = (int(n) for n in np.frombuffer(entry, "<u8"))
    return (_ENTRY << bits.minishard) + start, end - start


def chunk_ranges(bits: ShardBits, index: bytes) -> dict[int, tuple[int, int]]:
    """Return (start, length) of each chunk, bytes of the file, from an encoded minishard index.

    Raises:
        ValueError: the index is damaged.
    """
    raw = gzip.decompress(index)
    if len(raw) % 24:
        msg = f"minishard index of {len(raw)} bytes, which is no multiple of 24"
        raise ValueError(msg)
    rows = np.frombuffer(raw, "<u8").reshape(3, -1)
    ids = np.cumsum(rows[0])
    before = np.concatenate([[np.uint64(0)], np.cumsum(rows[2])[:-1]])
    starts = np.cumsum(rows[1]) + before + np.uint64(_ENTRY << bits.minishard)
    return {int(i): (int(s), int(n)) for i, s, n in zip(ids, starts, rows[2], strict=True)}
