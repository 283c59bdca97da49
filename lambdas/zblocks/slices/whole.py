"""Slices that are decoded as a whole: JPEG 2000, BMP, and labels in PNGs with a palette.

Large JPEG 2000, grey or RGB, can be read in strips, too (`slices.jp2_strips`), and those with tiles
whose places are known by tiles (`slices.jp2_tiles`).

Pillow decodes them, except where it would change numbers; there OpenJPEG is used directly: JPEG
2000 of more than 8 bits with several channels, which Pillow truncates, and of other than 8 or 16
bits, such as the 12 of cameras, which it scales to 16, and channels in another order, which it
ignores.
"""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.host import own_cores
from zblocks.slices.faults import changed, damaged, no_level, oversized, unread
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jp2_boxes import (
    PLAIN,
    SYCC,
    Codestream,
    codestream_of,
    colour_space,
    has_packed_heads,
    has_plain_colours,
    is_reordered,
    without_extras,
)
from zblocks.slices.jp2_rows import strip_memory, strip_rows
from zblocks.slices.jp2_tiles import in_tiles
from zblocks.slices.openjpeg import decode_rows, library
from zblocks.slices.pillow_file import Opened, as_file, open_file
from zblocks.slices.pixels import AS_DECODED, ChannelSelection, Pixels, map_pixels
from zblocks.slices.ranges import KeptBytes

MAX_PER_BYTE = {"jp2": 20_000, "bmp": 1_100}
"""Most bytes of voxels from one byte of a file: empty code blocks of JPEG 2000 are nearly free."""

HELD = {"jp2": 10, "bmp": 4}
"""Bytes held per sample while Pillow decodes (measured)."""

OPENJPEG = 8
"""Bytes held per sample while OpenJPEG decodes (measured)."""

UNDECODED = 10
"""Samples of the full resolution for which OpenJPEG holds a byte, beside another copy of the file,
while it decodes a reduced one (measured)."""

RGB = (None, 0, 15, *PLAIN, 20, 21)
"""Colour spaces of JPEG 2000 whose channels are taken as they are: none, those of one bit, sRGB,
grey, and RGB of wider gamuts (ISO/IEC 15444-2, table M.25)."""

_MODES = {
    "L": ("grey", 1, "uint8"), "LA": ("grey", 2, "uint8"),
    "RGB": ("rgb", 3, "uint8"), "RGBA": ("rgb", 4, "uint8"), "P": ("rgb", 3, "uint8"),
    "I;16": ("grey", 1, "uint16"),
}  # fmt: skip


def codestream_in(opened: Opened) -> Codestream:
    """Return what the codestream of a JPEG 2000 says.

    Raises:
        SliceError: it has none.
    """
    if found := codestream_of(opened.file):
        return found
    raise damaged(opened.name, opened.kind, "it has no codestream")


def pixels_of(opened: Opened, selection: ChannelSelection, planned: int = 1) -> Pixels:
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
        what = what or _odd_colours(opened)
    if kind == "png-indices" and image.mode != "P":
        what = f"{image.mode} pixels, but the plan says indices"
    if not what and library() is None and _needs_openjpeg(opened):
        what = f"{image.mode} pixels of {bits} bits, and its OpenJPEG can't be called here"
    if what:
        raise unread(name, kind, what)
    if palette is not None and selection.stored:
        return Pixels(1, "uint8", "grey")
    if palette is not None:
        greys = planned < 3 and bool((palette == palette[:, :1]).all())
        return Pixels(3, "uint8", "rgb", greys=greys)
    return Pixels(channels, dtype, space, channels in (2, 4))


def _odd_colours(opened: Opened) -> str:
    """Return which colours a JPEG 2000 has that nobody here makes RGB of; empty for none."""
    space = colour_space(opened.file)
    rgb = space in RGB or (space == SYCC and not _needs_openjpeg(opened))
    if rgb or opened.palette is not None or opened.image.mode not in ("RGB", "RGBA"):
        return ""
    bits = codestream_in(opened).bits
    return f"colours of {bits} bits in another space than RGB (number {space})"


