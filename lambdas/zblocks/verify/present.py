"""The chunks of a stored scale that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zblocks.geometry import Vec
from zblocks.precomputed.reader import ScaleReader


@dataclass(frozen=True, slots=True)
class PresentChunks:
    """The chunks of a scale, cut in one way."""

    reader: ScaleReader
    count: int
    cells: Callable[[], Iterator[Vec]]
    """Walks the cells whose chunk is there."""
