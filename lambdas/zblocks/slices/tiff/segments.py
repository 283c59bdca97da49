"""The strips or tiles of a page: which of them are decoded together, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zblocks.geometry import ceil_div
from zblocks.slices.ranges import Place
from zblocks.slices.stream import STREAM_BYTES
from zblocks.slices.tiff.page import JPEG2000, NONE, Page
from zblocks.slices.window import PIECE, Window

GROUP_BYTES = 1 << 22  # decoded bytes that are read together, if one row of tiles isn't more

DECODING = 7.5  # bytes held per decoded byte of such a group until it is decoded (measured)

OPENJPEG = 8  # bytes held per sample of a strip or tile that OpenJPEG decodes (measured)

STREAM_ROWS = 1800  # rows that libvips holds of a strip that it decodes row by row (measured)


@dataclass(frozen=True, slots=True)
class Group:
    """Strips or tiles that are decoded together."""

    page: Page  # as if they were all of it
    x: int  # its first column in the whole page
    start: int
    stop: int  # its rows [start, stop) in the whole page
    segments: tuple[int, ...]  # the numbers of its strips or tiles in the whole page


def cut_strips(page: Page) -> Page:
    """Return a page whose tall strips, which aren't compressed, count as several short ones."""
    if page.tile or page.compression != NONE or page.rows <= PIECE:
        return page
    alone = page.rows >= page.height
    rows = PIECE if alone else max(n for n in range(1, PIECE + 1) if page.rows % n == 0)
    return replace(page, rows=rows, cuts=ceil_div(page.rows, rows))


def piece_of(page: Page) -> tuple[int, int] | None:
    """Return width and height of what can be read separately; None: only the whole page."""
    page = cut_strips(page)
    return page.tile or ((page.width, page.rows) if page.rows < page.height else None)


def group_at(page: Page, y: int, window: Window) -> Group:
    """Return the strips or tiles of a window that are decoded together from row `y` on."""
    wide = page.tile[0] if page.tile else page.width
    across = ceil_div(page.width, wide)
    columns = range(window.x0 // wide, ceil_div(window.x1, wide))
    first = y // page.rows
    row_bytes = ceil_div(page.decoded_row * len(columns), across)
    count = rows_together(page.rows, row_bytes) // page.rows
    last = min(first + count, ceil_div(window.y1, page.rows))
    start, stop = first * page.rows, min(last * page.rows, page.height)
    x, right = columns.start * wide, min(columns.stop * wide, page.width)
    part = replace(page, width=right - x, height=stop - start)
    segments = tuple(r * across + c for r in range(first, last) for c in columns)
    return Group(part, x, start, stop, segments)


def rows_together(height: int, row_bytes: int) -> int:
    """Return how many rows of strips or tiles of a height are decoded together.

    `row_bytes` are the decoded bytes of each row.
    """
    return max(max(PIECE, GROUP_BYTES // row_bytes) // height, 1) * height


def held_bytes(page: Page) -> tuple[int, int]:
    """Return the bytes held for a page read from the top down, and in addition while decoding.

    A group of strips or tiles is held as decoded; while it is decoded, as stored, too. A single
    compressed strip is decoded row by row: libvips holds many rows, and all compressed bytes are
    held (measured).
    """
    row, decoding = page.decoded_row, 0
    if page.compression in JPEG2000:
        width = page.tile[0] if page.tile else page.width
        decoding = OPENJPEG * page.rows * width * page.samples
    if page.tile or page.rows < page.height or page.compression == NONE:
        rows = min(rows_together(cut_strips(page).rows, row), page.height + page.rows)
        decoding += int(DECODING * rows * row) + page.recodes * rows * page.row_bytes
        return rows * row + STREAM_BYTES, decoding
    stored = page.directory.values(page.counts_tag, page.samples if page.planar else 1)
    unpacked = page.recodes * page.height * page.row_bytes
    return STREAM_ROWS * row + 2 * sum(stored) + unpacked + STREAM_BYTES, decoding


def places(page: Page, channel: int | None, segments: Sequence[int]) -> list[Place]:
    """Return the places of some strips or tiles of a plane, of one channel or all.

    Raises:
        SliceError: one is beyond the end of the file, or incomplete.
    """
    d, count = page.directory, ceil_div(page.segments(), page.cuts)
    every = count * (page.samples if page.planar else 1)
    along = d.count(page.offsets_tag) >= (page.plane + 1) * every
    first = (channel or 0) * count + (page.plane * every if along else 0)
    behind = 0 if along else page.plane * page.plane_bytes
    low, high = min(segments) // page.cuts, max(segments) // page.cuts + 1
    starts = d.values(page.offsets_tag, high - low, first + low)
    sizes: Sequence[int] = (0,) * (high - low)  # old writers omit them
    if d.count(page.counts_tag) >= first + count:
        sizes = d.values(page.counts_tag, high - low, first + low)
    found = []
    for n in segments:
        at = n // page.cuts - low
        start, stated, whole = starts[at], sizes[at], page.segment_bytes(n)
        odd = page.compression == NONE and not 0 < stated <= whole
        if start and (behind or page.cuts > 1 or odd):
            if count > 1 and 0 < stated < _uncut_bytes(page, n):
                raise d.file.damaged(f"a strip of {stated} bytes")
            start, stated = start + behind + n % page.cuts * page.rows * page.row_bytes, whole
        if start + stated > d.file.size:
            raise d.file.damaged("a strip or tile beyond its end")
        if bool(start) != bool(stated):
            raise d.file.damaged(f"a strip or tile of {stated} bytes at {start}")
        found.append((start, stated))
    return found


def _uncut_bytes(page: Page, segment: int) -> int:
    """Return the decompressed bytes of the file's strip or tile that a strip or tile is part of."""
    if page.cuts == 1:
        return page.segment_bytes(segment)
    above = segment // page.cuts * page.cuts * page.rows
    return min(page.cuts * page.rows, page.height - above) * page.row_bytes
