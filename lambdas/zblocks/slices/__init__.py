"""IN: all that zblocks knows of input files.

A file has one page or more; a slice is a page. It is probed (its header says size and type; a few
kilobytes are read), then opened (its rows come from the top down). What kind of file it is, its
first bytes say, never its name.

What comes out: red, green and blue of palettes, grey where a palette has greys alone; 0 and 255 of
single bits, and shares of 255 of two and four; black as 0 of TIFFs whose 0 is white. Labels
(`Take.stored`) are the numbers as they are stored instead. Values under alpha are as stored.
An orientation tag is refused: a viewer that obeys it shows something else than one that doesn't.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.slices.pixels import Mapping, Pixels, Take, choose

__all__ = [
    "ByteSource", "FillReader", "SliceHeader", "SliceReader", "Take", "kind_of", "map_pixels",
    "open_slice", "probe", "probe_pages",
]  # fmt: skip

STREAM_ROWS = {"jpeg": 2150, "png": 1650, "tiff": 1800, "webp": 1650}
"""Rows of a slice that libvips keeps while it is read in strips (measured)."""

STREAM_BYTES = 1 << 20
"""What is fetched ahead of one open stream."""

AS_DECODED = ("auto", "all")
"""Wishes for channels that leave grey and RGB as they are."""

PageWish = int | Literal["all"] | None
"""A page's number, from 0; all; or None: the only one."""


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
    """How it is decoded: `jpeg`, `jpeg-scans` (progressive), `jpeg-inks` (CMYK), `png`,
    `png-indices` (labels), `tiff`, `jp2`, `bmp` or `webp`."""
    width: int
    height: int
    channels: int
    """Of those that are wanted: 1 is grey, 3 is RGB."""
    dtype: str
    """`uint8`, `uint16`, `uint32`, `int8`, `int16`, `int32` or `float32`."""
    page: int = 0
    """Its number in the file, from 0."""
    at: int = 0
    """Where the page's directory begins in a TIFF; 0: the first page's, or no TIFF."""
    held: int = 0
    """Bytes that its decoder holds while it is read."""
    whole: str = ""
    """What it is, if it can't be decoded some rows at a time: then `held` is for all of it."""
    mapped: bool = False
    """Whether the decoder's pixels aren't the voxels yet."""
    note: str = ""
    """What was done to its channels without being asked for."""

    @property
    def in_place(self) -> bool:
        """Whether it can be decoded whole right into its voxels, with nothing held beside."""
        return self.kind == "jpeg" and not self.mapped

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


_MAGIC = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",
    b"\xff\x4f\xff\x51": "jp2",
    b"BM": "bmp",
    b"RIFF": "webp",
}


def kind_of(source: ByteSource) -> str:
    """Return what kind of image the first bytes say that it is.

    Raises:
        SliceError: none that zblocks reads.
    """
    first = source.read_at(0, 16)
    for magic, kind in _MAGIC.items():
        if first.startswith(magic) and (kind != "webp" or first[8:12] == b"WEBP"):
            return kind
    what = f"begins with {first[:8].hex(' ')}" if first else "is empty"
    msg = (
        f"{source.name}: not a JPEG, PNG, TIFF, JPEG 2000, BMP or WebP image ({what}); replace it "
        "or take it off the list"
    )
    raise SliceError(msg)


def probe(source: ByteSource, take: Take | None = None, page: int | None = None) -> SliceHeader:
    """Read a slice's header.

    Args:
        source: the file.
        take: what is wanted of its pixels; as a picture, if left out.
        page: its number, from 0; None: the only one.

    Raises:
        SliceError: not an image, or one of a kind that can't become voxels, or there is no such
            page, or more than the one that was expected.
    """
    return next(probe_pages(source, take, page))


def probe_pages(
    source: ByteSource, take: Take | None = None, page: PageWish = None
) -> Iterator[SliceHeader]:
    """Read the header of every page that is wanted, in the file's order.

    Raises:
        SliceError: as `probe` does.
    """
    kind, take = kind_of(source), take or Take()
    if kind == "tiff":
        from zblocks.slices.tiff.page import probe_tiff

        yield from probe_tiff(source, take, page)
        return
    if page not in (None, "all", 0):
        msg = f"{source.name}: page: has no page {page}, only page 0 as every {kind.upper()}"
        raise SliceError(f'{msg}; give 0 or "all", or leave "page" out')
    if kind in ("jp2", "bmp"):
        from zblocks.slices import whole

        yield whole.probe(source, kind, take)
        return
    from zblocks.slices import vips

    yield vips.probe(source, kind, take)


def map_pixels(name: str, pixels: Pixels, take: Take) -> Mapping:
    """Decide how a slice's pixels become voxels.

    Raises:
        SliceError: the channels that are wanted aren't there.
    """
    try:
        return choose(pixels, take.channels)
    except ValueError as error:
        msg = f'{name}: channels: wants {take.channels}, but this slice {error}; give "all" or '
        raise SliceError(f"{msg}numbers of channels that every slice has") from error


def open_slice(
    source: ByteSource, header: SliceHeader, rows: int, take: Take | None = None
) -> SliceReader:
    """Open a slice whose header is known, to be read `rows` rows at a time.

    Raises:
        SliceError: the file is not what the header says.
    """
    take = take or Take()
    if header.kind in ("jp2", "bmp", "png-indices"):
        from zblocks.slices.whole import WholeReader

        return WholeReader(source, header, take)
    whole_jpeg = header.kind in ("jpeg", "jpeg-scans") and take.channels in AS_DECODED
    if whole_jpeg and rows >= header.height:
        from zblocks.slices.jpeg import WholeJpeg

        return WholeJpeg(source)
    from zblocks.slices.vips import VipsReader

    return VipsReader(source, header, take)
