"""JPEG, PNG and TIFF slices as streams of rows, decoded by libvips.

libvips asks for bytes through two callbacks and keeps only the rows it needs, so that a slice of
any size takes little memory, and of a file in a bucket only what is needed is fetched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyvips

from zblocks.errors import SliceError
from zblocks.pooling import Voxels
from zblocks.slices import ByteSource, SliceHeader

AHEAD_MIN, AHEAD_MAX = 1 << 14, 1 << 20
"""Bytes fetched at a time: few after a jump (a TIFF's tags may lie anywhere), more with every read
that goes on where the last one ended. libvips itself asks for 4 KiB."""

MIN_BYTES = 1 << 16
"""Voxels, in bytes, that any file may claim."""

FETCH_ROWS = 64
"""Rows that pass through a buffer of their own at a time."""

MOST_PER_BYTE = {"jpeg": 2_000, "png": 1_100, "tiff": 50_000}
"""Bytes of voxels that one byte of a file can stand for, at most: deflate gives 1032, Huffman codes
of JPEG 1365 (a bit a block, chroma 4 × 4 as coarse); of TIFF's codecs zstd gives about 33,000."""

WHOLE_BYTES = 1 << 26
"""What a decoder may hold of a slice that can't be read in strips: the plan doesn't count it."""

_LOADERS = {
    "jpeg": "VipsForeignLoadJpeg",
    "png": "VipsForeignLoadPng",
    "tiff": "VipsForeignLoadTiff",
}
_DTYPES = {"uchar": "uint8", "ushort": "uint16", "uint": "uint32", "float": "float32"}

# Blocks bring their own parallelism; a cache of operations would only hold memory.
pyvips.concurrency_set(1)
pyvips.cache_set_max(0)
# Only these decoders may see a file from outside.
pyvips.operation_block_set("VipsForeignLoad", True)
for _loader in _LOADERS.values():
    pyvips.operation_block_set(_loader, False)


class _Stream:
    """A byte source as libvips wants it: read and seek, with a buffer."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.error: Exception | None = None
        self._ahead = AHEAD_MIN
        self._at = 0
        self._start = 0
        self._held = b""

    def read(self, length: int) -> bytes:
        """Return up to `length` bytes; a failed fetch is kept and ends the stream."""
        try:
            inside = self._at - self._start
            if not 0 <= inside < len(self._held):
                goes_on = inside == len(self._held) > 0
                self._ahead = min(self._ahead * 4, AHEAD_MAX) if goes_on else AHEAD_MIN
                self._held = self.source.read_at(self._at, max(length, self._ahead))
                self._start, inside = self._at, 0
        except Exception as error:  # none can pass through C
            self.error = error
            return b""
        part = self._held[inside : inside + length]
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        """Move as `lseek` does."""
        self._at = offset + (0, self._at, self.source.size)[whence]
        return self._at


class _Opened(NamedTuple):
    """An image that is read through a stream.

    The stream doesn't know its libvips source: such a cycle would outlive the block, and the
    memory of its decoder with it, until Python's collector comes round.
    """

    image: pyvips.Image
    stream: _Stream
    vips: pyvips.SourceCustom
    """Holds the callbacks; libvips doesn't."""


def _load(source: ByteSource, kind: str) -> _Opened:
    """Open an image for reading from the top down; only its header is read."""
    stream, vips = _Stream(source), pyvips.SourceCustom()
    vips.on_read(stream.read)
    vips.on_seek(stream.seek)
    try:
        image = pyvips.Image.new_from_source(vips, "", access="sequential", fail_on="warning")
    except pyvips.Error as error:
        raise _failed(source, kind, stream, error) from error
    return _Opened(image, stream, vips)


def _failed(source: ByteSource, kind: str, stream: _Stream, error: Exception) -> Exception:
    """Return the error to raise: the store's own if it was that, else one that names the file."""
    if stream.error is not None:
        return stream.error
    detail = " ".join(str(error).split())[:300]
    return SliceError(
        f"{source.name}: damaged {kind.upper()} ({detail}); replace the file and run again"
    )


def probe(source: ByteSource, kind: str) -> SliceHeader:
    """Read a header.

    Raises:
        SliceError: the file is damaged, or holds something that can't become voxels unchanged.
    """
    image = _load(source, kind).image
    refuse = f"{source.name}: this {kind.upper()} holds"
    advice = (
        "this version reads grey and RGB of 8, 16 and 32 bits; convert it or take it off the list"
    )
    if image.bands not in (1, 3):
        msg = f"{refuse} {image.bands} channels per pixel (alpha or CMYK); {advice}"
        raise SliceError(msg)
    if image.format not in _DTYPES:
        msg = f"{refuse} {image.format} samples; {advice}"
        raise SliceError(msg)
    fields = image.get_fields()
    if "n-pages" in fields and image.get("n-pages") > 1:
        msg = f"{refuse} {image.get('n-pages')} pages; save one page a file"
        raise SliceError(msg)
    if "orientation" in fields and image.get("orientation") > 1:
        msg = f"{refuse} an orientation tag ({image.get('orientation')}); turn the pixels instead"
        raise SliceError(msg)
    sample = np.dtype(_DTYPES[image.format]).itemsize
    size = image.width * image.height * image.bands * sample
    if size > source.size * MOST_PER_BYTE[kind] + MIN_BYTES:
        msg = (
            f"{source.name}: claims {image.width}×{image.height}, more than its {source.size} "
            "bytes can hold; replace the file and run again"
        )
        raise SliceError(msg)
    _refuse_unstreamable(source, kind, image, size)
    return SliceHeader(kind, image.width, image.height, image.bands, _DTYPES[image.format])


def _refuse_unstreamable(source: ByteSource, kind: str, image: pyvips.Image, size: int) -> None:
    """Refuse a slice that its decoder would hold whole, if that is more than the plan has room for.

    Raises:
        SliceError: it is a large interlaced PNG or progressive JPEG.
    """
    fields = image.get_fields()
    if kind == "png" and "interlaced" in fields and image.get("interlaced"):
        what, held = "interlaced", size
    elif kind == "jpeg" and "jpeg-multiscan" in fields and image.get("jpeg-multiscan"):
        what, held = "progressive", 2 * size  # coefficients have 16 bits
    else:
        return
    if held > WHOLE_BYTES:
        msg = (
            f"{source.name}: is {what}, so {held >> 20} MiB of it must be held to decode any row "
            f"(at most {WHOLE_BYTES >> 20}); save it without"
        )
        raise SliceError(msg)


class VipsReader:
    """Rows of one slice, from the top down."""

    def __init__(self, source: ByteSource, header: SliceHeader) -> None:
        self._source = source
        self._kind = header.kind
        self._opened = _load(source, header.kind)
        image, self._stream, _ = self._opened
        found = (image.width, image.height, image.bands, _DTYPES.get(image.format))
        if found != (header.width, header.height, header.channels, header.dtype):
            msg = f"{source.name}: is {found} where the plan says {header}; plan anew"
            raise SliceError(msg)
        self._dtype = np.dtype(header.dtype)
        self._region = pyvips.Region.new(image)
        self._y = 0

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows."""
        for y in range(0, len(out), FETCH_ROWS):
            self._fetch(out[y : y + FETCH_ROWS])

    def _fetch(self, out: Voxels) -> None:
        """Fill a few rows."""
        rows, width, _ = out.shape
        try:
            data = self._region.fetch(0, self._y, width, rows)
        except pyvips.Error as error:
            raise _failed(self._source, self._kind, self._stream, error) from error
        if self._stream.error is not None:
            raise self._stream.error
        out[...] = np.frombuffer(data, self._dtype).reshape(out.shape)
        self._y += rows
