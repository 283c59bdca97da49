"""A page of a TIFF: its pixels and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.geometry import ceil_div
from zblocks.slices.pixels import Pixels
from zblocks.slices.tiff import directory as t

NONE, CCITT, LZW, JPEG, DEFLATE, PACKBITS = 1, (2, 3, 4), 5, 7, (8, 32946), 32773
ZSTD, LZMA = 50000, 34925
APERIO_YCBCR = 33003
JPEG2000 = (APERIO_YCBCR, 33004, 33005, 34712)
PREDICTED = {LZW, *DEFLATE, ZSTD, LZMA}
"""Compressions to which the predictor applies; libtiff ignores it for the others."""

COMPRESSIONS = {NONE, *CCITT, LZW, JPEG, *DEFLATE, PACKBITS, ZSTD, LZMA, *JPEG2000}

SAMPLES = {
    (1, 1): "uint8", (1, 2): "uint8", (1, 4): "uint8", (1, 8): "uint8", (1, 16): "uint16",
    (1, 32): "uint32", (2, 8): "int8", (2, 16): "int16", (2, 32): "int32", (3, 16): "float32",
    (3, 32): "float32", (1, 64): "uint64", (2, 64): "int64", (3, 64): "float64",
}  # fmt: skip
"""Type of the voxels for (format, bits) of a sample; half floats are widened exactly."""

EXACT = {16: 1 << 11, 32: 1 << 24, 64: 1 << 53}
"""The number below which floats of these bits hold every whole number."""

COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3}
"""Colour channels of a photometric interpretation."""


def is_aperio(directory: t.Directory) -> bool:
    """Return whether an Aperio scanner, or a program that imitates it, wrote a page (SVS)."""
    return directory.raw(t.DESCRIPTION, 6) == b"Aperio"


@dataclass(frozen=True, slots=True)
class Page:
    """Pixels of a page and their layout in the file."""

    directory: t.Directory
    width: int
    height: int
    samples: int
    bits: int
    format: int
    """1: unsigned integers; 2: signed integers; 3: floats."""
    photometric: int
    compression: int
    planar: bool
    """Whether each channel is stored separately."""
    tile: tuple[int, int] | None
    """Width and height of a tile; None for strips."""
    rows: int
    """Rows of a strip or tile."""
    extra: tuple[int, ...]
    """Kind of each channel beyond the colours; 1 and 2 are alpha."""
    palette: tuple[int, ...]
    """All reds, all greens, all blues; empty without a palette."""
    plane: int = 0
    """Index among the planes that one directory stands for."""
    cuts: int = 1
    """Strips into which each strip of the file is cut."""

    @property
    def dtype(self) -> str:
        """Type of a decoded sample."""
        return SAMPLES[self.format, self.bits]

    @property
    def channels(self) -> int:
        """Decoded channels of a page with or without a palette."""
        return 1 if self.grey_palette or not self.palette else 3

    @property
    def grey_palette(self) -> bool:
        """Whether the palette has only greys."""
        third = len(self.palette) // 3
        return (
            bool(third) and len({self.palette[i * third : (i + 1) * third] for i in range(3)}) == 1
        )

    def pixels(self, *, stored: bool) -> Pixels:
        """Describe the pixels that the decoder returns; `stored`: numbers as stored."""
        top = 255 if self.bits < 8 else (1 << self.bits) - 1
        if stored and self.bits < 8:
            return Pixels(1, "uint8", "grey", step=255 // ((1 << self.bits) - 1))
        if stored and self.palette:
            return Pixels(1, self.dtype, "grey")
        if self.palette:
            return Pixels(self.channels, "uint8", "rgb" if self.channels == 3 else "grey")
        beyond = self.samples - COLOURS.get(self.photometric, 1)
        alpha = beyond > 0 and self.extra[-1:] in ((1,), (2,))
        space = {2: "rgb", 5: "cmyk", 6: "rgb"}.get(self.photometric, "grey")
        if beyond < 0 or (beyond > alpha and space != "rgb"):
            space = "other"
        white = top if self.photometric == 0 and self.format == 1 and not stored else 0
        exact = EXACT[self.bits] if self.format == 3 else 0
        return Pixels(self.samples, self.dtype, space, alpha, white, exact=exact)

    @property
    def decoded_row(self) -> int:
        """Bytes of a row as libvips decodes it, with the padding of its last tile.

        With a palette: the indices and their colours.
        """
        return self.across * (4 if self.palette else self.samples * np.dtype(self.dtype).itemsize)

    @property
    def apart(self) -> bool:
        """Whether libvips is given samples as integers, or in several: half floats, 64 bits."""
        return self.bits == 64 or (self.format, self.bits) == (3, 16)

    @property
    def predictor(self) -> int:
        """1: values; 2: differences along rows; 3: those of planes of the bytes of floats."""
        return self.directory.value(t.PREDICTOR, 1) if self.compression in PREDICTED else 1

    @property
    def bytewise(self) -> bool:
        """Whether samples that are taken apart are stored in planes of bytes (predictor 3)."""
        return self.apart and self.predictor == 3

    @property
    def words(self) -> int:
        """Samples that libvips is given for each: bytes, 16 bits, or two of 32 bits."""
        return self.bits // 8 if self.bytewise else max(self.bits // 32, 1)

    @property
    def across(self) -> int:
        """Pixels of a row, with the padding of its last tile."""
        return -(-self.width // self.tile[0]) * self.tile[0] if self.tile else self.width

    @property
    def down(self) -> int:
        """Rows, with the padding of the last tiles."""
        return -(-self.height // self.rows) * self.rows if self.tile else self.height

    @property
    def recodes(self) -> bool:
        """Whether strips or tiles are decompressed here, not by libtiff."""
        return self.compression in (ZSTD, LZMA, *JPEG2000)

    @property
    def ycbcr(self) -> bool:
        """Whether its JPEG 2000 holds luma and chroma; Aperio's compression may say so, too."""
        said = self.compression == APERIO_YCBCR and is_aperio(self.directory)
        return self.compression in JPEG2000 and (self.photometric == 6 or said)

    @property
    def offsets_tag(self) -> int:
        """Tag with the offsets of strips or tiles."""
        return t.TILE_OFFSETS if self.tile else t.STRIP_OFFSETS

    @property
    def counts_tag(self) -> int:
        """Tag with the sizes of strips or tiles."""
        return t.TILE_BYTES if self.tile else t.STRIP_BYTES

    @property
    def pieces(self) -> int:
        """Strips or tiles of a plane, of all channels."""
        return self.segments() * (self.samples if self.planar else 1)

    @property
    def row_bytes(self) -> int:
        """Decompressed bytes of a row, with the padding of its last tile, of one channel or all."""
        return self._packed(self.across)

    @property
    def plane_bytes(self) -> int:
        """Decompressed bytes of a plane."""
        return sum(map(self.segment_bytes, range(self.pieces)))

    def segments(self) -> int:
        """Return the number of strips or tiles, per channel if stored separately."""
        across = -(-self.width // self.tile[0]) if self.tile else 1
        return across * -(-self.height // self.rows)

    def segment_bytes(self, index: int) -> int:
        """Return the decompressed bytes of a strip or tile."""
        rows = self.rows
        if not self.tile:
            rows = min(rows, self.height - index % self.segments() * rows)
        width = self.tile[0] if self.tile else self.width
        return self._packed(width) * rows

    def _packed(self, width: int) -> int:
        """Return the decompressed bytes of a row of `width` pixels."""
        return ceil_div(width * (1 if self.planar else self.samples) * self.bits, 8)
