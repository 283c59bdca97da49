"""Reads a stored scale of a planned volume, with its holes."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field

from zblocks.errors import IncompleteVolume, SliceError
from zblocks.geometry import Box, Span, Voxels, is_covered
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.precomputed.objects import chunk_key
from zblocks.precomputed.reader import ScaleReader
from zblocks.precomputed.scale import Scale
from zblocks.storage import Store


@dataclass(slots=True)
class StoredScale:
    """One stored scale of a planned volume."""

    plan: Plan
    target: Store
    scale: Scale
    allow_holes: bool = False
    """Whether a missing chunk is read as the fill value."""
    holes: int = 0
    """Number of missing chunks read; planned holes, which are always allowed, don't count."""
    _reader: ScaleReader = field(init=False)
    _planned: tuple[Span, ...] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._reader = ScaleReader.open(self.target, self.scale)
        self._planned = planned_holes(self.plan, self.scale)

    def read(self, box: Box) -> Voxels:
        """Return the voxels (z, y, x, c) of one chunk.

        Raises:
            IncompleteVolume: it is missing, and holes are not allowed.
            SliceError: it is damaged.
        """
        if is_covered(self._planned, box.start.z, box.stop.z):
            return self._reader.empty(box, self.plan.missing.fill)
        place = f"{self.target.url}/{chunk_key(self.scale, box)}"
        try:
            found = self._reader.read(self.scale.cell(box))
        except (ValueError, OSError, zlib.error) as error:
            msg = f"{place}: {error}; rerun with overwrite true"
            raise SliceError(msg) from error
        if found is not None:
            return found
        if not self.allow_holes:
            msg = f"{place}: missing; rerun to convert what is missing"
            raise IncompleteVolume(msg)
        with self._lock:
            self.holes += 1
        return self._reader.empty(box, self.plan.missing.fill)
