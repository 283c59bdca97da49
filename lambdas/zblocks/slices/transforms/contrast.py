"""Values of a slice in the volume's own range: low becomes 0, high the most that its type holds."""

from __future__ import annotations

from typing import Any

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.reader import SliceReader

PIECE = 64
"""Rows that are taken from the slice at a time, where the types differ."""

AT_ONCE = 1 << 17
"""Values that are converted at a time, so that their float64 or their indices take little room."""

SCRATCH_BYTES = 32 * AT_ONCE
"""What one conversion holds of them (four arrays of 8 bytes a value)."""

TABLES = {"uint8": 1 << 8, "uint16": 1 << 16}
"""Types of slices whose every value is looked up in a table."""


def stretch(values: Voxels, low: float, high: float, dtype: str) -> Voxels:
    """Map low..high to the whole range of an unsigned type.

    (value - low) · top / (high - low) in float64, rounded half to even; below low is 0, above high
    is top. Of floats NaN is 0, and the infinities are 0 and top.
    """
    top = np.iinfo(dtype).max
    with np.errstate(all="ignore"):
        scaled = (values.astype(np.float64) - low) * top / (high - low)
    scaled[np.isnan(scaled)] = 0
    stretched: Voxels = np.rint(scaled).clip(0, top).astype(dtype)
    return stretched


class DepthReader:
    """Rows of a slice in the values and the type of the volume.

    Args:
        reader: rows of the slice.
        dtype: of the slice.
        limits: the values that become the lowest and the highest.
        into: the volume's type.
    """

    def __init__(
        self, reader: SliceReader, dtype: str, limits: tuple[float, float], into: str
    ) -> None:
        self._reader = reader
        self._dtype, self._limits, self._into = np.dtype(dtype), limits, into
        self._table: Voxels | None = None
        if dtype in TABLES:
            self._table = stretch(np.arange(TABLES[dtype]), *limits, into)

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the slice is damaged there.
        """
        if out.dtype == self._dtype:
            self._reader.read_rows(out)
            self._convert(out, out)
            return
        for y in range(0, len(out), PIECE):
            into = out[y : y + PIECE]
            rows: Voxels = np.empty(into.shape, self._dtype)
            self._reader.read_rows(rows)
            self._convert(rows, into)

    def _convert(self, rows: Voxels, out: Voxels) -> None:
        """Write converted rows; the two may be the same array."""
        step = max(AT_ONCE // max(rows[0].size, 1), 1)
        for y in range(0, len(rows), step):
            some: Any = rows[y : y + step]
            if self._table is None:
                out[y : y + step] = stretch(some, *self._limits, self._into)
            else:
                out[y : y + step] = self._table[some]
