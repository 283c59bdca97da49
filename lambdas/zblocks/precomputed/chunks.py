"""Voxels of one chunk ↔ the bytes of its object, and the headers that go with them.

Raw: little-endian, x fastest, then y, z, and channel slowest, clipped at the volume's edges.
JPEG: an image of width x and height y·z whose rows, one after the other, are the chunk in that
same order (Neuroglancer, `volume.md`, "Chunk encoding").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zblocks.geometry import Box
from zblocks.plan import Volume
from zblocks.pooling import Voxels
from zblocks.precomputed.shards import ShardBits, shard_boxes, shard_name
from zblocks.pyramid import Scale

Buffer = bytes | memoryview
"""Bytes, possibly where they lie."""

GZIP_LEVEL = 1
"""igzip's level 1: on 8-bit sections within 4 % of level 3's size at 1.15 times its speed."""


def chunk_key(scale: Scale, box: Box) -> str:
    """Return the object name of a chunk, relative to the volume."""
    return f"{scale.key}/{box.name}"


def shard_key(scale: Scale, bits: ShardBits, number: int) -> str:
    """Return the object name of a shard, relative to the volume."""
    return f"{scale.key}/{shard_name(bits, number)}"


def object_keys(scale: Scale) -> Iterator[str]:
    """Walk the names of every object of a scale, relative to the volume."""
    if scale.sharding is None:
        return (chunk_key(scale, box) for box in scale.box.cells(scale.chunk))
    bits = scale.sharding
    return (shard_key(scale, bits, number) for number, _ in shard_boxes(bits, scale.grid))


def data_encoding(volume: Volume) -> str:
    """Return how chunks are packed: `gzip` or `raw`; JPEG is packed enough."""
    return "gzip" if volume.encoding == "raw" and volume.compression == "gzip" else "raw"


def content_encoding(volume: Volume, scale: Scale) -> str:
    """Return the Content-Encoding of a scale's objects; empty for none.

    Shards carry none: a browser would undo it, and ranges of the object would mean nothing.
    """
    return "gzip" if data_encoding(volume) == "gzip" and scale.sharding is None else ""


def content_type(volume: Volume, scale: Scale) -> str:
    """Return the Content-Type of a scale's objects."""
    plain = volume.encoding == "jpeg" and scale.sharding is None
    return "image/jpeg" if plain else "application/octet-stream"


def encode(volume: Volume, voxels: Voxels) -> Buffer:
    """Return the bytes of one chunk, voxels (z, y, x, c), contiguous.

    Uncompressed voxels of one channel are returned as they lie, without a copy.
    """
    if volume.encoding == "jpeg":
        return _jpeg(voxels, volume.jpeg_quality)
    raw = voxels.data.cast("B") if voxels.shape[3] == 1 else _channels_first(voxels)
    if data_encoding(volume) == "raw":
        return raw
    from isal import isal_zlib

    packed: bytes = isal_zlib.compress(raw, GZIP_LEVEL, 31)  # 31: gzip, no time stamp in it
    return packed


def decode(volume: Volume, data: bytes, box: Box) -> Voxels:
    """Return the voxels (z, y, x, c) of a stored chunk of this box.

    Raises:
        ValueError: the bytes are not a chunk of this size.
    """
    size = box.shape
    if volume.encoding == "jpeg":
        return _from_jpeg(volume, data, box)
    if data_encoding(volume) == "gzip":
        from isal import isal_zlib

        data = isal_zlib.decompress(data, 31)
    flat: Voxels = np.frombuffer(data, np.dtype(volume.dtype).newbyteorder("<"))
    shape = (volume.channels, size.z, size.y, size.x)
    if flat.size != box.voxels * volume.channels:
        msg = f"holds {flat.size} values where {shape} (c, z, y, x) are due"
        raise ValueError(msg)
    return flat.reshape(shape).transpose(1, 2, 3, 0)


def _channels_first(voxels: Voxels) -> bytes:
    """Return the voxels with the channel slowest."""
    return voxels.transpose(3, 0, 1, 2).tobytes()


def _jpeg(voxels: Voxels, quality: int) -> bytes:
    """Return the chunk as a baseline JPEG without chroma subsampling."""
    import simplejpeg

    depth, height, width, channels = voxels.shape
    image = voxels.reshape(depth * height, width, channels)
    space = "GRAY" if channels == 1 else "RGB"
    data: bytes = simplejpeg.encode_jpeg(
        image, quality=quality, colorspace=space, colorsubsampling="444"
    )
    return data


def _from_jpeg(volume: Volume, data: bytes, box: Box) -> Voxels:
    """Decode a JPEG chunk."""
    import simplejpeg

    space = "GRAY" if volume.channels == 1 else "RGB"
    image: Voxels = simplejpeg.decode_jpeg(data, colorspace=space)
    size = box.shape
    if image.size != box.voxels * volume.channels:
        msg = f"is {image.shape[1]}×{image.shape[0]} where {size.x}×{size.y * size.z} is due"
        raise ValueError(msg)
    return image.reshape(size.z, size.y, size.x, volume.channels)
