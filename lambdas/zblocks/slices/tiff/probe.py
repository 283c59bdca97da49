"""Headers of the pages of a TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from zblocks.errors import SliceError
from zblocks.slices.faults import damaged, no_level, oversized
from zblocks.slices.header import ByteSource, PageSelection, SliceHeader
from zblocks.slices.pixels import ChannelSelection, map_pixels
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.blank import check_blanks
from zblocks.slices.tiff.levels import Chain
from zblocks.slices.tiff.page import JPEG2000, Page
from zblocks.slices.tiff.planes import TiffPlanes
from zblocks.slices.tiff.read_page import kind_of_samples, read_page, unreadable
from zblocks.slices.tiff.segments import held_bytes, piece_of

MAX_PER_BYTE, MIN_BYTES = 50_000, 1 << 16
"""Most bytes of voxels from one byte of a file (zstd: about 33,000), and what any may claim."""


def probe_tiff(
    source: ByteSource, selection: ChannelSelection, page: PageSelection, level: int = 0
) -> Iterator[SliceHeader]:
    """Read the headers of the selected pages, or of a reduced resolution of each.

    Raises:
        SliceError: no such page or resolution, or several pages and none selected.
    """
    planes = TiffPlanes(source)
    chain = Chain.of(source) if level else None
    found = 0
    for directory, plane in planes:
        if page is None and found:
            raise _several(source)
        if page in (None, "all", found):
            header = _header(read_page(directory, plane), selection, found)
            if chain:
                header = _reduced(chain, directory, header, (level, selection))
        if page in ("all", found):
            yield planes.mark(header)
        found += 1
        if found - 1 == page:
            return
    if not found:
        raise damaged(source.name, "tiff", "it has no pages")
    if page is None:
        yield planes.mark(header)
    elif page != "all":
        msg = f"{source.name}: page: no page {page}, only {found} pages"
        raise SliceError(f"{msg}; correct it, or remove the file from the list")


def _several(source: ByteSource) -> SliceError:
    """Return the error for a file of which no page was selected."""
    planes = TiffPlanes(source)
    count = sum(1 for _ in planes)
    msg = f"{source.name}: this TIFF has {count} pages"
    do = f'give "page": a number from 0 to {count - 1}'
    if planes.stated and planes.stated.mixed:
        mixed = planes.stated.mixed
        either = "" if "×" in mixed else ', or "all" if all are slices nevertheless'
        said = f"({mixed}, as {planes.stated.by} says)"
        return SliceError(f"{msg} {said}; {do} to use that page of every file{either}")
    return SliceError(f'{msg}; {do}, or "page": "all" to use every page as a slice')


def _reduced(
    chain: Chain, directory: t.Directory, full: SliceHeader, wanted: tuple[int, ChannelSelection]
) -> SliceHeader:
    """Return the header of a reduced resolution of a page.

    Raises:
        SliceError: there is none, or it has other channels or another type.
    """
    level, selection = wanted
    name, size = directory.file.name, (full.width, full.height)
    if full.plane:
        raise no_level(name, level, [size])
    found, factor = chain.reduced(directory, level)
    header = _header(read_page(found), selection, full.page)
    if (header.channels, header.dtype) != (full.channels, full.dtype):
        msg = f"{name}: level: {level} is {header}, but the full resolution is {full}"
        raise SliceError(f"{msg}; give another level")
    return replace(header, level=level, factor=factor, full=size)


def _header(page: Page, selection: ChannelSelection, number: int) -> SliceHeader:
    if page.bits == 64 and not selection.labels:
        raise unreadable(
            page,
            f"{kind_of_samples(page)}, which only labels may have (give "
            '"layer_type": "segmentation" with them)',
        )
    name, pixels = page.directory.file.name, page.pixels(stored=selection.stored)
    size = page.width * page.height * pixels.channels * np.dtype(pixels.dtype).itemsize
    if size > page.directory.file.size * MAX_PER_BYTE + MIN_BYTES:
        raise oversized(name, page.width, page.height, page.directory.file.size)
    check_blanks(page)
    mapping = map_pixels(name, pixels, selection)
    held, decoding = held_bytes(page)
    return SliceHeader(
        "tiff-jp2" if page.compression in JPEG2000 else "tiff",
        page.width,
        page.height,
        mapping.channels,
        mapping.dtype,
        page=number,
        at=0 if page.directory.at == page.directory.file.first else page.directory.at,
        held=held,
        decoding=decoding,
        held_whole=held + decoding,
        piece=piece_of(page),
        mapped=not mapping.same,
        note=mapping.note,
    )
