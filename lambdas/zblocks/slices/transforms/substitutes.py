"""Replaces missing slices: by a value, another slice, or an interpolation of two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.header import RowReader
from zblocks.slices.reader import FillReader
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import OpenSlice, RowTransform
from zblocks.slices.window import Window

MIXED_ROWS = 32
"""Rows interpolated at a time, so that little is held besides the slices' rows."""


class Substitutes(RowTransform, frozen=True, tag=True):
    """Missing slices are read from their substitutes, or filled."""

    fill: int | float
    """Value of the voxels of a missing slice without substitutes."""

    @property
    def in_place(self) -> bool:
        """A substitute is read as any other slice."""
        return True

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener that also opens what is missing."""

        def open_slice(ref: SliceRef, window: Window, in_place: bool) -> RowReader:
            if ref.key is not None:
                return inner(ref, window, in_place)
            if not ref.substitutes:
                return FillReader(self.fill)
            first, last = ref.substitutes[0], ref.substitutes[-1]
            reader = inner(first, window, in_place)
            if first is last:
                return reader
            above = inner(last, window, in_place)
            return InterpolatedReader(reader, above, ref.z - first.z, last.z - first.z)

        return open_slice


def count_interpolated(slices: Iterable[SliceRef]) -> int:
    """Return how many slices are interpolated from two others, both open at the same time."""
    return sum(len(ref.substitutes) > 1 for ref in slices)


@dataclass(slots=True)
class InterpolatedReader:
    """Rows interpolated linearly between two slices."""

    below: RowReader
    above: RowReader
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
        for y in range(0, len(out), MIXED_ROWS):
            rows = out[y : y + MIXED_ROWS]
            blend(rows, upper[y : y + MIXED_ROWS], self.at, self.span)


def blend(lower: Voxels, upper: Voxels, at: int, span: int) -> None:
    """Write lower + (upper - lower) · at / span into `lower`.

    Integers are exact, rounded half to even; floats are computed in float64. Where only one of
    the two is finite, it is taken; where none is, NaN.
    """
    if not np.issubdtype(lower.dtype, np.integer):
        with np.errstate(invalid="ignore"):
            low, high = lower.astype(np.float64), upper.astype(np.float64)
            mixed = (low * (span - at) + high * at) / span
        for other in (low, high, np.nan):
            mixed = np.where(np.isfinite(mixed), mixed, other)
        lower[...] = mixed
        return
    # For up to 32 bits and 2^31 slices, 63 bits hold the sum.
    total = lower.astype(np.int64) * (span - at) + upper.astype(np.int64) * at
    whole, rest = np.divmod(total, span)
    rest *= 2
    whole += (rest > span) | ((rest == span) & (whole % 2 == 1))
    lower[...] = whole
