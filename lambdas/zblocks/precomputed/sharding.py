"""Shards, objects of many chunks: chunk IDs, layout and indices (`neuroglancer_uint64_sharded_v1`).

Format: Neuroglancer, `src/datasource/precomputed/sharded.md`; chunk IDs: `volume.md`, "Sharded
chunk storage".

A chunk's ID interleaves the bits of its grid cell, x, y, z, lowest first, without the bits that no
cell of the grid uses. Its lowest `preshift` bits are the position in a minishard. The others are
hashed; the lowest bits of the hash are the minishard, the next ones the shard. zblocks uses the
identity as hash, so that a shard is a box of cells, a power of two along each axis, and one task
can write it as a whole.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from zblocks.compression import Buffer
from zblocks.geometry import Box, Vec

MAX_BITS = 9  # a shard that zblocks writes has at most 2^`MAX_BITS` chunks
SHARDING_TYPE = "neuroglancer_uint64_sharded_v1"

SHARDING_BITS = ("preshift_bits", "minishard_bits", "shard_bits")
"""Fields of `sharding` that split the bits of a chunk ID, lowest first."""

HASHES = ("identity", "murmurhash3_x86_128")

SHARD_ENCODINGS = ("raw", "gzip")  # encodings of minishard indices and of chunks in shards
_ENTRY = 16  # bytes of a minishard's entry in the shard index: start and end, uint64


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a chunk's ID maps to its shard: numbers of bits, lowest first, hash and encodings."""

    preshift: int
    minishard: int
    shard: int
    hash: str = "identity"  # `identity` or `murmurhash3_x86_128`
    index_encoding: str = "gzip"  # encoding of minishard indices: `gzip` or `raw`
    data_encoding: str = "raw"  # compression of encoded chunks: `gzip` or `raw`

    @property
    def index_bytes(self) -> int:
        """Bytes of the shard index."""
        return _ENTRY << self.minishard

    @property
    def low(self) -> int:
        """Number of ID bits in which chunks of one shard differ."""
        return self.preshift + self.minishard


@lru_cache(maxsize=64)
def axis_bits(grid: Vec) -> tuple[int, ...]:
    """Return the axis (0, 1, 2 for x, y, z) of each bit of a chunk ID, lowest bit first."""
    longest = max(grid).bit_length()
    return tuple(a for bit in range(longest) for a in range(3) if (1 << bit) < grid[a])


def cell_of(number: int, grid: Vec) -> Vec | None:
    """Return the cell, xyz, of a chunk ID; None if it is outside the grid."""
    axes = axis_bits(grid)
    if number >> len(axes):
        return None
    cell, taken = [0, 0, 0], [0, 0, 0]
    for place, axis in enumerate(axes):
        cell[axis] |= ((number >> place) & 1) << taken[axis]
        taken[axis] += 1
    return Vec(*cell) if all(n < g for n, g in zip(cell, grid, strict=True)) else None


def chunk_id(cell: Vec, grid: Vec) -> int:
    """Return the ID of a cell's chunk: the compressed Morton code of the cell, xyz."""
    code, taken = 0, [0, 0, 0]
    for place, axis in enumerate(axis_bits(grid)):
        code |= ((cell[axis] >> taken[axis]) & 1) << place
        taken[axis] += 1
    return code


def choose_sharding(grid: Vec, bits: Vec, data_encoding: str) -> Sharding:
    """Return a sharding in which a task that owns a box of 2^bits cells, xyz, owns whole shards."""
    axes, left = axis_bits(grid), list(bits)
    low = 0
    for axis in axes[:MAX_BITS]:
        if not left[axis]:
            break
        left[axis] -= 1
        low += 1
    return Sharding(low, 0, len(axes) - low, data_encoding=data_encoding)


def shard_size(sharding: Sharding, grid: Vec) -> Vec:
    """Return the size of a shard in cells, xyz."""
    axes = axis_bits(grid)[: sharding.low]
    return Vec(*(1 << axes.count(a) for a in range(3)))


def shard_boxes(
    sharding: Sharding, grid: Vec, within: Box | None = None
) -> Iterator[tuple[int, Box]]:
    """Yield the number of each shard of a grid, and its box of cells (identity hash).

    Only shards whose first cell is `within` a box of cells, if given.
    """
    for box in Box(Vec(0, 0, 0), grid).cells(shard_size(sharding, grid), within):
        yield chunk_id(box.start, grid) >> sharding.low, box


def shard_of(sharding: Sharding, number: int) -> tuple[int, int]:
    """Return the shard and the minishard of a chunk ID.

    Of MurmurHash, the code is the low 8 bytes, for a little-endian uint64.
    """
    code = number >> sharding.preshift
    if sharding.hash != "identity":
        import mmh3

        digest = mmh3.hash_bytes(code.to_bytes(8, "little"), 0, x64arch=False)
        code = int.from_bytes(digest[:8], "little")
    minishard = code & ((1 << sharding.minishard) - 1)
    return (code >> sharding.minishard) & ((1 << sharding.shard) - 1), minishard


def shard_name(sharding: Sharding, number: int) -> str:
    """Return a shard's file name: its number in hexadecimal, padded to `shard` bits."""
    return f"{number:0{-(-sharding.shard // 4)}x}.shard"


def sharding_info(sharding: Sharding) -> dict[str, str | int]:
    """Return the `sharding` field of a scale's `info`."""
    return {
        "@type": SHARDING_TYPE,
        "preshift_bits": sharding.preshift,
        "hash": sharding.hash,
        "minishard_bits": sharding.minishard,
        "shard_bits": sharding.shard,
        "minishard_index_encoding": sharding.index_encoding,
        "data_encoding": sharding.data_encoding,
    }


def build_shard(sharding: Sharding, chunks: Mapping[int, Buffer]) -> list[Buffer]:
    """Return the parts of one shard, in their order, given its encoded chunks by ID.

    Layout: shard index, chunks by ascending ID, minishard indices. Offsets count from the end of
    the shard index.
    """
    data: list[Buffer] = []
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
    return [index.tobytes(), *data]


def _minishard_index(entries: list[tuple[int, int, int]]) -> bytes:
    """Return a minishard index: IDs and starts, both delta-encoded, and sizes."""
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
    """The IDs of a minishard's chunks, and their starts and sizes in bytes of the shard's file."""

    ids: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint64]

    def find(self, number: int) -> tuple[int, int] | None:
        """Return a chunk's start and size by its ID; None if absent. IDs must ascend."""
        at = int(np.searchsorted(self.ids, np.uint64(number)))
        if at == len(self.ids) or int(self.ids[at]) != number:
            return None
        return int(self.starts[at]), int(self.sizes[at])


EMPTY_INDEX = MinishardIndex(*(np.zeros(0, np.uint64) for _ in range(3)))


def decode_minishard_index(sharding: Sharding, raw: bytes) -> MinishardIndex:
    """Return a minishard index from its decompressed bytes, in stored order.

    Raises ValueError if its size is wrong.
    """
    if len(raw) % 24:
        raise ValueError(f"minishard index of {len(raw)} bytes, not a multiple of 24")
    rows = np.frombuffer(raw, "<u8").reshape(3, -1).astype(np.uint64)
    ends = np.cumsum(rows[2], dtype=np.uint64)
    starts = np.cumsum(rows[1], dtype=np.uint64) + ends - rows[2] + np.uint64(sharding.index_bytes)
    return MinishardIndex(np.cumsum(rows[0], dtype=np.uint64), starts, rows[2])
