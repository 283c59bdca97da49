"""A slice of another size on the volume's canvas: padded, or cropped where it is larger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.reader import SliceReader


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slice lies on the canvas, pixels."""

    width: int
    height: int
    """Of the slice."""
    x: int
    y: int
    """Of its first pixel on the canvas; negative where it is cropped."""


def place(size: tuple[int, int], canvas: tuple[int, int], align: str) -> Place:
    """Put a slice (width, height) on a canvas: `top-left`, or `center` (rounded up and left)."""
    if align == "top-left":
        return Place(*size, 0, 0)
    return Place(*size, (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2)


class PlacedReader:
    """Rows of the canvas.

    Args:
        reader: rows of the slice.
        at: where it lies.
        fill: value of what it doesn't cover.
        rows: rows to take from the slice at a time.
    """

    def __init__(self, reader: SliceReader, at: Place, fill: float, rows: int) -> None:
        self._reader, self._at, self._fill = reader, at, fill
        self._piece = rows
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
        """Copy what the canvas shows of one row."""
        x = self._at.x
        start, stop = max(x, 0), min(x + self._at.width, len(out))
        if start < stop:
            out[start:stop] = row[start - x : stop - x]

    def _row(self, row: int, like: Voxels) -> Voxels:
        """Return a row of the slice, reading on until it is there."""
        while self._rows is None or row >= self._held + len(self._rows):
            count = min(self._piece, self._at.height - self._taken)
            self._rows = np.empty((count, self._at.width, like.shape[2]), like.dtype)
            self._reader.read_rows(self._rows)
            self._held = self._taken
            self._taken += count
        found: Voxels = self._rows[row - self._held]
        return found
