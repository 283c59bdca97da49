"""Half-open boxes of voxels on the global grid of one scale.

Spatial values are in x, y, z order everywhere; only `Box.slices` converts to numpy's (z, y, x).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy.typing as npt

Voxels = npt.NDArray[Any]
"""Voxels (z, y, x, c) of a volume, or pixels (y, x, c) of a slice; C order."""


class Vec(NamedTuple):
    """Three whole numbers in x, y, z order (voxels, or a factor per axis)."""

    x: int
    y: int
    z: int

    def times(self, other: Vec) -> Vec:
        """Return the product, axis by axis."""
        return Vec(self.x * other.x, self.y * other.y, self.z * other.z)

    def over(self, other: Vec) -> Vec:
        """Return the whole quotient, axis by axis."""
        return Vec(self.x // other.x, self.y // other.y, self.z // other.z)


ONE = Vec(1, 1, 1)


def ceil_div(a: int, b: int) -> int:
    """Return a / b rounded up, exact for any whole a and positive b."""
    return -(-a // b)


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box [start, stop) in voxels of one scale, global coordinates, xyz.

    Raises ValueError if stop is less than start on an axis.
    """

    start: Vec
    stop: Vec

    def __post_init__(self) -> None:
        if any(a > b for a, b in zip(self.start, self.stop, strict=True)):
            msg = f"a box must not end before it starts, got start={self.start} stop={self.stop}"
            raise ValueError(msg)

    @property
    def shape(self) -> Vec:
        """Size per axis, in voxels, xyz."""
        return Vec(*(b - a for a, b in zip(self.start, self.stop, strict=True)))

    @property
    def voxels(self) -> int:
        """Number of voxels inside."""
        return prod(self.shape)

    @property
    def name(self) -> str:
        """`x0-x1_y0-y1_z0-z1`: the chunk's object name (Neuroglancer volume.md, unsharded)."""
        return "_".join(f"{a}-{b}" for a, b in zip(self.start, self.stop, strict=True))

    def __and__(self, other: Box) -> Box:
        """Return the intersection; empty, at a corner of one of the boxes, if there is none."""
        start = Vec(*map(max, self.start, other.start))
        stop = Vec(*map(max, start, map(min, self.stop, other.stop)))
        return Box(start, stop)

    def hull(self, other: Box) -> Box:
        """Return the smallest box that contains both; of an empty one and another, the other."""
        if not self.voxels or not other.voxels:
            return self if self.voxels else other
        start, stop = map(min, self.start, other.start), map(max, self.stop, other.stop)
        return Box(Vec(*start), Vec(*stop))

    def coarsen(self, factor: Vec) -> Box:
        """Return the coarser voxels that this box touches: floor of start, ceil of stop."""
        return Box(
            Vec(*(a // f for a, f in zip(self.start, factor, strict=True))),
            Vec(*(ceil_div(b, f) for b, f in zip(self.stop, factor, strict=True))),
        )

    def refine(self, factor: Vec) -> Box:
        """Return the finer voxels that this box consists of."""
        return Box(self.start.times(factor), self.stop.times(factor))

    def with_z(self, z0: int, z1: int) -> Box:
        """Return the same x and y over [z0, z1)."""
        return Box(self.start._replace(z=z0), self.stop._replace(z=z1))

    def with_y(self, y0: int, y1: int) -> Box:
        """Return the same x and z over [y0, y1)."""
        return Box(self.start._replace(y=y0), self.stop._replace(y=y1))

    def grid(self, size: Vec) -> Vec:
        """Return how many cells of `size` cover this box, per axis, anchored at its start."""
        return Vec(*(ceil_div(n, s) for n, s in zip(self.shape, size, strict=True)))

    def cells(self, size: Vec, within: Box | None = None) -> Iterator[Box]:
        """Walk the cells of a grid from `start` on, clipped at `stop`; x fastest, then y, z.

        `size` is a cell's, in voxels, xyz; only cells that start `within` that box are yielded.
        """
        area = within or self
        axes = zip(self.start, self.stop, size, area.start, area.stop, strict=True)
        x, y, z = (
            range(a + ceil_div(max(w0 - a, 0), s) * s, min(b, w1), s) for a, b, s, w0, w1 in axes
        )
        for k, j, i in product(z, y, x):
            stop = Vec(i + size.x, j + size.y, k + size.z)
            yield Box(Vec(i, j, k), Vec(*map(min, stop, self.stop)))

    def slices(self, origin: Vec) -> tuple[slice, slice, slice]:
        """Return the numpy index (z, y, x) of this box in an array that starts at `origin`."""
        x, y, z = (
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, origin, strict=True)
        )
        return z, y, x


Span = tuple[int, int]
"""A half-open range [first, last) along z, in voxels of one scale."""


def is_covered(spans: Sequence[Span], z0: int, z1: int) -> bool:
    """Return whether one of `spans` (ascending, disjoint) contains all of [z0, z1) (not empty)."""
    at = bisect_right(spans, (z0, z1)) - 1
    return any(a <= z0 and z1 <= b for a, b in spans[max(at, 0) : at + 2])
