"""IN: all that zblocks knows of input files.

A slice is probed (its header says size and type; a few kilobytes are read), then opened (its rows
come from the top down). What kind of file it is, its first bytes say, never its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zblocks.errors import SliceError
from zblocks.pooling import Voxels


class ByteSource(Protocol):
    """The bytes of one file, wherever it lies."""

    name: str
    """For errors: url or path."""
    size: int
    """Bytes."""

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What a file says of itself before it is decoded."""

    kind: str
    """`jpeg`, `png`, `tiff` or `jp2`."""
    width: int
    height: int
    channels: int
    """1 (grey) or 3 (RGB)."""
    dtype: str
    """`uint8`, `uint16`, `uint32` or `float32`."""

    def __str__(self) -> str:
        """Size and type, as errors show it."""
        colour = {1: "grey", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        return f"{self.width}×{self.height} {colour} {self.dtype}"


class SliceReader(Protocol):
    """Rows of one slice, from the top down."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged there.
        """
        ...


@dataclass(slots=True)
class FillReader:
    """A missing slice: every voxel has the fill value."""

    value: float

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` with the value."""
        out[...] = self.value


WHOLE = frozenset({"jp2"})
"""Kinds that can't be decoded some rows at a time."""

_MAGIC = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",
    b"\xff\x4f\xff\x51": "jp2",
}


def kind_of(source: ByteSource) -> str:
    """Return what kind of image the first bytes say that it is.

    Raises:
        SliceError: none that zblocks reads.
    """
    first = source.read_at(0, 16)
    for magic, kind in _MAGIC.items():
        if first.startswith(magic):
            return kind
    what = f"begins with {first[:8].hex(' ')}" if first else "is empty"
    msg = (
        f"{source.name}: not a JPEG, PNG, TIFF or JPEG 2000 image ({what}); replace it or take it "
        "off the list"
    )
    raise SliceError(msg)


def probe(source: ByteSource) -> SliceHeader:
    """Read a slice's header.

    Raises:
        SliceError: not an image, or one of a kind that can't become voxels.
    """
    kind = kind_of(source)
    if kind == "jp2":
        from zblocks.slices import jp2

        return jp2.probe(source)
    from zblocks.slices import vips

    return vips.probe(source, kind)


def open_slice(source: ByteSource, header: SliceHeader, rows: int) -> SliceReader:
    """Open a slice whose header is known, to be read `rows` rows at a time.

    Raises:
        SliceError: the file is not what the header says.
    """
    if header.kind == "jpeg" and rows >= header.height:
        from zblocks.slices.jpeg import WholeJpeg

        return WholeJpeg(source)
    if header.kind == "jp2":
        from zblocks.slices.jp2 import WholeJp2

        return WholeJp2(source, header)
    from zblocks.slices.vips import VipsReader

    return VipsReader(source, header)
