"""Entries of a local folder that aren't regular files: obstore skips them, or lists nothing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from zblocks.errors import printable

_BAD_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Characters in a name that keep obstore from listing its folder."""


def odd_entries(root: Path, folder: str) -> Iterator[tuple[str, str, bool]]:
    """Walk the entries of a store's local folder that are neither regular files nor plain folders.

    Yields the key, what it is, and whether it keeps the folder from being listed.
    """
    try:
        entries = os.scandir(os.path.join(root, folder))  # noqa: PTH118 (a list may name many)
    except OSError:
        return  # every slice in it is reported as missing
    above = [root / p for p in (Path(folder), *Path(folder).parents)[:-1]]
    if link := next((p for p in above if p.is_symlink()), None):
        yield f"{folder}/*", f"{link} is a link to another folder", True
        return
    with entries as it:
        for entry in it:
            why, blocks = _oddness(entry)
            if why:
                name = printable(os.fsencode(entry.name).decode(errors="replace"), 255)
                yield f"{folder}/{name}".strip("/"), why, blocks


def _oddness(entry: os.DirEntry[str]) -> tuple[str, bool]:
    """Return what is odd about an entry (empty for nothing), and whether it blocks the listing."""
    if _BAD_NAME.search(entry.name):
        return "has a control character, or one that is not UTF-8, in its name", True
    try:
        if entry.is_file() or entry.is_dir(follow_symlinks=False):
            return "", False
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "is a link to a missing file", False
    except OSError as error:
        return f"is a link that can't be followed ({error.strerror})", True
    if stat.S_ISDIR(mode):
        here, there = Path(entry.path).parent.resolve(), Path(entry.path).resolve()
        return "is a link to a folder", there in (here, *here.parents)
    return "is a device, FIFO or socket", False
