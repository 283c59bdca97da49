"""Values of a slice mapped to the volume's type: a contrast range stretched, or a wider type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.header import RowReader
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import OpenSlice, RowFormat, RowMemory, RowTransform
from zblocks.slices.window import PIECE, Window

AT_ONCE = 1 << 17
"""Values converted at a time, so that their float64 copies or indices take little memory."""

SCRATCH_BYTES = 32 * AT_ONCE
"""Bytes that one conversion holds (four arrays of 8 bytes per value)."""

TABLES = {"uint8": 1 << 8, "uint16": 1 << 16}
"""Types of slices that are converted with a table, and its length."""


class Contrast(RowTransform, frozen=True, tag=True):
    """Values `low` to `high` become the whole range of `dtype`."""

    low: float
    high: float
    dtype: str
    """`uint8` or `uint16`."""
    source_dtype: str
    """Of the slices."""
    percentiles: tuple[float, float] | None = None
    """Where `low` and `high` were measured; None: given in the config."""
    measured: int = 0
    """Slices that they were measured on."""

    @property
    def in_place(self) -> bool:
        """Values of the same type are converted where they are."""
        return self.source_dtype == self.dtype

    def result(self, rows: RowFormat) -> RowFormat:
        """Return rows of the new type."""
        return replace(rows, dtype=self.dtype)

    def memory(self, rows: RowFormat) -> RowMemory:
        """Return the scratch arrays, and a piece of rows where the type changes."""
        piece = 0 if self.in_place else PIECE * rows.width * rows.pixel_bytes
        return RowMemory(passing=SCRATCH_BYTES + piece)

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener of converted slices."""

        def open_slice(ref: SliceRef, window: Window, in_place: bool) -> RowReader:
            return ContrastReader(inner(ref, window, in_place and self.in_place), self)

        return open_slice

    def __str__(self) -> str:
        """How messages show it."""
        return f"{self.low:g} to {self.high:g}"


class Cast(RowTransform, frozen=True, tag=True):
    """Values pass unchanged into a wider type."""

    dtype: str

    def result(self, rows: RowFormat) -> RowFormat:
        """Return rows of the new type."""
        return replace(rows, dtype=self.dtype)

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener that has slices decoded some rows at a time."""
        return lambda ref, window, _in_place: inner(ref, window, False)


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


class ContrastReader:
    """Rows of a slice in the values and the type of the volume."""

    def __init__(self, reader: RowReader, contrast: Contrast) -> None:
        self._reader, self._contrast = reader, contrast
        self._table: Voxels | None = None
        if contrast.source_dtype in TABLES:
            self._table = self._stretch(np.arange(TABLES[contrast.source_dtype]))

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the slice is damaged there.
        """
        if self._contrast.in_place:
            self._reader.read_rows(out)
            self._convert(out, out)
            return
        for y in range(0, len(out), PIECE):
            into = out[y : y + PIECE]
            rows: Voxels = np.empty(into.shape, self._contrast.source_dtype)
            self._reader.read_rows(rows)
            self._convert(rows, into)

    def _convert(self, rows: Voxels, out: Voxels) -> None:
        """Write converted rows; the two may be the same array."""
        step = max(AT_ONCE // max(rows[0].size, 1), 1)
        for y in range(0, len(rows), step):
            some: Any = rows[y : y + step]
            out[y : y + step] = self._stretch(some) if self._table is None else self._table[some]

    def _stretch(self, values: Voxels) -> Voxels:
        contrast = self._contrast
        return stretch(values, contrast.low, contrast.high, contrast.dtype)
