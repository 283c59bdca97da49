"""The directories of a TIFF: the tags of each page.

Parsed here and not by libtiff, because plans need facts that libvips doesn't give (heights of
strips and tiles, bits, kinds of channels), of every page with one read, and because every offset
and size is checked against the size of the file.

Sources: TIFF 6.0; BigTIFF (libtiff's description); Technical Note 2 (JPEG).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from zblocks.errors import SliceError
from zblocks.slices.faults import damaged
from zblocks.slices.header import ByteSource
from zblocks.slices.ranges import KeptBytes

MAX_TAGS, MAX_PAGES = 4096, 100_000

SUBFILE, OLD_SUBFILE = 254, 255
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, T4_OPTIONS, T6_OPTIONS, PREDICTOR, COLORMAP = 284, 292, 293, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, YCBCR_SAMPLING = 338, 339, 347, 530
SUB_IFDS, DESCRIPTION, SOFTWARE, IMAGE_DEPTH, TILE_DEPTH, GDAL_NODATA = (
    330,
    270,
    305,
    32997,
    32998,
    42113,
)
FURTHER = (SUB_IFDS, 34665, 34853, 40965)
"""Tags with the offsets of directories outside of the chain: smaller copies, Exif, GPS."""
PIXELS = (STRIP_OFFSETS, TILE_OFFSETS, 513)
"""Tags with the offsets of pixels; 513 in old-style JPEG."""

_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 18: "Q"}
"""struct's letters of the field types, without rationals and floats."""

_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of the field types that have more than one."""


class TiffFile(KeptBytes):
    """A TIFF's bytes and its header.

    Raises:
        SliceError: the header is incomplete.
    """

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        head = self.read_at(0, 16)
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        """Whether it is a BigTIFF."""
        try:
            (self.first,) = self.unpack(self.word, head[8:16] if self.big else head[4:8])
        except struct.error as error:
            raise self.damaged("it ends in its header") from error

    @property
    def word(self) -> str:
        """Format of offsets and counts, as in `struct`."""
        return "Q" if self.big else "I"

    def unpack(self, letters: str, data: bytes) -> tuple[int, ...]:
        """Unpack numbers in the file's byte order."""
        return struct.unpack(self.order + letters, data)

    def damaged(self, what: str) -> SliceError:
        """Return the error for a damaged file."""
        return damaged(self.name, "tiff", what)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag."""

    kind: int
    count: int
    inline: bytes
    """The value if it fits, else its offset."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page."""

    file: TiffFile
    at: int
    """Its offset in the file."""
    entries: dict[int, Entry]
    """By tag; by -tag for the second one of a tag."""
    next: int
    """Offset of the next directory; 0 for none."""

    def values(self, tag: int, most: int = 1 << 16, first: int = 0) -> tuple[int, ...]:
        """Return the numbers of a tag from number `first` on, up to `most`; none without the tag.

        Raises:
            SliceError: they are beyond the end of the file, or not integers.
        """
        data = self.raw(tag, most, first)
        return self.file.unpack(f"{len(data) // self._number_bytes(tag)}{self._letter(tag)}", data)

    def count(self, tag: int) -> int:
        """Return how many numbers a tag has."""
        return self.entries[tag].count if tag in self.entries else 0

    def place(self, tag: int, count: int) -> int:
        """Return the offset of `count` numbers of a tag; 0 if they are in the directory itself.

        Raises:
            SliceError: they are beyond the end of the file, or not integers.
        """
        if self._is_inline(tag):
            return 0
        (start,) = self.file.unpack(self.file.word, self.entries[tag].inline)
        if start + count * self._number_bytes(tag) > self.file.size:
            raise self.file.damaged(f"tag {tag} is beyond its end")
        return start

    def _is_inline(self, tag: int) -> bool:
        entry = self.entries[tag]
        return entry.count * self._number_bytes(tag) <= len(entry.inline)

    def _number_bytes(self, tag: int) -> int:
        return struct.calcsize(f"<{self._letter(tag)}")

    def _letter(self, tag: int) -> str:
        kind = self.entries[tag].kind if tag in self.entries else 1
        if kind not in _TYPES:
            raise self.file.damaged(f"tag {tag} has type {kind}")
        return _TYPES[kind]

    @property
    def stored_bytes(self) -> int:
        """Bytes of its pixels and its values."""
        pixels = (n for tag in (STRIP_BYTES, TILE_BYTES) for n in self.values(tag, 1 << 31))
        return sum(pixels) + sum(size for _, size in self.outside())

    def outside(self) -> Iterator[tuple[int, int]]:
        """Yield offset and size of all values that aren't in the directory itself."""
        for entry in self.entries.values():
            size = entry.count * _BYTES.get(entry.kind, 1)
            if size > len(entry.inline):
                yield self.file.unpack(self.file.word, entry.inline)[0], size

    def value(self, tag: int, default: int) -> int:
        """Return the first number of a tag."""
        return next(iter(self.values(tag, 1)), default)

    def raw(self, tag: int, most: int = 1 << 16, first: int = 0) -> bytes:
        """Return the bytes of up to `most` numbers of a tag, from number `first` on."""
        if tag not in self.entries:
            return b""
        last, each = min(self.count(tag), first + most), self._number_bytes(tag)
        if self._is_inline(tag):
            return self.entries[tag].inline[first * each : last * each]
        return self.file.read_at(self.place(tag, last) + first * each, (last - first) * each)


