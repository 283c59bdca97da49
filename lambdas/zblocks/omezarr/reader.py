"""Reads the chunks of a stored Zarr array, written by any tool, unsharded or sharded."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zblocks.compression import UNPACKED
from zblocks.geometry import Vec, Voxels
from zblocks.omezarr.array import NO_CHUNK, ZarrArray
from zblocks.omezarr.codecs import strip_checksum
from zblocks.omezarr.stored import Place, ShardFormat, StoredArray
from zblocks.omezarr.version3 import parse_v3
from zblocks.storage import Store
from zblocks.storage.objects import Fetched

INDEX_LIMIT = 1 << 26  # maximum size of a shard's index, in bytes
KEPT_ENTRIES = 1 << 22  # maximum number of index entries kept in memory


@dataclass(frozen=True, slots=True)
class Objects:
    """Chunks, one per object."""

    store: Store
    array: StoredArray
    listed: Mapping[Place, int] | None = None  # bytes of the existing ones; None if unknown

    def has(self, place: Place) -> bool:
        """Return whether a chunk is listed."""
        return self.listed is not None and place in self.listed

    def read(self, place: Place) -> bytes | None:
        """Return a chunk as stored; None if it doesn't exist.

        Raises FileNotFoundError: it is listed and doesn't exist; ValueError: it is too large,
        or has a Content-Encoding.
        """
        if self.listed is not None:
            if place not in self.listed:
                return None
            limit = self.array.codec.limit(self.array.chunk)
            if self.listed[place] > limit:
                text = f"has {self.listed[place]} bytes; at most {limit} are possible"
                raise ValueError(text)
        try:
            found = self.store.fetch(self.array.key(place))
        except FileNotFoundError:
            if self.listed is not None:
                raise
            return None
        return _plain(found).data

    def where(self, place: Place) -> str:
        """Return where a chunk is, in words."""
        return self.array.key(place)


class ShardIndex(NamedTuple):
    """Where the chunks of a shard are."""

    entries: npt.NDArray[np.uint64]  # offset and size of each chunk, along the axes of the array
    start: int  # the bytes of the shard that hold chunks
    stop: int

    def find(self, inner: Place) -> tuple[int, int] | None:
        """Return offset and size of a chunk; None if it is absent."""
        offset, size = self.entries[inner].tolist()
        return None if offset == size == NO_CHUNK else (offset, size)

    def fault(self, offset: int, size: int) -> str:
        """Say what is wrong with an entry; empty if nothing is."""
        if self.start <= offset and offset + size <= self.stop:
            return ""
        return f"is at {offset}+{size}, outside of the bytes {self.start}–{self.stop} of chunks"


def load_index(store: Store, array: StoredArray, shard: Place) -> ShardIndex | None:
    """Read the index of a shard; None if there is no such object.

    Raises ValueError: it is damaged, or too large.
    """
    key, layout = array.key(shard), array.shards or ShardFormat(())
    wanted = layout.index_bytes
    if wanted > INDEX_LIMIT:
        raise ValueError(f"{key}: has an index of {wanted} bytes; at most {INDEX_LIMIT} are read")
    try:
        found = store.fetch(key, (None, wanted) if layout.index_at_end else (0, wanted))
    except FileNotFoundError:
        return None
    if len(found.data) != wanted:
        raise ValueError(f"{key}: is {found.size} bytes, less than its index of {wanted}")
    try:
        data = strip_checksum(_plain(found).data) if layout.index_checksum else found.data
    except ValueError as error:
        raise ValueError(f"{key}: its index {error}") from error
    table = np.frombuffer(data, f"{layout.index_order}u8").reshape(*layout.chunks, 2)
    span = (0, found.size - wanted) if layout.index_at_end else (wanted, found.size)
    return ShardIndex(table.astype(np.uint64, copy=False), *span)


@dataclass(slots=True)
class Shards:
    """Chunks in shards, with a cache of up to `KEPT_ENTRIES` index entries."""

    store: Store
    array: StoredArray
    _kept: OrderedDict[Place, ShardIndex | None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def index(self, shard: Place) -> ShardIndex | None:
        """Return the index of a shard, from the cache or loaded. Raises as `load_index`."""
        with self._lock:
            if shard not in self._kept:
                self._kept[shard] = load_index(self.store, self.array, shard)
            self._kept.move_to_end(shard)
            each = prod(self.array.shards.chunks if self.array.shards else ())
            while len(self._kept) > max(KEPT_ENTRIES // each, 1):
                self._kept.popitem(last=False)
            return self._kept[shard]

    def find(self, place: Place) -> tuple[Place, int, int] | None:
        """Return a chunk's shard, offset and size in bytes; None if it is absent."""
        shard, inner = self.array.split(place)
        index = self.index(shard)
        entry = index.find(inner) if index else None
        if index is None or entry is None:
            return None
        if fault := index.fault(*entry):
            raise ValueError(fault)
        return shard, *entry

    def has(self, place: Place) -> bool:
        """Return whether a chunk is in the index of its shard."""
        return self.find(place) is not None

    def read(self, place: Place) -> bytes | None:
        """Return a chunk as stored; None if it is absent. Raises ValueError if it is damaged."""
        found = self.find(place)
        if found is None:
            return None
        shard, offset, size = found
        limit = self.array.codec.limit(self.array.chunk)
        if size > limit:
            raise ValueError(f"has {size} bytes; at most {limit} are possible")
        if not size:
            return b""
        data = self.store.get_range(self.array.key(shard), offset, size)
        if len(data) != size:
            raise ValueError(f"has {len(data)} bytes where the index says {size}")
        return data

    def where(self, place: Place) -> str:
        """Return where a chunk is, in words."""
        shard, inner = self.array.split(place)
        return f"{self.array.key(shard)} chunk {'/'.join(map(str, inner))}"


