"""Chunks that are stored already, read back: by Coarsen, and to look at the volume at the end."""

from __future__ import annotations

import threading
import zlib
from dataclasses import dataclass, field

import numpy as np

from zblocks.errors import IncompleteVolume, SliceError
from zblocks.geometry import Box, Voxels
from zblocks.planning.missing import is_within, planned_holes
from zblocks.planning.plan import Plan
from zblocks.planning.pyramid import Scale
from zblocks.precomputed.chunks import chunk_key, content_encoding, decode, shard_key
from zblocks.precomputed.sharding import (
    ShardBits,
    chunk_id,
    chunk_ranges,
    index_range,
    minishard_range,
)
from zblocks.storage import Store


@dataclass(slots=True)
class StoredScale:
    """One stored scale of a volume."""

    plan: Plan
    target: Store
    scale: Scale
    allow_holes: bool = False
    """Whether a chunk that isn't there is read as the fill value."""
    holes: int = 0
    """How many such chunks were read; planned holes, which are always read so, don't count."""
    _indices: dict[str, dict[int, tuple[int, int]]] = field(default_factory=dict)
    """Where each chunk lies in its shard, by the shard's key."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _planned: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._planned = planned_holes(self.plan, self.scale)

    def read(self, box: Box) -> Voxels:
        """Return the voxels (z, y, x, c) of one chunk.

        Raises:
            IncompleteVolume: it isn't there, and holes are not allowed.
            SliceError: it isn't what was stored.
        """
        if is_within(self._planned, box.start.z, box.stop.z):
            return self._hole(box)
        bits = self.scale.sharding
        name = chunk_key(self.scale, box)
        try:
            data = self._object(name) if bits is None else self._from_shard(bits, box)
            return decode(self.plan.volume, data, box)
        except (FileNotFoundError, KeyError) as error:
            if self.allow_holes:
                with self._lock:
                    self.holes += 1
                return self._hole(box)
            msg = f"{self.target.url}/{name}: not there; run again to convert what is missing"
            raise IncompleteVolume(msg) from error
        except (ValueError, OSError, zlib.error) as error:
            msg = f"{self.target.url}/{name}: {error}; run again with overwrite true"
            raise SliceError(msg) from error

    def _hole(self, box: Box) -> Voxels:
        """Return what stands for a chunk that isn't there."""
        size, volume = box.shape, self.plan.volume
        return np.full((size.z, size.y, size.x, volume.channels), volume.fill, volume.dtype)

    def _object(self, name: str) -> bytes:
        """Return a chunk that is an object of its own."""
        packed = content_encoding(self.plan.volume, self.scale)
        return self.target.get(self.target.stored_name(name, packed))

    def _from_shard(self, bits: ShardBits, box: Box) -> bytes:
        """Return a chunk by its range in a shard."""
        number = chunk_id(self.scale.cell(box), self.scale.grid)
        key = shard_key(self.scale, bits, number >> bits.low)
        with self._lock:
            if key not in self._indices:
                entry = self.target.get_range(key, *index_range(bits, number))
                index = self.target.get_range(key, *minishard_range(bits, entry))
                self._indices[key] = chunk_ranges(bits, index)
        return self.target.get_range(key, *self._indices[key][number])
