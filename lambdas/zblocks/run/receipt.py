"""Receipts: what a task read and wrote, stored after every object that they name.

A task without a receipt has not been done.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from zblocks.conversion.chunk_writer import Written
from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.planning.plan import VERSION


@dataclass(frozen=True, slots=True)
class Receipt:
    """The work of one task, done."""

    layout_id: str
    """`Plan.layout_id` of the plan that it was done by."""
    task: str
    """Name of the block or coarse task."""
    objects: tuple[Written, ...]
    read: tuple[ReadSlice, ...]
    """Slices that were read, in z order; substitutes are named in the places of those that they
    stand for, too. None for a coarse task."""
    slices: tuple[SliceStats, ...]
    """Of the slices that the block owns, in z order."""
    seconds: float
    peak_mb: int
    """Highest resident memory of the process so far, MiB."""
    tries: int
    """How often the task was tried, this time included."""
    partial: bool = False
    """Whether it was made from a scale with holes."""
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
