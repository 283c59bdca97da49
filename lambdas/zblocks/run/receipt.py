"""Receipts: what a finished task has read and written. A task without one is not done."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from zblocks.conversion.chunk_writer import Written
from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.planning.plan import VERSION


@dataclass(frozen=True, slots=True)
class Receipt:
    """A finished task; stored after all the objects that it names."""

    layout_id: str
    """`Plan.layout_id` of its plan."""
    task: str
    """Name of the block or coarse task."""
    objects: tuple[Written, ...]
    read: tuple[ReadSlice, ...]
    """Slices that were read, in z order, with substitutes in the places of missing slices; empty
    for a coarse task."""
    slices: tuple[SliceStats, ...]
    """Statistics of the block's own slices, in z order."""
    seconds: float
    peak_mb: int
    """Highest resident memory of the worker so far, MiB."""
    tries: int
    """Attempts at the task, this one included."""
    partial: bool = False
    """Whether its input scale had holes."""
    version: int = VERSION

    @property
    def bytes_read(self) -> int:
        """Bytes of the slices that were read."""
        return sum(s.bytes for s in self.read)

    @property
    def bytes_written(self) -> int:
        """Bytes of its objects."""
        return sum(o.bytes for o in self.objects)

    def to_json(self) -> bytes:
        """Return the document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """Read the document back.

        Raises:
            ValueError: it is damaged.
        """
        return msgspec.json.decode(data, type=cls)
