"""Computes the statistics of each slice during conversion, for receipts and reports.

Minimum and maximum are of all voxels; the rest is of every `EVERY`th row, which is enough to find
blank, burnt or outlying slices and takes a few percent of the conversion's time. NaN and infinity
are left out of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels
from zblocks.neuroglancer import count_ranges, in_ranges

EVERY = 8  # mean and histogram use one of this many rows, from the first row on
PIECE_BYTES = 4 << 20  # of rows that are counted at a time: counting takes up to as much again
BINS = 256  # maximum number of bins in a result

LEVELS = (
    0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.97, 0.99, 0.997, 0.999,
)  # fmt: skip
"""Quantiles in `SliceStats.ranges`."""

KEPT = 1 << 13  # most values of a slice that these are taken from
_COARSE_BITS = 4  # low bits of 16-bit values that are dropped: 4096 counters per slice, not 65536


@dataclass(frozen=True, slots=True)
class SliceStats:
    """Statistics of one slice, all channels together."""

    z: int  # in scale 0 voxels
    low: int | float
    high: int | float  # of the finite values; 0 if there are none
    mean: float | None  # of those that were looked at; None if there are none
    step: int  # width of a bin of the histogram; 0 if there is no histogram
    histogram: tuple[int, ...]
    """Voxels with a value in [i·step, (i + 1)·step), up to the last bin that isn't empty; for uint8
    and uint16 only."""
    ranges: tuple[tuple[int | float, ...], ...] = ()
    """Of all channels, or of each that has a range of its own in the viewer: the lowest value,
    those at `LEVELS` of a sample, and the highest; empty if no value is finite."""
    finite: bool = True  # whether any value is
    tail: int = 0
    """Rows at its end that all hold the same pixel, as where a file was cut off or never filled."""
    seen: int = 0  # values that the mean was computed from
    last: str = ""  # the bytes of its last pixel, in hexadecimal


class SliceStatsCounter:
    """Computes the statistics of one slice, or of a block's part of it, from its rows.

    `halo` is the number of rows and of columns before those that count.
    """

    def __init__(self, z: int, dtype: str, halo: tuple[int, int] = (0, 0)) -> None:
        self.z = z
        self._halo = halo
        self._shift = _COARSE_BITS if dtype == "uint16" else 0
        bins = {"uint8": 1 << 8, "uint16": (1 << 16) >> _COARSE_BITS}.get(dtype, 0)
        self._counts = np.zeros(bins, np.int64)
        self._sample = _Sample()
        self._ends: list[Voxels] = []
        """The lowest and the highest value of each range; infinite if there are none."""
        self._sum = 0.0
        self._rows = self._seen = self._tail = 0
        self._last: Voxels | None = None

    def add(self, rows: Voxels) -> None:
        """Add the next rows (y, x, c)."""
        above, before = self._halo
        if above or before:
            self._halo = (max(above - len(rows), 0), before)
            rows = rows[above:, before:]
            if not rows.size:
                return
        count = max(PIECE_BYTES // rows[0].nbytes, 1)
        for y in range(0, len(rows), count):
            self._add(rows[y : y + count])

    def _add(self, rows: Voxels) -> None:
        looked_at = np.ascontiguousarray(rows[-self._rows % EVERY :: EVERY])
        self._rows += rows.shape[0]
        self._count_tail(rows)
        self._sample.add(in_ranges(looked_at))
        channels = rows.shape[2]
        together = channels < 4 and count_ranges(channels, str(rows.dtype)) == 1
        axis = None if together else 0  # all at once is faster
        low, high = rows.min(axis, keepdims=True), rows.max(axis, keepdims=True)
        if rows.dtype.kind == "f" and not (np.isfinite(low) & np.isfinite(high)).all():
            finite = np.isfinite(rows)
            looked_at = looked_at[np.isfinite(looked_at)]
            low = rows.min(axis, keepdims=True, where=finite, initial=math.inf)
            high = rows.max(axis, keepdims=True, where=finite, initial=-math.inf)
        ends = [in_ranges(low).min(axis=0), in_ranges(high).max(axis=0)]
        if self._ends:
            ends = [np.minimum(self._ends[0], ends[0]), np.maximum(self._ends[1], ends[1])]
        self._ends = ends
        if looked_at.size:
            self._seen += looked_at.size
            self._sum += looked_at.sum(dtype=np.float64).item()
            if self._counts.size:
                values = (looked_at >> self._shift).ravel()
                self._counts += np.bincount(values, minlength=self._counts.size)

    def _count_tail(self, rows: Voxels) -> None:
        """Count the last rows that are all one pixel, from the bottom up."""
        pixel, same = rows[-1, -1].copy(), 0
        for y in range(len(rows), 0, -EVERY):
            part = rows[max(y - EVERY, 0) : y]
            differs = (part != pixel).any(axis=(1, 2)).nonzero()[0]
            same += len(part) - (differs[-1] + 1 if differs.size else 0)
            if differs.size:
                break
        goes_on = same == len(rows) and self._last is not None and (self._last == pixel).all()
        self._tail, self._last = same + (self._tail if goes_on else 0), pixel

    def result(self) -> SliceStats:
        """Return the statistics of the rows added so far."""
        low, high = self._ends[0].min().item(), self._ends[1].max().item()
        tail, last = int(self._tail), "" if self._last is None else self._last.tobytes().hex()
        if low > high:
            return SliceStats(self.z, 0.0, 0.0, None, 0, (), finite=False, tail=tail, last=last)
        mean = float(f"{self._sum / self._seen:.12g}") if self._seen else None
        step, histogram = self._histogram(int(high)) if self._counts.size else (0, ())
        counted = (self.z, low, high, mean, step, histogram, self._ranges())
        return SliceStats(*counted, tail=tail, seen=self._seen, last=last)

    def _histogram(self, high: int) -> tuple[int, tuple[int, ...]]:
        """Return the narrowest bins of which `BINS` cover all values, as far as counters do."""
        bits = max(self._shift, high.bit_length() - BINS.bit_length() + 1, 0)
        folded = self._counts.reshape(-1, 1 << (bits - self._shift)).sum(axis=1)
        used = int(folded.nonzero()[0].max(initial=-1)) + 1
        return 1 << bits, tuple(folded[:used].tolist())

    def _ranges(self) -> tuple[tuple[int | float, ...], ...]:
        least, most = (ends.tolist() for ends in self._ends)
        columns = zip(least, self._sample.levels(), most, strict=True)
        return tuple((low, *some, high) if low <= high else () for low, some, high in columns)


class _Sample:
    """Evenly spaced values (n, ranges) of a slice, at most about `KEPT`."""

    def __init__(self) -> None:
        self._parts: list[Voxels] = []
        self._every, self._passed = 1, 0

    def add(self, values: Voxels) -> None:
        """Add the next ones; thin out what was kept if they become too many."""
        first, self._passed = self._passed, self._passed + len(values)
        while self._passed * values.shape[1] > self._every * KEPT:
            # By 3: columns of images whose width is a power of two take turns.
            self._every *= 3
            self._parts = [np.concatenate(self._parts)[::3]] if self._parts else []
        self._parts.append(values[-first % self._every :: self._every].copy())

    def levels(self) -> list[list[int | float]]:
        """Return the finite values at `LEVELS` of each range; none if there are none."""
        found = []
        for column in np.concatenate(self._parts).T:
            values = column[np.isfinite(column)]
            values.sort(kind="stable" if values.itemsize < 4 else None)  # radix sort
            places = np.ceil(np.array(LEVELS) * len(values)).astype(int) - 1
            found.append(values[places].tolist() if len(values) else [])
        return found
