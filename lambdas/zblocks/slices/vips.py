"""JPEG, PNG and WebP slices as streams of rows, decoded by libvips, which also decodes TIFF.

libvips reads bytes through two callbacks, decodes some rows at a time, and is then told to free
them: slices of any size take little memory, and only the needed bytes are fetched. Formats that
must be decoded as a whole are noted in `SliceHeader.whole`: progressive JPEG, interlaced PNG, WebP.
CMYK values are ink, 0 for none, whether a JPEG stores them so or inverted, as Adobe does.
"""

from __future__ import annotations

import ctypes
from functools import cache
from threading import Lock
from typing import NamedTuple

import _libvips
import numpy as np
import pyvips

from zblocks.errors import SliceError
from zblocks.geometry import Voxels, ceil_div
from zblocks.slices.faults import changed, damaged, oversized
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jpeg import sample_bits
from zblocks.slices.pixels import AS_DECODED, ChannelSelection, Pixels, map_pixels
from zblocks.slices.png_chunks import frames, has_only_greys
from zblocks.slices.stream import LINES, Stream, group_rows, held_bytes

MIN_BYTES = 1 << 16
"""Bytes of voxels that any file may claim."""

MAX_PER_BYTE = {"jpeg": 2_000, "png": 1_100}
"""Most bytes of voxels from one byte of a file: 1032 with deflate, 1365 with the Huffman codes of
JPEG (one bit per block, chroma subsampled 4×4). WebP is bounded only by 16383×16383."""

COEFFICIENTS, WEBP, INDICES = 2, 16, 4
"""Bytes held per sample of a progressive JPEG by libjpeg, per pixel by libwebp, and per index of a
PNG by Pillow (measured)."""

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

_minimise = ctypes.CDLL(_libvips.__file__).vips_image_minimise_all  # not wrapped by pyvips
_minimise.argtypes, _minimise.restype = [ctypes.c_void_p], None

_configuring = Lock()


def configure() -> None:
    """Set libvips up, once per process: one thread, no cache of operations, four decoders only.

    Blocks run in parallel already, a cache would only hold memory, and no other decoder may see
    untrusted files. Other threads wait meanwhile, since no decoder is allowed yet.
    """
    with _configuring:
        _configure()


@cache
def _configure() -> None:
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in _LOADERS.values():
        pyvips.operation_block_set(loader, False)


class Opened(NamedTuple):
    """An image that is decoded from the top down. Tuples free their last item first."""

    name: str
    kind: str
    source: pyvips.Source
    """Keeps the callbacks or the bytes alive, which libvips doesn't."""
    stream: Stream | None
    """Has no reference to its libvips source: such a cycle would keep the decoder's memory until
    the garbage collector runs."""
    image: pyvips.Image
    region: pyvips.Region


def _load(source: ByteSource, kind: str) -> Opened:
    """Open an image for reading from the top down; only its header is read."""
    configure()
    stream, vips = Stream(source), pyvips.SourceCustom()
    vips.on_read(stream.read)
    vips.on_seek(stream.seek)
    try:
        image = pyvips.Image.new_from_source(vips, "", access="sequential", fail_on="warning")
    except pyvips.Error as error:
        raise _failed(source.name, kind, stream, error) from error
    return Opened(source.name, kind, vips, stream, image, pyvips.Region.new(image))


def load_tiff(name: str, data: bytes) -> Opened:
    """Open a TIFF in memory; `name` is for errors.

    Raises:
        SliceError: it is damaged.
    """
    configure()
    source = pyvips.Source.new_from_memory(data)  # no copy, unlike `new_from_buffer`
    try:
        # libtiff refuses strips above 50 MB by default; the size of the page was checked before.
        image = pyvips.Image.new_from_source(
            source, "", access="sequential", fail_on="warning", unlimited=True
        )
    except pyvips.Error as error:
        raise _failed(name, "tiff", None, error) from error
    return Opened(name, "tiff", source, None, image, pyvips.Region.new(image))


def fetch(opened: Opened, y: int, rows: int, dtype: str) -> Voxels:
    """Decode rows of an image (y, x, c), from row `y` on; `dtype` is the image's own.

    Raises:
        SliceError: the file is damaged there.
    """
    image, stream = opened.image, opened.stream
    try:
        data = opened.region.fetch(0, y, image.width, rows)
    except pyvips.Error as error:
        raise _failed(opened.name, opened.kind, stream, error) from error
    if stream and stream.error is not None:
        raise stream.error
    return np.frombuffer(data, dtype).reshape(rows, image.width, -1)


def _failed(name: str, kind: str, stream: Stream | None, error: Exception) -> Exception:
    """Return the store's error if there is one, else the decoder's."""
    if stream and stream.error is not None:
        return stream.error
    return damaged(name, kind, " ".join(str(error).split())[:300])


