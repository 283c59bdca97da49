"""Joins the statistics of the parts of a slice that several blocks converted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from zblocks.conversion.slice_stats import LEVELS, SliceStats
from zblocks.geometry import Box

Part = tuple[Box, SliceStats]
"""The box of a block, in voxels of scale 0, and what it counted of a slice."""


class StatsJoiner:
    """Joins the statistics of all slices, whose parts come layer by layer of blocks.

    Only the parts of one layer are held.
    """

    def __init__(self) -> None:
        self._layer = -1
        self._parts: list[Part] = []
        self._joined: list[SliceStats] = []

    def add(self, layer: int, box: Box, slices: Iterable[SliceStats]) -> None:
        """Add what a block of a layer, with this box in voxels of scale 0, counted."""
        if layer != self._layer:
            self._finish()
            self._layer = layer
        self._parts += [(box, stats) for stats in slices]

    def result(self) -> tuple[SliceStats, ...]:
        """Return the statistics of whole slices, in z order."""
        self._finish()
        return tuple(self._joined)

    def _finish(self) -> None:
        self._joined += join_stats(self._parts)
        self._parts = []


def join_stats(parts: Sequence[Part]) -> tuple[SliceStats, ...]:
    """Return the statistics of whole slices, in z order, from those of their parts."""
    ordered = sorted(parts, key=lambda part: (part[1].z, part[0].start.y, part[0].start.x))
    slices = (list(one) for _, one in groupby(ordered, key=lambda part: part[1].z))
    return tuple(one[0][1] if len(one) == 1 else _join(one) for one in slices)


def _join(parts: Sequence[Part]) -> SliceStats:
    every = [stats for _, stats in parts]
    tail = _tail(parts)
    found = [s for s in every if s.finite]
    if not found:
        return replace(every[0], tail=tail)
    step, histogram = _histogram(found)
    return SliceStats(
        z=found[0].z,
        low=min(s.low for s in found),
        high=max(s.high for s in found),
        mean=_mean(found),
        step=step,
        histogram=histogram,
        ranges=tuple(_range(same) for same in zip(*(s.ranges for s in found), strict=True)),
        tail=tail,
        seen=sum(s.seen for s in found),
        last=every[-1].last,
    )


def _mean(found: Sequence[SliceStats]) -> float | None:
    means = [(s.mean, s.seen) for s in found if s.mean is not None]
    total = sum(seen for _, seen in means)
    return float(f"{sum(m * seen for m, seen in means) / total:.12g}") if total else None


def _histogram(found: Sequence[SliceStats]) -> tuple[int, tuple[int, ...]]:
    """Return the widest bins of all parts, and the sums of what they count."""
    step = max(s.step for s in found)
    if not step:
        return 0, ()
    bins = np.concatenate([np.arange(len(s.histogram)) * s.step // step for s in found])
    counts = np.bincount(bins, np.concatenate([s.histogram for s in found]))
    return step, tuple(counts.astype(np.int64).tolist())


def _range(same: Sequence[tuple[int | float, ...]]) -> tuple[int | float, ...]:
    """Return one range of all parts: the values at its levels lie between those of the parts.

    Parts count alike, since all but those at the edges have the same size.
    """
    known = [values for values in same if values]
    if not known:
        return ()
    levels = np.array((0.0, *LEVELS, 1.0))
    candidates = np.unique(np.array([v for values in known for v in values]))
    below = np.mean([np.interp(candidates, values, levels) for values in known], axis=0)
    places = np.searchsorted(below, np.array(LEVELS) - 1e-12).clip(0, len(candidates) - 1)
    low, high = min(values[0] for values in known), max(values[-1] for values in known)
    return (low, *candidates[places].tolist(), high)


def _tail(parts: Sequence[Part]) -> int:
    """Return the rows at the end of the slice that all hold the same pixel."""
    rows = [list(row) for _, row in groupby(parts, key=lambda part: part[0].start.y)]
    pixel, total = rows[-1][-1][1].last, 0
    for row in reversed(rows):
        height = row[0][0].shape.y
        same = min(stats.tail if stats.last == pixel else 0 for _, stats in row)
        total += same
        if same < height:
            break
    return total
