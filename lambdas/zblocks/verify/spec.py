"""A volume as its `info` describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from zblocks.geometry import Box, Vec, ceil_div
from zblocks.precomputed.sharding import ShardBits

_CHUNK = re.compile(r"(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)", re.ASCII)

WALKED = 10**7
"""Cells of a grid that are still walked one by one; of more, only the chunks that are there."""


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a scale's chunks lie in shards."""

    bits: ShardBits
    hash: str
    index_gzip: bool
    data_gzip: bool


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """One scale, cut in one way."""

    key: str
    """Its folder, relative to the volume."""
    box: Box
    chunk: Vec
    resolution: tuple[float, float, float]
    encoding: str
    block: Vec | None
    """Of compressed_segmentation, voxels."""
    sharding: Sharding | None
    more: tuple[Vec, ...] = ()
    """Other chunk sizes: each is a whole copy of the scale, cut in another way."""

    @property
    def grid(self) -> Vec:
        """Chunks per axis."""
        return self.box.grid(self.chunk)

    @property
    def count(self) -> int:
        """Chunks of the grid."""
        grid = self.grid
        return grid.x * grid.y * grid.z

    def copies(self) -> tuple[ScaleSpec, ...]:
        """Return the scale in each way that it is cut, without the others."""
        return tuple(replace(self, chunk=c, more=()) for c in (self.chunk, *self.more))

    def cell_at(self, number: int) -> Vec:
        """Return a cell by its number, x fastest, then y, z."""
        grid = self.grid
        rest, x = divmod(number, grid.x)
        z, y = divmod(rest, grid.y)
        return Vec(x, y, z)

    def cells(self) -> Iterator[Vec]:
        """Walk the grid, x fastest."""
        grid = self.grid
        return (Vec(x, y, z) for z in range(grid.z) for y in range(grid.y) for x in range(grid.x))

    def chunk_box(self, cell: Vec) -> Box:
        """Return the voxels of a grid cell's chunk, clipped."""
        start = Vec(*(b + c * n for b, c, n in zip(self.box.start, cell, self.chunk, strict=True)))
        stop = Vec(
            *map(min, self.box.stop, (s + n for s, n in zip(start, self.chunk, strict=True)))
        )
        return Box(start, stop)

    def touching(self, box: Box) -> Iterator[tuple[Vec, Box]]:
        """Walk the cells, with their boxes, that a box touches."""
        start, chunk = self.box.start, self.chunk
        first = [(b - s) // c for b, s, c in zip(box.start, start, chunk, strict=True)]
        last = [ceil_div(b - s, c) for b, s, c in zip(box.stop, start, chunk, strict=True)]
        for z in range(first[2], last[2]):
            for y in range(first[1], last[1]):
                for x in range(first[0], last[0]):
                    yield Vec(x, y, z), self.chunk_box(Vec(x, y, z))

    def cell_named(self, name: str) -> Vec | None:
        """Return the cell whose chunk has a name, None where none has."""
        match = _CHUNK.fullmatch(name)
        if match is None or len(name) > 200:
            return None
        x, _, y, _, z, _ = map(int, match.groups())
        at = zip((x, y, z), self.box.start, self.chunk, strict=True)
        cell = Vec(*((v - s) // c for v, s, c in at))
        inside = all(0 <= n < g for n, g in zip(cell, self.grid, strict=True))
        return cell if inside and self.chunk_box(cell).name == name else None


def looks_like_a_chunk(name: str) -> bool:
    """Tell whether a name is a box, of whatever grid."""
    return _CHUNK.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A whole volume."""

    layer: str
    dtype: str
    channels: int
    scales: tuple[ScaleSpec, ...]
