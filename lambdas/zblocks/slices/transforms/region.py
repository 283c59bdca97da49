"""The part of a slice that a volume holds, and how it lies there: cropped, turned, then flipped."""

from __future__ import annotations

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.reader import SliceReader
from zblocks.slices.transforms.canvas import Place

PIECE = 64
"""Rows of a slice that are taken at a time."""


def as_it_lies(framed: Voxels, turn: int, flip: str) -> Voxels:
    """Return a view of turned and flipped pixels (y, x, c) in which they lie as in the slice.

    Args:
        framed: pixels turned `turn` degrees clockwise (x to the right, y down), then flipped.
        turn: 0, 90, 180 or 270.
        flip: the axes that were flipped: `x`, `y`, `xy` or empty.
    """
    straight = framed[:: -1 if "y" in flip else 1, :: -1 if "x" in flip else 1]
    return np.rot90(straight, turn // 90)  # rot90 turns the other way


def visible(crop: tuple[int, int, int, int], at: Place) -> tuple[int, int, int, int]:
    """Return what a crop shows of a slice, in the slice's own pixels: x0, y0, x1, y1.

    Args:
        crop: x0, y0, x1, y1 on the canvas.
        at: where the slice lies on it.
    """
    x0, y0 = max(crop[0] - at.x, 0), max(crop[1] - at.y, 0)
    x1, y1 = min(crop[2] - at.x, at.width), min(crop[3] - at.y, at.height)
    return x0, y0, max(x1, x0), max(y1, y0)


class RegionReader:
    """Rows of the region.

    Rows above it are decoded and dropped; rows below it aren't decoded.

    Args:
        reader: rows of the slice or canvas; any number at a time.
        width: pixels of its rows.
        crop: x0, y0, x1, y1: the pixels that are kept.
        turn: degrees clockwise.
        flip: `x`, `y`, `xy` or empty.
    """

    def __init__(
        self,
        reader: SliceReader,
        width: int,
        crop: tuple[int, int, int, int],
        turn: int = 0,
        flip: str = "",
    ) -> None:
        self._reader, self._width, self._crop = reader, width, crop
        self._turn, self._flip = turn, flip
        self._above = crop[1]
        """Rows that are still to be dropped."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows; with the only ones, if `turn` or y flips them.

        Raises:
            SliceError: the slice is damaged there.
        """
        lying = as_it_lies(out, self._turn, self._flip)
        buffer: Voxels = np.empty((PIECE, self._width, out.shape[2]), out.dtype)
        while self._above:
            above = buffer[: self._above]
            self._reader.read_rows(above)
            self._above -= len(above)
        for y in range(0, len(lying), PIECE):
            into = lying[y : y + PIECE]
            rows = buffer[: len(into)]
            self._reader.read_rows(rows)
            into[...] = rows[:, self._crop[0] : self._crop[2]]
