"""Makes all scales of a box from the rows of its finest scale, in one pass.

1. Rows of scale k are collected until they fill a row of chunks, or the box ends.
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
from zblocks.geometry import Box, Vec, Voxels, ceil_div
from zblocks.planning.parts import needed_boxes
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
    needed: Box  # to compute: what is owned, and what the coarser scales need
    owned: Box  # to output
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
        return min(box.start.y + (begun // size + 1) * size, self.needed.stop.y)


class Cascade:
    """Makes consecutive scales of one box, finest first, from rows of the first.

    `owned` is the box to output of each scale, in its voxels; `pools` returns the function that
    makes the scale after a given one.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        owned: Sequence[Box],
        dtype: np.dtype[Any],
        channels: int,
        pools: Callable[[Scale], Downsample] = lambda _: pool_mean,
    ) -> None:
        self._levels: list[_Level] = []
        for k, needed in enumerate(needed_boxes(scales, owned)):
            scale, finer = scales[k], scales[max(k - 1, 0)]
            size = needed.shape
            rows = np.empty((size.z, min(scale.chunk.y, size.y), size.x, channels), dtype)
            step, pool = scale.factor.over(finer.factor), pools(finer)
            self._levels.append(
                _Level(k, scale, step, needed, owned[k], pool, rows, needed.start.y)
            )

    def push(self, rows: Voxels) -> Iterator[Band]:
        """Take the next rows (z, y, x, c) of the first scale; yield finished bands of all scales.

        They are those of the first box that `needed_boxes` returns.
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
        box = level.needed.with_y(level.y - rows.shape[1], level.y)
        if (owned := box & level.owned).voxels:
            yield Band(level.index, owned, rows[owned.slices(box.start)])
        if level.index + 1 < len(self._levels):
            coarser = self._levels[level.index + 1]
            below = coarser.needed.refine(coarser.step) & box
            if below.voxels:
                yield from self._coarsen(coarser, level, rows[below.slices(box.start)], below)

    def _coarsen(self, level: _Level, finer: _Level, rows: Voxels, box: Box) -> Iterator[Band]:
        """Downsample finished rows of the finer scale; `box` is theirs."""
        start = box.start
        if level.kept:
            pair = np.concatenate([level.kept.pop(), rows[:, :1]], axis=1)
            yield from self._pool(level, pair, start._replace(y=start.y - 1))
            rows, start = rows[:, 1:], start._replace(y=start.y + 1)
        stop = box.stop.y
        if rows.shape[1] and stop % level.step.y and stop != finer.scale.box.stop.y:
            level.kept.append(rows[:, -1:].copy())
            rows = rows[:, :-1]
        if rows.shape[1]:
            yield from self._pool(level, rows, start)

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
