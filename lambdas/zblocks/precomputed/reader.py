"""Reads the chunks of a stored scale: of any tool, in objects of their own or in shards."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Vec, Voxels
from zblocks.precomputed.compression import MissingDecoderError, decompress
from zblocks.precomputed.decode import decode_chunk
from zblocks.precomputed.objects import ENDINGS, shard_key
from zblocks.precomputed.scale import SMALL_CHUNK, Scale
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
"""What reading a chunk may raise."""

INDEX_LIMIT = 1 << 28
"""Bytes of a minishard index that are still read."""

TABLE_PIECE = 1 << 20
"""Bytes of a shard index that are read at a time."""

KEPT_ENTRIES = 1 << 22
"""Chunks whose place in their shard is kept in memory."""

_ENTRY = struct.Struct("<QQ")


class ChunkSource(Protocol):
    """The objects of one scale."""

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is known to be there, without reading it."""

    def read(self, cell: Vec, limit: int) -> bytes | None:
        """Return a chunk of at most `limit` bytes, decompressed; None if it isn't there.

        Raises:
            ValueError: it can't be decompressed, or is too large.
            MissingDecoderError: there is no decoder for its compression.
        """


class ListedChunk(NamedTuple):
    """An object that holds one chunk."""

    name: str
    """In the scale's folder."""
    bytes: int


@dataclass(frozen=True, slots=True)
class ChunkObjects:
    """Chunks that are objects of their own."""

    store: Store
    scale: Scale
    listing: Mapping[Vec, ListedChunk] | None = None
    """The objects that are there, by cell; None: unknown, so that names are tried."""

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is listed."""
        return self.listing is not None and cell in self.listing

    def names(self, cell: Vec) -> tuple[str, ...]:
        """Return the names that a cell's chunk may have; in a folder some have endings."""
        name = self.scale.chunk_box(cell).name
        if not self.store.local:
            return (name,)
        usual = ENDINGS.get(self.scale.format.compression, "")
        return tuple(name + ending for ending in dict.fromkeys((usual, "", *ENDINGS.values())))

    def read(self, cell: Vec, limit: int) -> bytes | None:
        """Return a chunk; see `ChunkSource`.

        Raises:
            FileNotFoundError: it is listed and isn't there.
        """
        if self.listing is None:
            return self._try(self.names(cell), limit)
        if cell not in self.listing:
            return None
        name, size = self.listing[cell]
        if size > 2 * limit:
            raise ValueError(f"is {size} bytes, where at most {limit} can be right")
        return self._get(name, limit)

    def _try(self, names: Iterable[str], limit: int) -> bytes | None:
        for name in names:
            with suppress(FileNotFoundError):
                return self._get(name, limit)
        return None

    def _get(self, name: str, limit: int) -> bytes:
        data, encoding = self.store.get_packed(f"{self.scale.key}/{name}")
        by_ending = next((e for e, ending in ENDINGS.items() if name.endswith(ending)), "")
        return decompress(data, by_ending or encoding, limit)


@dataclass(frozen=True, slots=True)
class ShardIndices:
    """The indices of a scale's shards: a shard's index lists its minishards, theirs the chunks."""

    store: Store
    scale: Scale
    sharding: Sharding

    def minishards(self, shard: int) -> Iterator[tuple[int, int, int]]:
        """Walk a shard's minishards that aren't empty: number, and the span of its index.

        Spans are start and end in bytes after the shard index.
        """
        key, size = shard_key(self.scale, shard), self.sharding.index_bytes
        for at in range(0, size, TABLE_PIECE):
            piece = self.store.get_range(key, at, min(TABLE_PIECE, size - at))
            for i, (start, end) in enumerate(_ENTRY.iter_unpack(piece)):
                if start != end:
                    yield at // _ENTRY.size + i, start, end

    def span(self, shard: int, minishard: int) -> tuple[int, int]:
        """Return the span of a minishard's index, as `minishards` does; equal if it is empty.

        Raises:
            ValueError: the shard ends before it.
        """
        key = shard_key(self.scale, shard)
        entry = self.store.get_range(key, minishard * _ENTRY.size, _ENTRY.size)
        if len(entry) != _ENTRY.size:
            raise ValueError(f"{key} ends in its index")
        start, end = _ENTRY.unpack(entry)
        return start, end

    def read(self, shard: int, start: int, end: int) -> MinishardIndex:
        """Return the index of a minishard as it is stored, from its span.

        Raises:
            ValueError: it is damaged.
        """
        limit = min(24 * self.scale.chunks + SMALL_CHUNK, INDEX_LIMIT)
        if not 0 <= end - start <= 2 * limit:
            raise ValueError(f"minishard index of {end - start} bytes, at {start}–{end}")
        first = self.sharding.index_bytes + start
        data = self.store.get_range(shard_key(self.scale, shard), first, end - start)
        gzipped = "gzip" if self.sharding.index_encoding == "gzip" else ""
        return decode_minishard_index(self.sharding, decompress(data, gzipped, limit))

    def load(self, shard: int, minishard: int) -> MinishardIndex:
        """Return the index of a minishard as it is stored; empty if there is none.

        Raises:
            FileNotFoundError: there is no such shard.
            ValueError: it is damaged.
        """
        start, end = self.span(shard, minishard)
        return EMPTY_INDEX if start == end else self.read(shard, start, end)


