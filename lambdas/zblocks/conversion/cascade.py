"""Makes all scales of a slab from the rows of its finest scale, in one pass.

1. Rows of scale k are collected until they fill a row of chunks, or the volume ends.
2. A full row of chunks is output, and its downsampled rows are passed on to scale k + 1.
3. With an odd offset, the two fine rows of a coarse row may be in different rows of chunks: the
   first is kept until the second is available.

Each scale is computed from the output values of the next finer one, so that a reader can check it
without the slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zblocks.conversion.downsample import Downsample, pool_mean
from zblocks.geometry import Box, Span, Vec, Voxels, ceil_div
from zblocks.precomputed.scale import Scale


@dataclass(frozen=True, slots=True)
class Band:
    """Voxels of whole rows of one scale."""

    scale: int
    box: Box  # in voxels of the scale
    voxels: Voxels  # (z, y, x, c); valid only until the next band is requested


@dataclass(slots=True)
class _Level:
    index: int
    scale: Scale
    step: Vec  # voxels of the next finer scale per voxel, xyz
    z0: int
    z1: int  # z range [z0, z1) to compute: the owned one, and what the coarser scales need
    owned: Span  # z range to output
    pool: Downsample  # makes this scale from the next finer one
    rows: Voxels  # the row of chunks being filled (z, y, x, c)
    y: int  # the next row, in voxels of the scale
    filled: int = 0
    kept: list[Voxels] = field(default_factory=list)
    """The first of a pair of finer rows, until the second is available."""

    @property
    def row_end(self) -> int:
        """End of the current row of chunks, in voxels of the scale."""
        box, size = self.scale.box, self.scale.chunk.y
        begun = self.y - self.filled - box.start.y
        return min(box.start.y + (begun // size + 1) * size, box.stop.y)


class Cascade:
    """Makes consecutive scales of one slab, finest first, from rows of the first.

    `owned` is the z range [z0, z1) to output of each scale, in its voxels; `pools` returns the
    function that makes the scale after a given one.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        owned: Sequence[Span],
        dtype: np.dtype[Any],
        channels: int,
        pools: Callable[[Scale], Downsample] = lambda _: pool_mean,
    ) -> None:
        needed = needed_z(scales, owned)
        self._levels: list[_Level] = []
        for k, scale in enumerate(scales):
            before = scales[k - 1].factor if k else scale.factor
            step = Vec(*(f // b for f, b in zip(scale.factor, before, strict=True)))
            (z0, z1), size = needed[k], scale.box.shape
            height = min(scale.chunk.y, size.y) if z1 > z0 else 0
            rows = np.empty((z1 - z0, height, size.x, channels), dtype)
            pool, y = pools(scales[max(k - 1, 0)]), scale.box.start.y
            self._levels.append(_Level(k, scale, step, z0, z1, owned[k], pool, rows, y))

    def push(self, rows: Voxels) -> Iterator[Band]:
        """Take the next rows (z, y, x, c) of the first scale; yield finished bands of all scales.

        The rows' z range is the first one that `needed_z` returns.
        """
        level, done = self._levels[0], 0
        while done < rows.shape[1]:
            take = min(level.row_end - level.y, rows.shape[1] - done)
            part = rows[:, done : done + take]
            done += take
            if level.filled == 0 and level.y + take == level.row_end:
                level.y += take
                yield from self._finish(level, part)  # a whole row of chunks: no copy
                continue
            level.rows[:, level.filled : level.filled + take] = part
            yield from self._advance(level, take)

    def _advance(self, level: _Level, rows: int) -> Iterator[Band]:
        """Count rows written to the level; output the row of chunks when it is full."""
        end = level.row_end
        level.filled += rows
        level.y += rows
        if level.y == end:
            full = level.rows[:, : level.filled]
            level.filled = 0
            yield from self._finish(level, full)

    def _finish(self, level: _Level, rows: Voxels) -> Iterator[Band]:
        """Output a finished row of chunks and pass it on to the coarser scale."""
        y0 = level.y - rows.shape[1]
        z0, z1 = level.owned
        if z0 < z1:
            box = level.scale.box.with_z(z0, z1).with_y(y0, level.y)
            yield Band(level.index, box, rows[z0 - level.z0 : z1 - level.z0])
        if level.index + 1 < len(self._levels):
            coarser = self._levels[level.index + 1]
            if coarser.z0 < coarser.z1:
                yield from self._coarsen(coarser, level, rows, y0)

    def _coarsen(self, level: _Level, finer: _Level, rows: Voxels, y: int) -> Iterator[Band]:
        """Downsample finished rows of the finer scale, the first of which is row `y`."""
        z0 = max(level.z0 * level.step.z, finer.z0)
        rows = rows[z0 - finer.z0 : min(level.z1 * level.step.z, finer.z1) - finer.z0]
        if level.kept:
            pair = np.concatenate([level.kept.pop(), rows[:, :1]], axis=1)
            yield from self._pool(level, pair, Vec(finer.scale.box.start.x, y - 1, z0))
            rows, y = rows[:, 1:], y + 1
        stop = y + rows.shape[1]
        if rows.shape[1] and stop % level.step.y and stop != finer.scale.box.stop.y:
            level.kept.append(rows[:, -1:].copy())
            rows = rows[:, :-1]
        if rows.shape[1]:
            yield from self._pool(level, rows, Vec(finer.scale.box.start.x, y, z0))

    def _pool(self, level: _Level, rows: Voxels, start: Vec) -> Iterator[Band]:
        """Downsample whole coarse rows into the level, one row of chunks at a time."""
        y, stop = start.y, start.y + rows.shape[1]
        while y < stop:
            until = min(level.row_end * level.step.y, stop)
            part = rows[:, y - start.y : until - start.y]
            count = ceil_div(until, level.step.y) - y // level.step.y
            out = level.rows[:, level.filled : level.filled + count]
            level.pool(part, start._replace(y=y), level.step, out)
            y = until
            yield from self._advance(level, count)


def needed_z(scales: Sequence[Scale], owned: Sequence[Span]) -> list[Span]:
    """Return, per scale, the z range to compute: what is owned and what coarser scales need."""
    needed = list(owned)
    for k in range(len(scales) - 2, -1, -1):
        c0, c1 = needed[k + 1]
        if c0 == c1:
            continue
        step = scales[k + 1].factor.z // scales[k].factor.z
        box = scales[k].box
        z0, z1 = max(c0 * step, box.start.z), min(c1 * step, box.stop.z)
        o0, o1 = needed[k]
        needed[k] = (min(z0, o0), max(z1, o1)) if o0 < o1 else (z0, z1)
    return needed
