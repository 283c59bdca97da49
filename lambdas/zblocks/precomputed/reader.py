"""Reads the chunks of a stored scale: of any tool, in objects of their own or in shards."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Vec, Voxels
from zblocks.precomputed.compression import MissingDecoderError, decompress
from zblocks.precomputed.decode import decode_chunk
from zblocks.precomputed.objects import ENDINGS, shard_key
from zblocks.precomputed.scale import Scale
from zblocks.precomputed.sharding import (
    MinishardIndex,
    Sharding,
    chunk_id,
    decode_minishard_index,
    shard_of,
)
from zblocks.storage import Store

UNREADABLE = (ValueError, MissingDecoderError, OSError, ZblocksError)
"""What reading a chunk may raise."""

SMALL_CHUNK = 1 << 16
"""Bytes that any small chunk may decompress to, whatever its encoding."""

INDEX_LIMIT = 1 << 28
"""Bytes of a minishard index that are still read."""

TABLE_PIECE = 1 << 20
"""Bytes of a shard index that are read at a time."""

KEPT_ENTRIES = 1 << 22
"""Chunks whose place in their shard is kept in memory."""

_ENTRY = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """The bytes of a chunk as they are encoded, decompressed."""

    place: str
    """The object, and the chunk where that holds several."""
    data: bytes


class ChunkSource(Protocol):
    """The objects of one scale."""

    def read(self, cell: Vec, limit: int) -> StoredChunk | None:
        """Return a chunk of at most `limit` bytes; None if it isn't there.

        Raises:
            ValueError: it can't be decompressed, or is too large.
            MissingDecoderError: there is no decoder for its compression.
        """


@dataclass(frozen=True, slots=True)
class ChunkObjects:
    """Chunks that are objects of their own."""

    store: Store
    scale: Scale
    listing: Mapping[str, int] | None = None
    """Bytes of the objects in the scale's folder by name; None: names are tried."""

    def find(self, cell: Vec) -> str | None:
        """Return the listed name of a cell's chunk, in the scale's folder."""
        listing = self.listing or {}
        return next((name for name in self.names(cell) if name in listing), None)

    def names(self, cell: Vec) -> tuple[str, ...]:
        """Return the names that a cell's chunk may have; in a folder some have endings."""
        name = self.scale.chunk_box(cell).name
        if not self.store.local:
            return (name,)
        usual = ENDINGS.get(self.scale.format.compression, "")
        return tuple(name + ending for ending in dict.fromkeys((usual, "", *ENDINGS.values())))

    def read(self, cell: Vec, limit: int) -> StoredChunk | None:
        """Return a chunk; see `ChunkSource`."""
        if self.listing is None:
            return next(filter(None, (self._get(name, limit) for name in self.names(cell))), None)
        name = self.find(cell)
        if name is None:
            return None
        if self.listing[name] > 2 * limit:
            msg = f"is {self.listing[name]} bytes, where at most {limit} can be right"
            raise ValueError(msg)
        found = self._get(name, limit)
        if found is None:
            raise FileNotFoundError(f"{self.scale.key}/{name}")
        return found

    def _get(self, name: str, limit: int) -> StoredChunk | None:
        place = f"{self.scale.key}/{name}"
        try:
            data, encoding = self.store.get_packed(place)
        except FileNotFoundError:
            return None
        by_ending = next((e for e, ending in ENDINGS.items() if name.endswith(ending)), "")
        return StoredChunk(place, decompress(data, by_ending or encoding, limit))


Accept = Callable[[int, int, MinishardIndex], MinishardIndex]
"""Given shard, minishard and its index: the part of the index that may be used, ids ascending."""


