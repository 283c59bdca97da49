"""Objects that hold many chunks each: every index is read and held against the rules.

Format: Neuroglancer, `src/datasource/precomputed/sharded.md`. Where chunks lie is kept for some
millions of them; beyond that, indices are read again when they are asked for.
"""

from __future__ import annotations

import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zblocks.geometry import Vec
from zblocks.precomputed.sharding import axis_bits, chunk_id
from zblocks.precomputed.unpack import UNPACKED, unpack
from zblocks.storage import Store
from zblocks.verify.findings import REWRITE, Findings
from zblocks.verify.raw import Raw
from zblocks.verify.spec import ScaleSpec, Sharding

_ENTRY = struct.Struct("<QQ")
_SHARD = re.compile(r"([0-9a-f]*)\.shard", re.ASCII)
INDEX_LIMIT = 1 << 28
"""Bytes of a minishard index that are still taken for one."""
TABLE_PIECE = 1 << 20
"""Bytes of a shard's table of minishards that are read at a time."""
KEPT_ENTRIES = 1 << 22
"""Chunks whose place is kept in memory."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The chunks of a minishard, by ascending id; starts in bytes of the file."""

    ids: NDArray[np.uint64]
    starts: NDArray[np.uint64]
    sizes: NDArray[np.uint64]

    def find(self, number: int) -> tuple[int, int] | None:
        """Return start and length of a chunk."""
        at = int(np.searchsorted(self.ids, np.uint64(number)))
        if at == len(self.ids) or int(self.ids[at]) != number:
            return None
        return int(self.starts[at]), int(self.sizes[at])


NOTHING = Entries(*(np.zeros(0, np.uint64) for _ in range(3)))


