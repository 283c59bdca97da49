"""JPEG, PNG, TIFF and WebP slices as streams of rows, decoded by libvips.

libvips asks for bytes through two callbacks and keeps only the rows it needs, so that a slice of
any size takes little memory, and of a file in a bucket only what is needed is fetched. What it has
to decode whole before it gives a row, it says in `SliceHeader.whole`: progressive JPEG, interlaced
PNG, WebP. CMYK comes as ink, 0 for none, whether a JPEG stores it so or inverted, as Adobe does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyvips

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.slices.header import STREAM_BYTES, STREAM_ROWS, ByteSource, SliceHeader
from zblocks.slices.pixels import AS_DECODED, Pixels, Take, map_pixels
from zblocks.slices.tiff.directory import directory_at
from zblocks.slices.tiff.page import read_page
from zblocks.slices.tiff.single_page import OnePage

AHEAD_MIN, AHEAD_MAX = 1 << 14, 1 << 20
"""Bytes fetched at a time: few after a jump (a TIFF's tags may lie anywhere), more with every read
that goes on where the last one ended. libvips itself asks for 4 KiB."""

MIN_BYTES = 1 << 16
"""Voxels, in bytes, that any file may claim."""

HEAD_BYTES = 1 << 14
"""Bytes of a JPEG in which its frame is looked for."""

FETCH_ROWS = 64
"""Rows that pass through a buffer of their own at a time."""

MOST_PER_BYTE = {"jpeg": 2_000, "png": 1_100}
"""Bytes of voxels that one byte of a file can stand for, at most: deflate gives 1032, Huffman codes
of JPEG 1365 (a bit a block, chroma 4 × 4 as coarse). WebP has no bound but 16383×16383."""

COEFFICIENTS, WEBP, INDICES = 2, 8, 4
"""Bytes that libjpeg holds of a progressive JPEG's every sample, libwebp of a pixel, and Pillow of
a PNG's index (measured)."""

_LOADERS = {
    "jpeg": "VipsForeignLoadJpeg",
    "png": "VipsForeignLoadPng",
    "tiff": "VipsForeignLoadTiff",
    "webp": "VipsForeignLoadWebp",
}
_DTYPES = {
    "uchar": "uint8", "ushort": "uint16", "uint": "uint32", "float": "float32",
    "char": "int8", "short": "int16", "int": "int32",
}  # fmt: skip

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
    # libtiff's own limit of 50 MB would refuse a large strip; a page was held against its file.
    more = {"unlimited": True} if kind == "tiff" else {}
    try:
        image = pyvips.Image.new_from_source(
            vips, "", access="sequential", fail_on="warning", **more
        )
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


def probe(source: ByteSource, kind: str, take: Take) -> SliceHeader:
    """Read the header of a JPEG, PNG or WebP.

    Raises:
        SliceError: the file is damaged, or holds something that can't become voxels unchanged.
    """
    image = _load(source, kind).image
    fields = set(image.get_fields())
    _refuse(source, kind, image, fields)
    if kind == "png" and take.stored and "palette" in fields:
        map_pixels(source.name, Pixels(1, "uint8", "grey"), take)
        held = source.size + INDICES * image.width * image.height
        what = "PNG of labels with a palette"
        return SliceHeader(
            "png-indices", image.width, image.height, 1, "uint8", held=held, whole=what
        )
    pixels = _pixels(image, take)
    mapping = map_pixels(source.name, pixels, take)
    whole, held = _held(source, kind, image, fields)
    if kind == "jpeg" and (pixels.space == "cmyk" or whole):
        kind = "jpeg-inks" if pixels.space == "cmyk" else "jpeg-scans"
    return SliceHeader(
        kind,
        image.width,
        image.height,
        mapping.channels,
        pixels.dtype,
        held=held,
        whole=whole,
        mapped=not mapping.same or take.channels not in AS_DECODED,
        note=mapping.note,
    )


def _refuse(source: ByteSource, kind: str, image: pyvips.Image, fields: set[str]) -> None:
    """Refuse what can't become voxels unchanged.

    Raises:
        SliceError: names the file.
    """
    refuse = f"{source.name}: this {kind.upper()} holds"
    if kind == "jpeg" and (bits := _sample_bits(source.read_at(0, HEAD_BYTES))) not in (0, 8):
        msg = f"{refuse} samples of {bits} bits; zblocks reads 8; save it as PNG or TIFF of 16 bits"
        raise SliceError(msg)
    if "n-pages" in fields and image.get("n-pages") > 1:
        msg = f"{refuse} {image.get('n-pages')} pages; save one page a file"
        raise SliceError(msg)
    if "orientation" in fields and image.get("orientation") > 1:
        msg = f"{refuse} an orientation tag ({image.get('orientation')}); turn the pixels instead"
        raise SliceError(msg)
    size = image.width * image.height * image.bands * np.dtype(_DTYPES[image.format]).itemsize
    if kind in MOST_PER_BYTE and size > source.size * MOST_PER_BYTE[kind] + MIN_BYTES:
        msg = (
            f"{source.name}: claims {image.width}×{image.height}, more than its {source.size} "
            "bytes can hold; replace the file and run again"
        )
        raise SliceError(msg)


def _sample_bits(head: bytes) -> int:
    """Return the bits of a JPEG's samples (ITU-T T.81, B.2.2); 0: its frame begins further on.

    libjpeg says that it can't decode 12 only when it begins to decode.
    """
    at = 2
    while at + 5 <= len(head) and head[at] == 0xFF:
        marker, size = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return head[at + 4]
        at += 1 if marker == 0xFF else 2 + size
    return 0


def _pixels(image: pyvips.Image, take: Take) -> Pixels:
    """Return what a JPEG, PNG or WebP gives for a pixel."""
    spaces = {"b-w": "grey", "grey16": "grey", "srgb": "rgb", "rgb16": "rgb", "cmyk": "cmyk"}
    space = spaces.get(image.interpretation, "other")
    alpha = image.bands > {"grey": 1, "rgb": 3}.get(space, image.bands)
    bits = image.get("bits-per-sample") if "bits-per-sample" in image.get_fields() else 8
    step = 255 // ((1 << bits) - 1) if take.stored and bits < 8 else 1
    return Pixels(image.bands, _DTYPES[image.format], space, alpha, step=step)


def _held(source: ByteSource, kind: str, image: pyvips.Image, fields: set[str]) -> tuple[str, int]:
    """Return what the image is if its decoder holds it whole, and the bytes that it holds."""
    pixels = image.width * image.height
    row = image.width * image.bands * np.dtype(_DTYPES[image.format]).itemsize
    stream = min(STREAM_ROWS[kind], image.height) * row + STREAM_BYTES
    if kind == "webp":
        return "WebP", stream + WEBP * pixels + source.size
    if kind == "png" and "interlaced" in fields and image.get("interlaced"):
        return "interlaced PNG", stream + row * image.height
    if kind == "jpeg" and "jpeg-multiscan" in fields and image.get("jpeg-multiscan"):
        return "progressive JPEG", stream + COEFFICIENTS * pixels * image.bands
    return "", stream


class VipsReader:
    """Rows of one slice, from the top down."""

    def __init__(self, source: ByteSource, header: SliceHeader, take: Take) -> None:
        self._source = source
        self._kind = header.kind.partition("-")[0]
        if self._kind == "tiff":
            self._opened, pixels = _open_page(source, header, take)
        else:
            self._opened = [_load(source, self._kind)]
            pixels = _pixels(self._opened[0].image, take)
        self._mapping = map_pixels(source.name, pixels, take)
        images = [o.image for o in self._opened]
        bands = sum(i.bands for i in images)
        found = (images[0].width, images[0].height, self._mapping.channels, pixels.dtype)
        sound = bands == pixels.channels and _DTYPES.get(images[0].format) == pixels.dtype
        if not sound or found != (header.width, header.height, header.channels, header.dtype):
            msg = f"{source.name}: is {found} of {bands} where the plan says {header}; plan anew"
            raise SliceError(msg)
        self._pixels = pixels
        self._regions = [pyvips.Region.new(image) for image in images]
        self._y = 0

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows."""
        for y in range(0, len(out), FETCH_ROWS):
            self._fetch(out[y : y + FETCH_ROWS])

    def _fetch(self, out: Voxels) -> None:
        """Fill a few rows."""
        rows, width, _ = out.shape
        parts = []
        for opened, region in zip(self._opened, self._regions, strict=True):
            try:
                data = region.fetch(0, self._y, width, rows)
            except pyvips.Error as error:
                raise _failed(self._source, self._kind, opened.stream, error) from error
            if opened.stream.error is not None:
                raise opened.stream.error
            parts.append(np.frombuffer(data, self._pixels.dtype).reshape(rows, width, -1))
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        if self._mapping.same:
            out[...] = pixels
        else:
            self._mapping.put(pixels, out)
        self._y += rows


def _open_page(source: ByteSource, header: SliceHeader, take: Take) -> tuple[list[_Opened], Pixels]:
    """Open a TIFF's page: as one image, or as one for each channel that lies by itself."""
    page = read_page(directory_at(source, header.at))
    channels = range(page.samples) if page.planar else [None]
    opened = [_load(OnePage(source, page, n, stored=take.stored), "tiff") for n in channels]
    return opened, page.pixels(stored=take.stored)