@dataclass(slots=True)
class ChunkShards:
    """Chunks in shards. Indices are kept in memory, up to a number of chunks."""

    store: Store
    scale: Scale
    sharding: Sharding
    accept: Accept = lambda _shard, _minishard, index: index
    _kept: OrderedDict[tuple[int, int], MinishardIndex] = field(default_factory=OrderedDict)
    _room: int = KEPT_ENTRIES
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def minishards(self, shard: int) -> Iterator[tuple[int, int, int]]:
        """Walk a shard's minishards that aren't empty: number, start and end after the index."""
        key, size = shard_key(self.scale, shard), self.sharding.index_bytes
        for at in range(0, size, TABLE_PIECE):
            piece = self.store.get_range(key, at, min(TABLE_PIECE, size - at))
            for i, (start, end) in enumerate(_ENTRY.iter_unpack(piece)):
                if start != end:
                    yield at // _ENTRY.size + i, start, end

    def read_index(self, shard: int, start: int, end: int) -> MinishardIndex:
        """Return the index of a minishard as it is stored.

        Args:
            shard: its number.
            start: first byte of the index, counted from the end of the shard index.
            end: the byte after its last.

        Raises:
            ValueError: it is damaged.
        """
        if not 0 <= end - start <= INDEX_LIMIT:
            raise ValueError(f"minishard index at {start}–{end}")
        first = self.sharding.index_bytes + start
        data = self.store.get_range(shard_key(self.scale, shard), first, end - start)
        limit = min(24 * self.scale.chunks + (1 << 16), INDEX_LIMIT)
        gzipped = "gzip" if self.sharding.index_encoding == "gzip" else ""
        return decode_minishard_index(self.sharding, decompress(data, gzipped, limit))

    def index(self, shard: int, minishard: int) -> MinishardIndex:
        """Return what may be used of a minishard's index, read where it isn't kept.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it is damaged.
        """
        at = (shard, minishard)
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
                return self._kept[at]
            key = shard_key(self.scale, shard)
            entry = self.store.get_range(key, minishard * _ENTRY.size, _ENTRY.size)
            start, end = _ENTRY.unpack(entry)
            found = NOTHING if start == end else self.read_index(shard, start, end)
            return self._keep(at, self.accept(shard, minishard, found))

    def _keep(self, at: tuple[int, int], index: MinishardIndex) -> MinishardIndex:
        """Keep an index, and forget the oldest when there are too many."""
        self._kept[at] = index
        self._room -= len(index.ids) + 8
        while self._room < 0 and len(self._kept) > 1:
            self._room += len(self._kept.popitem(last=False)[1].ids) + 8
        return index

    def find(self, cell: Vec) -> tuple[str, int, int] | None:
        """Return the shard, start and length of a chunk; None if it isn't there."""
        number = chunk_id(cell, self.scale.grid)
        shard, minishard = shard_of(self.sharding, number)
        try:
            span = self.index(shard, minishard).find(number)
        except FileNotFoundError:
            return None
        return span and (shard_key(self.scale, shard), *span)

    def read(self, cell: Vec, limit: int) -> StoredChunk | None:
        """Return a chunk; see `ChunkSource`."""
        found = self.find(cell)
        if found is None or not found[2]:
            return None
        key, start, length = found
        if length > 2 * limit:
            msg = f"is {length} bytes in {key}, where at most {limit} can be right"
            raise ValueError(msg)
        data = self.store.get_range(key, start, length)
        if len(data) != length:
            msg = f"{key} returned {len(data)} bytes where {length} were asked for"
            raise ValueError(msg)
        place = f"{key} ({self.scale.chunk_box(cell).name})"
        gzipped = "gzip" if self.sharding.data_encoding == "gzip" else ""
        return StoredChunk(place, decompress(data, gzipped, limit))


NOTHING = MinishardIndex(*(np.zeros(0, np.uint64) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class ScaleReader:
    """One stored scale, cut in one way."""

    scale: Scale
    source: ChunkSource

    @classmethod
    def open(cls, store: Store, scale: Scale) -> ScaleReader:
        """Open a scale without listing its objects."""
        if scale.sharding is None:
            return cls(scale, ChunkObjects(store, scale))
        return cls(scale, ChunkShards(store, scale, scale.sharding))

    def read_encoded(self, cell: Vec) -> StoredChunk | None:
        """Return the bytes of a chunk; None if it isn't there. Raises as `ChunkSource.read`."""
        size = self.scale.chunk_box(cell).voxels * self.scale.format.voxel_bytes
        return self.source.read(cell, max(2 * size, SMALL_CHUNK))

    def decode(self, cell: Vec, stored: StoredChunk) -> Voxels:
        """Return the voxels (z, y, x, c) of a chunk.

        Raises:
            ValueError: it isn't a chunk of its box.
            MissingDecoderError: there is no decoder for its encoding.
        """
        return decode_chunk(self.scale.format, stored.data, self.scale.chunk_box(cell))

    def read(self, cell: Vec) -> Voxels | None:
        """Return the voxels (z, y, x, c) of a chunk; None if it isn't there."""
        stored = self.read_encoded(cell)
        return None if stored is None else self.decode(cell, stored)

    def empty(self, box: Box, value: float = 0) -> Voxels:
        """Return a box (z, y, x, c) of one value."""
        size, voxels = box.shape, self.scale.format
        return np.full((size.z, size.y, size.x, voxels.channels), value, voxels.dtype)
