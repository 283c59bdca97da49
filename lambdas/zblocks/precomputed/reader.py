"""Reads the chunks of a stored scale, written by any tool, unsharded or sharded."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from zblocks.compression import MissingDecoderError, decompress
from zblocks.errors import ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.precomputed.encoding import decode_chunk
from zblocks.precomputed.scale import ENDINGS, SMALL_CHUNK, Scale, shard_key
from zblocks.precomputed.sharding import (
    EMPTY_INDEX,
    MinishardIndex,
    Sharding,
    chunk_id,
    decode_minishard_index,
    shard_of,
)
from zblocks.storage import Store

UNREADABLE = (ValueError, MissingDecoderError, OSError, ZblocksError)
"""Errors that reading a chunk may raise."""

INDEX_LIMIT = 1 << 28  # maximum size of a minishard index, in bytes
TABLE_PIECE = 1 << 20  # bytes of a shard index to read at a time
KEPT_ENTRIES = 1 << 22  # maximum number of minishard index entries kept in memory
_ENTRY = struct.Struct("<QQ")


class ListedChunk(NamedTuple):
    """An object that holds one chunk."""

    name: str  # relative to the scale's folder
    bytes: int


@dataclass(frozen=True, slots=True)
class ChunkObjects:
    """Unsharded chunks, one per object."""

    store: Store
    scale: Scale
    listing: Mapping[Vec, ListedChunk] | None = None
    """The existing objects by cell; None if unknown, so that possible names are tried."""

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk is listed."""
        return self.listing is not None and cell in self.listing

    def names(self, cell: Vec) -> list[str]:
        """Return the possible names of a cell's chunk; in a local folder, with suffixes."""
        usual = ENDINGS.get(self.scale.format.compression, "")
        endings = dict.fromkeys((usual, "", *ENDINGS.values())) if self.store.local else [""]
        return [self.scale.chunk_box(cell).name + ending for ending in endings]

    def read(self, cell: Vec, limit: int) -> bytes | None:
        """Return a decompressed chunk of at most `limit` bytes; None if it doesn't exist.

        Raises FileNotFoundError: it is listed but doesn't exist; ValueError: it can't be
        decompressed or is too large; MissingDecoderError: no decoder for its compression is
        installed.
        """
        if self.listing is None:
            for name in self.names(cell):
                with suppress(FileNotFoundError):
                    return self._get(name, limit)
            return None
        if cell not in self.listing:
            return None
        name, size = self.listing[cell]
        if size > 2 * limit:
            raise ValueError(f"has {size} bytes; at most {limit} are possible")
        return self._get(name, limit)

    def _get(self, name: str, limit: int) -> bytes:
        data, encoding = self.store.get_packed(f"{self.scale.key}/{name}")
        by_ending = next((e for e, ending in ENDINGS.items() if name.endswith(ending)), "")
        return decompress(data, by_ending or encoding, limit)


@dataclass(frozen=True, slots=True)
class ShardIndices:
    """Reads the indices of a scale's shards and minishards."""

    store: Store
    scale: Scale
    sharding: Sharding

    def minishards(self, shard: int) -> Iterator[tuple[int, int, int]]:
        """Yield the number of each minishard that isn't empty, and the span of its index.

        Spans are start and end in bytes, counted from the end of the shard index.
        """
        key, size = shard_key(self.scale, shard), self.sharding.index_bytes
        for at in range(0, size, TABLE_PIECE):
            piece = self.store.get_range(key, at, min(TABLE_PIECE, size - at))
            for i, (start, end) in enumerate(_ENTRY.iter_unpack(piece)):
                if start != end:
                    yield at // _ENTRY.size + i, start, end

    def span(self, shard: int, minishard: int) -> tuple[int, int]:
        """Return the span of a minishard's index, as in `minishards`; if empty, start equals end.

        Raises ValueError if the shard is truncated.
        """
        key = shard_key(self.scale, shard)
        entry = self.store.get_range(key, minishard * _ENTRY.size, _ENTRY.size)
        if len(entry) != _ENTRY.size:
            raise ValueError(f"{key} is truncated in its index")
        start, end = _ENTRY.unpack(entry)
        return start, end

    def read(self, shard: int, start: int, end: int) -> MinishardIndex:
        """Return the minishard index in a span, unchecked. Raises ValueError if it is damaged."""
        limit = min(24 * self.scale.chunks + SMALL_CHUNK, INDEX_LIMIT)
        if not 0 <= end - start <= 2 * limit:
            raise ValueError(f"minishard index of {end - start} bytes, at {start}–{end}")
        first = self.sharding.index_bytes + start
        data = self.store.get_range(shard_key(self.scale, shard), first, end - start)
        gzipped = "gzip" if self.sharding.index_encoding == "gzip" else ""
        return decode_minishard_index(self.sharding, decompress(data, gzipped, limit))

    def load(self, shard: int, minishard: int) -> MinishardIndex:
        """Return the index of a minishard, unchecked; empty if there is none.

        Raises FileNotFoundError if the shard doesn't exist, and ValueError if it is damaged.
        """
        start, end = self.span(shard, minishard)
        return EMPTY_INDEX if start == end else self.read(shard, start, end)


