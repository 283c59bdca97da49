"""Reads the headers of all slices, compares them, and says what a user should know about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from zblocks.config import Canvas, Config
from zblocks.errors import SliceError, several
from zblocks.slices import ChannelSelection, SliceHeader, probe_pages
from zblocks.storage import StoredFile

PROBES = 64  # headers read from S3 at the same time; local ones are faster one by one

FileHeader = tuple[StoredFile, SliceHeader]
"""A slice's file, and the header of its page there."""


def read_headers(files: Sequence[StoredFile], config: Config) -> list[tuple[SliceHeader, ...]]:
    """Return the headers of every file's selected pages, in the order of the files.

    Raises:
        SliceError: names the files that can't be read.
    """
    selection = ChannelSelection(
        config.channel_selection, stored=config.layer_type == "segmentation"
    )

    def read(file: StoredFile) -> tuple[SliceHeader, ...] | SliceError:
        try:
            return tuple(probe_pages(file, selection, config.page))
        except SliceError as error:
            return error

    with ThreadPoolExecutor(1 if files[0].local else PROBES) as pool:
        results = list(pool.map(read, files))
    if bad := [str(r) for r in results if isinstance(r, SliceError)]:
        raise SliceError(several(bad))
    return [r for r in results if not isinstance(r, SliceError)]


def common_header(headers: Sequence[FileHeader], canvas: Canvas | None) -> SliceHeader:
    """Return the type of all slices, with their size or the canvas's.

    Raises:
        SliceError: names the slices that differ from most of the others.
    """
    if canvas is not None:
        width, height = canvas.size if canvas.size != "max" else (
            max(h.width for _, h in headers), max(h.height for _, h in headers)
        )  # fmt: skip
        headers = [(f, replace(h, width=width, height=height)) for f, h in headers]
    (usual, _), *_ = Counter(str(h) for _, h in headers).most_common()
    odd = [f"{f.name}: {h} where the stack is {usual}" for f, h in headers if str(h) != usual]
    if odd:
        msg = (
            f"{several(odd)}\nresize or convert these, remove them from the list, or give "
            '"canvas" to pad or crop slices of other sizes'
        )
        raise SliceError(msg)
    return headers[0][1]


def header_notes(headers: Sequence[FileHeader], common: SliceHeader) -> Iterator[str]:
    """Name slices that are decoded as a whole, channels that are dropped, and sizes that differ."""
    for kind in sorted({h.whole for _, h in headers if h.whole}):
        yield f"{kind} slices can't be read in strips: blocks are small enough to hold them whole"
    for note, count in Counter(h.note for _, h in headers if h.note).items():
        yield f'{count} slices: {note} ("channels": "all" keeps it)'
    size = (common.width, common.height)
    odd = [f"{f.name}: {h.width}×{h.height}" for f, h in headers if (h.width, h.height) != size]
    if odd:
        yield f"{len(odd)} slices put on a canvas of {size[0]}×{size[1]}: {several(odd)}"
