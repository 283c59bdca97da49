"""Headers of the pages of a TIFF."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zblocks.errors import SliceError
from zblocks.slices.faults import damaged, oversized
from zblocks.slices.header import ByteSource, PageSelection, SliceHeader
from zblocks.slices.pixels import ChannelSelection, map_pixels
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import Page
from zblocks.slices.tiff.read_page import read_page

MAX_PER_BYTE, MIN_BYTES = 50_000, 1 << 16
"""Most bytes of voxels from one byte of a file (zstd: about 33,000), and what any may claim."""


def probe_tiff(
    source: ByteSource, selection: ChannelSelection, page: PageSelection
) -> Iterator[SliceHeader]:
    """Read the headers of the selected pages.

    Raises:
        SliceError: no such page, or several pages and none selected.
    """
    found = 0
    for directory in t.directories(source):
        if not t.is_page(directory):
            continue
        if page is None and found:
            count = sum(map(t.is_page, t.directories(source)))
            msg = (
                f'{source.name}: this TIFF has {count} pages; give "page": a number from 0 to '
                f'{count - 1}, or "page": "all" to use every page as a slice'
            )
            raise SliceError(msg)
        if page in (None, "all", found):
            header = _header(read_page(directory), selection, found)
        if page in ("all", found):
            yield header
        found += 1
        if found - 1 == page:
            return
    if not found:
        raise damaged(source.name, "tiff", "it has no pages")
    if page is None:
        yield header
    elif page != "all":
        msg = f"{source.name}: page: no page {page}, only {found} pages"
        raise SliceError(f"{msg}; correct it, or remove the file from the list")


def _header(page: Page, selection: ChannelSelection, number: int) -> SliceHeader:
    name, pixels = page.directory.file.name, page.pixels(stored=selection.stored)
    size = page.width * page.height * pixels.channels * np.dtype(pixels.dtype).itemsize
    if size > page.directory.file.size * MAX_PER_BYTE + MIN_BYTES:
        raise oversized(name, page.width, page.height, page.directory.file.size)
    mapping = map_pixels(name, pixels, selection)
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
