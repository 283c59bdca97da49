"""Computes the statistics of each slice during conversion, for receipts and reports.

Minimum and maximum are of all voxels; mean and histogram are of every `EVERY`th row, which is
enough to find blank, burnt or outlying slices and takes a few percent of the conversion's time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels

EVERY = 8
"""Mean and histogram use one of this many rows, from the first row on."""

BINS = 256
"""Maximum number of bins in a result."""

_COARSE_BITS = 4
"""Low bits of 16-bit values that are dropped: 4096 counters per slice, not 65536."""


@dataclass(frozen=True, slots=True)
class SliceStats:
    """Statistics of one slice, all channels together."""

    z: int
    """In scale 0 voxels."""
    low: int | float
    high: int | float
    mean: float
    """Of the finite values; all three are 0 if there are none."""
    step: int
    """Width of a bin of the histogram; 0 if there is no histogram."""
    histogram: tuple[int, ...]
    """Voxels with a value in [i·step, (i + 1)·step), up to the last bin that isn't empty; for uint8
    and uint16 only."""


class SliceStatsCounter:
    """Computes the statistics of one slice from its rows."""

    def __init__(self, z: int, dtype: str) -> None:
        self.z = z
        self._shift = _COARSE_BITS if dtype == "uint16" else 0
        bins = {"uint8": 1 << 8, "uint16": (1 << 16) >> _COARSE_BITS}.get(dtype, 0)
        self._counts = np.zeros(bins, np.int64)
        self._low: float = math.inf
        self._high: float = -math.inf
        self._sum = 0.0
        self._rows = self._seen = 0

    def add(self, rows: Voxels) -> None:
        """Add the next rows (y, x, c)."""
        looked_at = rows[-self._rows % EVERY :: EVERY]
        self._rows += rows.shape[0]
        low, high = rows.min().item(), rows.max().item()
        if not math.isfinite(high - low):
            looked_at = looked_at[np.isfinite(looked_at)]
            finite = rows[np.isfinite(rows)]
            low = finite.min(initial=math.inf).item()
            high = finite.max(initial=-math.inf).item()
        self._low, self._high = min(self._low, low), max(self._high, high)
        if looked_at.size:
            self._seen += looked_at.size
            self._sum += looked_at.sum(dtype=np.float64).item()
            if self._counts.size:
                values = (looked_at >> self._shift).ravel()
                self._counts += np.bincount(values, minlength=self._counts.size)

    def result(self) -> SliceStats:
        """Return the statistics of the rows added so far."""
        mean = round(self._sum / self._seen, 3) if self._seen else 0.0
        if self._low > self._high:
            return SliceStats(self.z, 0.0, 0.0, mean, 0, ())
        if not self._counts.size:
            return SliceStats(self.z, self._low, self._high, mean, 0, ())
        # The narrowest bins of which BINS cover all values, but no narrower than the counters.
        bits = max(self._shift, int(self._high).bit_length() - BINS.bit_length() + 1, 0)
        folded = self._counts.reshape(-1, 1 << (bits - self._shift)).sum(axis=1)
        used = int(folded.nonzero()[0].max(initial=-1)) + 1
        counts = tuple(folded[:used].tolist())
        return SliceStats(self.z, self._low, self._high, mean, 1 << bits, counts)
