"""The part of a stack that a volume holds, and its orientation: cropped, turned, then flipped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zblocks.geometry import Box, Voxels
from zblocks.slices.header import RowReader
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import OpenSlice, RowFormat, RowMemory, RowTransform
from zblocks.slices.window import PIECE, Window


class Region(RowTransform, frozen=True, tag=True):
    """The part of the stack that the volume holds, and its orientation.

    In this order: slots [box.start.z, box.stop.z) are kept, of them every `every`th, the last first
    if `reverse`; of each slice (on the canvas, if there is one) the pixels of `box` are kept,
    turned clockwise as seen with x to the right and y down, then flipped. What happens along z is
    done when the stack is planned; the step does the rest.
    """

    width: int
    height: int
    """Pixels of a slice, or of the canvas."""
    box: Box
    """What is kept: pixels of slice or canvas, and slots of the stack counted from its first."""
    every: int = 1
    reverse: bool = False
    turn: int = 0
    """Degrees: 0, 90, 180 or 270."""
    flip: str = ""
    """`x`, `y`, `xy` or empty: the axes that run the other way."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the volume's slices."""
        shape = self.box.shape
        return (shape.y, shape.x) if self.turn in (90, 270) else (shape.x, shape.y)

    @property
    def crop(self) -> Window:
        """Pixels that are kept."""
        return Window(self.box.start.x, self.box.start.y, self.box.stop.x, self.box.stop.y)

    @property
    def changes_rows(self) -> bool:
        """Whether slices are cropped, turned or flipped."""
        size = self.box.shape
        return bool((size.x, size.y) != (self.width, self.height) or self.turn or self.flip)

    @property
    def needs_whole_slice(self) -> bool:
        """Whether the volume's first rows aren't the first that a slice gives."""
        return bool(self.turn) or "y" in self.flip

    def lying(self, window: Window) -> Window:
        """Return the window of the slice, or the canvas, that a window of the region shows."""
        x0, y0, x1, y1 = window
        width, height = self.size
        if "x" in self.flip:
            x0, x1 = width - x1, width - x0
        if "y" in self.flip:
            y0, y1 = height - y1, height - y0
        for _ in range(self.turn // 90):  # back, a quarter at a time
            x0, y0, x1, y1 = y0, width - x1, y1, width - x0
            width, height = height, width
        return Window(x0, y0, x1, y1).moved(self.box.start.x, self.box.start.y)

    def result(self, rows: RowFormat) -> RowFormat:
        """Return rows of the region."""
        width, height = self.size
        return replace(rows, width=width, height=height)

    def memory(self, rows: RowFormat) -> RowMemory:
        """Return a piece of rows: those that are turned, or cut."""
        return RowMemory(passing=PIECE * rows.width * rows.pixel_bytes)

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener of the region of slices."""

        def open_slice(ref: SliceRef, window: Window, in_place: bool) -> RowReader:  # noqa: ARG001
            reader = inner(ref, self.lying(window), False)
            return TurnedReader(reader, self.turn, self.flip) if self.turn or self.flip else reader

        return open_slice

    def __str__(self) -> str:
        """How messages show it."""
        order = f"every {self.every}" + (", reversed" if self.reverse else "")
        return f"{self.box.name} ({order}, turn {self.turn}, flip {self.flip or 'none'})"


def as_it_lies(framed: Voxels, turn: int, flip: str) -> Voxels:
    """Return a view of turned and flipped pixels (y, x, c) in the slice's orientation.

    Args:
        framed: pixels turned `turn` degrees clockwise (x to the right, y down), then flipped.
        turn: 0, 90, 180 or 270.
        flip: the axes that were flipped: `x`, `y`, `xy` or empty.
    """
    straight = framed[:: -1 if "y" in flip else 1, :: -1 if "x" in flip else 1]
    return np.rot90(straight, turn // 90)  # rot90 turns the other way


class TurnedReader:
    """Rows of a window that is turned or flipped.

    Args:
        reader: rows of the window as it lies in the slice.
        turn: degrees clockwise.
        flip: `x`, `y`, `xy` or empty.
    """

    def __init__(self, reader: RowReader, turn: int, flip: str) -> None:
        self._reader, self._turn, self._flip = reader, turn, flip

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows; with the only ones, if `turn` or y flips them.

        Raises:
            SliceError: the slice is damaged there.
        """
        lying = as_it_lies(out, self._turn, self._flip)
        for y in range(0, len(lying), PIECE):
            into = lying[y : y + PIECE]
            rows: Voxels = np.empty(into.shape, out.dtype)
            self._reader.read_rows(rows)
            into[...] = rows