@dataclass(slots=True)
class ChunkShards:
    """Sharded chunks, with a cache of up to `KEPT_ENTRIES` minishard index entries."""

    indices: ShardIndices
    load: Callable[[int, int], MinishardIndex]
    """Given shard and minishard, returns the usable part of the index, IDs ascending."""
    _kept: OrderedDict[tuple[int, int], MinishardIndex] = field(default_factory=OrderedDict)
    _room: int = field(default_factory=lambda: KEPT_ENTRIES)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, shard: int, minishard: int, index: MinishardIndex) -> None:
        """Cache an index; evict the least recently used ones if there are too many."""
        self._kept[shard, minishard] = index
        self._room -= len(index.ids) + 8
        while self._room < 0 and len(self._kept) > 1:
            self._room += len(self._kept.popitem(last=False)[1].ids) + 8

    def index(self, shard: int, minishard: int) -> MinishardIndex:
        """Return an index, from the cache or loaded. Raises what `load` raises."""
        at = (shard, minishard)
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
            else:
                self.keep(shard, minishard, self.load(shard, minishard))
            return self._kept[at]

    def find(self, cell: Vec) -> tuple[int, int, int] | None:
        """Return a chunk's shard, start and length in bytes; None if it doesn't exist."""
        scale, sharding = self.indices.scale, self.indices.sharding
        number = chunk_id(cell, scale.grid)
        shard, minishard = shard_of(sharding, number)
        try:
            place = self.index(shard, minishard).find(number)
        except FileNotFoundError:
            return None
        return (shard, *place) if place and place[1] else None

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk is in its shard's index."""
        return self.find(cell) is not None

    def read(self, cell: Vec, limit: int) -> bytes | None:
        """Return a chunk, as `ChunkObjects.read`."""
        found = self.find(cell)
        if found is None:
            return None
        shard, start, length = found
        key = shard_key(self.indices.scale, shard)
        if length > 2 * limit:
            raise ValueError(f"has {length} bytes in {key}; at most {limit} are possible")
        data = self.indices.store.get_range(key, start, length)
        if len(data) != length:
            raise ValueError(f"{key} returned {len(data)} bytes where {length} were requested")
        gzipped = "gzip" if self.indices.sharding.data_encoding == "gzip" else ""
        return decompress(data, gzipped, limit)


@dataclass(frozen=True, slots=True)
class ScaleReader:
    """Reads a stored scale in one of its chunk sizes."""

    scale: Scale
    source: ChunkObjects | ChunkShards

    @classmethod
    def open(cls, store: Store, scale: Scale) -> ScaleReader:
        """Open a scale without listing its objects."""
        if scale.sharding is None:
            return cls(scale, ChunkObjects(store, scale))
        indices = ShardIndices(store, scale, scale.sharding)
        return cls(scale, ChunkShards(indices, indices.load))

    def read_encoded(self, cell: Vec) -> bytes | None:
        """Return an encoded chunk; None if it doesn't exist. Raises as `ChunkObjects.read`."""
        return self.source.read(cell, self.scale.format.limit(self.scale.chunk_box(cell)))

    def decode(self, cell: Vec, data: bytes) -> Voxels:
        """Return the voxels (z, y, x, c) of a chunk. Raises as `decode_chunk`."""
        return decode_chunk(self.scale.format, data, self.scale.chunk_box(cell))

    def read(self, cell: Vec) -> Voxels | None:
        """Return the voxels (z, y, x, c) of a chunk; None if it doesn't exist."""
        data = self.read_encoded(cell)
        return None if data is None else self.decode(cell, data)
