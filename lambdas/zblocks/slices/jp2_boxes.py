"""What the boxes of a JPEG 2000 say that Pillow doesn't tell, or gets wrong.

Source: ISO/IEC 15444-1, annexes A (codestream) and I (boxes).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.faults import unread

MAX_BOXES = 10_000
"""Of a JPEG 2000 before its codestream."""

PALETTE_BYTES = 1 << 12
"""Of the largest palette, 1024 colours in three columns."""

ENUMERATED, PLAIN = 1, (16, 17)
"""Method of a colour box that names its space, and the spaces sRGB and grey."""

NEAR = 1 << 16
"""Bytes before a codestream that need no care."""


class _Box(NamedTuple):
    """A box of a JPEG 2000."""

    kind: bytes
    at: int
    """Where its head begins; contents at `body`, the next box at `end`."""
    body: int
    end: int


def _boxes(file: IO[bytes], at: int = 0, until: int = 1 << 63) -> Iterator[_Box]:
    """Yield the boxes of a JPEG 2000 up to its codestream, or those in a box (I.4)."""
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or at >= until:
            return
        size, kind = struct.unpack_from(">I4s", head)
        wide = size == 1 and len(head) == 16
        if wide:
            (size,) = struct.unpack_from(">Q", head, 8)
        yield _Box(kind, at, at + (16 if wide else 8), at + size)
        if kind == b"jp2c" or size < 8:  # 0: the last box; else no box
            return
        at += size


def _codestream_at(file: IO[bytes]) -> int:
    return next((box.body for box in _boxes(file) if box.kind == b"jp2c"), 0)


def without_extras(data: bytes) -> bytes:
    """Return a JPEG 2000 without boxes that hold no pixels: OpenJPEG in Pillow fails at large ones.

    Files whose codestream is near their beginning are returned as they are.
    """
    *before, last = list(_boxes(io.BytesIO(data))) or [_Box(b"", 0, 0, 0)]
    if last.kind != b"jp2c" or last.at < NEAR:
        return data
    keep = (b"jP  ", b"ftyp", b"jp2h")
    return b"".join(data[b.at : b.end] for b in before if b.kind in keep) + data[last.at :]


def palette_of(name: str, file: IO[bytes]) -> Voxels | None:
    """Return the colours (n, 3) of a JPEG 2000 (I.5.3.4, I.5.3.5); None if it has no palette.

    Pillow ignores some palettes, and merges equal colours of others.
    """
    header = next((box for box in _boxes(file) if box.kind == b"jp2h"), None)
    inside = {b.kind: b for b in _boxes(file, header.body, header.end)} if header else {}
    if b"pclr" not in inside:
        return None

    def contents(kind: bytes) -> bytes:
        box = inside.get(kind, _Box(kind, 0, 0, 0))
        file.seek(box.body)
        return file.read(min(max(box.end - box.body, 0), PALETTE_BYTES))

    colours, cmap = contents(b"pclr"), contents(b"cmap")
    count, columns = struct.unpack_from(">HB", colours)
    values = colours[3 + columns :]
    plain = cmap == b"".join(bytes([0, 0, 1, n]) for n in range(columns))
    if columns not in (1, 3) or set(colours[3 : 3 + columns]) != {7} or not plain:
        what = f"a palette of {columns} columns, not grey or RGB of 8 bits in that order"
        raise unread(name, "jp2", what)
    return np.frombuffer(values, np.uint8).reshape(count, columns).repeat(3 // columns, axis=1)


def has_plain_colours(file: IO[bytes]) -> bool:
    """Whether channels are grey, or red, green and blue in that order (I.5.3.3, I.5.3.6).

    Of others, decoders make different colours.
    """
    header = next((box for box in _boxes(file) if box.kind == b"jp2h"), None)
    for box in _boxes(file, header.body, header.end) if header else ():
        if box.kind in (b"cdef", b"pclr", b"cmap"):
            return False
        if box.kind == b"colr":
            file.seek(box.body)
            method, _, _, space = struct.unpack(">3BI", file.read(7).ljust(7, b"\0"))
            if method == ENUMERATED and space not in PLAIN:
                return False
    return True


def depths_of(file: IO[bytes]) -> set[tuple[int, bool, int, int]]:
    """Return (bits, signed, steps along x and y) of a JPEG 2000's channels (ISO 15444-1, A.5.1)."""
    file.seek(_codestream_at(file))
    head = file.read(42)
    if not head.startswith(b"\xff\x4f\xff\x51") or len(head) < 42:
        return set()
    (count,) = struct.unpack_from(">H", head, 40)
    data = file.read(3 * count)
    parts = struct.iter_unpack("3B", data) if len(data) == 3 * count else ()
    return {((b & 127) + 1, b > 127, x, y) for b, x, y in parts}
