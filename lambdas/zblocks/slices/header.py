"""What is known about a slice before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from zblocks.geometry import Voxels

PageSelection = int | Literal["all"] | None
"""Page number, from 0; all; or None for the only page."""


class ByteSource(Protocol):
    """The bytes of one file, wherever it is stored."""

    name: str
    """URL or path, for errors."""
    size: int
    """Bytes."""

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end."""
        ...


class RowReader(Protocol):
    """Rows of one slice, from the top down."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged there.
        """
        ...


class Place(NamedTuple):
    """Where a page belongs according to OME-XML."""

    group: str
    """The set of files; empty for this file alone."""
    z: int
    other: tuple[int, int, int]
    """Image, frame and channel."""

    def __str__(self) -> str:
        """Position, as notes show it."""
        names = ("image", "frame", "channel")
        some = [f"{name} {n}" for name, n in zip(names, self.other, strict=True) if n]
        return ", ".join([*some, f"z {self.z}"])


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Size, type and decoder of a slice: one page of an image file."""

    kind: str
    """How it is decoded: `jpeg`, `jpeg-scans` (progressive), `jpeg-inks` (CMYK), `png`,
    `png-indices` (labels), `tiff`, `tiff-jp2` (TIFF with JPEG 2000 in it), `jp2`, `jp2-strips` (in
    strips or whole), `jp2-tiles` (by tiles), `bmp` or `webp`."""
    width: int
    height: int
    channels: int
    """Selected channels: 1 is grey, 3 is RGB."""
    dtype: str
    """`uint8`, `uint16`, `uint32`, `int8`, `int16`, `int32`, `float32`, or for labels
    also `uint64`, `int64` or `float64`."""
    page: int = 0
    """Number of the page in the file, from 0."""
    at: int = 0
    """Byte offset of the page's TIFF directory; 0 for the first of the file and for other formats.
    A page with another number and the first directory follows the pixels of that."""
    held: int = 0
    """Bytes that the decoder holds while the slice is read."""
    decoding: int = 0
    """Additional bytes held while rows are decoded; 0 if `held` covers them."""
    decoding_piece: int = 0
    """Additional bytes held while a piece is decoded, however many pieces are read."""
    held_whole: int = 0
    """Bytes that the decoder holds if it decodes the slice as a whole; 0: same as `held`."""
    whole: str = ""
    """Why the slice must be decoded as a whole (`held` then covers all of it); else empty."""
    level: int = 0
    """Which reduced resolution is read; 0 is the full one."""
    factor: int = 1
    """Full-resolution pixels per pixel of the slice, along x and along y."""
    full: tuple[int, int] = (0, 0)
    """Width and height at full resolution if a reduced one is read."""
    mapped: bool = False
    """Whether the decoder's pixels still have to be converted to the selected channels."""
    piece: tuple[int, int] | None = None
    """Width and height of a tile or strip, if these can be read separately."""
    note: str = ""
    """What was done to the channels unasked."""
    greys: bool = False
    """Whether its pixels are a palette of greys: one channel, or three in a stack of colours."""
    mixed: str = ""
    """Axes of the file's pages in words if one isn't depth, such as `3 channels`; else empty."""
    place: Place | None = None
    """Where the page belongs by OME-XML."""
    elsewhere: str = ""
    """The file that says where the page belongs; it isn't read."""

    @property
    def plane(self) -> int:
        """Number of the page among those of its directory."""
        return 0 if self.at else self.page

    @property
    def in_place(self) -> bool:
        """Whether it can be decoded as a whole directly into the output array."""
        return self.kind == "jpeg" and not self.mapped

    def __str__(self) -> str:
        """Size and type, as errors show it."""
        colour = {1: "grey", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        return f"{self.width}×{self.height} {colour} {self.dtype}"
