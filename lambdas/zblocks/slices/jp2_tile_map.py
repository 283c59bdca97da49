"""Where the tiles of a JPEG 2000 are in its file, as the main header says (TLM).

Source: ISO/IEC 15444-1, A.4.2 (SOT), A.5.1 (SIZ), A.7.1 (TLM), B.3 (tiles).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zblocks.geometry import ceil_div
from zblocks.slices.jp2_boxes import Codestream, codestream_of, codestream_span
from zblocks.slices.pillow_file import as_file
from zblocks.slices.ranges import Buffer, KeptBytes, Place
from zblocks.slices.window import Window

MAX_HEADER, MAX_PARTS = 1 << 17, 1 << 18
"""Most bytes kept of a main header, and most tile-parts, which an open slice lists."""

MAX_SEGMENTS, MAX_LENGTHS = 1000, 256
"""Most segments of a main header, and most TLM segments, whose numbers have 8 bits."""

PART_BYTES = 32
"""Bytes of that list per tile-part."""

SOT, SOT_BYTES = b"\xff\x90", 12
"""The marker that begins a tile-part, and the bytes of its segment."""

_SOC, _EOC = b"\xff\x4f", b"\xff\xd9"
_TLM, _PLM, _PPM, _COM = 0xFF55, 0xFF57, 0xFF60, 0xFF64

_NUMBERS: dict[int, list[tuple[str, str]]] = {0: [], 1: [("tile", "u1")], 2: [("tile", ">u2")]}
"""How a TLM segment stores tile numbers; it has none if each tile has one part, in order."""

_Numbers = NDArray[np.int64]

_SMALLEST = SOT_BYTES + 2
"""Bytes of an empty tile-part."""


@dataclass(frozen=True, slots=True)
class TileMap:
    """Where the tiles of a codestream are, on the reference grid and in the file."""

    stream: Codestream
    channels: int
    head: bytes
    """The main header without TLM, PLM and comments."""
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """Offsets and sizes of tile-parts in the file: sorted by tile, then in file order."""
    firsts: NDArray[np.int64]
    """Index of each tile's first tile-part in `starts`; then the number of tile-parts."""
    stop: int
    """Where the last tile-part of the file ends."""

    @property
    def across(self) -> int:
        """Tiles per row."""
        left, _, width, _ = self.stream.tiles
        return ceil_div(self.stream.area[2] - left, width)

    @property
    def dtype(self) -> str:
        """Type of the samples."""
        ((bits, *_),) = self.stream.depths
        return "uint8" if bits <= 8 else "uint16"

    def touched(self, window: Window) -> tuple[int, range]:
        """Return the tile row of a window's first row, and its tile columns."""
        left, top, width, height = self.stream.tiles
        x0, y0, x1, _ = window
        return (y0 - top) // height, range((x0 - left) // width, ceil_div(x1 - left, width))

    def rect(self, row: int, column: int) -> Window:
        """Return the pixels of a tile on the reference grid."""
        left, top, width, height = self.stream.tiles
        x, y = left + column * width, top + row * height
        return Window(x, y, x + width, y + height) & Window(*self.stream.area)

    def places(self, tile: int) -> list[Place]:
        """Return the places of a tile's parts."""
        which = slice(*self.firsts[tile : tile + 2].tolist())
        return list(zip(self.starts[which].tolist(), self.sizes[which].tolist(), strict=True))

    def tile_bytes(self) -> NDArray[np.int64]:
        """Return the stored bytes of every tile (row, column)."""
        found: NDArray[np.int64] = np.add.reduceat(self.sizes, self.firsts[:-1])
        return found.reshape(-1, self.across)

    def alone(self, row: int, column: int, parts: Sequence[Sequence[Buffer]]) -> bytes:
        """Return a tile as a codestream of its own; each of `parts` is in pieces."""
        left, top, width, height = self.stream.tiles
        x0, y0, x1, y1 = self.rect(row, column)
        head = bytearray(self.head)
        struct.pack_into(">4I", head, 8, x1, y1, x0, y0)
        struct.pack_into(">2I", head, 32, left + column * width, top + row * height)
        return b"".join([head, *(piece for part in parts for piece in part), _EOC])


