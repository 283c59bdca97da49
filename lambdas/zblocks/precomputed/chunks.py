"""Voxels of one chunk ↔ the bytes of its object, and the headers that go with them.

Raw: little-endian, x fastest, then y, z, and channel slowest, clipped at the volume's edges.
JPEG, PNG: an image of width x and height y·z whose rows, one after the other, are the chunk in that
same order (Neuroglancer, `volume.md`, "Chunk encoding"). Labels: by the libraries of their formats.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.missing import is_within
from zblocks.planning.plan import Volume
from zblocks.planning.pyramid import Scale
from zblocks.precomputed.decode import Encoded, decode_chunk
from zblocks.precomputed.sharding import ShardBits, shard_boxes, shard_name
from zblocks.precomputed.unpack import unpack

Buffer = bytes | memoryview
"""Bytes, possibly where they lie."""

IMAGES = ("jpeg", "png")
"""Encodings that are packed enough."""

LABEL_BLOCK = (8, 8, 8)
"""Voxels of a block of compressed_segmentation, xyz."""

BROTLI_QUALITY = 5
"""Half of the gain of the best one at fifty times its speed."""

PNG_LEVEL = 3

SMALL = 4096
"""Bytes below which zlib packs: igzip was seen to pack the same 20 bytes in two ways, and a block
that is delivered twice must write the same bytes."""

GZIP_LEVEL = 1
"""igzip's level 1: on 8-bit sections within 4 % of level 3's size at 1.15 times its speed."""


def chunk_key(scale: Scale, box: Box) -> str:
    """Return the object name of a chunk, relative to the volume."""
    return f"{scale.key}/{box.name}"


def shard_key(scale: Scale, bits: ShardBits, number: int) -> str:
    """Return the object name of a shard, relative to the volume."""
    return f"{scale.key}/{shard_name(bits, number)}"


def object_keys(scale: Scale, holes: Sequence[tuple[int, int]] = ()) -> Iterator[str]:
    """Walk the names of every object of a scale, relative to the volume.

    Args:
        scale: its grid.
        holes: runs [z0, z1) of voxels whose chunks are left out, whole layers.
    """
    if scale.sharding is None:
        cells = scale.box.cells(scale.chunk)
        return (chunk_key(scale, c) for c in cells if not is_within(holes, c.start.z, c.stop.z))
    bits, depth, start = scale.sharding, scale.chunk.z, scale.box.start.z
    return (
        shard_key(scale, bits, number)
        for number, cells in shard_boxes(bits, scale.grid)
        if not is_within(
            holes,
            start + cells.start.z * depth,
            min(start + cells.stop.z * depth, scale.box.stop.z),
        )
    )


def data_encoding(volume: Volume) -> str:
    """Return how chunks in shards are packed: `gzip` or `raw`."""
    return "gzip" if packing(volume) == "gzip" else "raw"


def packing(volume: Volume) -> str:
    """Return what chunks are packed with after they are encoded: `gzip`, `br` or nothing."""
    packed = volume.encoding not in IMAGES and volume.compression != "none"
    return volume.compression if packed else ""


def content_encoding(volume: Volume, scale: Scale) -> str:
    """Return the Content-Encoding of a scale's objects; empty for none.

    Shards carry none: a browser would undo it, and ranges of the object would mean nothing.
    """
    return packing(volume) if scale.sharding is None else ""


def content_type(volume: Volume, scale: Scale) -> str:
    """Return the Content-Type of a scale's objects."""
    plain = volume.encoding in IMAGES and scale.sharding is None
    return f"image/{volume.encoding}" if plain else "application/octet-stream"


def encode(volume: Volume, voxels: Voxels) -> Buffer:
    """Return the bytes of one chunk, voxels (z, y, x, c), contiguous.

    Uncompressed voxels of one channel are returned as they lie, without a copy.
    """
    if volume.encoding == "jpeg":
        return _jpeg(voxels, volume.jpeg_quality)
    if volume.encoding == "png":
        return _png(voxels)
    if volume.encoding == "raw":
        data = voxels.data.cast("B") if voxels.shape[3] == 1 else _channels_first(voxels)
    else:
        data = _labels(voxels, volume.encoding)
    return _pack(data, packing(volume))


def _pack(data: Buffer, how: str) -> Buffer:
    """Pack bytes with gzip (no time stamp in it), brotli, or not."""
    if how == "gzip":
        if len(data) < SMALL:
            return zlib.compress(data, wbits=31)
        from isal import isal_zlib

        return bytes(isal_zlib.compress(data, GZIP_LEVEL, 31))
    if how == "br":
        import brotli

        return bytes(brotli.compress(bytes(data), quality=BROTLI_QUALITY))
    return data


def decode(volume: Volume, data: bytes, box: Box) -> Voxels:
    """Return the voxels (z, y, x, c) of a stored chunk of this box.

    Raises:
        ValueError: the bytes are not a chunk of this size.
        UndecodedError: there is no decoder here for its encoding.
    """
    kind = Encoded(volume.dtype, volume.channels, volume.encoding, Vec(*LABEL_BLOCK))
    limit = max(2 * kind.raw_bytes(box), 1 << 16)
    return decode_chunk(kind, unpack(data, packing(volume), limit), box)


def _channels_first(voxels: Voxels) -> bytes:
    """Return the voxels with the channel slowest."""
    return voxels.transpose(3, 0, 1, 2).tobytes()


def _jpeg(voxels: Voxels, quality: int) -> bytes:
    """Return the chunk as a baseline JPEG without chroma subsampling."""
    depth, height, width, channels = voxels.shape
    return encode_jpeg(voxels.reshape(depth * height, width, channels), quality)


def encode_jpeg(image: Voxels, quality: int, subsampling: str = "444") -> bytes:
    """Return an image (rows, columns, c) as a baseline JPEG.

    Args:
        image: contiguous, 1 or 3 channels.
        quality: from 1 to 100, libjpeg's scale.
        subsampling: of the colours.
    """
    import simplejpeg

    space = "GRAY" if image.shape[2] == 1 else "RGB"
    data: bytes = simplejpeg.encode_jpeg(
        image, quality=quality, colorspace=space, colorsubsampling=subsampling
    )
    return data


def _png(voxels: Voxels) -> bytes:
    """Return the chunk as a PNG of 8 or 16 bits."""
    import pyvips

    depth, height, width, channels = voxels.shape
    kind = {"uint8": "uchar", "uint16": "ushort"}[str(voxels.dtype)]
    image = pyvips.Image.new_from_memory(voxels.data, width, depth * height, channels, kind)
    grey, colours = ("b-w", "srgb") if kind == "uchar" else ("grey16", "rgb16")
    tagged = image.copy(interpretation=grey if channels < 3 else colours)
    data: bytes = tagged.pngsave_buffer(compression=PNG_LEVEL, keep="none")
    return data


def _labels(voxels: Voxels, encoding: str) -> bytes:
    """Return the labels of a chunk of one channel in a format made for them."""
    across = voxels[..., 0].T  # (x, y, z), Fortran order
    if encoding == "compresso":
        import compresso

        packed: bytes = compresso.compress(across)
        return packed
    import compressed_segmentation

    packed = compressed_segmentation.compress(across[..., None], block_size=LABEL_BLOCK, order="F")
    return bytes(packed)