def probe(
    source: ByteSource, kind: str, selection: ChannelSelection, level: int = 0
) -> SliceHeader:
    """Read a header, of a reduced resolution of a JPEG 2000 if `level` isn't 0.

    Raises:
        SliceError: the file is damaged, can't be converted without loss, or has no such resolution.
    """
    kept = KeptBytes(source)
    opened = open_file(source.name, kind, as_file(kept))
    image, pixels = opened.image, pixels_of(opened, selection)
    full = image.width * image.height * pixels.channels
    if full * np.dtype(pixels.dtype).itemsize > source.size * MAX_PER_BYTE[kind]:
        raise oversized(source.name, image.width, image.height, source.size)
    mapping = map_pixels(source.name, pixels, selection)
    if level:
        _check_level(opened, selection, level)
    width, height = size_of(opened, level)
    each = OPENJPEG if level or _needs_openjpeg(opened) else HELD[kind]
    rest = source.size + full // UNDECODED if level else 0
    header = SliceHeader(
        kind,
        width,
        height,
        mapping.channels,
        mapping.dtype,
        held=source.size * (2 if level else 1) + each * width * height * pixels.channels + rest,
        whole=kind.upper(),
        mapped=not mapping.same,
        note=mapping.note,
        level=level,
        factor=1 << level,
        full=image.size if level else (0, 0),
        greys=pixels.greys and selection.channels in AS_DECODED,
    )
    if kind == "jp2" and mapping.same and _has_strips(opened, pixels, (width, height)):
        header = _in_strips(header, opened, source.size)
    if kind == "jp2" and mapping.same and not level and _is_plain(opened, pixels):
        return in_tiles(header, kept)
    return header


def size_of(opened: Opened, level: int) -> tuple[int, int]:
    """Return width and height of a resolution."""
    return codestream_in(opened).size(level) if level else opened.image.size


def _check_level(opened: Opened, selection: ChannelSelection, level: int) -> None:
    """Raise SliceError unless a reduced resolution is there, and is what it seems."""
    stream, name = codestream_in(opened), opened.name
    sizes = [stream.size(n) for n in range(stream.levels + 1)]
    if level > stream.levels or 0 in sizes[level]:
        raise no_level(name, level, [size for size in sizes if 0 not in size])
    what = ""
    if selection.labels:
        what = "a JPEG 2000 blends neighbouring labels into its reduced resolutions"
    elif not has_plain_colours(opened.file):
        what = "reduced resolutions of JPEG 2000 are read if it is grey or RGB without alpha"
    elif library() is None:
        what = "the OpenJPEG of this installation can't be called"
    if what:
        raise SliceError(f'{name}: level: {what}; give "level": 0')


def _is_plain(opened: Opened, pixels: Pixels) -> bool:
    """Whether it is grey or RGB for every decoder, and can be decoded in parts."""
    plain = pixels.channels in (1, 3) and opened.palette is None
    return plain and has_plain_colours(opened.file) and library() is not None


def _has_strips(opened: Opened, pixels: Pixels, size: tuple[int, int]) -> bool:
    """Whether rows can be decoded alone, and it's worth it."""
    width, height = size
    return _is_plain(opened, pixels) and height >= 2 * strip_rows(width, pixels.channels)


def decodes_once(opened: Opened) -> bool:
    """Whether a decoder of OpenJPEG can decode rows of a JPEG 2000 only once.

    It keeps nothing of tiles, and loses the heads of packets that are stored apart: a second time,
    it takes the packets for empty.
    """
    return codestream_in(opened).tiled or has_packed_heads(opened.file)


def _in_strips(header: SliceHeader, opened: Opened, file_bytes: int) -> SliceHeader:
    size, stream = (header.width, header.height, header.channels), codestream_in(opened)
    held, decoding = strip_memory(stream, size, file_bytes, once=decodes_once(opened))
    return replace(
        header, kind="jp2-strips", held=held, decoding=decoding, held_whole=header.held, whole=""
    )


def _needs_openjpeg(opened: Opened) -> bool:
    if opened.kind != "jp2" or opened.palette is not None:
        return False
    bits = codestream_in(opened).bits
    deep = bits not in (8, 16) or (bits == 16 and opened.image.mode != "I;16")
    return deep or is_reordered(opened.file)


def _by_pillow(opened: Opened) -> Voxels:
    """Return what Pillow decodes; but indices as stored, which it scales to 8 bits in JPEG 2000."""
    found = np.asarray(opened.image)
    if opened.kind == "jp2" and opened.palette is not None:
        return found >> (8 - codestream_in(opened).bits)
    return found


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
        palette = opened.palette
        pixels = pixels_of(opened, self._selection, header.channels)
        mapping = map_pixels(name, pixels, self._selection)
        size = size_of(opened, header.level)
        found = SliceHeader(header.kind, *size, mapping.channels, mapping.dtype)
        if str(found) != str(header):
            raise changed(name, found, header)
        try:
            if header.level or _needs_openjpeg(opened):
                raw: Voxels = np.empty((*size[::-1], pixels.channels), pixels.dtype)
                decode_rows(data.getvalue(), 0, raw, header.level, own_cores())
            else:
                raw = _by_pillow(opened)
                raw = raw if palette is None or self._selection.stored else palette[raw]
        except Exception as error:  # Pillow raises OSError, ValueError and its own
            raise damaged(name, header.kind, error) from error
        raw = raw.reshape(header.height, header.width, pixels.channels)
        if mapping.same:
            return raw
        voxels: Voxels = np.empty((header.height, header.width, header.channels), header.dtype)
        for y in range(0, header.height, 64):
            mapping.put(raw[y : y + 64], voxels[y : y + 64])
        return voxels