class Shards:
    """The shards of a scale."""

    def __init__(
        self,
        store: Store,
        scale: ScaleSpec,
        how: Sharding,
        listing: dict[str, int],
        found: Findings,
    ) -> None:
        self._store, self._scale, self._how, self._found = store, scale, how, found
        self._axes, self._grid = axis_bits(scale.grid), scale.grid
        self._table = _ENTRY.size << how.bits.minishard
        self._shards: dict[int, int] = {}
        """Bytes of each shard whose table can be read, by its number."""
        self._kept: OrderedDict[tuple[int, int], Entries] = OrderedDict()
        self._room, self._lock = KEPT_ENTRIES, threading.Lock()
        self.count = 0
        for name in sorted(listing):
            if name or listing[name]:
                self._check_object(name, listing[name])

    # --- the rules

    def _check_object(self, name: str, size: int) -> None:
        """Hold one object against the rules."""
        place, match = f"{self._scale.key}/{name}", _SHARD.fullmatch(name)
        number = int(match[1] or "0", 16) if match and len(name) < 40 else -1
        if name.endswith((".index", ".data")):
            text = "is of the obsolete pair of index and data"
            self._found.problem("obsolete-shard", place, text, "write one .shard instead of both")
        elif number < 0 or shard_name(self._how, number) != name or not self._is_due(number):
            self._found.problem("stray-object", place, "is no shard of this scale", "remove it")
        elif size < self._table:
            text = f"is {size} bytes, less than its index of {self._table}"
            self._found.problem("short-shard", place, text, REWRITE)
        elif (packing := self._packing(place)).lower() not in UNPACKED:
            text = f"has Content-Encoding {packing}: ranges of it mean nothing to a viewer"
            do = "store the same bytes without a Content-Encoding"
            self._found.problem("shard-content-encoding", place, text, do)
        else:
            self._found.count("shards", 1, self._scale.key)
            self._shards[number] = size
            self._check_shard(place, number)

    def _packing(self, place: str) -> str:
        return "" if self._store.local else self._store.packing(place)

    def _check_shard(self, place: str, number: int) -> None:
        """Read all of a shard's indices."""
        spans, before = [], self.count
        for minishard, start, end in self._spans(number):
            if end < start or self._table + end > self._shards[number]:
                text = f"minishard {minishard} is at {start}–{end}, outside the "
                text += f"{self._shards[number]} bytes"
                self._found.problem("minishard-range", place, text, REWRITE)
                continue
            entries = self._entries(number, minishard, (start, end), report=True)
            self._keep((number, minishard), entries)
            self.count += len(entries.ids)
            spans.append(np.array([[start, end]], np.uint64))
            starts = entries.starts - np.uint64(self._table)
            spans.append(np.stack([starts, starts + entries.sizes], 1))
        if spans:
            self._check_overlap(place, np.concatenate(spans))
        if self.count == before:
            self._found.note(f"{place}: holds no chunk; it may be removed")

    def _check_overlap(self, place: str, spans: NDArray[np.uint64]) -> None:
        """Find bytes that belong to two things."""
        spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
        ends = np.maximum.accumulate(spans[:-1, 1])
        for at in np.nonzero(spans[1:, 0] < ends)[0][:1]:
            text = f"bytes {spans[at + 1, 0]}–{ends[at]} after the index belong to two things"
            self._found.problem("shard-overlap", place, text, REWRITE)

    def _entries(
        self, number: int, minishard: int, span: tuple[int, int], *, report: bool
    ) -> Entries:
        """Read one minishard's index; return its chunks, without those that can't be right."""
        place = f"{self._scale.key}/{shard_name(self._how, number)}"
        data = self._store.get_range(place, self._table + span[0], span[1] - span[0])
        limit = min(24 * self._scale.count + (1 << 16), INDEX_LIMIT)
        try:
            raw = unpack(data, "gzip" if self._how.index_gzip else "", limit)
        except ValueError as error:
            return self._spoilt(place, f"minishard {minishard} {error}", report=report)
        if len(raw) % 24:
            text = f"the index of minishard {minishard} is {len(raw)} bytes, no multiple of 24"
            return self._spoilt(place, text, report=report)
        rows = np.frombuffer(raw, "<u8").reshape(3, -1).astype(np.uint64)
        ids = np.cumsum(rows[0], dtype=np.uint64)
        before = np.concatenate([[np.uint64(0)], np.cumsum(rows[2], dtype=np.uint64)[:-1]])
        starts = np.cumsum(rows[1], dtype=np.uint64) + before + np.uint64(self._table)
        good, seen = [], set[int]()
        listed = zip(ids.tolist(), starts.tolist(), rows[2].tolist(), strict=True)
        for at, entry in enumerate(listed):
            why = self._wrong(number, minishard, entry, seen)
            seen.add(entry[0])
            if why is None:
                good.append(at)
            elif report and why[0]:
                self._found.problem(why[0], place, why[1], REWRITE)
        if report and not np.all(ids[:-1] < ids[1:]):
            self._found.note(f"{place}: its ids don't ascend, which some readers expect")
        kept = np.array(good, np.int64)
        kept = kept[np.argsort(ids[kept])]
        return Entries(ids[kept], starts[kept], rows[2][kept])

    def _spoilt(self, place: str, text: str, *, report: bool) -> Entries:
        """Say that an index can't be read."""
        if report:
            self._found.problem("minishard-index", place, text, REWRITE)
        return NOTHING

    def _wrong(
        self, shard: int, minishard: int, entry: tuple[int, int, int], seen: set[int]
    ) -> tuple[str, str] | None:
        """Return the kind of what is wrong with a chunk's entry, and the words; None: nothing."""
        number, start, length = entry
        if self._cell(number) is None:
            return "chunk-outside", f"holds chunk {number}, which is outside the grid"
        due = place_of(self._how, number)
        if due != (shard, minishard):
            text = f"holds chunk {number} in minishard {minishard}; it belongs in {due[1]} of "
            return "chunk-misplaced", text + shard_name(self._how, due[0])
        if number in seen:
            return "chunk-twice", f"holds chunk {number} more than once"
        size = self._shards[shard]
        if start < self._table or start + length > size:
            text = f"chunk {number} is at {start}+{length}, outside the {size} bytes"
            return "chunk-range", text
        return None if length else ("", "")  # of no bytes: a hole

    # --- where things are

    def _spans(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Walk a shard's minishards that aren't empty: number, start and end after the table."""
        place = f"{self._scale.key}/{shard_name(self._how, number)}"
        for at in range(0, self._table, TABLE_PIECE):
            piece = self._store.get_range(place, at, min(TABLE_PIECE, self._table - at))
            for i, (start, end) in enumerate(_ENTRY.iter_unpack(piece)):
                if start != end:
                    yield at // _ENTRY.size + i, start, end

    def _cell(self, number: int) -> Vec | None:
        """Return the cell of a chunk id, None where it is outside the grid."""
        if number >> len(self._axes):
            return None
        cell, taken = [0, 0, 0], [0, 0, 0]
        for place, axis in enumerate(self._axes):
            cell[axis] |= ((number >> place) & 1) << taken[axis]
            taken[axis] += 1
        inside = all(n < g for n, g in zip(cell, self._grid, strict=True))
        return Vec(*cell) if inside else None

    def _is_due(self, shard: int) -> bool:
        """Tell whether a shard of this number can hold a chunk of the grid."""
        bits = self._how.bits
        if shard >> bits.shard:
            return False
        if self._how.hash != "identity" or bits.low + bits.shard < len(self._axes):
            return True  # ids are strewn, or wrap around
        return self._cell(shard << bits.low) is not None

    def _keep(self, at: tuple[int, int], entries: Entries) -> None:
        """Keep a minishard's index, and forget the oldest when there are too many."""
        with self._lock:
            if at in self._kept:
                return
            self._kept[at] = entries
            self._room -= len(entries.ids) + 8
            while self._room < 0 and len(self._kept) > 1:
                self._room += len(self._kept.popitem(last=False)[1].ids) + 8

    def _index(self, shard: int, minishard: int) -> Entries:
        """Return a minishard's index, read again where it isn't kept."""
        if shard not in self._shards:
            return NOTHING
        at = (shard, minishard)
        with self._lock:
            if at in self._kept:
                self._kept.move_to_end(at)
                return self._kept[at]
        place = f"{self._scale.key}/{shard_name(self._how, shard)}"
        entry = self._store.get_range(place, minishard * _ENTRY.size, _ENTRY.size)
        start, end = _ENTRY.unpack(entry)
        fits = start < end and self._table + end <= self._shards[shard]
        found = self._entries(*at, (start, end), report=False) if fits else NOTHING
        self._keep(at, found)
        return found

    # --- what a scale's objects are asked

    def present(self) -> Iterator[Vec]:
        """Walk the cells whose chunk is there, shard by shard."""
        for shard in sorted(self._shards):
            for minishard, *_ in self._spans(shard):
                for number in self._index(shard, minishard).ids.tolist():
                    cell = self._cell(number)
                    if cell is not None:
                        yield cell

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is there."""
        return self._find(cell) is not None

    def _find(self, cell: Vec) -> tuple[str, int, int] | None:
        """Return a chunk's object, start and length."""
        number = chunk_id(cell, self._grid)
        shard, minishard = place_of(self._how, number)
        span = self._index(shard, minishard).find(number)
        return span and (f"{self._scale.key}/{shard_name(self._how, shard)}", *span)

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk."""
        found = self._find(cell)
        if found is None:
            return None
        place, start, length = found
        if length > 2 * limit:
            msg = f"is {length} bytes in {place}, where {limit} at most can be right"
            raise ValueError(msg)
        data = self._store.get_range(place, start, length)
        if len(data) != length:
            msg = f"{place} answered {len(data)} bytes where {length} were asked for"
            raise ValueError(msg)
        where = f"{place} ({self._scale.chunk_box(cell).name})"
        return Raw(where, unpack(data, "gzip" if self._how.data_gzip else "", limit))


def place_of(how: Sharding, number: int) -> tuple[int, int]:
    """Return shard and minishard of a chunk id."""
    bits = how.bits
    code = _hash(number >> bits.preshift, how)
    minishard = code & ((1 << bits.minishard) - 1)
    return (code >> bits.minishard) & ((1 << bits.shard) - 1), minishard


def shard_name(how: Sharding, shard: int) -> str:
    """Return a shard's file name."""
    return f"{shard:0{-(-how.bits.shard // 4)}x}.shard"


def _hash(code: int, how: Sharding) -> int:
    """Hash a shifted chunk id; murmurhash's low 8 bytes, of the id as little-endian uint64."""
    if how.hash == "identity":
        return code
    import mmh3

    digest = mmh3.hash_bytes(code.to_bytes(8, "little"), 0, x64arch=False)
    return int.from_bytes(digest[:8], "little")
