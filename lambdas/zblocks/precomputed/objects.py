"""The keys of a scale's objects, relative to the volume, and their HTTP headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zblocks.geometry import Box, Span, Vec, is_covered
from zblocks.precomputed.scale import IMAGES, Scale
from zblocks.precomputed.sharding import chunk_id, shard_boxes, shard_name, shard_of

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
    shard, _ = shard_of(scale.sharding, chunk_id(cell, scale.grid))
    return shard_key(scale, shard)


def object_keys(scale: Scale, holes: Sequence[Span] = ()) -> Iterator[str]:
    """Yield the keys of all objects of a scale (if sharded, with the identity as hash).

    Holes are z ranges in voxels, of whole layers of chunks, that are left out.
    """
    if scale.sharding is None:
        cells = scale.box.cells(scale.chunk)
        return (chunk_key(scale, c) for c in cells if not is_covered(holes, c.start.z, c.stop.z))
    return (
        shard_key(scale, number)
        for number, cells in shard_boxes(scale.sharding, scale.grid)
        if not is_covered(holes, scale.layer(cells.start.z)[0], scale.layer(cells.stop.z - 1)[1])
    )


def content_encoding(scale: Scale) -> str:
    """Return the Content-Encoding of a scale's objects; empty for none.

    Shards have none, since they are read by byte ranges, which browsers can't decompress.
    """
    return scale.format.compression if scale.sharding is None else ""


def content_type(scale: Scale) -> str:
    """Return the Content-Type of a scale's objects."""
    plain = scale.format.encoding in IMAGES and scale.sharding is None
    return f"image/{scale.format.encoding}" if plain else "application/octet-stream"
