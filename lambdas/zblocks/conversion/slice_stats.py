"""Statistics of each slice, counted while its voxels pass, for receipts and for the report.

Lowest and highest value are of every voxel; mean and histogram are of every `EVERY`th row, which is
enough to see a blank, burnt or outlying slice and costs a few percent of the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels

EVERY = 8
"""Rows of the volume, counted from its first, that mean and histogram look at."""

BINS = 256

_COARSE_BITS = 4
"""Bits that 16-bit values lose before they are counted: 4096 counters a slice, not 65536."""


@dataclass(frozen=True, slots=True)
class SliceStats:
    """What one slice holds, all channels together."""

    z: int
    """Scale 0 voxel."""
    low: int | float
    high: int | float
    mean: float
    step: int
    """Values of one bin of the histogram; 0 where there is none."""
    histogram: tuple[int, ...]
    """Voxels with a value of [i·step, (i + 1)·step), up to the last bin that isn't empty; of 8 and
    16 bits only."""


class SliceStatsCounter:
    """Counts one slice as its rows come."""

    def __init__(self, z: int, dtype: str) -> None:
        self.z = z
        self._shift = _COARSE_BITS if dtype == "uint16" else 0
        bins = {"uint8": 1 << 8, "uint16": (1 << 16) >> _COARSE_BITS}.get(dtype, 0)
        self._counts = np.zeros(bins, np.int64)
        self._low = self._high = self._sum = 0.0
        self._rows = self._seen = 0

    def add(self, rows: Voxels) -> None:
        """Count the next rows (y, x, c)."""
        low, high = rows.min().item(), rows.max().item()
        self._low = min(self._low, low) if self._rows else low
        self._high = max(self._high, high) if self._rows else high
        looked_at = rows[-self._rows % EVERY :: EVERY]
        self._rows += rows.shape[0]
        if looked_at.size:
            self._seen += looked_at.size
            self._sum += looked_at.sum(dtype=np.float64).item()
            if self._counts.size:
                values = (looked_at >> self._shift).ravel()
                self._counts += np.bincount(values, minlength=self._counts.size)

    def result(self) -> SliceStats:
        """Return what was counted."""
        mean = round(self._sum / self._seen, 3) if self._seen else 0.0
        if not self._counts.size:
            return SliceStats(self.z, self._low, self._high, mean, 0, ())
        # The narrowest bins that BINS of them hold every value; no finer than what was counted.
        bits = max(self._shift, int(self._high).bit_length() - BINS.bit_length() + 1, 0)
        folded = self._counts.reshape(-1, 1 << (bits - self._shift)).sum(axis=1)
        used = int(folded.nonzero()[0].max(initial=-1)) + 1
        return SliceStats(
            z=self.z,
            low=self._low,
            high=self._high,
            mean=mean,
            step=1 << bits,
            histogram=tuple(int(n) for n in folded[:used]),
        )
