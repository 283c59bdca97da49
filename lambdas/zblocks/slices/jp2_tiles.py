"""JPEG 2000 slices of 8 to 16 bits, grey or RGB, of which only the needed tiles are read.

Each tile is given to OpenJPEG as a codestream of its own: the main header, with the image reduced
to that tile, and the tile's parts.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.host import own_cores
from zblocks.slices.faults import changed, damaged
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jp2_tile_map import PART_BYTES, SOT, SOT_BYTES, TileMap, map_tiles
from zblocks.slices.openjpeg import BUFFER, decode_rows
from zblocks.slices.ranges import WINDOW, WINDOWS, Buffer, KeptBytes, Place, fetch_places
from zblocks.slices.window import Window

KIND = "jp2-tiles"
"""`SliceHeader.kind` of these slices."""

OPENJPEG = 8
"""Bytes held per sample of a tile while it is decoded (measured)."""


def in_tiles(header: SliceHeader, file: KeptBytes) -> SliceHeader:
    """Return a plain JPEG 2000's header, changed to reading by tiles if that takes less memory."""
    tiles = map_tiles(file)
    if tiles is None or _found(tiles) != str(header):
        return header
    _, _, width, height = tiles.stream.tiles
    width, height = min(width, header.width), min(height, header.height)
    stored, sample = tiles.tile_bytes(), np.dtype(header.dtype).itemsize
    held = height * header.width * header.channels * sample
    decoding, one = int(stored.sum(axis=1).max()), 2 * int(stored.max())
    one += OPENJPEG * width * height * header.channels
    if held + decoding + one > header.held + header.decoding:
        return header
    held += WINDOWS * WINDOW + PART_BYTES * len(tiles.sizes) + len(tiles.head)
    return replace(
        header,
        kind=KIND,
        held=held,
        decoding=decoding,
        decoding_piece=one + BUFFER,
        held_whole=held + decoding,
        whole="",
        piece=(width, height),
    )


def _found(tiles: TileMap) -> str:
    return str(SliceHeader(KIND, *tiles.stream.size(0), tiles.channels, tiles.dtype))


class TileReader:
    """Rows of a window of one slice, from the top down; one row of tiles is held."""

    def __init__(self, source: ByteSource, header: SliceHeader, window: Window) -> None:
        self._file = KeptBytes(source)
        tiles = map_tiles(self._file)
        if tiles is None or _found(tiles) != str(header):
            what = _found(tiles) if tiles else "a JPEG 2000 of which no tile can be read alone"
            raise changed(source.name, what, header)
        self._tiles = tiles
        self._window = window.moved(*tiles.stream.area[:2])
        self._left: Voxels | None = None
        """Decoded rows not read yet (y, x, c)."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the slice is damaged there.
        """
        y = 0
        while y < len(out):
            if self._left is None:
                self._left = self._decode(out.dtype)
            rows = self._left[: len(out) - y]
            out[y : y + len(rows)] = rows
            self._left, y = self._left[len(rows) :], y + len(rows)
            self._window = self._window._replace(y0=self._window.y0 + len(rows))
            if not len(self._left):
                self._left = None

    def _decode(self, dtype: np.dtype[Any]) -> Voxels:
        """Return the rows of the window that are in the tiles of its first row."""
        tiles, window = self._tiles, self._window
        row, columns = tiles.touched(window)
        places = [tiles.places(row * tiles.across + column) for column in columns]
        found = iter(fetch_places(self._file, [place for some in places for place in some]))
        first, last = tiles.rect(row, columns[0]), tiles.rect(row, columns[-1])
        rows: Voxels = np.empty((first.height, last.x1 - first.x0, tiles.channels), dtype)
        for column, some in zip(columns, places, strict=True):
            number, rect = row * tiles.across + column, tiles.rect(row, column)
            parts = self._checked(number, some, [next(found) for _ in some])
            into = rows[:, rect.x0 - first.x0 : rect.x1 - first.x0]
            try:
                decode_rows(tiles.alone(row, column, parts), 0, into, 0, own_cores())
            except ValueError as error:
                raise self._damaged(number, error) from error
        ours = (window & last._replace(x0=first.x0)).moved(-first.x0, -first.y0)
        return rows[ours.y0 : ours.y1, ours.x0 : ours.x1]

    def _checked(
        self, tile: int, places: list[Place], found: list[Buffer]
    ) -> list[tuple[Buffer, Buffer]]:
        """Return each of a tile's parts as its SOT segment, renumbered to tile 0, and the rest.

        Raises:
            SliceError: they contradict the main header.
        """
        parts: list[tuple[Buffer, Buffer]] = []
        for n, ((start, size), data) in enumerate(zip(places, found, strict=True)):
            head = bytes(data[:SOT_BYTES])
            if len(data) < size or not head.startswith(SOT):
                raise self._damaged(tile, f"no tile-part of {size} bytes at {start}")
            _, length, number, stated, part, count = struct.unpack(">HHHIBB", head)
            fits = stated == size or (stated == 0 and start + size == self._tiles.stop)
            if not fits or (length, number, part) != (SOT_BYTES - 2, tile, n):
                what = f"at {start} is part {part} of tile {number}, of {stated} bytes"
                raise self._damaged(tile, f"{what}; by the main header it is part {n}, of {size}")
            if count > len(places):
                what = f"it has {count} parts, of which the main header has {len(places)}"
                raise self._damaged(tile, what)
            head = struct.pack(">2sHHIBB", SOT, length, 0, size, part, count)
            parts.append((head, data[SOT_BYTES:]))
        return parts

    def _damaged(self, tile: int, what: object) -> SliceError:
        return damaged(self._file.name, "jp2", f"tile {tile}: {what}")
