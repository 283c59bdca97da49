"""How each output format stores the chunks of a scale."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from zblocks.compression import Buffer
from zblocks.geometry import ONE, Box, Span, Vec, Voxels
from zblocks.omezarr.array import ZarrArray
from zblocks.omezarr.object_names import ZarrNames
from zblocks.omezarr.reader import ArrayReader
from zblocks.precomputed.encoding import encode_chunk
from zblocks.precomputed.object_names import object_names
from zblocks.precomputed.reader import ScaleReader
from zblocks.precomputed.scale import (
    Scale,
    chunk_key,
    content_encoding,
    content_type,
    shard_key,
)
from zblocks.precomputed.sharding import build_shard, chunk_id, shard_size
from zblocks.storage import Store

PRECOMPUTED, OME_ZARR = "precomputed", "ome-zarr"
SUFFIX = ".ome.zarr"  # of an image beside a precomputed volume


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats that a volume is stored in, at least one."""

    precomputed: bool = True
    zarr: bool = False
    zarr_compression: str = ""  # of the chunks of an OME-Zarr image: `gzip`, `zstd` or empty
    zarr_sharded: bool = False  # whether its chunks are in shards

    @property
    def names(self) -> tuple[str, ...]:
        """Their names in the config."""
        return (PRECOMPUTED,) * self.precomputed + (OME_ZARR,) * self.zarr

    @property
    def zarr_suffix(self) -> str:
        """Of the URL of an OME-Zarr image, after the destination's."""
        return SUFFIX if self.precomputed else ""


PRECOMPUTED_ONLY = Formats()


class ObjectNames(Protocol):
    """The objects of a scale by their names in its folder; they lie in layers along z."""

    layers: dict[int, Span]
    """The z range, in voxels, of each layer of objects that isn't a hole, by its index."""
    xs: range
    ys: range
    """The first voxel along x, and along y, of the objects of each layer."""

    def locate(self, name: str) -> tuple[int, int, int] | None:
        """Return the layer of the object with this name, and its first voxel along x and y.

        None if the scale has no such object.
        """

    def in_layer(self, layer: int) -> Iterator[str]:
        """Yield the names of all objects of a layer."""

    def splits(self, count: int) -> list[str]:
        """Return ascending strings that split all names into up to `count` runs of about one size.

        A name belongs to the run of the first string that isn't less than it, or to the last run.
        """


class ChunkReader(Protocol):
    """Reads the chunks of a stored scale."""

    def read(self, cell: Vec) -> Voxels | None:
        """Return the voxels (z, y, x, c) of a chunk; None if it doesn't exist.

        Raises ValueError, OSError or zlib.error: it is damaged.
        """


class StoredAs(Protocol):
    """How one format stores the chunks of one scale, alone or several in an object."""

    @property
    def scale(self) -> Scale:
        """The scale."""

    @property
    def suffix(self) -> str:
        """Of the URL of what it is part of, after the destination's."""

    @property
    def folder(self) -> str:
        """The folder of its objects."""

    @property
    def group(self) -> Vec:
        """Chunks of an object, xyz; objects at the far edges of the volume hold fewer."""

    @property
    def headers(self) -> tuple[str, str]:
        """Content-Type and Content-Encoding of its objects."""

    def form(self, box: Box, /) -> Hashable:
        """Return how a chunk is encoded: formats that return the same store the same bytes."""

    def encode(self, voxels: Voxels) -> Buffer:
        """Return a chunk (z, y, x, c), contiguous, as it is stored."""

    def key(self, cell: Vec) -> str:
        """Return the key of the object that holds a cell's chunk."""

    def pack(self, chunks: Mapping[Vec, Buffer]) -> list[Buffer]:
        """Return the parts of an object, in their order, from its encoded chunks by their cells."""

    def names(self, holes: Sequence[Span], store: Store, /) -> ObjectNames:
        """Return the names of its objects as stored, without those in `holes`, z ranges."""

    def open(self, store: Store) -> ChunkReader:
        """Open it, in the store of what it is part of, to read its chunks."""


