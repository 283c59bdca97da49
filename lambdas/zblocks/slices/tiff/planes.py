"""The planes of a TIFF: its pages, and planes that follow its only page without directories.

ImageJ writes stacks above 4 GB as one directory with the pixels of all planes after it; MetaMorph,
NIH Image and tifffile (`truncate`) do so at any size. SGI's ImageDepth gives one directory the
strips of all planes. A file whose metadata states more planes than it holds is refused: it was cut
off, or the metadata is another file's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from zblocks.errors import SliceError
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.metadata import LSM, NDPI, read_stated, shape_of
from zblocks.slices.tiff.page import NONE, Page
from zblocks.slices.tiff.read_page import read_page
from zblocks.slices.tiff.stated import Stated

PADDING = 1 << 16
"""Most zeros that may follow the pixels and mean nothing."""

ALIGNMENT = 16
"""Bytes that may follow the last plane, besides whole planes."""

_WRAPPED = {LSM: "LSM", NDPI: "NDPI"}
"""Formats with offsets modulo 4 GiB in larger files, by their tags."""


class TiffPlanes:
    """The planes of one file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.stated: Stated | None = None
        """What the metadata of the first page says; known from the first plane on."""

    def __iter__(self) -> Iterator[tuple[t.Directory, int]]:
        """Yield each plane's directory and its number there, in the file's order.

        Raises:
            SliceError: a directory is damaged; or, after the last plane, some are missing.
        """
        number = owed = 0
        for directory in filter(t.is_page, t.directories(self._source)):
            if not number:
                _refuse_wrapped(directory)
                first, self.stated = directory, read_stated(directory)
                owed = self.stated.planes if self.stated else 1
                depth = directory.value(t.IMAGE_DEPTH, 1)
            elif depth > 1 or directory.value(t.IMAGE_DEPTH, 1) > 1:
                msg = (
                    f"{self._source.name}: this TIFF has several pages, and its tag ImageDepth "
                    "says that they have several planes each; save it anew, a page for each plane"
                )
                raise SliceError(msg)
            elif number >= owed and (array := shape_of(directory)):
                owed = number + array.planes  # tifffile describes the first page of each array
            yield directory, 0
            number += 1
        if number == 1:
            found = _planes_of(first, owed)
            if found > t.MAX_PAGES:
                raise first.file.damaged(f"it has more than {t.MAX_PAGES} pages")
            yield from ((first, plane) for plane in range(1, found))
            number = found
        elif number and owed == 1:  # nothing says how many there are
            _refuse_rest(self._source, directory, number)
        if number < owed:
            by = self.stated.by if self.stated else "a tifffile description"
            msg = (
                f"{self._source.name}: this TIFF holds {owed} planes as {by} says, but {number} "
                "can be found: it was cut off, its planes are compressed as one, or the text is "
                f'of another file; save it anew, or give "page": {_numbers(number)} to read only '
                "that page of every file"
            )
            raise SliceError(msg)

    def mark(self, header: SliceHeader) -> SliceHeader:
        """Return a header with what the metadata says of its page."""
        if not (said := self.stated):
            return header
        place = said.places[header.page] if header.page < len(said.places) else None
        return replace(header, mixed=said.mixed, place=place, elsewhere=said.elsewhere)


def _numbers(pages: int) -> str:
    return f"a number from 0 to {pages - 1}" if pages > 1 else "0"


def _refuse_wrapped(directory: t.Directory) -> None:
    """Refuse formats whose offsets are cut to 32 bits, and so lead to other pixels."""
    file = directory.file
    kind = next((name for tag, name in _WRAPPED.items() if tag in directory.entries), "")
    if kind and not file.big and file.size > 1 << 32:
        msg = (
            f"{file.name}: this {kind} file is larger than 4 GiB, and its offsets are cut to 32 "
            "bits; save its planes as TIFFs of one page each, or as a BigTIFF"
        )
        raise SliceError(msg)


def _planes_of(directory: t.Directory, stated: int) -> int:
    """Return how many planes follow from a file's only page, itself included.

    Raises:
        SliceError: the page can't be read, or what follows it isn't whole planes.
    """
    if directory.at != directory.file.first:
        return 1
    page = read_page(directory)
    if stated > 1 and directory.count(page.offsets_tag) >= stated * page.pieces:
        return stated  # one directory with the strips of all planes
    end, room = _behind(page)
    more, rest = divmod(room, page.plane_bytes)
    if stated > 1:
        return min(stated, 1 + more)
    if not more or (room <= PADDING and not any(directory.file.read_at(end, room))):
        return 1
    if rest > ALIGNMENT:
        msg = (
            f"{directory.file.name}: {room} bytes follow the only page of this TIFF, enough for "
            f'{more} more, and nothing says what they are; save it anew, or give "page": 0 to '
            "read only that page of every file"
        )
        raise SliceError(msg)
    return 1 + more


def _refuse_rest(source: ByteSource, last: t.Directory, count: int) -> None:
    """Raise SliceError for the pixels of pages whose directories are lost, behind several others.

    Only uncompressed ones show how many there are.
    """
    if last.value(t.COMPRESSION, NONE) != NONE or set(t.FURTHER) & set(last.entries):
        return
    size = read_page(last).plane_bytes
    if source.size < (count + 1) * size:
        return
    rest = source.size - sum(max(d.stored_bytes, size) for d in t.directories(source))
    head = 16 + count * (20 * len(last.entries) + 16)
    if rest - head >= size:
        msg = (
            f"{source.name}: this TIFF has {count} pages, and {rest} bytes that belong to none of "
            "them, enough for more: it was cut off, or damaged; save it anew, or give "
            f'"page": a number from 0 to {count - 1} to read only that page of every file'
        )
        raise SliceError(msg)


def _behind(page: Page) -> tuple[int, int]:
    """Return where the pixels of a page end, and how many bytes there belong to nothing else.

    Bytes are counted only behind uncompressed pixels in one piece.
    """
    d = page.directory
    if page.compression != NONE or d.file.size < 2 * page.plane_bytes:
        return 0, 0
    starts = d.values(page.offsets_tag, page.pieces)
    at = starts[0]
    for piece, start in enumerate(starts):
        if start != at or not start:
            return 0, 0
        at += page.segment_bytes(piece)
    return at, max(min((p for p in _used(d) if p >= at), default=d.file.size) - at, 0)


def _used(directory: t.Directory) -> Iterator[int]:
    """Yield the offsets of everything that directories name."""
    left, seen = [directory.file.first], set[int]()
    while left:
        at = left.pop()
        if at and at not in seen and len(seen) < t.MAX_PAGES:
            seen.add(at)
            try:
                found = t.read_directory(directory.file, at)
                yield from (at, *(start for start, _ in found.outside()))
                left += [found.next, *(n for tag in t.FURTHER for n in found.values(tag))]
                for tag in t.PIXELS:
                    yield from found.values(tag)
            except SliceError:
                continue  # not a page
