"""The steps from a slice's pixels to rows of the volume, as an ordered tuple of small values.

Each step opens a slice given how the step before it opens one, says what its rows are like, and
how many bytes it holds. Planner, memory prediction and conversion only fold over the tuple, so a
new step (such as a placement by a matrix for each slice) is one more class and one more entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np

from zblocks.slices.header import RowReader
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.window import Window


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Size and type of a slice's rows between two steps."""

    width: int
    height: int
    channels: int
    dtype: str

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all channels of a pixel."""
        return self.channels * np.dtype(self.dtype).itemsize


class RowMemory(NamedTuple):
    """Bytes that steps hold beside the rows themselves."""

    kept: int = 0
    """For each open slice, between two reads."""
    passing: int = 0
    """While rows of one slice are read."""


OpenSlice = Callable[[SliceRef, Window, bool], RowReader]
"""Opens a window of a slice, in pixels as they are between two steps; the flag says whether
pixels may be decoded right into the volume's rows."""


class RowTransform(msgspec.Struct, frozen=True, tag=True):
    """One step. By itself it changes nothing; kinds of steps say what they change.

    A tagged struct, so that a plan's document says which step each of its entries is.
    """

    @property
    def in_place(self) -> bool:
        """Whether whole slices may be decoded right into the volume's rows and changed there."""
        return False

    @property
    def needs_whole_slice(self) -> bool:
        """Whether the first row that comes out needs the last that goes in."""
        return False

    def result(self, rows: RowFormat) -> RowFormat:
        """Return the format of rows after this step."""
        return rows

    def memory(self, rows: RowFormat) -> RowMemory:  # noqa: ARG002
        """Return the bytes that the step holds for rows of this format."""
        return RowMemory()

    def wrap(self, inner: OpenSlice) -> OpenSlice:
        """Return an opener of slices after this step, given the one before it."""
        return inner


def result(steps: Iterable[RowTransform], rows: RowFormat) -> RowFormat:
    """Return the format of rows after all steps."""
    for step in steps:
        rows = step.result(rows)
    return rows


def memory(steps: Iterable[RowTransform], rows: RowFormat) -> RowMemory:
    """Return the bytes that all steps hold together."""
    kept = passing = 0
    for step in steps:
        held = step.memory(rows)
        kept, passing = kept + held.kept, passing + held.passing
        rows = step.result(rows)
    return RowMemory(kept, passing)


def opener(steps: Iterable[RowTransform], first: OpenSlice) -> OpenSlice:
    """Return an opener of slices whose rows are the volume's.

    Args:
        steps: in order.
        first: opens a slice's file.
    """
    for step in steps:
        first = step.wrap(first)
    return first
