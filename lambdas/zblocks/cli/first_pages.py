"""What a first config says of the pages of files, and of their reduced resolutions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from zblocks.errors import SliceError
from zblocks.slices import SliceHeader, probe_pages
from zblocks.storage import StoredFile

LEVELS = 16
"""Reduced resolutions that a comment names, at most."""

Fields = dict[str, Any]


def name_of(key: str) -> str:
    """Return the name of a file."""
    return PurePosixPath(key).name


def page_fields(several: dict[str, list[SliceHeader]], *, complete: bool) -> Fields:
    """Return what becomes of files of several pages; nothing is chosen for pages of other kinds.

    `several` are the headers of pages by key; `complete`: no slice is missing.
    """
    if not several:
        return {}
    mixed = {key: pages[0].mixed for key, pages in several.items() if pages[0].mixed}
    sizes = [key for key, pages in several.items() if len({(h.width, h.height) for h in pages}) > 1]
    words = f"{len(several)} files hold several pages, such as {name_of(next(iter(several)))}: "
    if mixed:
        key = next(iter(mixed))
        return {
            "// page": f"{len(several)} files hold several pages, and they are not only slices: "
            f'{name_of(key)} holds {mixed[key]}; add "page": a number from 0, which reads that '
            'page of every file, for a volume of each channel, or "all" if all are slices '
            "nevertheless",
            "page": None,
        }
    if sizes:
        words = f"pages of {name_of(sizes[0])} differ in size: the first one of every file is read"
        return {"// page": words, "page": 0}
    words += (
        '"all" makes each page a slice; a number from 0 takes that page of every file, where '
        "pages are channels or depths of focus"
    )
    return {"// page": words, "page": "all" if complete else 0}


def level_fields(file: StoredFile) -> Fields:
    """Return a comment on the reduced resolutions of a file's first page."""
    found: list[SliceHeader] = []
    with suppress(SliceError):
        for level in range(1, LEVELS + 1):
            found += probe_pages(file, page=0, level=level)
    if not found:
        return {}
    held = ", ".join(f"{h.level}: {h.width}×{h.height}" for h in found)
    width, height = found[0].full
    words = f'the files hold {held} of {width}×{height} pixels; add "level": {found[-1].level}'
    return {"// level": f"{words}, or another one, for a first look at a part of the cost"}
