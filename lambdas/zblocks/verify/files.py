"""The objects of one scale: which are due, which are there, and each chunk's bytes.

Loose: an object a chunk, named by its box; in a folder perhaps with the ending of its packing.
Sharded: many chunks in one object; `Shards` reads every index before the first chunk.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Vec
from zblocks.precomputed.decode import UNPACKED, UndecodedError, unpack
from zblocks.precomputed.shards import chunk_id
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.info import ScaleSpec, Sharding

ENDINGS = {".gz": "gzip", ".br": "br", ".zstd": "zstd"}
"""How tools that write folders mark a chunk's Content-Encoding."""

_CHUNK = re.compile(r"(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)")
_ENTRY = struct.Struct("<QQ")
INDEX_LIMIT = 1 << 28
"""Bytes of a minishard index that are still taken for one."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One chunk's bytes, unpacked, and the object they came from."""

    place: str
    data: bytes


class Files(Protocol):
    """The objects of one scale."""

    def check(self) -> None:
        """Hold the listing against what is due."""

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk, None for a hole.

        Raises:
            ValueError: it can't be unpacked.
            UndecodedError: there is no decoder for its packing.
        """


def cells(scale: ScaleSpec) -> Iterator[Vec]:
    """Walk the grid, x fastest."""
    grid = scale.grid
    return (Vec(x, y, z) for z in range(grid.z) for y in range(grid.y) for x in range(grid.x))


class Loose:
    """An object a chunk."""

    def __init__(
        self, store: Store, scale: ScaleSpec, listing: dict[str, int], found: Findings
    ) -> None:
        self._store, self._scale, self._found = store, scale, found
        self._listing = listing
        """Bytes by name in the scale's folder."""

    def check(self) -> None:
        """Find strays: off the grid, twice there, or nothing of a volume."""
        seen: dict[str, str] = {}
        for name in sorted(self._listing):
            place, (chunk, ending) = f"{self._scale.key}/{name}", _split(name)
            match = _CHUNK.fullmatch(chunk)
            if match is None:
                self._found.problem("stray-object", place, "is no chunk of this scale; remove it")
            elif not self._is_due(chunk, match):
                text = "is off the grid, of another chunk size or volume perhaps; remove it"
                self._found.problem("off-grid-chunk", place, text)
            elif chunk in seen:
                text = f"is there as {seen[chunk]}, too; remove the one that is not right"
                self._found.problem("duplicate-chunk", place, text)
            elif ending and not self._store.local:
                text = f"viewers ask for {chunk}; store it so, with a Content-Encoding"
                self._found.problem("ending-in-bucket", place, text)
            seen[chunk] = name

    def _is_due(self, name: str, match: re.Match[str]) -> bool:
        x, _, y, _, z, _ = map(int, match.groups())
        start, chunk = self._scale.box.start, self._scale.chunk
        steps = [divmod(v - s, c) for v, s, c in zip((x, y, z), start, chunk, strict=True)]
        cell, rest = Vec(*(s[0] for s in steps)), [s[1] for s in steps]
        inside = all(0 <= n < g for n, g in zip(cell, self._scale.grid, strict=True))
        return inside and not any(rest) and self._scale.chunk_box(cell).name == name

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk."""
        names = object_names(self._scale, cell, local=self._store.local)
        name = next((n for n in names if n in self._listing), None)
        if name is None:
            return None
        place = f"{self._scale.key}/{name}"
        data, packing = self._store.get_packed(place)
        packing = ENDINGS.get(_split(name)[1], packing)
        if "," in packing:
            msg = f"has two Content-Encodings, {packing}, which no viewer undoes"
            raise ValueError(msg)
        return Raw(place, unpack(data, packing, limit))


def _split(name: str) -> tuple[str, str]:
    """Return a file's name without, and the ending of, its packing."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if dot + ending in ENDINGS else (name, "")


