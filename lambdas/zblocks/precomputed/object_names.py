"""The names of a scale's objects, by rule: there is no list of them, since there may be millions.

Objects, chunks or shards, lie on a grid, in layers along z.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

from zblocks.geometry import Box, Span, Vec, is_covered
from zblocks.precomputed.scale import Scale
from zblocks.precomputed.sharding import (
    Sharding,
    cell_of,
    shard_boxes,
    shard_name,
    shard_size,
)

LOW = (1 << 12) - 1  # bits of a shard's number that are looked up together


def object_names(
    scale: Scale, holes: Sequence[Span], suffix: str = ""
) -> _ChunkNames | _ShardNames:
    """Return the names of a scale's objects; a store adds `suffix` to those of chunks.

    Holes are z ranges in voxels, of whole layers, that are left out. A sharding has to have the
    identity as hash.
    """
    if scale.sharding is not None:
        return _ShardNames(scale, scale.sharding, holes)
    return _ChunkNames(scale, holes, suffix)


class _ChunkNames:
    def __init__(self, scale: Scale, holes: Sequence[Span], suffix: str) -> None:
        axes = zip(scale.box.start, scale.box.stop, scale.chunk, strict=True)
        x, y, z = ([f"{a}-{min(a + c, b)}" for a in range(a, b, c)] for a, b, c in axes)
        self._z = [name + suffix for name in z]
        self.layers = {
            k: scale.layer(k) for k in range(len(z)) if not is_covered(holes, *scale.layer(k))
        }
        start, stop, chunk = scale.box.start, scale.box.stop, scale.chunk
        self.xs, self.ys = range(start.x, stop.x, chunk.x), range(start.y, stop.y, chunk.y)
        self._xs = dict(zip(x, self.xs, strict=True))
        self._ys = dict(zip(y, self.ys, strict=True))
        self._layers = {self._z[k]: k for k in self.layers}

    def locate(self, name: str) -> tuple[int, int, int] | None:
        x, _, rest = name.partition("_")
        y, _, z = rest.partition("_")
        if x not in self._xs or y not in self._ys or z not in self._layers:
            return None
        return self._layers[z], self._xs[x], self._ys[y]

    def in_layer(self, layer: int) -> Iterator[str]:
        z = self._z[layer]
        return (f"{x}_{y}_{z}" for y, x in product(self._ys, self._xs))

    def splits(self, count: int) -> list[str]:
        # No `x0-x1_` begins another, so that columns sort by these.
        xs, ys = (sorted(f"{name}_" for name in axis) for axis in (self._xs, self._ys))
        columns = sorted({i * len(self.xs) * len(self.ys) // count for i in range(1, count)} - {0})
        return [xs[c // len(ys)] + ys[c % len(ys)] for c in columns]


class _ShardNames:
    def __init__(self, scale: Scale, sharding: Sharding, holes: Sequence[Span]) -> None:
        self._sharding, self._grid = sharding, scale.grid
        digits = len(shard_name(sharding, 0).partition(".")[0])
        self._name = re.compile(rf"([0-9a-f]{{{digits}}})\.shard", re.ASCII)
        self._cell = lru_cache(2 * LOW)(lambda number: cell_of(number << sharding.low, scale.grid))
        size = shard_size(sharding, scale.grid)
        self._depth, self._start, self._chunk = size.z, scale.box.start, scale.chunk
        step, stop = size.times(scale.chunk), scale.box.stop
        self.xs = range(self._start.x, stop.x, step.x)
        self.ys = range(self._start.y, stop.y, step.y)
        tops = range(0, scale.grid.z, self._depth)
        ends = [(z, min(z + self._depth, scale.grid.z) - 1) for z in tops]
        spans = [(scale.layer(a)[0], scale.layer(b)[1]) for a, b in ends]
        self.layers = {k: span for k, span in enumerate(spans) if not is_covered(holes, *span)}

    def _layer(self, layer: int) -> Box:
        """Return the cells at the beginning of a layer."""
        z = layer * self._depth
        return Box(Vec(0, 0, z), Vec(self._grid.x, self._grid.y, z + 1))

    def locate(self, name: str) -> tuple[int, int, int] | None:
        match = self._name.fullmatch(name)
        if match is None:
            return None
        number = int(match[1], 16)
        # Each bit adds to one coordinate, and neighbours in a listing share the high ones.
        low = self._cell(number & LOW)
        high = self._cell(number & ~LOW)
        if low is None or high is None:
            return None
        x, y, layer = low.x + high.x, low.y + high.y, (low.z + high.z) // self._depth
        if x >= self._grid.x or y >= self._grid.y or layer not in self.layers:
            return None
        chunk, start = self._chunk, self._start
        return layer, start.x + x * chunk.x, start.y + y * chunk.y

    def in_layer(self, layer: int) -> Iterator[str]:
        shards = shard_boxes(self._sharding, self._grid, self._layer(layer))
        return (shard_name(self._sharding, number) for number, _ in shards)

    def splits(self, count: int) -> list[str]:
        numbers = 1 << self._sharding.shard
        firsts = sorted({i * numbers // count for i in range(1, count)} - {0})
        return [shard_name(self._sharding, number - 1) for number in firsts]
