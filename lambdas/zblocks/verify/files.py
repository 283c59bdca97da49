"""The objects of one scale: which are due, which are there, and each chunk's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from zblocks.errors import ZblocksError
from zblocks.geometry import Vec
from zblocks.precomputed.sharding import chunk_id
from zblocks.precomputed.unpack import UndecodedError
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.loose import ENDINGS, loose_files
from zblocks.verify.raw import Raw
from zblocks.verify.shards import Shards, place_of, shard_name
from zblocks.verify.spec import ScaleSpec

UNREADABLE = (ValueError, UndecodedError, OSError, ZblocksError)
"""What reading a chunk may raise; said once, by the pass over all chunks."""


class Files(Protocol):
    """The objects of one scale, cut in one way."""

    @property
    def count(self) -> int:
        """Chunks of the grid that are there."""

    def present(self) -> Iterator[Vec]:
        """Walk the cells whose chunk is there."""

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is there."""

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk, None for a hole.

        Raises:
            ValueError: it can't be unpacked.
            UndecodedError: there is no decoder for its packing.
        """


def open_files(
    store: Store, scale: ScaleSpec, listing: dict[str, int], found: Findings
) -> list[Files]:
    """Hold a scale's listing (bytes by name) against what is due; return its copies' objects."""
    found.count("bytes", sum(listing.values()), scale.key)
    if scale.sharding is None:
        return list(loose_files(store, scale, listing, found))
    return [Shards(store, scale, scale.sharding, listing, found)]


def object_names(scale: ScaleSpec, cell: Vec, *, local: bool) -> tuple[str, ...]:
    """Return the names, in the scale's folder, of the objects that may hold a chunk.

    Args:
        scale: of the chunk.
        cell: the chunk.
        local: whether packed chunks may have the ending of their packing.
    """
    if scale.sharding is not None:
        shard, _ = place_of(scale.sharding, chunk_id(cell, scale.grid))
        return (shard_name(scale.sharding, shard),)
    endings = ("", *ENDINGS) if local else ("",)
    return tuple(scale.chunk_box(cell).name + ending for ending in endings)
