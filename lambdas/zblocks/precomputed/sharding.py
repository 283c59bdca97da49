"""Shards: many chunks in one object (`neuroglancer_uint64_sharded_v1`).

Format: Neuroglancer, `src/datasource/precomputed/sharded.md`; chunk ids: `volume.md`, "Sharded
chunk storage". zblocks writes the identity as the hash, so that neighbouring chunks share a shard.

A chunk's id interleaves the bits of its grid cell, x, y, z, lowest first, leaving out bits that no
cell of the grid uses. Its lowest `preshift` bits are its place in a minishard, the next ones name
the minishard, the rest name the shard. So a shard is a box of cells, 2^bits along each axis, and a
worker that owns the box writes the shard in one piece.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Box, Vec

MAX_BITS = 9
"""Chunks of a shard: at most 2^9."""

SHARDING_TYPE = "neuroglancer_uint64_sharded_v1"

SHARDING_BITS = ("preshift_bits", "minishard_bits", "shard_bits")
"""Fields of `sharding`: how the bits of a chunk id are split, lowest first."""

HASHES = ("identity", "murmurhash3_x86_128")
SHARD_ENCODINGS = ("raw", "gzip")
"""Of minishard indices and of chunks in shards."""

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
class Sharding:
    """How chunks are spread over shards: a chunk's id is split, lowest bits first."""

    preshift: int
    minishard: int
    shard: int
    hash: str = "identity"
    """`identity` or `murmurhash3_x86_128`."""
    index_encoding: str = "gzip"
    """Of minishard indices: `gzip` or `raw`."""
    data_encoding: str = "raw"
    """Of encoded chunks: `gzip` or `raw`."""

    @property
    def index_bytes(self) -> int:
        """Bytes of the shard index."""
        return _ENTRY << self.minishard

    @property
    def low(self) -> int:
        """Bits that chunks of one shard may differ in."""
        return self.preshift + self.minishard


@lru_cache(maxsize=64)
def axis_bits(grid: Vec) -> tuple[int, ...]:
    """Return which axis (0, 1, 2 for x, y, z) each bit of a chunk id comes from, lowest first."""
    longest = max(grid).bit_length()
    return tuple(a for bit in range(longest) for a in range(3) if (1 << bit) < grid[a])


def cell_of(number: int, grid: Vec) -> Vec | None:
    """Return the cell of a chunk id; None if it is outside the grid."""
    axes = axis_bits(grid)
    if number >> len(axes):
        return None
    cell, taken = [0, 0, 0], [0, 0, 0]
    for place, axis in enumerate(axes):
        cell[axis] |= ((number >> place) & 1) << taken[axis]
        taken[axis] += 1
    return Vec(*cell) if all(n < g for n, g in zip(cell, grid, strict=True)) else None


def chunk_id(cell: Vec, grid: Vec) -> int:
    """Return the compressed Morton code of a grid cell, xyz."""
    code, taken = 0, [0, 0, 0]
    for place, axis in enumerate(axis_bits(grid)):
        code |= ((cell[axis] >> taken[axis]) & 1) << place
        taken[axis] += 1
    return code


def choose_sharding(grid: Vec, z_bits: int, data_encoding: str) -> Sharding:
    """Split ids so that a worker who owns 2^z_bits layers of chunks owns whole shards.

    Args:
        grid: chunks per axis, xyz.
        z_bits: how many of the lowest bits may be z's.
        data_encoding: of encoded chunks, `gzip` or `raw`.
    """
    axes = axis_bits(grid)
    low = 0
    for axis in axes[:MAX_BITS]:
        if axis == 2:
            if not z_bits:
                break
            z_bits -= 1
        low += 1
    return Sharding(low, 0, len(axes) - low, data_encoding=data_encoding)


def shard_size(sharding: Sharding, grid: Vec) -> Vec:
    """Return how many cells a shard spans, per axis, xyz."""
    axes = axis_bits(grid)[: sharding.low]
    return Vec(*(1 << axes.count(a) for a in range(3)))


