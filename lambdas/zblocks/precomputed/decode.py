"""Bytes of a chunk, of any encoding, back to voxels (z, y, x, c)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Box, Vec
from zblocks.pooling import Voxels


@dataclass(frozen=True, slots=True)
class Encoded:
    """What all chunks of a scale have in common."""

    dtype: str
    channels: int
    encoding: str
    block: Vec | None = None
    """Of compressed_segmentation, voxels."""

    def raw_bytes(self, box: Box) -> int:
        """Return the bytes of a chunk's voxels."""
        return box.voxels * self.channels * np.dtype(self.dtype).itemsize


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


def decode_chunk(kind: Encoded, data: bytes, box: Box) -> Voxels:
    """Return the voxels of a chunk.

    Raises:
        ValueError: the bytes are not a chunk of this box.
        UndecodedError: there is no decoder for its encoding.
    """
    if kind.encoding == "raw":
        return _raw(kind, data, box)
    if kind.encoding in ("jpeg", "png"):
        return _image(kind, data, box)
    if kind.encoding == "compressed_segmentation" and kind.block is not None:
        return _labels(kind, data, box, kind.block)
    if kind.encoding == "compresso":
        return _compresso(kind, data, box)
    raise UndecodedError(kind.encoding)


def _raw(kind: Encoded, data: bytes, box: Box) -> Voxels:
    due = kind.raw_bytes(box)
    if len(data) != due:
        msg = f"holds {len(data)} bytes where {due} are due"
        raise ValueError(msg)
    size = box.shape
    flat: Voxels = np.frombuffer(data, np.dtype(kind.dtype).newbyteorder("<"))
    return flat.reshape(kind.channels, size.z, size.y, size.x).transpose(1, 2, 3, 0)


def _image(kind: Encoded, data: bytes, box: Box) -> Voxels:
    magic = {"jpeg": b"\xff\xd8", "png": b"\x89PNG"}[kind.encoding]
    if not data.startswith(magic):
        msg = f"is no {kind.encoding.upper()}"
        raise ValueError(msg)
    due = box.voxels * kind.channels
    image = _decode_jpeg(kind, data) if kind.encoding == "jpeg" else _decode_png(data, due)
    size = box.shape
    if image.size != due or image.dtype != kind.dtype:
        msg = f"is {image.shape} of {image.dtype} where {size} × {kind.channels} is due"
        raise ValueError(msg)
    return image.reshape(size.z, size.y, size.x, kind.channels)


def _decode_jpeg(kind: Encoded, data: bytes) -> Voxels:
    import simplejpeg

    space = "GRAY" if kind.channels == 1 else "RGB"
    image: Voxels = simplejpeg.decode_jpeg(data, colorspace=space)
    return image


def _decode_png(data: bytes, due: int) -> Voxels:
    try:
        import pyvips
    except ImportError as error:
        raise UndecodedError("png") from error
    try:
        image = pyvips.Image.pngload_buffer(data, fail_on="warning")
        if image.width * image.height * image.bands != due:
            msg = f"is {image.width}×{image.height} of {image.bands} channels: not {due} values"
            raise ValueError(msg)
        pixels: Voxels = image.numpy()
    except pyvips.Error as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    return pixels


def _labels(kind: Encoded, data: bytes, box: Box, block: Vec) -> Voxels:
    """Decode compressed_segmentation, every offset held against the end of the data.

    Format: Neuroglancer, `src/sliceview/compressed_segmentation/README.md`. The library that the
    field uses reads beyond the end of damaged chunks.
    """
    if len(data) % 4 or len(data) < 4 * kind.channels:
        msg = f"is {len(data)} bytes, not whole words with an offset for each channel"
        raise ValueError(msg)
    words = np.frombuffer(data, "<u4")
    size = box.shape
    out: Voxels = np.empty((size.z, size.y, size.x, kind.channels), kind.dtype)
    for channel, start in enumerate(words[: kind.channels].tolist()):
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


def _compresso(kind: Encoded, data: bytes, box: Box) -> Voxels:
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
    voxels: Voxels = found.transpose(2, 1, 0)[..., np.newaxis].astype(kind.dtype)
    return voxels
