"""The objects of a scale, of one chunk or many: their names and indices are checked.

Format: Neuroglancer, `src/datasource/precomputed/volume.md` and `sharded.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zblocks.compression import UNPACKED
from zblocks.geometry import Vec
from zblocks.precomputed.reader import (
    ChunkObjects,
    ChunkShards,
    ListedChunk,
    ScaleReader,
    ShardIndices,
)
from zblocks.precomputed.scale import ENDINGS, Scale, looks_like_a_chunk, shard_key
from zblocks.precomputed.sharding import (
    EMPTY_INDEX,
    MinishardIndex,
    Sharding,
    axis_bits,
    cell_of,
    shard_name,
    shard_of,
)
from zblocks.storage import Store
from zblocks.verify.chunks import Chunk, PresentChunks
from zblocks.verify.findings import REWRITE, Findings

_ENCODINGS = {ending: name for name, ending in ENDINGS.items()}


@dataclass(frozen=True, slots=True)
class PrecomputedChunks:
    """The chunks of a scale of a precomputed volume."""

    reader: ScaleReader

    @property
    def scale(self) -> Scale:
        """The scale as `info` describes it."""
        return self.reader.scale

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk exists."""
        return self.reader.source.has(cell)

    def read(self, cell: Vec) -> Chunk | None:
        """Return a chunk; None if it doesn't exist. Raises one of `UNREADABLE`."""
        data = self.reader.read_encoded(cell)
        return None if data is None else Chunk(self.reader.decode(cell, data), data)

    def place(self, cell: Vec) -> str:
        """Return the name of a chunk, after the folder of its scale."""
        return f"{self.scale.key}/{self.scale.chunk_box(cell).name}"


def check_unsharded(
    store: Store, scale: Scale, listing: Mapping[str, int], found: Findings
) -> list[PresentChunks]:
    """Sort a scale's objects by chunk size, find stray ones; return the chunks of each size.

    `listing` is the bytes of each object in the scale's folder, by name.
    """
    copies = scale.copies()
    listed: list[dict[Vec, ListedChunk]] = [{} for _ in copies]
    for name in sorted(listing):
        place, (chunk, ending) = f"{scale.key}/{name}", _split(name)
        if not name and not listing[name]:
            continue  # consoles put this to show an empty folder
        cells = [copy.cell_named(chunk) for copy in copies]
        if all(cell is None for cell in cells):
            _stray(place, chunk, found)
        elif ending and not store.local:
            text = f"is not found by viewers, which ask for {chunk}"
            how = f"with the Content-Encoding {_ENCODINGS[ending]}"
            do = f"store it as {chunk}, {how}; zblocks view prints the command for all"
            found.problem("ending-in-bucket", place, text, do)
        elif twin := _add(ListedChunk(name, listing[name]), cells, listed):
            do = "remove the one that is not right"
            found.problem("duplicate-chunk", place, f"exists as {twin}, too", do)
    return [_present(store, *copy) for copy in zip(copies, listed, strict=True)]


def _present(store: Store, scale: Scale, listed: dict[Vec, ListedChunk]) -> PresentChunks:
    chunks = PrecomputedChunks(ScaleReader(scale, ChunkObjects(store, scale, listed)))
    return PresentChunks(chunks, len(listed), lambda: iter(sorted(listed, key=lambda c: c[::-1])))


def _add(
    chunk: ListedChunk, cells: Sequence[Vec | None], listed: Sequence[dict[Vec, ListedChunk]]
) -> str:
    """Assign a chunk to its cell; if the cell has one already, return that one's name."""
    for cell, by_cell in zip(cells, listed, strict=True):
        if cell in by_cell:
            return by_cell[cell].name
        if cell is not None:
            by_cell[cell] = chunk
    return ""


