"""Slices that are decoded as a whole: JPEG 2000, BMP, and labels in PNGs with a palette.

Large JPEG 2000 of 8 bits can be read in strips, too (`slices.jp2_strips`).

Pillow decodes them, except where it would change numbers; there OpenJPEG is used directly: JPEG
2000 of more than 8 bits with several channels, which Pillow truncates, and of other than 8 or 16
bits, such as the 12 of cameras, which it scales to 16.
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Voxels
from zblocks.slices.faults import changed, damaged, oversized, unread
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jp2_boxes import (
    Codestream,
    codestream_of,
    has_plain_colours,
    palette_of,
    without_extras,
)
from zblocks.slices.openjpeg import held_bytes, library, strip_rows
from zblocks.slices.pixels import AS_DECODED, ChannelSelection, Pixels, map_pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

MAX_PER_BYTE = {"jp2": 20_000, "bmp": 1_100}
"""Most bytes of voxels from one byte of a file: empty code blocks of JPEG 2000 are nearly free."""

HELD = {"jp2": 10, "bmp": 4}
"""Bytes held per sample while Pillow decodes (measured)."""

OPENJPEG = 8
"""Bytes held per sample while OpenJPEG decodes (measured)."""

_MODES = {
    "L": ("grey", 1, "uint8"), "LA": ("grey", 2, "uint8"),
    "RGB": ("rgb", 3, "uint8"), "RGBA": ("rgb", 4, "uint8"), "P": ("rgb", 3, "uint8"),
    "I;16": ("grey", 1, "uint16"),
}  # fmt: skip


class _File(io.RawIOBase):
    """A byte source as a file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._source.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Opened(NamedTuple):
    """A file whose header Pillow has read."""

    name: str
    kind: str
    image: Image
    file: IO[bytes]
    palette: Voxels | None
    """The colours (n, 3) of a picture of indices."""


def open_file(name: str, kind: str, file: IO[bytes]) -> _Opened:
    """Read the header; Image.open would apply a size limit that holds for the whole process."""
    from PIL import BmpImagePlugin, Jpeg2KImagePlugin, PngImagePlugin

    reader: Callable[[IO[bytes]], Any] = {
        "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "png-indices": PngImagePlugin.PngImageFile,
    }[kind]
    try:
        image: Image = reader(file)
        palette = palette_of(name, file) if kind == "jp2" else _pillow_palette(image)
        if kind == "bmp" and image.mode in ("1", "L"):
            palette = _as_indices(image, file)
    except ZblocksError:
        raise
    except Exception as error:  # Pillow raises any kind for a broken box
        raise damaged(name, kind, error) from error
    return _Opened(name, kind, image, file, palette)


def _pillow_palette(image: Image) -> Voxels | None:
    if image.mode != "P" or image.palette is None:
        return None
    order = image.palette.rawmode or "RGB"
    colours: Voxels = np.frombuffer(bytes(image.palette.palette), np.uint8).reshape(-1, len(order))
    return colours[:, [order.index(c) for c in "RGB"]]


def _as_indices(image: Any, file: IO[bytes]) -> Voxels:
    """Have Pillow read a BMP's indices: as greys, it takes those of any size for 1 or 8 bits."""
    from PIL.ImagePalette import ImagePalette

    file.seek(14)
    size, head = struct.unpack("<I20s", file.read(24))
    bits = head[6 if size == 12 else 10]  # of OS/2's and Windows's headers
    greys = np.array([0, 255] if image.mode == "1" else range(256), np.uint8)
    image._mode, image.palette = "P", ImagePalette()
    (tile,) = image.tile
    image.tile = [tile._replace(args=({1: "P;1", 4: "P;4"}.get(bits, "P"), *tile.args[1:]))]
    return greys[:, None].repeat(3, axis=1)


def codestream_in(opened: _Opened) -> Codestream:
    """Return what the codestream of a JPEG 2000 says.

    Raises:
        SliceError: it has none.
    """
    if found := codestream_of(opened.file):
        return found
    raise damaged(opened.name, opened.kind, "it has no codestream")


def pixels_of(opened: _Opened, selection: ChannelSelection, planned: int = 1) -> Pixels:
    """Return what is decoded; a palette of greys is colours if three channels are planned."""
    name, kind, image, _, palette = opened
    space, channels, dtype = _MODES.get(image.mode, ("", 0, ""))
    what = "" if space else f"{image.mode} pixels"
    if kind == "jp2":
        depths = codestream_in(opened).depths
        bits = max(d[0] for d in depths)
        if len(depths) != 1 or any(sign or x * y != 1 for _, sign, x, y in depths):
            what = "channels of different sizes, or signed numbers"
        elif bits > 16 or (palette is not None and (bits > 8 or image.mode not in ("L", "P"))):
            what = f"{image.mode} pixels of {bits} bits" + " and a palette" * (palette is not None)
        elif bits > 8:
            dtype = "uint16"
    if kind == "png-indices" and image.mode != "P":
        what = f"{image.mode} pixels, but the plan says indices"
    if what:
        raise unread(name, kind, what)
    if palette is not None and selection.stored:
        return Pixels(1, "uint8", "grey")
    if palette is not None:
        greys = planned < 3 and bool((palette == palette[:, :1]).all())
        return Pixels(3, "uint8", "rgb", greys=greys)
    return Pixels(channels, dtype, space, channels in (2, 4))


