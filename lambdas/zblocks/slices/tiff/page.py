"""A TIFF's page: what it holds, and whether that can become voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zblocks.errors import SliceError
from zblocks.slices.header import STREAM_BYTES, STREAM_ROWS, ByteSource, PageWish, SliceHeader
from zblocks.slices.pixels import Pixels, Take, map_pixels
from zblocks.slices.tiff import directory as t

NONE, CCITT, LZW, JPEG, DEFLATE, PACKBITS = 1, (2, 3, 4), 5, 7, (8, 32946), 32773
ZSTD, LZMA = 50000, 34925
_COMPRESSIONS = {NONE, *CCITT, LZW, JPEG, *DEFLATE, PACKBITS, ZSTD, LZMA}

_SAMPLES = {
    (1, 1): "uint8", (1, 2): "uint8", (1, 4): "uint8", (1, 8): "uint8", (1, 16): "uint16",
    (1, 32): "uint32", (2, 8): "int8", (2, 16): "int16", (2, 32): "int32", (3, 16): "float32",
    (3, 32): "float32",
}  # fmt: skip
"""What (format, bits) of a sample become: few bits are widened, half floats exactly."""

COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3}
"""Channels that a photometric interpretation gives a meaning."""

_NO_PICTURES = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a colour filter array's",
                32844: "LogL", 32845: "LogLuv", 34892: "a camera's raw"}  # fmt: skip

READABLE = "grey, RGB, palettes and CMYK of 8, 16 and 32 bits, floats of 16 and 32"

MOST_PER_BYTE, MIN_BYTES = 50_000, 1 << 16
"""Bytes of voxels that one byte of a file can stand for, at most (of the codecs zstd gives about
33,000), and what any file may claim."""

MOST_SAMPLES = 64
"""Channels."""

MOST_SEGMENT = 1 << 31
"""Bytes of a strip or tile, unpacked."""

TILED_ROWS = 1200
"""Rows that libvips keeps of a tiled page, beside its tiles (measured)."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page holds and how it lies in the file."""

    directory: t.Directory
    width: int
    height: int
    samples: int
    bits: int
    format: int
    """1: whole numbers without a sign; 2: with one; 3: floats."""
    photometric: int
    compression: int
    planar: bool
    """Whether each channel lies by itself."""
    tile: tuple[int, int] | None
    """Width and height of a tile; None: strips."""
    rows: int
    """Of a strip or tile."""
    extra: tuple[int, ...]
    """What each channel beyond the colours is: 1 or 2 is alpha."""
    palette: tuple[int, ...]
    """Reds, greens, blues; empty where pixels are no indices."""

    @property
    def dtype(self) -> str:
        """Type of a sample once it is decoded."""
        return _SAMPLES[self.format, self.bits]

    @property
    def channels(self) -> int:
        """Channels once it is decoded."""
        return 1 if self.grey_palette or not self.palette else 3

    @property
    def grey_palette(self) -> bool:
        """Whether the palette has greys alone."""
        third = len(self.palette) // 3
        return (
            bool(third) and len({self.palette[i * third : (i + 1) * third] for i in range(3)}) == 1
        )

    def pixels(self, *, stored: bool) -> Pixels:
        """Return what a decoder gives for a pixel; `stored`: numbers as they are."""
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
        return Pixels(self.samples, self.dtype, space, alpha, white)

    @property
    def held(self) -> int:
        """Bytes that libvips and libtiff hold while they read it from the top down (measured).

        Of strips three of them beside the stream's rows, of tiles four rows of them; a single
        strip is read row by row, but is all there as it is compressed.
        """
        row = self.width * self.samples * np.dtype(self.dtype).itemsize
        if self.palette:
            row = self.width * 3
        held = STREAM_ROWS["tiff"] * row
        if self.tile:
            across = -(-self.width // self.tile[0]) * self.tile[0]
            held = max(held, (TILED_ROWS + 4 * self.rows) * row * across // self.width)
        elif self.rows < self.height:
            held += 3 * self.rows * row * (self.rows > 1)
        elif self.compression != NONE:
            sizes = self.directory.values(t.STRIP_BYTES, self.samples if self.planar else 1)
            held += 2 * sum(sizes)
        if self.recodes:
            pieces = self.samples if self.planar else 1
            held += 3 * pieces * self.segment_bytes(0)
        return held + STREAM_BYTES * (self.samples if self.planar else 1)

    @property
    def recodes(self) -> bool:
        """Whether its strips or tiles are unpacked here, not by libtiff."""
        return self.compression in (ZSTD, LZMA)

    def segments(self) -> int:
        """Return how many strips or tiles a channel, or all together, has."""
        across = -(-self.width // self.tile[0]) if self.tile else 1
        return across * -(-self.height // self.rows)

    def segment_bytes(self, index: int) -> int:
        """Return the bytes of a strip or tile, unpacked."""
        samples = 1 if self.planar else self.samples
        width = self.tile[0] if self.tile else self.width
        rows = self.rows
        if not self.tile:
            rows = min(rows, self.height - index % self.segments() * rows)
        return -(-width * samples * self.bits // 8) * rows


def probe_tiff(source: ByteSource, take: Take, wish: PageWish) -> Iterator[SliceHeader]:
    """Read the header of every page that is wanted.

    Raises:
        SliceError: there is no such page, or more than one and nobody said which.
    """
    found = 0
    for directory in t.directories(source):
        if not t.is_page(directory):
            continue
        if wish is None and found:
            count = sum(map(t.is_page, t.directories(source)))
            msg = (
                f'{source.name}: this TIFF holds {count} pages; give "page": a number from 0 to '
                f'{count - 1}, or "page": "all" to take every page as a slice'
            )
            raise SliceError(msg)
        if wish in (None, "all", found):
            header = _header(read_page(directory), take, found)
        if wish in ("all", found):
            yield header
        found += 1
        if found - 1 == wish:
            return
    if wish is None and found:
        yield header
    elif wish != "all" or not found:
        why = (
            f"page: has no page {wish}, only {found}" if found else "damaged TIFF (it has no page)"
        )
        raise SliceError(f"{source.name}: {why}; correct it, or take the file off the list")


def _header(page: Page, take: Take, number: int) -> SliceHeader:
    """Return the header of a page.

    Raises:
        SliceError: it claims more than its file can hold, or lacks the channels.
    """
    name, pixels = page.directory.name, page.pixels(stored=take.stored)
    size = page.width * page.height * pixels.channels * np.dtype(pixels.dtype).itemsize
    if size > page.directory.file_bytes * MOST_PER_BYTE + MIN_BYTES:
        msg = (
            f"{name}: claims {page.width}×{page.height}, more than its "
            f"{page.directory.file_bytes} bytes can hold; replace the file and run again"
        )
        raise SliceError(msg)
    mapping = map_pixels(name, pixels, take)
    return SliceHeader(
        "tiff",
        page.width,
        page.height,
        mapping.channels,
        pixels.dtype,
        page=number,
        at=page.directory.at,
        held=page.held,
        mapped=not mapping.same,
        note=mapping.note,
    )


def read_page(directory: t.Directory) -> Page:
    """Read what a page holds.

    Raises:
        SliceError: it is damaged, or can't become voxels; says why.
    """
    d = directory
    tiled = t.TILE_WIDTH in d.entries
    height = d.value(t.HEIGHT, 0)
    rows = d.value(t.TILE_HEIGHT, 0) if tiled else min(d.value(t.ROWS_PER_STRIP, height), height)
    samples = d.value(t.SAMPLES, 1)
    photometric = d.value(t.PHOTOMETRIC, 1)
    page = Page(
        directory=d,
        width=d.value(t.WIDTH, 0),
        height=height,
        samples=samples,
        bits=_same(d, t.BITS, 1),
        format=_same(d, t.SAMPLE_FORMAT, 1),
        photometric=photometric,
        compression=d.value(t.COMPRESSION, NONE),
        planar=d.value(t.PLANAR, 1) == 2 and samples > 1,
        tile=(d.value(t.TILE_WIDTH, 0), rows) if tiled else None,
        rows=rows,
        extra=d.values(t.EXTRA_SAMPLES, 64),
        palette=d.values(t.COLORMAP, 1 << 17) if photometric == 3 else (),
    )
    _refuse_damaged(page)
    if why := _unreadable(page):
        msg = (
            f"{d.name}: this TIFF holds {why}; zblocks reads {READABLE}, without compression or "
            "with LZW, deflate, PackBits, JPEG, zstd, LZMA or a fax code; convert it or take it "
            "off the list"
        )
        raise SliceError(msg)
    return page


def _same(directory: t.Directory, tag: int, default: int) -> int:
    """Return the number that a tag has for every channel; 0 if they aren't all the same."""
    values = set(directory.values(tag, 1 << 10)) or {default}
    return values.pop() if len(values) == 1 else 0


def _refuse_damaged(page: Page) -> None:
    """Refuse sizes that no file has, and places beyond it.

    Raises:
        SliceError: names the file.
    """
    d = page.directory
    sizes = (page.width, page.height, page.rows, page.samples, *(page.tile or ()))
    if min(sizes) < 1 or max(page.width, page.height) > 10**7 or max(sizes) > 2**31:
        raise t.damaged(d.name, f"{page.width}×{page.height} in pieces of {page.rows} rows")
    channels = page.samples if page.planar else 1
    count = page.segments() * channels
    if count > d.file_bytes:
        msg = (
            f"{d.name}: claims {page.width}×{page.height}, more than its {d.file_bytes} bytes can "
            "hold; replace the file and run again"
        )
        raise SliceError(msg)
    for tag in (t.TILE_OFFSETS, t.TILE_BYTES) if page.tile else (t.STRIP_OFFSETS, t.STRIP_BYTES):
        entry = d.entries.get(tag)
        if entry is None or entry.count < count:
            if tag in (t.STRIP_BYTES, t.TILE_BYTES) and page.compression == NONE:
                continue  # old writers left them out
            raise t.damaged(d.name, f"{count} pieces, but places of {entry.count if entry else 0}")
        d.place(tag, count)
        if count == 1 and d.value(tag, 0) > d.file_bytes:
            raise t.damaged(d.name, "a piece lies beyond its end")


def _unreadable(page: Page) -> str:
    """Say what of a page can't become voxels; empty if it all can."""
    colours, turn = len(page.palette) // 3, page.directory.value(t.ORIENTATION, 1)
    packed = page.segment_bytes(0)
    by_channel = page.planar and page.photometric == 6
    reasons = {
        f"{_NO_PICTURES.get(page.photometric)} pixels": page.photometric in _NO_PICTURES,
        "YCbCr without JPEG": page.photometric == 6 and page.compression != JPEG,
        _kind(page): (page.format, page.bits) not in _SAMPLES,
        f"{_kind(page)} that are no grey or RGB": page.format == 2
        and page.photometric not in (1, 2),
        f"compression {page.compression}": page.compression not in _COMPRESSIONS,
        f"JPEG of {page.bits} bits": page.compression == JPEG and page.bits != 8,
        "JPEG of YCbCr, a channel at a time": page.compression == JPEG and by_channel,
        f"{page.samples} channels of {page.bits} bits": page.bits < 8 and page.samples > 1,
        f"{page.samples} channels": page.samples > MOST_SAMPLES,
        f"a palette of {colours} colours for {page.samples} channels of {page.bits} bits": (
            page.photometric == 3
            and (page.samples > 1 or page.bits > 8 or colours != 1 << page.bits)
        ),
        f"strips or tiles of {packed} bytes": packed > MOST_SEGMENT,
        "bits in reverse order": page.recodes and page.directory.value(t.FILL_ORDER, 1) != 1,
        f"an orientation tag ({turn}), so turn the pixels instead": turn > 1,
    }
    return next((why for why, found in reasons.items() if found), "")


def _kind(page: Page) -> str:
    """Name the kind of a page's samples."""
    kinds = {1: "whole numbers", 2: "whole numbers with a sign", 3: "floats"}
    bits = f"of {page.bits} bits" if page.bits else "of several sizes"
    return f"{kinds.get(page.format, f'samples of format {page.format}')} {bits}"
