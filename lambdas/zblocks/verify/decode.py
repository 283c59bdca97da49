"""Bytes of a chunk, of any encoding, back to voxels (z, y, x, c)."""

from __future__ import annotations

import zlib

import numpy as np

from zblocks.geometry import Box, Vec
from zblocks.pooling import Voxels
from zblocks.verify.info import ScaleSpec, VolumeSpec

UNPACKED = {"", "identity", "none"}


class UndecodedError(Exception):
    """No decoder for this encoding is installed."""


def unpack(data: bytes, packing: str, limit: int) -> bytes:
    """Undo a Content-Encoding.

    Args:
        data: the stored bytes.
        packing: `gzip`, `br`, `zstd`, or empty.
        limit: bytes beyond which it can't be a chunk.

    Raises:
        ValueError: the bytes are not of that encoding, or go on after its end.
        UndecodedError: there is no decoder for it.
    """
    if packing in UNPACKED:
        return data
    if packing == "gzip":
        return _gunzip(data, limit)
    if packing == "br":
        return _unbrotli(data)
    msg = f"Content-Encoding {packing}"
    raise UndecodedError(msg)


def _gunzip(data: bytes, limit: int) -> bytes:
    """Undo gzip: one member, and nothing after it."""
    if data[:2] != b"\x1f\x8b":
        msg = "is said to be gzipped and isn't"
        raise ValueError(msg)
    stream = zlib.decompressobj(31)
    try:
        raw = stream.decompress(data, limit + 1)
    except zlib.error as error:
        msg = f"can't be unzipped ({error})"
        raise ValueError(msg) from error
    if len(raw) > limit:
        msg = f"unzips to more than {limit} bytes"
        raise ValueError(msg)
    if not stream.eof:
        msg = "ends in the middle of its gzip stream"
        raise ValueError(msg)
    if stream.unused_data:
        msg = f"has {len(stream.unused_data)} bytes after the end of its gzip stream"
        raise ValueError(msg)
    return raw


def _unbrotli(data: bytes) -> bytes:
    """Undo brotli."""
    try:
        import brotli
    except ImportError as error:
        msg = "Content-Encoding br"
        raise UndecodedError(msg) from error
    try:
        raw: bytes = brotli.decompress(data)
    except brotli.error as error:
        msg = f"is said to be brotli and isn't ({error})"
        raise ValueError(msg) from error
    return raw


def chunk_bytes(volume: VolumeSpec, box: Box) -> int:
    """Return the bytes of a raw chunk."""
    return box.voxels * volume.channels * np.dtype(volume.dtype).itemsize


def decode(volume: VolumeSpec, scale: ScaleSpec, data: bytes, box: Box) -> Voxels:
    """Return the voxels of a chunk.

    Raises:
        ValueError: the bytes are not a chunk of this box.
        UndecodedError: there is no decoder for its encoding.
    """
    if scale.encoding == "raw":
        return _raw(volume, data, box)
    if scale.encoding in ("jpeg", "png"):
        return _image(volume, data, box, scale.encoding)
    if scale.encoding == "compressed_segmentation" and scale.block is not None:
        return _labels(volume, data, box, scale.block)
    if scale.encoding == "compresso":
        return _compresso(volume, data, box)
    raise UndecodedError(scale.encoding)


def _raw(volume: VolumeSpec, data: bytes, box: Box) -> Voxels:
    due = chunk_bytes(volume, box)
    if len(data) != due:
        msg = f"holds {len(data)} bytes where {due} are due"
        raise ValueError(msg)
    size = box.shape
    flat: Voxels = np.frombuffer(data, np.dtype(volume.dtype).newbyteorder("<"))
    return flat.reshape(volume.channels, size.z, size.y, size.x).transpose(1, 2, 3, 0)


def _image(volume: VolumeSpec, data: bytes, box: Box, encoding: str) -> Voxels:
    magic = {"jpeg": b"\xff\xd8", "png": b"\x89PNG"}[encoding]
    if not data.startswith(magic):
        msg = f"is no {encoding.upper()}"
        raise ValueError(msg)
    due = box.voxels * volume.channels
    image = _decode_jpeg(volume, data) if encoding == "jpeg" else _decode_png(data, due)
    size = box.shape
    if image.size != due or image.dtype != volume.dtype:
        msg = f"is {image.shape} of {image.dtype} where {size} × {volume.channels} is due"
        raise ValueError(msg)
    return image.reshape(size.z, size.y, size.x, volume.channels)


