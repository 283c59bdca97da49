"""A Zarr array written by any tool, as its document describes it: its grid, keys and codecs.

Axes are named by letters of `tczyx`, in the order of the array; one that an array lacks has the
size 1. Of several time points, the first is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Vec, Voxels, ceil_div
from zblocks.omezarr.codecs import CHECKSUM_BYTES, ChunkCodec
from zblocks.omezarr.fields import FieldError

Place = tuple[int, ...]
"""A chunk or shard by its indices in their grid, along the axes of the array."""

LARGEST_CHUNK = 1 << 31  # bytes of a chunk with all channels; a browser can't hold more


@dataclass(frozen=True, slots=True)
class ShardFormat:
    """How chunks are packed into shards."""

    chunks: tuple[int, ...]  # of a shard, along the axes of the array
    index_at_end: bool = True
    index_order: str = "<"  # byte order of the index
    index_checksum: bool = True

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index, with its checksum."""
        return 16 * prod(self.chunks) + CHECKSUM_BYTES * self.index_checksum


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array; its shape and that of its chunks are along its axes.

    Raises FieldError: its chunks are too large.
    """

    path: str  # its folder in the image
    axes: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]  # of a shard, where there are any
    codec: ChunkCodec
    fill: float  # value of voxels whose chunk is absent
    prefix: str = "c/"  # of the keys of chunks
    separator: str = "/"  # in them
    shards: ShardFormat | None = None

    def __post_init__(self) -> None:
        held = max(prod(self.chunk), prod(self.chunk_size) * self.channels)
        if held * self.codec.dtype.itemsize > LARGEST_CHUNK:
            text = f"of {list(self.chunk)} with all channels are more than a reader can hold"
            raise FieldError("chunks", text)

    @property
    def size(self) -> Vec:
        """Voxels, xyz."""
        return self._xyz(self.shape)

    @property
    def chunk_size(self) -> Vec:
        """Voxels of a chunk, xyz."""
        return self._xyz(self.chunk)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._along("c", self.shape)

    @property
    def objects(self) -> tuple[int, ...]:
        """Objects along each axis of the array."""
        per = self.shards.chunks if self.shards else (1,) * len(self.shape)
        each = zip(self.shape, self.chunk, per, strict=True)
        return tuple(ceil_div(n, c * p) for n, c, p in each)

    def _along(self, axis: str, sizes: Sequence[int]) -> int:
        return sizes[self.axes.index(axis)] if axis in self.axes else 1

    def _xyz(self, sizes: Sequence[int]) -> Vec:
        return Vec(*(self._along(axis, sizes) for axis in "xyz"))

    def places(self, cell: Vec) -> list[Place]:
        """Return the chunks that hold a cell of the xyz grid, by ascending channels."""
        at = dict(zip("xyz", cell, strict=True))
        each = range(ceil_div(self.channels, self._along("c", self.chunk)))
        return [tuple({**at, "c": c}.get(axis, 0) for axis in self.axes) for c in each]

    def cell(self, place: Place) -> Vec:
        """Return the cell of the xyz grid that a chunk belongs to."""
        return Vec(*(place[self.axes.index(a)] if a in self.axes else 0 for a in "xyz"))

    def key(self, place: Place) -> str:
        """Return the key of an object, a chunk or shard, by its place in their grid."""
        name = self.prefix + self.separator.join(map(str, place))
        return f"{self.path}/{name}" if self.path else name

    def locate(self, name: str) -> Place | None:
        """Return the place of the object with this name in the array's folder, or None."""
        if not name.startswith(self.prefix) or len(name) > 200:
            return None
        parts = name.removeprefix(self.prefix).split(self.separator)
        if len(parts) != len(self.shape) or not all(p.isascii() and p.isdecimal() for p in parts):
            return None
        place = tuple(map(int, parts))
        inside = all(n < count for n, count in zip(place, self.objects, strict=True))
        return place if inside and [*map(str, place)] == parts else None

    def is_first(self, place: Place) -> bool:
        """Return whether an object holds voxels of the first time point."""
        return "t" not in self.axes or place[self.axes.index("t")] == 0

    def split(self, place: Place) -> tuple[Place, Place]:
        """Return the shard of a chunk, and the chunk's place in it."""
        per = self.shards.chunks if self.shards else (1,) * len(place)
        outer = tuple(n // p for n, p in zip(place, per, strict=True))
        return outer, tuple(n % p for n, p in zip(place, per, strict=True))

    def join(self, chunks: Sequence[npt.NDArray[Any] | None], cell: Vec) -> Voxels:
        """Return the voxels (z, y, x, c) of a cell from its chunks, as `places` names them."""
        whole = [self._voxels(chunk) for chunk in chunks]
        voxels = whole[0] if len(whole) == 1 else np.concatenate(whole, axis=3)
        x, y, z = (
            min(c, n - c * at)
            for n, c, at in zip(self.size, self.chunk_size, cell, strict=True)
        )  # fmt: skip
        return voxels[:z, :y, :x, : self.channels]

    def _voxels(self, chunk: npt.NDArray[Any] | None) -> Voxels:
        if chunk is None:
            chunk = np.full(self.chunk, self.fill, self.codec.dtype.newbyteorder("="))
        return self.arrange(chunk)

    def arrange(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values along the axes of the array as (z, y, x, c), of the first time point."""
        first = values[tuple(0 if axis == "t" else slice(None) for axis in self.axes)]
        rest = self.axes.replace("t", "")
        arranged = first.transpose([rest.index(a) for a in "zyxc" if a in rest])
        return np.expand_dims(arranged, [n for n, a in enumerate("zyxc") if a not in rest])
