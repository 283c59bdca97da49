"""Boxes and markers of JPEG 2000 that Pillow doesn't expose, or gets wrong.

Source: ISO/IEC 15444-1, annexes A (codestream) and I (boxes).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from math import prod
from typing import IO, NamedTuple

import numpy as np

from zblocks.geometry import Voxels, ceil_div
from zblocks.slices.faults import unread

MAX_BOXES = 10_000
"""Most boxes before a codestream, and most segments of a header."""

PALETTE_BYTES = 1 << 12
"""Size of the largest palette: 1024 colours in three columns."""

ENUMERATED, PLAIN, SYCC = 1, (16, 17), 18
"""Method of a colour box that names its space; the spaces sRGB and grey; luma and chroma."""

COLOUR = 0
"""Kind of a channel that isn't alpha."""

_COD, _COC, _PPM, _PPT = 0xFF52, 0xFF53, 0xFF60, 0xFF61
_SOT, _SOD = b"\xff\x90", b"\xff\x93"

MAX_TILE_PARTS = 255
"""Most tile-parts of a tile."""

SEGMENT = 64
"""Bytes read of each segment of a header; the longest with a coding style has 49."""

NEAR = 1 << 16
"""Bytes before a codestream that do no harm."""


class _Box(NamedTuple):
    """A box of a JPEG 2000."""

    kind: bytes
    at: int
    """Offset of its header; its contents begin at `body`, the next box at `end`."""
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


def codestream_span(file: IO[bytes], size: int) -> tuple[int, int]:
    """Return where the codestream of a file of `size` bytes begins and ends."""
    box = next((box for box in _boxes(file) if box.kind == b"jp2c"), _Box(b"", 0, 0, 0))
    return box.body, box.end if box.end > box.at else size


def without_extras(data: bytes) -> bytes:
    """Return a JPEG 2000 without boxes that hold no pixels: Pillow's OpenJPEG fails on large ones.

    Files whose codestream is near the beginning are returned unchanged.
    """
    *before, last = list(_boxes(io.BytesIO(data))) or [_Box(b"", 0, 0, 0)]
    if last.kind != b"jp2c" or last.at < NEAR:
        return data
    keep = (b"jP  ", b"ftyp", b"jp2h")
    return b"".join(data[b.at : b.end] for b in before if b.kind in keep) + data[last.at :]


def palette_of(name: str, file: IO[bytes]) -> Voxels | None:
    """Return the colours (n, 3) of a JPEG 2000 (I.5.3.4, I.5.3.5); None if it has no palette.

    Pillow ignores some palettes, and merges equal colours of others.

    Raises:
        SliceError: the palette isn't grey or RGB of 8 bits.
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


def _in_header(file: IO[bytes]) -> Iterator[_Box]:
    """Yield the boxes in a JPEG 2000's header box (I.5.3)."""
    header = next((box for box in _boxes(file) if box.kind == b"jp2h"), None)
    return _boxes(file, header.body, header.end) if header else iter(())


def has_plain_colours(file: IO[bytes]) -> bool:
    """Return whether channels are grey, or RGB in that order (I.5.3.3, I.5.3.6).

    Decoders disagree on the colours of others.
    """
    kinds = {box.kind for box in _in_header(file)}
    return not kinds & {b"cdef", b"pclr", b"cmap"} and colour_space(file) in (None, *PLAIN)


def colour_space(file: IO[bytes]) -> int | None:
    """Return the number of the colour space that a JPEG 2000 names; None if it names none."""
    for box in _in_header(file):
        if box.kind == b"colr":
            file.seek(box.body)
            method, _, _, space = struct.unpack(">3BI", file.read(7).ljust(7, b"\0"))
            if method == ENUMERATED:
                return int(space)
    return None


