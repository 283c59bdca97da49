"""A window of a slice: some of its rows and columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.header import RowReader

PIECE = 64  # rows of a slice that are held at a time, where they aren't decoded into their place


class Window(NamedTuple):
    """Pixels [x0, x1) × [y0, y1) of a slice, half-open."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    def moved(self, x: int, y: int) -> Window:
        """Return the window shifted by `x` and `y`."""
        return Window(self.x0 + x, self.y0 + y, self.x1 + x, self.y1 + y)

    def __and__(self, other: Window) -> Window:
        """Return the intersection; without rows or columns if it is empty."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Window(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))


class WindowReader:
    """Rows of a window of a slice that can only be read from the top down.

    Rows above it are decoded and dropped; rows below it aren't decoded.

    Args:
        reader: rows of the slice; any number at a time.
        width: pixels of its rows.
        window: what is returned.
    """

    def __init__(self, reader: RowReader, width: int, window: Window) -> None:
        self._reader, self._width, self._window = reader, width, window
        self._above = window.y0  # rows that are still to be dropped

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows of the window.

        Raises:
            SliceError: the slice is damaged there.
        """
        buffer: Voxels = np.empty((PIECE, self._width, out.shape[2]), out.dtype)
        while self._above:
            above = buffer[: self._above]
            self._reader.read_rows(above)
            self._above -= len(above)
        if self._window.width == self._width:
            self._reader.read_rows(out)
            return
        for y in range(0, len(out), PIECE):
            into = out[y : y + PIECE]
            rows = buffer[: len(into)]
            self._reader.read_rows(rows)
            into[...] = rows[:, self._window.x0 : self._window.x1]