@dataclass(slots=True)
class ChunkShards:
    """Chunks in shards. Indices are kept in memory, up to a number of chunks."""

    indices: ShardIndices
    load: Callable[[int, int], MinishardIndex]
    """Returns what may be used of an index, ids ascending, given shard and minishard."""
    _kept: OrderedDict[tuple[int, int], MinishardIndex] = field(default_factory=OrderedDict)
    _room: int = field(default_factory=lambda: KEPT_ENTRIES)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, shard: int, minishard: int, index: MinishardIndex) -> None:
        """Keep an index, and forget the oldest when there are too many."""
        self._kept[shard, minishard] = index
        self._room -= len(index.ids) + 8
        while self._room < 0 and len(self._kept) > 1:
            self._room += len(self._kept.popitem(last=False)[1].ids) + 8

    def index(self, shard: int, minishard: int) -> MinishardIndex:
        """Return an index, loaded where it isn't kept. Raises what `load` does."""
        at = (shard, minishard)
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
            else:
                self.keep(shard, minishard, self.load(shard, minishard))
            return self._kept[at]

    def find(self, cell: Vec) -> tuple[int, int, int] | None:
        """Return a chunk's shard, and its start and length there; None if it isn't there."""
        scale, sharding = self.indices.scale, self.indices.sharding
        number = chunk_id(cell, scale.grid)
        shard, minishard = shard_of(sharding, number)
        try:
            place = self.index(shard, minishard).find(number)
        except FileNotFoundError:
            return None
        return (shard, *place) if place and place[1] else None

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is in its shard's index."""
        return self.find(cell) is not None

    def read(self, cell: Vec, limit: int) -> bytes | None:
        """Return a chunk; see `ChunkSource`."""
        found = self.find(cell)
        if found is None:
            return None
        shard, start, length = found
        key = shard_key(self.indices.scale, shard)
        if length > 2 * limit:
            raise ValueError(f"is {length} bytes in {key}, where at most {limit} can be right")
        data = self.indices.store.get_range(key, start, length)
        if len(data) != length:
            raise ValueError(f"{key} returned {len(data)} bytes where {length} were asked for")
        gzipped = "gzip" if self.indices.sharding.data_encoding == "gzip" else ""
        return decompress(data, gzipped, limit)


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
        indices = ShardIndices(store, scale, scale.sharding)
        return cls(scale, ChunkShards(indices, indices.load))

    def read_encoded(self, cell: Vec) -> bytes | None:
        """Return the bytes of a chunk; None if it isn't there. Raises as `ChunkSource.read`."""
        return self.source.read(cell, self.scale.format.limit(self.scale.chunk_box(cell)))

    def decode(self, cell: Vec, data: bytes) -> Voxels:
        """Return the voxels (z, y, x, c) of a chunk.

        Raises:
            ValueError: it isn't a chunk of its box.
            MissingDecoderError: there is no decoder for its encoding.
        """
        return decode_chunk(self.scale.format, data, self.scale.chunk_box(cell))

    def read(self, cell: Vec) -> Voxels | None:
        """Return the voxels (z, y, x, c) of a chunk; None if it isn't there."""
        data = self.read_encoded(cell)
        return None if data is None else self.decode(cell, data)

    def empty(self, box: Box, value: float = 0) -> Voxels:
        """Return a box (z, y, x, c) of one value."""
        size, voxels = box.shape, self.scale.format
        return np.full((size.z, size.y, size.x, voxels.channels), value, voxels.dtype)