def _plain(found: Fetched) -> Fetched:
    """Refuse a Content-Encoding: readers of Zarr don't undo it, browsers do."""
    if found.content_encoding.lower() not in UNPACKED:
        raise ValueError(f"has the Content-Encoding {found.content_encoding}; store it without")
    return found


@dataclass(frozen=True, slots=True)
class ArrayReader:
    """Reads an array by the cells of its grid of chunks along x, y, z."""

    array: StoredArray
    source: Objects | Shards

    @classmethod
    def open(cls, store: Store, array: ZarrArray | StoredArray) -> ArrayReader:
        """Open an array without listing its objects; the store is that of the image."""
        if isinstance(array, ZarrArray):
            document = json.loads(array.document())
            array = parse_v3(array.path, "".join(array.axes), document)
        return cls(array, Shards(store, array) if array.shards else Objects(store, array))

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk of a cell is known to exist."""
        return any(map(self.source.has, self.array.places(cell)))

    def read(self, cell: Vec) -> Voxels | None:
        """Return the voxels (z, y, x, c) of a cell, clipped; None if all of it is absent.

        Raises ValueError: a chunk or the index of its shard is damaged; names the object.
        FileNotFoundError: it is listed and doesn't exist. MissingDecoderError: no decoder for its
        compression is installed.
        """
        chunks = [self._chunk(place) for place in self.array.places(cell)]
        if all(chunk is None for chunk in chunks):
            return None
        return self.array.join(chunks, cell)

    def _chunk(self, place: Place) -> npt.NDArray[np.generic] | None:
        try:
            data = self.source.read(place)
            return None if data is None else self.array.codec.decode(data, self.array.chunk)
        except ValueError as error:
            key, text = self.array.key(self.array.split(place)[0]), str(error)
            text = text if text.startswith(f"{key}: ") else f"{self.source.where(place)}: {text}"
            raise ValueError(text) from error