@dataclass(frozen=True, slots=True)
class _PrecomputedScale:
    scale: Scale
    suffix: str = ""

    @property
    def folder(self) -> str:
        return self.scale.key

    @property
    def group(self) -> Vec:
        sharding = self.scale.sharding
        return ONE if sharding is None else shard_size(sharding, self.scale.grid)

    @property
    def headers(self) -> tuple[str, str]:
        return content_type(self.scale), content_encoding(self.scale)

    def form(self, _: Box) -> Hashable:
        chunks = self.scale.format
        return (chunks.encoding, chunks.compression)

    def encode(self, voxels: Voxels) -> Buffer:
        return encode_chunk(self.scale.format, voxels)

    def key(self, cell: Vec) -> str:
        scale = self.scale
        if scale.sharding is None:
            return chunk_key(scale, scale.chunk_box(cell))
        return shard_key(scale, chunk_id(cell, scale.grid) >> scale.sharding.low)

    def pack(self, chunks: Mapping[Vec, Buffer]) -> list[Buffer]:
        sharding, grid = self.scale.sharding, self.scale.grid
        if sharding is None:
            return list(chunks.values())
        return build_shard(sharding, {chunk_id(cell, grid): data for cell, data in chunks.items()})

    def names(self, holes: Sequence[Span], store: Store) -> ObjectNames:
        return object_names(self.scale, holes, store.stored_name("", self.headers[1]))

    def open(self, store: Store) -> ChunkReader:
        return ScaleReader.open(store, self.scale)


@dataclass(frozen=True, slots=True)
class _ZarrScale:
    scale: Scale
    array: ZarrArray
    suffix: str = ""

    @property
    def folder(self) -> str:
        return self.array.folder

    @property
    def group(self) -> Vec:
        return self.array.shard or ONE

    @property
    def headers(self) -> tuple[str, str]:
        return "application/octet-stream", ""

    def form(self, box: Box) -> Hashable:
        whole = box.shape == self.array.chunk
        return ("raw" if whole else "filled up", self.array.compression)

    def encode(self, voxels: Voxels) -> Buffer:
        return self.array.encode(voxels)

    def key(self, cell: Vec) -> str:
        return f"{self.folder}/{self.array.object_name(cell.over(self.group))}"

    def pack(self, chunks: Mapping[Vec, Buffer]) -> list[Buffer]:
        if self.array.shard is None:
            return list(chunks.values())
        group = self.group
        places = {Vec(c.x % group.x, c.y % group.y, c.z % group.z): c for c in chunks}
        return self.array.build_shard({place: chunks[cell] for place, cell in places.items()})

    def names(self, holes: Sequence[Span], _: Store) -> ObjectNames:
        return ZarrNames(self.array, self.scale.box.start, holes)

    def open(self, store: Store) -> ChunkReader:
        return ArrayReader.open(store, self.array)


def zarr_array(
    scale: Scale, formats: Formats, path: str, shard: Vec | None, fill: float
) -> ZarrArray:
    """Return the array of a scale in an OME-Zarr image; `shard` is as in `ZarrArray`."""
    size, chunks = scale.box.shape, scale.format
    return ZarrArray(
        path=path,
        size=size,
        channels=chunks.channels,
        chunk=Vec(*map(min, scale.chunk, size)),
        dtype=chunks.dtype,
        compression=formats.zarr_compression,
        fill=fill,
        shard=shard,
    )


def stored_as(scale: Scale, array: ZarrArray, formats: Formats) -> tuple[StoredAs, ...]:
    """Return how each format stores a scale; the one at the destination comes first."""
    found: list[StoredAs] = [_PrecomputedScale(scale)] if formats.precomputed else []
    if formats.zarr:
        found.append(_ZarrScale(scale, array, formats.zarr_suffix))
    return tuple(found)


def count_objects(stored: StoredAs, box: Box) -> int:
    """Return the number of objects of a scale in a box that begins at one of them."""
    return prod(box.grid(stored.group.times(stored.scale.chunk)))