def probe(source: ByteSource, kind: str, selection: ChannelSelection) -> SliceHeader:
    """Read the header of a JPEG, PNG or WebP.

    Raises:
        SliceError: the file is damaged, or can't be converted without loss.
    """
    image = _load(source, kind).image
    fields = set(image.get_fields())
    _refuse(source, kind, image, fields)
    greys = kind == "png" and "palette" in fields and has_only_greys(source)
    if kind == "png" and selection.stored and "palette" in fields:
        map_pixels(source.name, Pixels(1, "uint8", "grey"), selection)
        held = source.size + INDICES * image.width * image.height
        what = "PNG of labels with a palette"
        return SliceHeader(
            "png-indices", image.width, image.height, 1, "uint8", held=held, whole=what
        )
    pixels = _pixels(image, selection, greys=greys)
    mapping = map_pixels(source.name, pixels, selection)
    whole, held = _held(source, kind, image, fields)
    if kind == "jpeg" and (pixels.space == "cmyk" or whole):
        kind = "jpeg-inks" if pixels.space == "cmyk" else "jpeg-scans"
    return SliceHeader(
        kind,
        image.width,
        image.height,
        mapping.channels,
        mapping.dtype,
        held=held,
        whole=whole,
        mapped=not mapping.same or selection.channels not in AS_DECODED,
        note=mapping.note,
        greys=greys and selection.channels in AS_DECODED,
    )


def _refuse(source: ByteSource, kind: str, image: pyvips.Image, fields: set[str]) -> None:
    """Raise SliceError for what can't be converted without loss."""
    refuse = f"{source.name}: this {kind.upper()} has"
    if kind == "jpeg" and (bits := sample_bits(source)) not in (0, 8):
        msg = f"{refuse} samples of {bits} bits, not 8; save it as a 16-bit PNG or TIFF"
        raise SliceError(msg)
    if "n-pages" in fields and image.get("n-pages") > 1:
        msg = f"{refuse} {image.get('n-pages')} pages; save one page per file"
        raise SliceError(msg)
    if kind == "png" and (count := frames(source)) > 1:
        raise SliceError(f"{refuse} {count} frames; save one frame per file")
    if "orientation" in fields and image.get("orientation") > 1:
        msg = f"{refuse} an orientation tag ({image.get('orientation')}); turn the pixels instead"
        raise SliceError(msg)
    size = image.width * image.height * image.bands * np.dtype(_DTYPES[image.format]).itemsize
    if kind in MAX_PER_BYTE and size > source.size * MAX_PER_BYTE[kind] + MIN_BYTES:
        raise oversized(source.name, image.width, image.height, source.size)


def _pixels(image: pyvips.Image, selection: ChannelSelection, *, greys: bool = False) -> Pixels:
    spaces = {"b-w": "grey", "grey16": "grey", "srgb": "rgb", "rgb16": "rgb", "cmyk": "cmyk"}
    space = spaces.get(image.interpretation, "other")
    alpha = image.bands > {"grey": 1, "rgb": 3}.get(space, image.bands)
    bits = image.get("bits-per-sample") if "bits-per-sample" in image.get_fields() else 8
    step = 255 // ((1 << bits) - 1) if selection.stored and bits < 8 else 1
    return Pixels(image.bands, _DTYPES[image.format], space, alpha, step=step, greys=greys)


def _held(source: ByteSource, kind: str, image: pyvips.Image, fields: set[str]) -> tuple[str, int]:
    """Return why the decoder holds the image as a whole (else empty), and the bytes it holds."""
    pixels = image.width * image.height
    row = image.width * image.bands * np.dtype(_DTYPES[image.format]).itemsize
    stream = held_bytes(row, image.height)
    if kind == "webp":
        return "WebP", stream + WEBP * pixels + source.size
    if kind == "png" and "interlaced" in fields and image.get("interlaced"):
        return "interlaced PNG", stream + row * image.height
    if kind == "jpeg" and "jpeg-multiscan" in fields and image.get("jpeg-multiscan"):
        return "progressive JPEG", stream + COEFFICIENTS * pixels * image.bands
    return "", stream


class VipsReader:
    """Rows of one JPEG, PNG or WebP, from the top down; those from row `stop` on aren't decoded."""

    def __init__(
        self,
        source: ByteSource,
        header: SliceHeader,
        selection: ChannelSelection,
        stop: int | None = None,
    ) -> None:
        self._opened = _load(source, header.kind.partition("-")[0])
        image = self._opened.image
        # A stack of colours has palettes of greys as colours.
        greys = header.channels < 3 and "palette" in image.get_fields()
        pixels = _pixels(image, selection, greys=greys)
        self._mapping = map_pixels(source.name, pixels, selection)
        size = (image.width, image.height, self._mapping.channels, self._mapping.dtype)
        found = SliceHeader(header.kind, *size)
        if str(found) != str(header):
            raise changed(source.name, f"{found} in {image.bands} bands", header)
        self._left: Voxels = np.empty((0, image.width, image.bands), pixels.dtype)
        self._group = group_rows(image.width * image.bands * self._left.itemsize)
        self._y = 0
        self._stop = ceil_div(stop, LINES) * LINES if stop else image.height

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged there.
        """
        y = 0
        while y < len(out):
            if not len(self._left):
                self._left = self._decode()
            rows = self._left[: len(out) - y]
            self._mapping.put(rows, out[y : y + len(rows)])
            self._left, y = self._left[len(rows) :], y + len(rows)

    def _decode(self) -> Voxels:
        """Return the next group of rows, as decoded."""
        image = self._opened.image
        rows = min(self._group, self._stop - self._y, image.height - self._y)
        found = fetch(self._opened, self._y, rows, str(self._left.dtype))
        _minimise(int(pyvips.ffi.cast("uintptr_t", image.pointer)))
        self._y += rows
        return found