def _stray(place: str, chunk: str, found: Findings) -> None:
    if looks_like_a_chunk(chunk):
        text = "is off the grid, perhaps of another chunk size or volume"
        found.problem("off-grid-chunk", place, text, "remove it, or correct info")
    else:
        found.problem("stray-object", place, "is not a chunk of this scale", "remove it")


def _split(name: str) -> tuple[str, str]:
    """Return an object's name without its ending, and the ending of a compressed chunk."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if dot + ending in _ENCODINGS else (name, "")


_SHARD = re.compile(r"([0-9a-f]*)\.shard", re.ASCII)

Report = Callable[[str, str], None]  # takes the kind of a problem, and the message


def check_shards(
    store: Store, scale: Scale, sharding: Sharding, listing: Mapping[str, int], found: Findings
) -> PresentChunks:
    """Check the shards of a scale, listed as above; return the chunks that can be read."""
    shards = _Shards(ShardIndices(store, scale, sharding), found)
    for name in sorted(listing):
        if name or listing[name]:
            shards.check_object(name, listing[name])
    chunks = PrecomputedChunks(ScaleReader(scale, shards.chunks))
    return PresentChunks(chunks, shards.count, shards.cells)


@dataclass(slots=True)
class _Shards:
    """The shards of a scale, as far as they can be used."""

    indices: ShardIndices
    found: Findings
    sizes: dict[int, int] = field(default_factory=dict)
    """Bytes of each shard whose index can be read, by its number."""
    count: int = 0  # chunks that are there
    chunks: ChunkShards = field(init=False)

    def __post_init__(self) -> None:
        self.chunks = ChunkShards(self.indices, self._load)

    def check_object(self, name: str, size: int) -> None:
        scale, sharding = self.indices.scale, self.indices.sharding
        place, match = f"{scale.key}/{name}", _SHARD.fullmatch(name)
        number = int(match[1] or "0", 16) if match and len(name) < 40 else -1
        if name.endswith((".index", ".data")):
            text, do = "is of the obsolete pair of index and data", "write one .shard instead"
            self.found.problem("obsolete-shard", place, text, do)
        elif number < 0 or shard_name(sharding, number) != name or not self._can_hold(number):
            self.found.problem("stray-object", place, "is not a shard of this scale", "remove it")
        elif size < sharding.index_bytes:
            text = f"is {size} bytes, less than its index of {sharding.index_bytes}"
            self.found.problem("short-shard", place, text, REWRITE)
        elif (encoding := self._content_encoding(place)).lower() not in UNPACKED:
            text = f"has Content-Encoding {encoding}, so that viewers can't read ranges of it"
            do = "store the same bytes without a Content-Encoding"
            self.found.problem("shard-content-encoding", place, text, do)
        else:
            self.found.count("shards", 1, scale.key)
            self.sizes[number] = size
            self._check_indices(number)

    def _content_encoding(self, place: str) -> str:
        store = self.indices.store
        return "" if store.local else store.fetch(place, (0, 1)).content_encoding

    def cells(self) -> Iterator[Vec]:
        """Walk the cells whose chunk is there, shard by shard."""
        grid = self.indices.scale.grid
        for shard in sorted(self.sizes):
            for minishard, *_ in self.indices.minishards(shard):
                for number in self.chunks.index(shard, minishard).ids.tolist():
                    cell = cell_of(number, grid)
                    if cell is not None:
                        yield cell

    def _can_hold(self, shard: int) -> bool:
        """Return whether a shard of this number can hold a chunk of the grid."""
        grid, sharding = self.indices.scale.grid, self.indices.sharding
        if shard >> sharding.shard:
            return False
        if sharding.hash != "identity" or sharding.low + sharding.shard < len(axis_bits(grid)):
            return True  # ids are scattered, or wrap around
        return cell_of(shard << sharding.low, grid) is not None

    def _check_indices(self, shard: int) -> None:
        place, size = shard_key(self.indices.scale, shard), self.sizes[shard]
        spans, before, offset = [], self.count, self.indices.sharding.index_bytes

        def report(kind: str, text: str) -> None:
            self.found.problem(kind, place, text, REWRITE)

        for minishard, start, end in self.indices.minishards(shard):
            if not self._fits(shard, start, end):
                text = f"minishard {minishard} is at {start}–{end}, outside the {size} bytes"
                report("minishard-range", text)
                continue
            index = self._read_index(shard, minishard, start, end, report)
            self.chunks.keep(shard, minishard, index)
            self.count += len(index.ids)
            starts = index.starts - np.uint64(offset)
            spans.append(np.array([[start, end]], np.uint64))
            spans.append(np.stack([starts, starts + index.sizes], 1))
        if spans:
            _check_overlap(np.concatenate(spans), report)
        if self.count == before:
            self.found.note(f"{place}: holds no chunks; it may be removed")

    def _load(self, shard: int, minishard: int) -> MinishardIndex:
        """Return what can be used of an index that isn't kept; its faults have been reported."""
        if shard not in self.sizes:
            return EMPTY_INDEX
        start, end = self.indices.span(shard, minishard)
        if start == end or not self._fits(shard, start, end):
            return EMPTY_INDEX
        return self._read_index(shard, minishard, start, end, lambda _kind, _text: None)

    def _fits(self, shard: int, start: int, end: int) -> bool:
        return start <= end and self.indices.sharding.index_bytes + end <= self.sizes[shard]

    def _read_index(
        self, shard: int, minishard: int, start: int, end: int, report: Report
    ) -> MinishardIndex:
        """Return the entries that can be right, ids ascending; report the faults of the others."""
        try:
            index = self.indices.read(shard, start, end)
        except ValueError as error:
            report("minishard-index", f"minishard {minishard}: {error}")
            return EMPTY_INDEX
        if not np.all(index.ids[:-1] < index.ids[1:]):
            place = shard_key(self.indices.scale, shard)
            self.found.note(f"{place}: its ids don't ascend, which some readers expect")
        usable, seen, first = [], set[int](), self.indices.sharding.index_bytes
        entries = zip(index.ids.tolist(), index.starts.tolist(), index.sizes.tolist(), strict=True)
        for at, (number, begin, length) in enumerate(entries):
            fault = self._fault_of_id(shard, minishard, number)
            if fault is None and number in seen:
                fault = "chunk-twice", f"holds chunk {number} more than once"
            if fault is None and not first <= begin <= self.sizes[shard] - length:
                text = f"chunk {number} is at {begin}+{length}, outside the {self.sizes[shard]} "
                fault = "chunk-range", text + "bytes"
            seen.add(number)
            if fault is not None:
                report(*fault)
            elif length:  # a chunk of no bytes is absent
                usable.append(at)
        kept = np.array(usable, np.int64)
        kept = kept[np.argsort(index.ids[kept])]
        return MinishardIndex(index.ids[kept], index.starts[kept], index.sizes[kept])

    def _fault_of_id(self, shard: int, minishard: int, number: int) -> tuple[str, str] | None:
        sharding = self.indices.sharding
        if cell_of(number, self.indices.scale.grid) is None:
            return "chunk-outside", f"holds chunk {number}, which is outside the grid"
        right = shard_of(sharding, number)
        if right == (shard, minishard):
            return None
        text = f"holds chunk {number} in minishard {minishard}; it belongs in {right[1]} of "
        return "chunk-misplaced", text + shard_name(sharding, right[0])


def _check_overlap(spans: NDArray[np.uint64], report: Report) -> None:
    spans = spans[np.lexsort((spans[:, 1], spans[:, 0]))]
    ends = np.maximum.accumulate(spans[:-1, 1])
    for at in np.nonzero(spans[1:, 0] < ends)[0][:1]:
        report("shard-overlap", f"uses bytes {spans[at + 1, 0]}–{ends[at]} after its index twice")
