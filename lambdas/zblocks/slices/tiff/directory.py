"""The directory of a TIFF's page: what the file says of its pixels, and where they are.

Read by ourselves and not by libtiff, because a plan wants facts that libvips doesn't tell (heights
of strips and tiles, bits, what the channels are), of every page at the cost of one read, and
because nothing in a file is believed before it was held against the file's size.

Source of the rules: TIFF 6.0; BigTIFF (libtiff's description); Technical Note 2 (JPEG).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from zblocks.errors import SliceError
from zblocks.slices.header import ByteSource

WINDOW, WINDOWS = 1 << 14, 4
"""Bytes that are read at a time of a directory and what lies beside it, and how many are kept."""

MOST_TAGS, MOST_PAGES = 4096, 100_000
"""What a directory, and a file, may have."""

SUBFILE, OLD_SUBFILE = 254, 255
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, T4_OPTIONS, T6_OPTIONS, PREDICTOR, COLORMAP = 284, 292, 293, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES, YCBCR_SAMPLING = 338, 339, 347, 530

_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 18: "Q"}
"""struct's letter for a field type; rationals and floats are not read."""


class _Windows:
    """A byte source whose small reads are served from a few pieces."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._pieces: list[tuple[int, bytes]] = []

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`."""
        for at, piece in self._pieces:
            if at <= start and start + length <= at + len(piece):
                return piece[start - at : start - at + length]
        piece = self._source.read_at(start, max(length, WINDOW))
        self._pieces = [*self._pieces[1 - WINDOWS :], (start, piece)]
        return piece[:length]

    def kept(self, start: int, length: int) -> bytes:
        """Return what is kept of `length` bytes from `start`, perhaps fewer, perhaps none."""
        for at, piece in self._pieces:
            if at <= start < at + len(piece):
                return piece[start - at : start - at + length]
        return b""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag."""

    kind: int
    count: int
    inline: bytes
    """The value if it is small, else where it is."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page."""

    name: str
    """Of the file, for errors."""
    file_bytes: int
    at: int
    """Where it begins in the file."""
    order: str
    """`<` or `>`."""
    entries: dict[int, Entry]
    next: int
    """Where the next one begins; 0: nowhere."""
    windows: _Windows
    big: bool

    def values(self, tag: int, most: int = 1 << 16) -> tuple[int, ...]:
        """Return a tag's numbers, up to `most`; none if it isn't there.

        Raises:
            SliceError: they lie beyond the file, or are no numbers.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return ()
        if entry.kind not in _TYPES:
            raise damaged(self.name, f"tag {tag} has type {entry.kind}")
        count, letter = min(entry.count, most), _TYPES[entry.kind]
        size = struct.calcsize(f"<{letter}")
        if entry.count * size <= len(entry.inline):
            data = entry.inline[: count * size]
        else:
            data = self.windows.read_at(self.place(tag, count), count * size)
        return struct.unpack(f"{self.order}{count}{letter}", data)

    def place(self, tag: int, count: int) -> int:
        """Return where so many numbers of a tag lie; 0: in the directory itself.

        Raises:
            SliceError: beyond the file, or they are no numbers.
        """
        entry = self.entries[tag]
        if entry.kind not in _TYPES:
            raise damaged(self.name, f"tag {tag} has type {entry.kind}")
        size = struct.calcsize(f"<{_TYPES[entry.kind]}")
        if entry.count * size <= len(entry.inline):
            return 0
        (start,) = struct.unpack(f"{self.order}{'Q' if self.big else 'I'}", entry.inline)
        if start + count * size > self.file_bytes:
            raise damaged(self.name, f"tag {tag} lies beyond its end")
        return int(start)

    def value(self, tag: int, default: int) -> int:
        """Return a tag's first number."""
        return next(iter(self.values(tag, 1)), default)

    def raw(self, tag: int, most: int = 1 << 16) -> bytes:
        """Return the bytes of a tag of bytes."""
        return bytes(v & 255 for v in self.values(tag, most))


def damaged(name: str, what: str) -> SliceError:
    """Return the error for a file that isn't as a TIFF must be."""
    return SliceError(f"{name}: damaged TIFF ({what}); replace the file and run again")


def directories(source: ByteSource) -> Iterator[Directory]:
    """Walk over the directories of a file's chain, in their order.

    Raises:
        SliceError: one lies beyond the file or isn't one, or the chain is a circle or too long.
    """
    windows = _Windows(source)
    order, big, at = _start(source, windows)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) >= MOST_PAGES:
            what = "goes round in a circle" if at in seen else f"has over {MOST_PAGES} pages"
            raise damaged(source.name, f"its chain of pages {what}")
        seen.add(at)
        found = _directory(source, windows, (order, big), at)
        yield found
        at = found.next


def directory_at(source: ByteSource, at: int) -> Directory:
    """Read the directory that begins at `at`; 0: the first.

    Raises:
        SliceError: it isn't one.
    """
    windows = _Windows(source)
    order, big, first = _start(source, windows)
    if not (at or first):
        raise damaged(source.name, "it has no page")
    return _directory(source, windows, (order, big), at or first)


def is_page(directory: Directory) -> bool:
    """Tell whether it is a page: no smaller copy of one, and no mask."""
    reduced = directory.value(SUBFILE, 0) & 5 or directory.value(OLD_SUBFILE, 1) == 2
    return not reduced


def _start(source: ByteSource, windows: _Windows) -> tuple[str, bool, int]:
    """Read the file's header: byte order, whether it is a BigTIFF, where the first directory is."""
    head = windows.read_at(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(f"{order}H", head, 2)
        big = version == 43
        (first,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)
    except struct.error as error:
        raise damaged(source.name, "it ends in its header") from error
    return order, big, first


def _directory(source: ByteSource, windows: _Windows, form: tuple[str, bool], at: int) -> Directory:
    """Read one directory."""
    order, big = form
    counter, entry_bytes, word = ("Q", 20, 8) if big else ("H", 12, 4)
    head = struct.calcsize(f"<{counter}")
    try:
        (count,) = struct.unpack(f"{order}{counter}", windows.read_at(at, head))
        if count > MOST_TAGS:
            raise damaged(source.name, f"a page of {count} tags")
        data = windows.read_at(at + head, count * entry_bytes + word)
        entries = {}
        for i in range(count):
            tag, kind, number = struct.unpack_from(
                f"{order}HH{'Q' if big else 'I'}", data, i * entry_bytes
            )
            start = (i + 1) * entry_bytes - word
            entries[tag] = Entry(kind, number, data[start : start + word])
        chain = data[count * entry_bytes :].ljust(word, b"\0")  # some end without the last pointer
        (after,) = struct.unpack(f"{order}{'Q' if big else 'I'}", chain)
    except struct.error as error:
        raise damaged(source.name, f"a page lies beyond its end, at {at}") from error
    return Directory(source.name, source.size, at, order, entries, after, windows, big)