def _decode_jpeg(volume: VolumeSpec, data: bytes) -> Voxels:
    import simplejpeg

    space = "GRAY" if volume.channels == 1 else "RGB"
    image: Voxels = simplejpeg.decode_jpeg(data, colorspace=space)
    return image


def _decode_png(data: bytes, due: int) -> Voxels:
    import pyvips

    try:
        image = pyvips.Image.pngload_buffer(data, fail_on="warning")
        if image.width * image.height * image.bands != due:
            msg = f"is {image.width}×{image.height} of {image.bands} channels: not {due} values"
            raise ValueError(msg)
        pixels: Voxels = image.numpy()
    except pyvips.Error as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    return pixels


def _labels(volume: VolumeSpec, data: bytes, box: Box, block: Vec) -> Voxels:
    """Decode compressed_segmentation, every offset held against the end of the data.

    Format: Neuroglancer, `src/sliceview/compressed_segmentation/README.md`. The library that the
    field uses reads beyond the end of damaged chunks.
    """
    if len(data) % 4 or len(data) < 4 * volume.channels:
        msg = f"is {len(data)} bytes, not whole words with an offset for each channel"
        raise ValueError(msg)
    words = np.frombuffer(data, "<u4")
    size = box.shape
    out: Voxels = np.empty((size.z, size.y, size.x, volume.channels), volume.dtype)
    for channel, start in enumerate(words[: volume.channels].tolist()):
        _labels_of(words[start:], Box(Vec(0, 0, 0), size), block, out[..., channel])
    return out


def _labels_of(words: Voxels, box: Box, block: Vec, out: Voxels) -> None:
    """Decode one channel's words into (z, y, x)."""
    boxes = list(box.cells(block))
    if len(words) < 2 * len(boxes):
        msg = f"ends in its block headers: {len(words)} words for {len(boxes)} blocks"
        raise ValueError(msg)
    headers = words[: 2 * len(boxes)].reshape(-1, 2).tolist()
    for cell, (first, values_at) in zip(boxes, headers, strict=True):
        bits, table_at = first >> 24, first & 0xFFFFFF
        if bits not in (0, 1, 2, 4, 8, 16, 32):
            msg = f"has a block of {bits} bits a voxel"
            raise ValueError(msg)
        voxels = block.x * block.y * block.z
        count = -(-bits * voxels // 32)
        packed = words[values_at : values_at + count]
        table = words[table_at:]
        table = table[: len(table) * 4 // out.itemsize * out.itemsize // 4].view(
            f"<u{out.itemsize}"
        )
        if len(packed) < count:
            msg = "ends in the values of a block"
            raise ValueError(msg)
        values = np.zeros(voxels, np.uint32)
        if bits:
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            mask = np.uint32((1 << bits) - 1)
            values = ((packed[:, None] >> shifts) & mask).ravel()[:voxels]
        whole = values.reshape(block.z, block.y, block.x)
        inside = whole[: cell.shape.z, : cell.shape.y, : cell.shape.x]
        if int(inside.max()) >= len(table):
            msg = "names a label beyond the end of its table"
            raise ValueError(msg)
        out[cell.slices(Vec(0, 0, 0))] = table[inside]


def _compresso(volume: VolumeSpec, data: bytes, box: Box) -> Voxels:
    try:
        import compresso
    except ImportError as error:
        raise UndecodedError("compresso") from error
    try:
        found = compresso.decompress(data)
    except Exception as error:  # whatever it raises, it isn't readable
        msg = f"can't be decoded ({error})"
        raise ValueError(msg) from error
    size = box.shape
    if tuple(found.shape) != tuple(size):
        msg = f"is {tuple(found.shape)} where {tuple(size)} is due"
        raise ValueError(msg)
    voxels: Voxels = found.transpose(2, 1, 0)[..., np.newaxis].astype(volume.dtype)
    return voxels
