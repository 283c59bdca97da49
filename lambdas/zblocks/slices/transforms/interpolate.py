"""A missing slice between two others: their voxels, each counted the more the nearer it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.reader import SliceReader

PIECE = 32
"""Rows that are mixed at a time: what is held beside the slices' rows stays small."""


@dataclass(slots=True)
class BlendReader:
    """Rows between those of two slices, linearly."""

    below: SliceReader
    above: SliceReader
    at: int
    """Slices from the one below to this one."""
    span: int
    """Slices from the one below to the one above."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: one of the two slices is damaged there.
        """
        self.below.read_rows(out)
        upper = np.empty_like(out)
        self.above.read_rows(upper)
        for y in range(0, len(out), PIECE):
            rows = out[y : y + PIECE]
            blend(rows, upper[y : y + PIECE], self.at, self.span)


def blend(lower: Voxels, upper: Voxels, at: int, span: int) -> None:
    """Write lower + (upper - lower) · at / span into `lower`.

    Whole numbers are rounded half to even, exactly; real ones are reckoned with in float64.
    """
    if not np.issubdtype(lower.dtype, np.integer):
        low, high = lower.astype(np.float64), upper.astype(np.float64)
        lower[...] = (low * (span - at) + high * at) / span
        return
    # Of up to 32 bits and 2^31 slices: 63 bits hold the sum.
    total = lower.astype(np.int64) * (span - at) + upper.astype(np.int64) * at
    whole, rest = np.divmod(total, span)
    rest *= 2
    whole += (rest > span) | ((rest == span) & (whole % 2 == 1))
    lower[...] = whole
