"""The objects of a Zarr array, chunks or shards: their names, and the indices of shards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Vec, ceil_div
from zblocks.omezarr.array import NO_CHUNK
from zblocks.omezarr.reader import ArrayReader, Objects, ShardIndex, Shards
from zblocks.omezarr.stored import Place, ShardFormat, StoredArray
from zblocks.precomputed.scale import Scale
from zblocks.storage import Store
from zblocks.verify.chunks import Chunk, PresentChunks
from zblocks.verify.findings import REWRITE, Findings
from zblocks.verify.zarr.arrays import StoredLevel

DOCUMENTS = ("zarr.json", ".zarray", ".zattrs")
_NAME = re.compile(r"[0-9]+([/.][0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class ZarrChunks:
    """The chunks of a level, by the cells of its grid along x, y and z."""

    scale: Scale
    reader: ArrayReader

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk exists."""
        try:
            return self.reader.has(cell)
        except ValueError:  # in a shard whose index is damaged
            return False

    def read(self, cell: Vec) -> Chunk | None:
        """Return a chunk; None if it doesn't exist. Raises one of `UNREADABLE`."""
        voxels = self.reader.read(cell)
        return None if voxels is None else Chunk(voxels)

    def place(self, cell: Vec) -> str:
        """Return the object of a chunk, and the chunk's place in a shard."""
        return self.reader.source.where(self.reader.array.places(cell)[0])


def check_objects(
    store: Store, level: StoredLevel, listing: Mapping[str, int], found: Findings
) -> PresentChunks:
    """Find stray objects and damaged shards of an array; return the chunks that can be read.

    `listing` is the bytes of each object in the array's folder, by name.
    """
    array, sizes = level.array, dict[Place, int]()
    for name in sorted(listing):
        place = array.locate(name)
        if place is not None:
            sizes[place] = listing[name]
        elif name not in DOCUMENTS and (name or listing[name]):
            _stray(array, name, found)
    if array.shards is None:
        reader = ArrayReader(array, Objects(store, array, sizes))
        cells = {array.cell(place) for place in sizes if array.is_first(place)}
        chunks = ZarrChunks(level.scale, reader)
        return PresentChunks(chunks, len(cells), lambda: iter(sorted(cells, key=lambda c: c[::-1])))
    shards = _Shards(level, Shards(store, array), array.shards, found)
    for place, size in sizes.items():
        shards.check_object(place, size)
    chunks = ZarrChunks(level.scale, ArrayReader(array, shards.source))
    return PresentChunks(chunks, shards.count(), shards.cells)


def _stray(array: StoredArray, name: str, found: Findings) -> None:
    place = f"{array.path}/{name}"
    if _NAME.fullmatch(name.removeprefix(array.prefix)):
        text = "is off the grid, perhaps of another chunk size or array"
        found.problem("off-grid-chunk", place, text, "remove it, or correct the array's document")
    else:
        found.problem("stray-object", place, "is not an object of this array", "remove it")


@dataclass(slots=True)
class _Shards:
    """The shards of a level, as far as their indices can be read."""

    level: StoredLevel
    source: Shards
    layout: ShardFormat
    found: Findings
    usable: list[Place] = field(default_factory=list)

    def check_object(self, shard: Place, size: int) -> None:
        array, found = self.level.array, self.found
        key, wanted = array.key(shard), self.layout.index_bytes
        if size < wanted:
            text = f"is {size} bytes, less than its index of {wanted}"
            found.problem("short-shard", key, text, REWRITE)
            return
        try:
            index = self.source.index(shard)
        except ValueError as error:
            text = str(error).removeprefix(f"{key}: ")
            found.problem("shard-index", key, text, REWRITE)
            return
        if index is None:
            found.problem("shard-index", key, "is listed and can't be read", REWRITE)
            return
        found.count("shards", 1, self.level.scale.key)
        self.usable.append(shard)
        self._check_index(index, shard)

    def _check_index(self, index: ShardIndex, shard: Place) -> None:
        array, found, key = self.level.array, self.found, self.level.array.key(shard)
        there, sound = _present(index)
        for inner in np.argwhere(there & ~sound)[:1]:
            fault = index.fault(*index.entries[tuple(inner)].tolist())
            count = np.count_nonzero(there & ~sound) - 1
            text = f"chunk {'/'.join(map(str, inner))} {fault}"
            found.problem("chunk-range", key, text, REWRITE)
            if count:
                found.problem("chunk-range", key, "has more such chunks", REWRITE, int(count))
        outside = there & ~self._inside(shard, there.shape)
        if np.any(outside):
            count = np.count_nonzero(outside)
            found.note(f"{key}: {count} chunks lie outside of the array {list(array.shape)}")
        spans = index.entries[there & sound]
        spans = spans[np.argsort(spans[:, 0], kind="stable")]
        ends = spans[:-1, 0] + spans[:-1, 1]
        for at in np.nonzero(spans[1:, 0] < ends)[0][:1]:
            text = f"uses bytes {spans[at + 1, 0]}–{ends[at]} for two chunks"
            found.problem("shard-overlap", key, text, REWRITE)

    def _inside(self, shard: Place, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return a mask of the chunks of a shard that lie in the array, at least in part."""
        array = self.level.array
        inside = np.ones(shape, np.bool_)
        axes = zip(array.shape, array.chunk, shard, self.layout.chunks, strict=True)
        for axis, (size, chunk, at, per) in enumerate(axes):
            count = max(min(ceil_div(size, chunk) - at * per, per), 0)
            inside[(slice(None),) * axis + (slice(count, None),)] = False
        return inside

    def _cells(self, shards: list[Place]) -> npt.NDArray[np.bool_]:
        """Return a mask of the cells (z, y, x) of shards in one place: any channel has a chunk."""
        found: Any = False
        for shard in shards:
            index = self.source.index(shard)
            if index is not None:
                there, sound = _present(index)
                inside = there & sound & self._inside(shard, there.shape)
                found = found | self.level.array.arrange(inside).any(axis=3)
        cells: npt.NDArray[np.bool_] = np.asarray(found)
        return cells

    def _places(self) -> Iterator[tuple[Vec, npt.NDArray[np.bool_]]]:
        """Walk the shards by their place along x, y and z: which of their cells are there."""
        array = self.level.array
        by_place: dict[Vec, list[Place]] = {}
        for shard in self.usable:
            if array.is_first(shard):
                by_place.setdefault(array.cell(shard), []).append(shard)
        for at in sorted(by_place, key=lambda v: v[::-1]):
            yield at, self._cells(by_place[at])

    def count(self) -> int:
        """Return the number of cells with a chunk."""
        return sum(int(np.count_nonzero(cells)) for _, cells in self._places())

    def cells(self) -> Iterator[Vec]:
        """Walk the cells whose chunk is there, shard by shard."""
        per = self.level.array.cell(self.layout.chunks)
        for at, cells in self._places():
            for z, y, x in np.argwhere(cells).tolist():
                yield Vec(at.x * per.x + x, at.y * per.y + y, at.z * per.z + z)


def _present(index: ShardIndex) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return masks of the chunks of a shard that exist, and of those that lie within its bytes."""
    offsets, sizes = index.entries[..., 0], index.entries[..., 1]
    there = ~((offsets == NO_CHUNK) & (sizes == NO_CHUNK))
    stop = np.uint64(index.stop)
    sound = (
        (offsets >= index.start) & (offsets <= stop) & (sizes <= stop - np.minimum(offsets, stop))
    )
    return there, sound