def shard_boxes(sharding: Sharding, grid: Vec) -> Iterator[tuple[int, Box]]:
    """Walk the shards of a grid: number, and the box of cells that it holds."""
    cells = Box(Vec(0, 0, 0), grid)
    for box in cells.cells(shard_size(sharding, grid)):
        yield chunk_id(box.start, grid) >> sharding.low, box


def shard_of(sharding: Sharding, number: int) -> tuple[int, int]:
    """Return the shard and the minishard of a chunk id."""
    code = _hash(sharding, number >> sharding.preshift)
    minishard = code & ((1 << sharding.minishard) - 1)
    return (code >> sharding.minishard) & ((1 << sharding.shard) - 1), minishard


def _hash(sharding: Sharding, code: int) -> int:
    """Hash a shifted chunk id; murmurhash's low 8 bytes, of the id as little-endian uint64."""
    if sharding.hash == "identity":
        return code
    import mmh3

    digest = mmh3.hash_bytes(code.to_bytes(8, "little"), 0, x64arch=False)
    return int.from_bytes(digest[:8], "little")


def shard_name(sharding: Sharding, number: int) -> str:
    """Return a shard's file name: its number in hexadecimal, padded to the bits that it has."""
    return f"{number:0{-(-sharding.shard // 4)}x}.shard"


def sharding_info(sharding: Sharding) -> ShardingInfo:
    """Return the `sharding` member of a scale's `info`."""
    return {
        "@type": SHARDING_TYPE,
        "preshift_bits": sharding.preshift,
        "hash": sharding.hash,
        "minishard_bits": sharding.minishard,
        "shard_bits": sharding.shard,
        "minishard_index_encoding": sharding.index_encoding,
        "data_encoding": sharding.data_encoding,
    }


def build_shard(sharding: Sharding, chunks: Mapping[int, bytes]) -> bytes:
    """Return the bytes of one shard from its chunks, encoded, by id.

    Layout: the shard index; the chunks by ascending id; the minishard indices. All offsets count
    from the end of the shard index.
    """
    data: list[bytes] = []
    at = 0
    minishards: dict[int, list[tuple[int, int, int]]] = {}
    for number in sorted(chunks):
        chunk = chunks[number]
        inside = (number >> sharding.preshift) & ((1 << sharding.minishard) - 1)
        minishards.setdefault(inside, []).append((number, at, len(chunk)))
        data.append(chunk)
        at += len(chunk)
    index = np.zeros((1 << sharding.minishard, 2), "<u8")
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


@dataclass(frozen=True, slots=True)
class MinishardIndex:
    """Where the chunks of a minishard are; starts in bytes of the shard's file."""

    ids: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint64]

    def find(self, number: int) -> tuple[int, int] | None:
        """Return start and size of a chunk by its id; ids must ascend."""
        at = int(np.searchsorted(self.ids, np.uint64(number)))
        if at == len(self.ids) or int(self.ids[at]) != number:
            return None
        return int(self.starts[at]), int(self.sizes[at])


EMPTY_INDEX = MinishardIndex(*(np.zeros(0, np.uint64) for _ in range(3)))


def decode_minishard_index(sharding: Sharding, raw: bytes) -> MinishardIndex:
    """Return a minishard's index from its decompressed bytes, in the order that they have.

    Raises:
        ValueError: it is damaged.
    """
    if len(raw) % 24:
        msg = f"minishard index of {len(raw)} bytes, not a multiple of 24"
        raise ValueError(msg)
    rows = np.frombuffer(raw, "<u8").reshape(3, -1).astype(np.uint64)
    ends = np.cumsum(rows[2], dtype=np.uint64)
    starts = np.cumsum(rows[1], dtype=np.uint64) + ends - rows[2] + np.uint64(sharding.index_bytes)
    return MinishardIndex(np.cumsum(rows[0], dtype=np.uint64), starts, rows[2])
