"""Slices of other sizes on one canvas: padded, or cropped where they are larger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.header import RowReader
from zblocks.slices.reader import FillReader
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import OpenSlice, RowFormat, RowMemory, RowTransform
from zblocks.slices.window import PIECE, Window


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a slice lies on the canvas, pixels."""

    width: int
    height: int
    """Of the slice."""
    x: int
    y: int
    """Of its first pixel on the canvas; negative where it is cropped."""


class Canvas(RowTransform, frozen=True, tag=True):
    """A canvas that slices of other sizes are put on."""

    width: int
    height: int
    """Pixels of the canvas."""
    align: Literal["center", "top-left"]
    fill: int | float
    """Value where no slice lies."""

    def place(self, width: int, height: int) -> Placement:
        """Return where a slice of this size lies; `center` is rounded towards the top left."""
        if self.align == "top-left":
            return Placement(width, height, 0, 0)
        return Placement(width, height, (self.width - width) // 2, (self.height - height) // 2)

    def result(self, rows: RowFormat) -> RowFormat:
        """Return rows of the canvas."""
        return replace(rows, width=self.width, height=self.height)

    def memory(self, rows: RowFormat) -> RowMemory:
        """Return the bytes of a slice's rows held until the canvas reaches them."""
        return RowMemory(kept=PIECE * rows.width * rows.pixel_bytes)

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener that places slices of other sizes, and passes on those of its own."""

        def open_slice(ref: SliceRef, window: Window, in_place: bool) -> RowReader:
            if not ref.width:
                return inner(ref, window, in_place)
            at = self.place(ref.width, ref.height)
            seen = visible(window, at)
            if not seen.width or not seen.height:
                return FillReader(self.fill)
            x, y = at.x + seen.x0 - window.x0, at.y + seen.y0 - window.y0
            placed = Placement(seen.width, seen.height, x, y)
            return CanvasReader(inner(ref, seen, False), placed, self.fill)

        return open_slice

    def __str__(self) -> str:
        """How messages show it."""
        return f"{self.width}×{self.height}, {self.align}, fill {self.fill}"


def visible(window: Window, at: Placement) -> Window:
    """Return the part of a slice, in its pixels, that a window of the canvas shows."""
    return window.moved(-at.x, -at.y) & Window(0, 0, at.width, at.height)


class CanvasReader:
    """Rows of the canvas.

    Args:
        reader: rows of the slice.
        at: where it lies.
        fill: value of what it doesn't cover.
    """

    def __init__(self, reader: RowReader, at: Placement, fill: float) -> None:
        self._reader, self._at, self._fill = reader, at, fill
        self._y = 0
        """Next row of the canvas."""
        self._taken = 0
        """Rows of the slice that were read."""
        self._held = 0
        """First row of the slice in `_rows`, the piece that was read last."""
        self._rows: Voxels | None = None

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows of the canvas.

        Raises:
            SliceError: the slice is damaged there.
        """
        out[...] = self._fill
        first = self._y - self._at.y
        for row in range(max(first, 0), min(first + len(out), self._at.height)):
            self._put(self._row(row, out), out[row - first])
        self._y += len(out)

    def _put(self, row: Voxels, out: Voxels) -> None:
        x = self._at.x
        start, stop = max(x, 0), min(x + self._at.width, len(out))
        if start < stop:
            out[start:stop] = row[start - x : stop - x]

    def _row(self, row: int, like: Voxels) -> Voxels:
        """Return a row of the slice, reading on until it is there."""
        while self._rows is None or row >= self._held + len(self._rows):
            count = min(PIECE, self._at.height - self._taken)
            self._rows = np.empty((count, self._at.width, like.shape[2]), like.dtype)
            self._reader.read_rows(self._rows)
            self._held = self._taken
            self._taken += count
        found: Voxels = self._rows[row - self._held]
        return found