def map_tiles(file: KeptBytes) -> TileMap | None:
    """Return where the tiles of a JPEG 2000 are; None if they can't be read one by one.

    They can if there are several, the main header has the lengths of all tile-parts, which end
    where the codestream does, and channels have the image's size and 8 to 16 unsigned bits.
    """
    begin, stop = codestream_span(as_file(file), file.size)
    main = _main_header(file, begin)
    stream = codestream_of(io.BytesIO(main.head)) if main and main.lengths else None
    if not (main and stream and stream.tiled and _is_plain(stream)):
        return None
    left, top, width, height = stream.tiles
    _, _, x1, y1 = stream.area
    count = ceil_div(x1 - left, width) * ceil_div(y1 - top, height)
    parts = _parts(main.lengths, count) if count <= MAX_PARTS else None
    if parts is None:
        return None
    numbers, sizes = parts
    last = main.stop + int(sizes.sum())
    if stop > file.size or last + len(_EOC) != stop:
        return None
    starts, order = main.stop + np.cumsum(sizes) - sizes, np.argsort(numbers, kind="stable")
    firsts = np.searchsorted(numbers[order], np.arange(count + 1))
    (channels,) = struct.unpack_from(">H", main.head, 40)
    return TileMap(stream, channels, main.head, starts[order], sizes[order], firsts, last)


class _MainHeader(NamedTuple):
    """What comes before the first tile-part."""

    head: bytes  # as `TileMap.head`
    lengths: list[bytes]  # contents of TLM segments
    stop: int  # where the first tile-part begins


def _main_header(file: KeptBytes, at: int) -> _MainHeader | None:
    """Return the main header of the codestream at an offset (A.1).

    None if it is damaged, too large, or holds packet headers (PPM), which belong to tiles.
    """
    head, lengths = file.read_at(at, len(_SOC)), list[bytes]()
    at += len(_SOC)
    for _ in range(MAX_SEGMENTS):
        start = file.read_at(at, 4)
        if len(start) < 4 or start[:2] == SOT:
            break
        marker, size = struct.unpack(">HH", start)
        segment = b"" if marker in (_PLM, _COM) else file.read_at(at, 2 + size)
        if marker == _TLM:
            lengths.append(segment[4:])
        else:
            head += segment
        if marker < 0xFF00 or marker == _PPM or len(head) > MAX_HEADER:
            return None
        at += 2 + size
    sound = file.read_at(at, 2) == SOT and len(lengths) <= MAX_LENGTHS
    return _MainHeader(head, lengths, at) if sound else None


def _is_plain(stream: Codestream) -> bool:
    """Return whether every channel has the image's size, and 8 to 16 unsigned bits."""
    x0, y0, x1, y1 = stream.area
    left, top, width, height = stream.tiles
    if not (left <= x0 < min(left + width, x1) and top <= y0 < min(top + height, y1)):
        return False
    ((bits, sign, x, y), *others) = stream.depths
    return not others and 8 <= bits <= 16 and not sign and x * y == 1


def _parts(segments: Sequence[bytes], count: int) -> tuple[_Numbers, _Numbers] | None:
    """Return tile number and bytes of every tile-part, in file order (A.7.1).

    None unless the contents of TLM segments list parts of all `count` tiles, and no others.
    """
    if min(map(len, segments)) < 2 or len({s[0] for s in segments}) < len(segments):
        return None
    found = [_entries(segment) for segment in sorted(segments, key=lambda s: s[0])]
    entries = [each for each in found if each is not None]
    if len(entries) < len(found) or len({each.dtype for each in entries}) > 1:
        return None
    every = np.concatenate(entries)
    sizes: _Numbers = every["size"].astype(np.int64)
    if not 0 < len(sizes) <= MAX_PARTS or sizes.min() < _SMALLEST:
        return None
    numbered = "tile" in (every.dtype.names or ())
    tiles: _Numbers = every["tile"].astype(np.int64) if numbered else np.arange(len(every))
    return (tiles, sizes) if np.array_equal(np.unique(tiles), np.arange(count)) else None


def _entries(segment: bytes) -> NDArray[Any] | None:
    """Return tile numbers, if any, and lengths; None if the segment is malformed."""
    number = _NUMBERS.get(segment[1] >> 4 & 3)
    each = np.dtype([*(number or ()), ("size", ">u4" if segment[1] & 64 else ">u2")])
    if number is None or segment[1] & 0x8F or (len(segment) - 2) % each.itemsize:
        return None
    return np.frombuffer(segment, each, offset=2)
