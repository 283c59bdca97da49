"""A Zarr array of one scale: its document, the keys of its objects, and their bytes.

Format: Zarr core specification, version 3, and its codecs `bytes`, `gzip`, `zstd`, `crc32c` and
`sharding_indexed`. Axes are (c,) z, y, x, the last one contiguous; an array of one channel has no
axis c.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from zblocks.compression import Buffer, compress
from zblocks.geometry import Vec, Voxels, ceil_div
from zblocks.omezarr.codecs import CHECKSUM_BYTES, checksum

GZIP_LEVEL = 1  # as its document says; readers don't need it
NO_CHUNK = 2**64 - 1
"""In a shard's index, offset and size of a chunk that isn't there."""
DOCUMENT = "zarr.json"


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """The array of one scale."""

    path: str  # its folder in the image
    size: Vec  # voxels, xyz
    channels: int
    chunk: Vec  # voxels, xyz; each has all channels
    dtype: str  # as numpy's
    compression: str  # of chunks: `gzip`, `zstd` or empty
    fill: int | float = 0  # value of voxels whose chunk isn't there
    shard: Vec | None = None  # chunks in each shard, xyz; None if each chunk is an object

    @property
    def folder(self) -> str:
        """The folder of its objects in the image."""
        return f"{self.path}/c" if self.channels == 1 else f"{self.path}/c/0"

    @property
    def grid(self) -> Vec:
        """Chunks along each axis, xyz."""
        return Vec(*map(ceil_div, self.size, self.chunk))

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes."""
        return ("z", "y", "x") if self.channels == 1 else ("c", "z", "y", "x")

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index, with its checksum."""
        return 16 * prod(self.shard or ()) + CHECKSUM_BYTES

    def along_axes(self, size: Vec) -> list[int]:
        """Return a size along its axes; all channels count as they are."""
        shape = [size.z, size.y, size.x]
        return shape if self.channels == 1 else [self.channels, *shape]

    def object_name(self, at: Vec) -> str:
        """Return the name, in its folder, of a chunk or shard by its place in their grid, xyz."""
        return f"{at.z}/{at.y}/{at.x}"

    def encode(self, voxels: Voxels) -> Buffer:
        """Return a chunk (z, y, x, c), contiguous, as stored; fill up one at the far edges."""
        x, y, z = self.chunk
        if voxels.shape[:3] != (z, y, x):
            whole = np.full((z, y, x, self.channels), self.fill, voxels.dtype)
            whole[tuple(map(slice, voxels.shape))] = voxels
            voxels = whole
        one = self.channels == 1
        data = voxels.data.cast("B") if one else voxels.transpose(3, 0, 1, 2).tobytes()
        return compress(data, self.compression)

    def build_shard(self, chunks: Mapping[Vec, Buffer]) -> list[Buffer]:
        """Return a shard's parts: its encoded chunks, by their places in it, xyz, and its index.

        Other chunks are absent. Layout: chunks, x fastest, then y, z; offset and size of every
        chunk; checksum of these.
        """
        if self.shard is None:
            raise ValueError(f"array {self.path} is not sharded")
        x, y, z = self.shard
        index = np.full((z, y, x, 2), NO_CHUNK, "<u8")
        data: list[Buffer] = []
        at = 0
        for place in sorted(chunks, key=lambda v: v[::-1]):
            chunk = chunks[place]
            index[place.z, place.y, place.x] = at, len(chunk)
            data.append(chunk)
            at += len(chunk)
        table = index.tobytes()
        return [*data, table, checksum(table)]

    def document(self) -> bytes:
        """Return its `zarr.json`."""
        codecs: list[dict[str, Any]] = [_codec("bytes", endian="little")]
        if self.compression == "gzip":
            codecs.append(_codec("gzip", level=GZIP_LEVEL))
        elif self.compression == "zstd":
            codecs.append(_codec("zstd", level=1, checksum=False))
        outer = self.chunk
        if self.shard is not None:
            outer = self.chunk.times(self.shard)
            index = [_codec("bytes", endian="little"), {"name": "crc32c"}]
            inner = self.along_axes(self.chunk)
            codecs = [
                _codec(
                    "sharding_indexed",
                    chunk_shape=inner, codecs=codecs, index_codecs=index, index_location="end",
                )
            ]  # fmt: skip
        document = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": self.along_axes(self.size),
            "data_type": self.dtype,
            "chunk_grid": _codec("regular", chunk_shape=self.along_axes(outer)),
            "chunk_key_encoding": _codec("default", separator="/"),
            "fill_value": self.fill,
            "codecs": codecs,
            "dimension_names": self.axes,
            "attributes": {},
        }
        return json.dumps(document, indent=1).encode()


def _codec(name: str, **configuration: object) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}