def directories(source: ByteSource) -> Iterator[Directory]:
    """Walk the chain of directories of a file.

    Raises:
        SliceError: a directory is damaged or beyond the end, or the chain is a circle or too long.
    """
    file = TiffFile(source)
    at, seen = file.first, set[int]()
    while at:
        if at in seen or len(seen) >= MAX_PAGES:
            what = "is a circle" if at in seen else f"has more than {MAX_PAGES} pages"
            raise file.damaged(f"its chain of pages {what}")
        seen.add(at)
        found = read_directory(file, at)
        yield found
        at = found.next


def directory_at(source: ByteSource, at: int) -> Directory:
    """Read the directory at an offset; 0 for the first.

    Raises:
        SliceError: it is damaged, or there is none.
    """
    file = TiffFile(source)
    if not (at or file.first):
        raise file.damaged("it has no pages")
    return read_directory(file, at or file.first)


def is_page(directory: Directory) -> bool:
    """Return whether a directory is a page, neither a reduced copy nor a mask."""
    reduced = directory.value(SUBFILE, 0) & 5 or directory.value(OLD_SUBFILE, 1) == 2
    return not reduced


def read_directory(file: TiffFile, at: int) -> Directory:
    """Read the directory at an offset.

    Raises:
        SliceError: it is damaged.
    """
    counter, entry_bytes, word = ("Q", 20, 8) if file.big else ("H", 12, 4)
    head = struct.calcsize(f"<{counter}")
    try:
        (count,) = file.unpack(counter, file.read_at(at, head))
        if count > MAX_TAGS:
            raise file.damaged(f"a page of {count} tags")
        data = file.read_at(at + head, count * entry_bytes + word)
        entries = {}
        for start in range(0, count * entry_bytes, entry_bytes):
            entry = data[start : start + entry_bytes]
            tag, kind, number = file.unpack(f"HH{file.word}", entry[:-word])
            # A second one, such as tifffile's beside the user's description.
            tag = -tag if tag in entries else tag
            entries[tag] = Entry(kind, number, entry[-word:])
        chain = data[count * entry_bytes :].ljust(word, b"\0")  # some files lack the last pointer
        (after,) = file.unpack(file.word, chain)
    except struct.error as error:
        raise file.damaged(f"a page beyond its end, at {at}") from error
    return Directory(file, at, entries, after)
