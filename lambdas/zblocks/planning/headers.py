"""The headers of all slices: read in parallel, compared, and what a user is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from zblocks.config import Canvas, Config
from zblocks.errors import SliceError, several
from zblocks.slices import ChannelSelection, SliceHeader, probe_pages
from zblocks.slices.transforms.contrast import Contrast
from zblocks.storage import StoredFile

PROBES = 64
"""Headers read from S3 at the same time; local ones one after the other, which is faster."""

FileHeader = tuple[StoredFile, SliceHeader]
"""A slice's file, and what it says of itself."""


def read_headers(
    files: Sequence[StoredFile], config: Config
) -> list[tuple[StoredFile, tuple[SliceHeader, ...]]]:
    """Read the headers of every file's pages, many files at a time.

    Raises:
        SliceError: names the files that can't become voxels.
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
        results = list(zip(files, pool.map(read, files), strict=True))
    bad = [str(r) for _, r in results if isinstance(r, SliceError)]
    if bad:
        raise SliceError(several(bad))
    return [(f, r) for f, r in results if not isinstance(r, SliceError)]


def common_header(headers: Sequence[FileHeader], canvas: Canvas | None) -> SliceHeader:
    """Return what the slices have in common: type, and size or the canvas's.

    Raises:
        SliceError: names the slices that differ from most.
    """
    first = headers[0][1]
    if canvas is not None:
        sizes = [(h.width, h.height) for _, h in headers]
        most = max(w for w, _ in sizes), max(h for _, h in sizes)
        width, height = most if canvas.size == "max" else canvas.size
        headers = [(f, replace(h, width=width, height=height)) for f, h in headers]
        first = headers[0][1]
    (usual, _), *_ = Counter(str(h) for _, h in headers).most_common()
    odd = [f"{f.name}: {h} where the stack is {usual}" for f, h in headers if str(h) != usual]
    if odd:
        msg = (
            f"{several(odd)}\nresize or convert these, remove them from the list, or give "
            '"canvas" to pad or crop slices of other sizes'
        )
        raise SliceError(msg)
    return first


def placed_notes(headers: Sequence[FileHeader], common: SliceHeader) -> list[str]:
    """Name the slices that are padded or cropped."""
    odd = [
        f"{f.name}: {h.width}×{h.height}" for f, h in headers
        if (h.width, h.height) != (common.width, common.height)
    ]  # fmt: skip
    if not odd:
        return []
    return [f"{len(odd)} slices put on a canvas of {common.width}×{common.height}: {several(odd)}"]


def contrast_notes(found: Contrast | None, present: int) -> list[str]:
    """Say what contrast was measured, and on what."""
    if found is None or found.percentiles is None:
        return []
    low, high = found.percentiles
    note = (
        f"contrast: {low:g} % to {high:g} % is {found}, measured on {found.measured} of {present} "
        "slices, which are read once more for it"
    )
    return [note]


def decoding_notes(headers: Sequence[SliceHeader]) -> list[str]:
    """Say which slices are decoded whole, and what becomes of channels nobody asked for."""
    whole = [
        f"{kind} slices can't be read in strips: blocks are made small enough to hold them whole"
        for kind in sorted({h.whole for h in headers if h.whole})
    ]
    counts = Counter(h.note for h in headers if h.note)
    return whole + [
        f'{n} slices: {note} ("channels": "all" keeps it)' for note, n in counts.items()
    ]