class Shards:
    """Many chunks an object."""

    def __init__(
        self, store: Store, scale: ScaleSpec, listing: dict[str, int], found: Findings
    ) -> None:
        assert scale.sharding is not None  # noqa: S101 - the caller chose this class by it
        self._store, self._scale, self._found = store, scale, found
        self._listing, self._how = listing, scale.sharding
        self._chunks: dict[int, tuple[str, int, int]] = {}
        """Object, start and length of each chunk, by its id."""

    @cached_property
    def _due(self) -> set[int]:
        """The ids of all chunks."""
        return {chunk_id(cell, self._scale.grid) for cell in cells(self._scale)}

    def check(self) -> None:
        """Read every index; hold it against the rules."""
        numbers = {_shard_name(self._how, _place_of(self._how, i)[0]) for i in self._due}
        for name in sorted(self._listing):
            place = f"{self._scale.key}/{name}"
            if name.endswith((".index", ".data")):
                text = "is of the obsolete pair of index and data; write one .shard"
                self._found.problem("obsolete-shard", place, text)
            elif name not in numbers:
                self._found.problem("stray-object", place, "is no shard of this scale; remove it")
            else:
                self._found.count("shards")
                self._check_shard(place, self._listing[name])

    def _check_shard(self, place: str, size: int) -> None:
        """Read a shard's index and its minishards' indices."""
        packing = self._store.packing(place)
        if packing not in UNPACKED:
            text = f"has Content-Encoding {packing}: ranges of it mean nothing to a viewer"
            self._found.problem("shard-content-encoding", place, text)
            return
        table = _ENTRY.size << self._how.bits.minishard
        if size < table:
            text = f"is {size} bytes, less than its index of {table}"
            self._found.problem("short-shard", place, text)
            return
        index, spans = self._store.get_range(place, 0, table), []
        for minishard in range(1 << self._how.bits.minishard):
            start, end = _ENTRY.unpack_from(index, minishard * _ENTRY.size)
            if start == end:
                continue
            if end < start or table + end > size:
                text = f"minishard {minishard} is at {start}–{end}, outside the {size} bytes"
                self._found.problem("minishard-range", place, text)
                continue
            spans.append((start, end))
            spans += self._check_minishard(place, minishard, (table + start, end - start), size)
        for (_, end), (start, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
            if start < end:
                text = f"bytes {start}–{end} after the index belong to two things"
                self._found.problem("shard-overlap", place, text)
                break

    def _check_minishard(
        self, place: str, minishard: int, span: tuple[int, int], size: int
    ) -> list[tuple[int, int]]:
        """Read one minishard's index; return the spans of its chunks."""
        data = self._store.get_range(place, *span)
        try:
            raw = unpack(data, "gzip" if self._how.index_gzip else "", INDEX_LIMIT)
        except ValueError as error:
            self._found.problem("minishard-index", place, f"minishard {minishard} {error}")
            return []
        if len(raw) % 24:
            text = f"the index of minishard {minishard} is {len(raw)} bytes, no multiple of 24"
            self._found.problem("minishard-index", place, text)
            return []
        rows = np.frombuffer(raw, "<u8").reshape(3, -1)
        ids, table = np.cumsum(rows[0], dtype=np.uint64), _ENTRY.size << self._how.bits.minishard
        before = np.concatenate([[np.uint64(0)], np.cumsum(rows[2], dtype=np.uint64)[:-1]])
        starts = np.cumsum(rows[1], dtype=np.uint64) + before
        spans = []
        for number, start, length in zip(
            ids.tolist(), starts.tolist(), rows[2].tolist(), strict=True
        ):
            if self._check_entry(place, minishard, number) and length:
                if table + start + length > size:
                    text = f"chunk {number} is at {start}+{length}, outside the {size} bytes"
                    self._found.problem("chunk-range", place, text)
                    continue
                self._chunks[number] = (place, table + start, length)
                spans.append((start, start + length))
        return spans

    def _check_entry(self, place: str, minishard: int, number: int) -> bool:
        """Check that an id belongs where it was found."""
        if number not in self._due:
            text = f"holds chunk {number}, which is outside the grid"
            self._found.problem("chunk-outside", place, text)
            return False
        shard, inside = _place_of(self._how, number)
        name = _shard_name(self._how, shard)
        if place != f"{self._scale.key}/{name}" or inside != minishard:
            text = f"holds chunk {number} in minishard {minishard}; it belongs in {inside} of "
            text += name
            self._found.problem("chunk-misplaced", place, text)
            return False
        if number in self._chunks:
            self._found.problem("chunk-twice", place, f"holds chunk {number} more than once")
            return False
        return True

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk."""
        found = self._chunks.get(chunk_id(cell, self._scale.grid))
        if found is None:
            return None
        place, start, length = found
        data = self._store.get_range(place, start, length)
        where = f"{place} ({self._scale.chunk_box(cell).name})"
        return Raw(where, unpack(data, "gzip" if self._how.data_gzip else "", limit))


def object_names(scale: ScaleSpec, cell: Vec, *, local: bool) -> tuple[str, ...]:
    """Return the names, in the scale's folder, of the objects that may hold a chunk.

    Args:
        scale: of the chunk.
        cell: the chunk.
        local: whether packed chunks may have the ending of their packing.
    """
    if scale.sharding is not None:
        shard, _ = _place_of(scale.sharding, chunk_id(cell, scale.grid))
        return (_shard_name(scale.sharding, shard),)
    endings = ("", *ENDINGS) if local else ("",)
    return tuple(scale.chunk_box(cell).name + ending for ending in endings)


def _place_of(how: Sharding, number: int) -> tuple[int, int]:
    """Return shard and minishard of a chunk id."""
    bits = how.bits
    code = _hash(number >> bits.preshift, how)
    minishard = code & ((1 << bits.minishard) - 1)
    return (code >> bits.minishard) & ((1 << bits.shard) - 1), minishard


def _shard_name(how: Sharding, shard: int) -> str:
    """Return a shard's file name."""
    return f"{shard:0{-(-how.bits.shard // 4)}x}.shard"


def _hash(code: int, how: Sharding) -> int:
    """Hash a shifted chunk id; murmurhash's low 8 bytes, of the id as little-endian uint64."""
    if how.hash == "identity":
        return code
    import mmh3

    digest = mmh3.hash_bytes(code.to_bytes(8, "little"), 0, x64arch=False)
    return int.from_bytes(digest[:8], "little")


def open_files(
    store: Store, scale: ScaleSpec, listing: dict[str, int], found: Findings
) -> Loose | Shards:
    """Return the objects of a scale."""
    kind: Callable[..., Loose | Shards] = Loose if scale.sharding is None else Shards
    return kind(store, scale, listing, found)


def chunk_of(scale: ScaleSpec, box: Box) -> Iterator[tuple[Vec, Box]]:
    """Walk the cells, with their boxes, that a box touches."""
    first = [(b - s) // c for b, s, c in zip(box.start, scale.box.start, scale.chunk, strict=True)]
    last = [
        -(-(b - s) // c) for b, s, c in zip(box.stop, scale.box.start, scale.chunk, strict=True)
    ]
    for z in range(first[2], last[2]):
        for y in range(first[1], last[1]):
            for x in range(first[0], last[0]):
                yield Vec(x, y, z), scale.chunk_box(Vec(x, y, z))


UNREADABLE = (ValueError, UndecodedError, FileNotFoundError, ZblocksError)
"""What reading a chunk may raise; said once, by the pass over all chunks."""