def probe(source: ByteSource, kind: str, selection: ChannelSelection) -> SliceHeader:
    """Read a header.

    Raises:
        SliceError: the file is damaged, or can't be converted without loss.
    """
    file = io.BufferedReader(_File(source), 1 << 12)
    opened = open_file(source.name, kind, file)
    image, pixels = opened.image, pixels_of(opened, selection)
    size = image.width * image.height * pixels.channels * np.dtype(pixels.dtype).itemsize
    if size > source.size * MAX_PER_BYTE[kind]:
        raise oversized(source.name, image.width, image.height, source.size)
    mapping = map_pixels(source.name, pixels, selection)
    each = OPENJPEG if _needs_openjpeg(opened) else HELD[kind]
    header = SliceHeader(
        kind,
        image.width,
        image.height,
        mapping.channels,
        mapping.dtype,
        held=source.size + each * image.width * image.height * pixels.channels,
        whole=kind.upper(),
        mapped=not mapping.same,
        note=mapping.note,
        greys=pixels.greys and selection.channels in AS_DECODED,
    )
    if kind == "jp2" and mapping.same and _has_strips(opened, pixels):
        return _in_strips(header, source.size)
    return header


def _has_strips(opened: _Opened, pixels: Pixels) -> bool:
    """Whether rows can be decoded alone, and it's worth it."""
    width, height = opened.image.size
    plain = (pixels.channels, pixels.dtype) in ((1, "uint8"), (3, "uint8"))
    high = plain and height >= 2 * strip_rows(width, pixels.channels)
    return high and has_plain_colours(opened.file) and library() is not None


def _in_strips(header: SliceHeader, file_bytes: int) -> SliceHeader:
    held, decoding = held_bytes(header.width, header.channels, file_bytes)
    return replace(
        header, kind="jp2-strips", held=held, decoding=decoding, held_whole=header.held, whole=""
    )


def _needs_openjpeg(opened: _Opened) -> bool:
    if opened.kind != "jp2" or opened.palette is not None:
        return False
    bits = max(d[0] for d in codestream_in(opened).depths)
    return bits not in (8, 16) or (bits == 16 and opened.image.mode != "I;16")


class WholeReader:
    """A slice that is decoded as a whole when its first rows are read."""

    def __init__(
        self, source: ByteSource, header: SliceHeader, selection: ChannelSelection
    ) -> None:
        kind = header.kind.removesuffix("-strips")
        self._source, self._header, self._selection = source, replace(header, kind=kind), selection
        self._y = 0
        self._voxels: Voxels | None = None

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged, or has changed since the plan was made.
        """
        if self._voxels is None:
            self._voxels = self._decode()
        out[...] = self._voxels[self._y : self._y + len(out)]
        self._y += len(out)
        if self._y >= self._header.height:
            self._voxels = None

    def _decode(self) -> Voxels:
        name, header = self._source.name, self._header
        stored = self._source.read_at(0, self._source.size)
        data = io.BytesIO(without_extras(stored) if header.kind == "jp2" else stored)
        opened = open_file(name, header.kind, data)
        image, palette = opened.image, opened.palette
        pixels = pixels_of(opened, self._selection, header.channels)
        mapping = map_pixels(name, pixels, self._selection)
        found = SliceHeader(header.kind, image.width, image.height, mapping.channels, mapping.dtype)
        if str(found) != str(header):
            raise changed(name, found, header)
        try:
            if _needs_openjpeg(opened):
                from openjpeg.utils import decode

                raw = decode(data.getvalue())
            elif palette is not None and not self._selection.stored:
                raw = palette[np.asarray(image)]
            else:
                raw = np.asarray(image)
        except Exception as error:  # Pillow raises OSError, ValueError and its own
            raise damaged(name, header.kind, error) from error
        raw = raw.reshape(header.height, header.width, pixels.channels)
        if mapping.same:
            return raw
        voxels: Voxels = np.empty((header.height, header.width, header.channels), header.dtype)
        for y in range(0, header.height, 64):
            mapping.put(raw[y : y + 64], voxels[y : y + 64])
        return voxels
