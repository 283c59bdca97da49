"""A precomputed volume as described by `info`: scales, chunks, encodings, and keys of objects.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`, and the viewer's decoders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from zblocks.geometry import Box, Vec, Voxels, ceil_div
from zblocks.precomputed.sharding import (
    Sharding,
    chunk_id,
    shard_name,
    shard_of,
)

DATA_TYPES = frozenset(
    ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
)  # fmt: skip
"""Data types that viewers read."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The limits of one encoding."""

    dtypes: frozenset[str] = DATA_TYPES
    channels: tuple[int, ...] = ()  # allowed numbers of channels; empty for any
    lossy: bool = False  # whether encoding changes voxels

    @property
    def bits(self) -> int:
        """Bits of the widest type."""
        return max(8 * np.dtype(t).itemsize for t in self.dtypes)

    def holds_channels(self, count: int) -> bool:
        """Return whether the encoding supports this number of channels."""
        return not self.channels or count in self.channels


_LABELS = ("uint8", "uint16", "uint32", "uint64")

ENCODINGS = {
    "raw": Encoding(),
    "jpeg": Encoding(frozenset(("uint8",)), (1, 3), lossy=True),
    "png": Encoding(frozenset(("uint8", "uint16")), (1, 2, 3, 4)),
    "jxl": Encoding(frozenset(("uint8",)), (1, 3, 4), lossy=True),
    "compressed_segmentation": Encoding(frozenset(_LABELS[2:])),
    "compresso": Encoding(frozenset(_LABELS), (1,)),
}
"""By the name in `info`."""


LAYERS = ("image", "segmentation")

IMAGES = ("jpeg", "png", "jxl")  # encodings that are themselves compressed
LABEL_BLOCK = Vec(8, 8, 8)
"""Block size of compressed_segmentation as zblocks writes it, in voxels, xyz."""

SMALL_CHUNK, LARGE_CHUNK = 1 << 16, 1 << 26
"""Smallest limit of an encoded chunk, and the largest allowed for blocks of labels, in bytes."""

