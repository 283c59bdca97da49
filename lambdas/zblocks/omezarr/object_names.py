"""The names of a Zarr array's objects, by rule: there may be too many for a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

from zblocks.geometry import ONE, Span, Vec, is_covered
from zblocks.omezarr.array import ZarrArray

_NAME = re.compile(r"(0|[1-9]\d*)/(0|[1-9]\d*)/(0|[1-9]\d*)", re.ASCII)


class ZarrNames:
    """The objects, chunks or shards, of an array by their names in its folder."""

    layers: dict[int, Span]
    """The z range, in voxels, of each layer of objects that isn't a hole, by its index."""
    xs: range
    ys: range
    """The first voxel along x, and along y, of the objects of each layer."""

    def __init__(self, array: ZarrArray, start: Vec, holes: Sequence[Span]) -> None:
        """Take an array, its first voxel, and z ranges in voxels that are left out."""
        step = array.chunk.times(array.shard or ONE)
        stop = Vec(*(a + n for a, n in zip(start, array.size, strict=True)))
        self.xs, self.ys, zs = (range(a, b, n) for a, b, n in zip(start, stop, step, strict=True))
        spans = [(z, min(z + step.z, stop.z)) for z in zs]
        self.layers = {k: span for k, span in enumerate(spans) if not is_covered(holes, *span)}

    def locate(self, name: str) -> tuple[int, int, int] | None:
        """Return the layer of the object with this name, and its first voxel along x and y.

        None if the scale has no such object.
        """
        match = _NAME.fullmatch(name)
        if match is None or len(name) > 100:
            return None
        z, y, x = map(int, match.groups())
        if z not in self.layers or y >= len(self.ys) or x >= len(self.xs):
            return None
        return z, self.xs[x], self.ys[y]

    def in_layer(self, layer: int) -> Iterator[str]:
        """Yield the names of all objects of a layer."""
        rows = product(range(len(self.ys)), range(len(self.xs)))
        return (f"{layer}/{y}/{x}" for y, x in rows)

    def splits(self, count: int) -> list[str]:
        """Return ascending strings that split all names into up to `count` runs of about one size.

        A name belongs to the run of the first string that isn't less than it, or to the last run.
        """
        # No `z/` begins another, so that rows sort by these.
        zs, ys = (sorted(f"{n}/" for n in axis) for axis in (self.layers, range(len(self.ys))))
        total = len(zs) * len(ys)
        rows = sorted({i * total // count for i in range(1, count)} - {0})
        return [zs[r // len(ys)] + ys[r % len(ys)] for r in rows]
