"""TIFFs written byte by byte: what other writers make that tifffile doesn't."""

from __future__ import annotations

import struct

import numpy as np

LETTERS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "s", 16: "Q"}

Tags = dict[int, tuple[int, object]]
"""Type and values of each tag: bytes, or numbers."""


def tiff(
    planes: np.ndarray, more: Tags | None = None, *, order: str = "<", big: bool = False,
    strips: int = 1, after: bytes = b"",
) -> bytes:  # fmt: skip
    """Return a file with one directory for the first of the planes, and the pixels of all.

    Args:
        planes: (n, y, x) or (n, y, x, c).
        more: tags besides those of the pixels.
        order: "<" or ">".
        big: whether it is a BigTIFF.
        strips: of a plane.
        after: what follows the pixels.
    """
    one = planes[0]
    samples = one.shape[2] if one.ndim == 3 else 1
    rows = -(-one.shape[0] // strips)
    sizes = [len(one[y : y + rows].tobytes()) for y in range(0, len(one), rows)]
    data = planes.astype(planes.dtype.newbyteorder(order)).tobytes()
    tags: Tags = {
        256: (4, [one.shape[1]]), 257: (4, [one.shape[0]]),
        258: (3, [8 * planes.itemsize] * samples), 259: (3, [1]),
        262: (3, [2 if samples == 3 else 1]), 273: (4, [0] * len(sizes)), 277: (3, [samples]),
        278: (4, [rows]), 279: (4, sizes), **(more or {}),
    }  # fmt: skip
    size = len(_directory(tags, order, big, 0))
    if 273 not in (more or {}):
        tags[273] = (4, [size + sum(sizes[:i]) for i in range(len(sizes))])
    return _directory(tags, order, big, 0) + data + after


def _directory(tags: Tags, order: str, big: bool, after: int) -> bytes:
    word, entry, head = ("Q", 20, 16) if big else ("I", 12, 8)
    inline = struct.calcsize(word)
    behind = head + (8 if big else 2) + entry * len(tags) + inline
    entries, values = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        if isinstance(value, bytes):
            count, data = len(value), value
        else:
            count = len(value) // len(LETTERS[kind])
            data = struct.pack(f"{order}{LETTERS[kind] * count}", *value)
        where = data.ljust(inline, b"\0")
        if len(data) > inline:
            where = struct.pack(order + word, behind + len(values))
            values += data + bytes(-len(data) % 2)
        entries += struct.pack(f"{order}HH{word}", tag, kind, count) + where
    mark = b"II" if order == "<" else b"MM"
    magic = "HHHQQ" if big else "HIH"
    first = (43, 8, 0, 16, len(tags)) if big else (42, 8, len(tags))
    start = mark + struct.pack(order + magic, *first)
    return start + entries + struct.pack(order + word, after) + values