Resolution = tuple[float, float, float]  # nm per voxel, xyz
_CHUNK = re.compile(r"(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """How the chunks of a scale are stored."""

    dtype: str  # `uint8`, `uint16`, `uint32`, `uint64`, `int8`, `int16`, `int32` or `float32`
    channels: int
    encoding: str  # `raw`, `jpeg`, `png`, `compressed_segmentation` or `compresso`
    compression: str = ""  # compression of encoded chunks when written: `gzip`, `br` or empty
    jpeg_quality: int = 0
    block: Vec | None = None  # block size of compressed_segmentation, in voxels, xyz

    @classmethod
    def written(
        cls, dtype: str, channels: int, encoding: str, compression: str, jpeg_quality: int
    ) -> ChunkFormat:
        """Return the format of chunks that zblocks writes; ignore options that don't apply."""
        return cls(
            dtype,
            channels,
            encoding,
            compression="" if encoding in IMAGES or compression == "none" else compression,
            jpeg_quality=jpeg_quality if encoding == "jpeg" else 0,
            block=LABEL_BLOCK if encoding == "compressed_segmentation" else None,
        )

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.channels * np.dtype(self.dtype).itemsize

    def limit(self, box: Box) -> int:
        """Return the maximum size of an encoded chunk of this box, in bytes.

        Twice the raw size is enough for most; compressed_segmentation stores whole blocks, each
        with up to 32 bits per voxel and as many labels as voxels.
        """
        enough = max(2 * box.voxels * self.voxel_bytes, SMALL_CHUNK)
        if self.block is None:
            return enough
        stored = 8 + prod(self.block) * (4 + np.dtype(self.dtype).itemsize)
        size = self.channels * (4 + prod(box.grid(self.block)) * stored)
        return max(enough, min(size, LARGE_CHUNK))


@dataclass(frozen=True, slots=True)
class Scale:
    """One resolution of a volume."""

    key: str  # its folder, relative to the volume
    factor: Vec  # scale 0 voxels per voxel of this scale, xyz
    resolution: Resolution
    box: Box  # all voxels of this scale; its start is the `voxel_offset` and the origin of the grid
    chunk: Vec  # chunk size in voxels, xyz; chunks at the far edges are clipped
    format: ChunkFormat
    sharding: Sharding | None = None  # None if each chunk is an object of its own
    other_chunks: tuple[Vec, ...] = ()
    """Further chunk sizes, each with a complete copy of the scale."""

    @property
    def grid(self) -> Vec:
        """Chunks per axis, xyz."""
        return self.box.grid(self.chunk)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return prod(self.grid)

    def layer(self, z: int) -> tuple[int, int]:
        """Return the z range [z0, z1), in voxels, of a layer of chunks."""
        first = self.box.start.z + z * self.chunk.z
        return first, min(first + self.chunk.z, self.box.stop.z)

    def cell(self, box: Box) -> Vec:
        """Return the grid cell of a chunk, xyz."""
        starts = zip(box.start, self.box.start, self.chunk, strict=True)
        return Vec(*((a - o) // c for a, o, c in starts))

    def cells(self) -> Iterator[Vec]:
        """Yield all cells of the grid, x fastest, then y, z."""
        return self.touching(self.box)

    def cell_at(self, number: int) -> Vec:
        """Return the cell with this index in the order of `cells`."""
        grid = self.grid
        rest, x = divmod(number, grid.x)
        z, y = divmod(rest, grid.y)
        return Vec(x, y, z)

    def chunk_box(self, cell: Vec) -> Box:
        """Return the voxels of a cell's chunk, clipped."""
        start = Vec(*(b + c * n for b, c, n in zip(self.box.start, cell, self.chunk, strict=True)))
        ends = (s + n for s, n in zip(start, self.chunk, strict=True))
        return Box(start, Vec(*map(min, self.box.stop, ends)))

    def touching(self, box: Box) -> Iterator[Vec]:
        """Yield the cells that intersect a box, x fastest, then y, z."""
        start, chunk = self.box.start, self.chunk
        first = [(b - s) // c for b, s, c in zip(box.start, start, chunk, strict=True)]
        last = [ceil_div(b - s, c) for b, s, c in zip(box.stop, start, chunk, strict=True)]
        x, y, z = (range(a, b) for a, b in zip(first, last, strict=True))
        return (Vec(i, j, k) for k in z for j in y for i in x)

    def cell_named(self, name: str) -> Vec | None:
        """Return the cell whose chunk has this name; None if there is none."""
        match = _CHUNK.fullmatch(name)
        if match is None or len(name) > 200:
            return None
        x, _, y, _, z, _ = map(int, match.groups())
        at = zip((x, y, z), self.box.start, self.chunk, strict=True)
        cell = Vec(*((v - s) // c for v, s, c in at))
        inside = all(0 <= n < g for n, g in zip(cell, self.grid, strict=True))
        return cell if inside and self.chunk_box(cell).name == name else None

    def aligned(self, box: Box) -> Box:
        """Return a box extended to begin at a chunk boundary."""
        starts = zip(box.start, self.box.start, self.chunk, strict=True)
        return Box(Vec(*(o + (a - o) // c * c for a, o, c in starts)), box.stop)

    def empty(self, box: Box, value: float = 0) -> Voxels:
        """Return voxels (z, y, x, c) of a box, all of one value."""
        x, y, z = box.shape
        return np.full((z, y, x, self.format.channels), value, self.format.dtype)

    def copies(self) -> tuple[Scale, ...]:
        """Return one scale for each chunk size."""
        chunks = (self.chunk, *self.other_chunks)
        return tuple(replace(self, chunk=chunk, other_chunks=()) for chunk in chunks)


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as described by `info`."""

    layer: str  # `image` or `segmentation`
    scales: tuple[Scale, ...]  # finest first
    segment_properties: str = ""
    """Folder of the labels' names, relative to the volume; empty if none."""

    @property
    def format(self) -> ChunkFormat:
        """The format of scale 0; all scales have its data type and channels."""
        return self.scales[0].format

    @property
    def box(self) -> Box:
        """All voxels of scale 0."""
        return self.scales[0].box


def scale_key(resolution: Resolution) -> str:
    """Return the key of a scale that zblocks writes: its resolution in nm, as `x_y_z`."""
    return "_".join(f"{r:.6f}".rstrip("0").rstrip(".") for r in resolution)


def looks_like_a_chunk(name: str) -> bool:
    """Return whether a name has the form of a chunk's name, in any grid."""
    return _CHUNK.fullmatch(name) is not None


ENDINGS = {"gzip": ".gz", "br": ".br", "zstd": ".zstd"}
"""File name suffixes of compressed chunks in a local folder, which has no headers."""


def chunk_key(scale: Scale, box: Box) -> str:
    """Return the key of an unsharded chunk."""
    return f"{scale.key}/{box.name}"


def shard_key(scale: Scale, number: int) -> str:
    """Return the key of a shard. Raises ValueError if the scale is not sharded."""
    if scale.sharding is None:
        raise ValueError(f"scale {scale.key} is not sharded")
    return f"{scale.key}/{shard_name(scale.sharding, number)}"


def object_key(scale: Scale, cell: Vec) -> str:
    """Return the key of the object that holds a cell's chunk."""
    if scale.sharding is None:
        return chunk_key(scale, scale.chunk_box(cell))
    return shard_key(scale, shard_of(scale.sharding, chunk_id(cell, scale.grid))[0])


def content_encoding(scale: Scale) -> str:
    """Return the Content-Encoding of a scale's objects; empty for none, as for shards."""
    # Shards are read by byte ranges, which browsers can't decompress.
    return scale.format.compression if scale.sharding is None else ""


def content_type(scale: Scale) -> str:
    """Return the Content-Type of a scale's objects."""
    plain = scale.format.encoding in IMAGES and scale.sharding is None
    return f"image/{scale.format.encoding}" if plain else "application/octet-stream"