def is_reordered(file: IO[bytes]) -> bool:
    """Whether grey, or red, green and blue aren't the first channels in that order (I.5.3.6)."""
    for box in _in_header(file):
        if box.kind == b"cdef":
            file.seek(box.body + 2)
            data = file.read(min(max(box.end - box.body - 2, 0), PALETTE_BYTES))
            entries = struct.iter_unpack(">3H", data[: len(data) // 6 * 6])
            return any(kind == COLOUR and place != channel + 1 for channel, kind, place in entries)
    return False


class Codestream(NamedTuple):
    """The main header of a codestream (A.5.1, A.6.1, A.6.2)."""

    area: tuple[int, int, int, int]
    """Its pixels [x0, x1) × [y0, y1) on the reference grid: x0, y0, x1, y1."""
    depths: frozenset[tuple[int, bool, int, int]]
    """Bits, whether signed, and steps along x and y: those that its channels have."""
    levels: int = 0
    """Number of reduced resolutions that every channel has."""
    turned: bool = False
    """Whether its first three channels are RGB stored as luma and chroma."""
    tiles: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Origin of the first tile on the reference grid, and size of a tile: x, y, width, height."""
    block: tuple[int, int] = (64, 64)
    """Width and height of the smallest code blocks, in samples."""

    @property
    def tiled(self) -> bool:
        """Whether there is more than one tile."""
        x, y, width, height = self.tiles
        return x + width < self.area[2] or y + height < self.area[3]

    @property
    def bits(self) -> int:
        """Bits of the deepest channel."""
        return max(depth[0] for depth in self.depths)

    def size(self, level: int) -> tuple[int, int]:
        """Return width and height of a resolution, in pixels; level 0 is the full one (B.5)."""
        x0, y0, x1, y1 = (ceil_div(edge, 1 << level) for edge in self.area)
        return x1 - x0, y1 - y0


def codestream_of(file: IO[bytes]) -> Codestream | None:
    """Return the main header of a JPEG 2000's codestream; None if it has none."""
    at = _codestream_at(file)
    file.seek(at)
    head = file.read(42)
    if not head.startswith(b"\xff\x4f\xff\x51") or len(head) < 42:
        return None
    x1, y1, x0, y0, width, height, left, top = struct.unpack_from(">8I", head, 8)
    (count,) = struct.unpack_from(">H", head, 40)
    data = file.read(3 * count)
    parts = struct.iter_unpack("3B", data) if len(data) == 3 * count else ()
    depths = frozenset(((b & 127) + 1, b > 127, x, y) for b, x, y in parts)
    if not depths:
        return None
    levels, blocks, turned = [], [(64, 64)], False
    for marker, body, _ in _segments(file, at + 2):
        coding = body[{_COD: 5, _COC: 2 if count < 257 else 3}.get(marker, len(body)) :]
        if len(coding) > 4:
            turned = turned or (marker == _COD and body[4] == 1)
            levels.append(coding[0])
            blocks.append(_code_block(coding))
    area, tiles = (x0, y0, x1, y1), (left, top, width, height)
    return Codestream(area, depths, min(levels, default=0), turned, tiles, min(blocks, key=prod))


def _code_block(coding: bytes) -> tuple[int, int]:
    """Return width and height of a code block (table A.15); precincts can make it smaller."""
    x, y = coding[1] + 2, coding[2] + 2
    if len(coding) > 5 + coding[0]:  # table A.21; of the full resolution
        x, y = min(x, (coding[5 + coding[0]] & 15) - 1), min(y, (coding[5 + coding[0]] >> 4) - 1)
    return 1 << min(max(x, 2), 10), 1 << min(max(y, 2), 10)


class _Segment(NamedTuple):
    """A segment of the header of a codestream or a tile-part (A.1)."""

    marker: int
    start: bytes
    """Its first bytes, at most `SEGMENT`."""
    end: int
    """Where the next one begins."""


def _segments(file: IO[bytes], at: int, until: bytes = _SOT) -> Iterator[_Segment]:
    """Yield the segments of a header, up to a marker."""
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(SEGMENT)
        if len(head) < 4 or head[:2] == until:
            return
        marker, size = struct.unpack_from(">HH", head)
        at += 2 + size
        yield _Segment(marker, head[4 : 2 + size], at)


def has_packed_heads(file: IO[bytes]) -> bool:
    """Return whether a codestream of one tile has packed packet headers (PPM, PPT).

    Source: A.4.2, A.7.4 and A.7.5.
    """
    at = _codestream_at(file) + 2
    for segment in _segments(file, at):
        at = segment.end
        if segment.marker == _PPM:
            return True
    for _ in range(MAX_TILE_PARTS):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:2] != _SOT:
            break
        size, part, parts = struct.unpack_from(">IBB", head, 6)
        if any(s.marker == _PPT for s in _segments(file, at + 12, until=_SOD)):
            return True
        if size == 0 or part + 1 == parts:
            break
        at += size
    return False
