"""Rows of a window of a TIFF page, decoded by libvips.

Strips or tiles are decoded in groups, each given to libvips as a file of its own: only those that
the window touches are read, and only one group is held, as decoded. Only a page that is one
compressed strip can't be entered in the middle; its rows are decoded as they are read.
"""

from __future__ import annotations

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.faults import changed
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.pixels import ChannelSelection, map_pixels
from zblocks.slices.ranges import fetch_places
from zblocks.slices.tiff.apart import join, stored_type
from zblocks.slices.tiff.page_file import page_file
from zblocks.slices.tiff.read_page import page_of
from zblocks.slices.tiff.segments import Group, cut_strips, group_at, places
from zblocks.slices.vips import Opened, fetch, load_tiff
from zblocks.slices.window import Window

FETCH_ROWS = 64  # decoded at a time


class TiffReader:
    """Rows of a window of a page, from the top down."""

    def __init__(
        self, source: ByteSource, header: SliceHeader, selection: ChannelSelection, window: Window
    ) -> None:
        page = page_of(source, header)
        pixels = page.pixels(stored=selection.stored)
        self._mapping = map_pixels(source.name, pixels, selection)
        size = (page.width, page.height, self._mapping.channels, self._mapping.dtype)
        found = SliceHeader(header.kind, *size)
        if str(found) != str(header):
            raise changed(source.name, str(found), header)
        self._source, self._selection, self._window = source, selection, window
        self._page = cut_strips(page)
        self._type = stored_type(page) if page.apart else pixels.dtype
        self._y = window.y0
        self._group: Group | None = None
        self._opened: list[Opened] = []
        """The group, or each of its channels, until it is decoded."""
        self._left: Voxels | None = None
        """Decoded rows of the group, not read yet (y, x, c)."""
        self._streams = not self._page.tile and self._page.rows >= self._page.height

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged there.
        """
        done = 0
        while done < len(out):
            group = self._group or self._open()
            rows = min(len(out) - done, FETCH_ROWS, group.stop - self._y)
            self._mapping.put(self._next(group, rows), out[done : done + rows])
            done, self._y = done + rows, self._y + rows
            if self._y == group.stop:
                self._group, self._opened, self._left = None, [], None

    def _next(self, group: Group, rows: int) -> Voxels:
        """Return the next rows of the group, as decoded."""
        if self._opened and not self._streams:
            self._left, self._opened = self._decode(group), []
        if self._left is None:
            return self._fetch(group, self._y, rows)
        found, self._left = self._left[:rows], self._left[rows:]
        return found

    def _decode(self, group: Group) -> Voxels:
        """Return the rest of the group; files and decoders are held for no longer than needed."""
        of, rows = self._mapping.of, group.stop - self._y
        found: Voxels = np.empty((rows, self._window.width, of.channels), of.dtype)
        for y in range(0, len(found), FETCH_ROWS):
            part = found[y : y + FETCH_ROWS]
            part[...] = self._fetch(group, self._y + y, len(part))
        return found

    def _open(self) -> Group:
        """Open the group of the next row."""
        page, group = self._page, group_at(self._page, self._y, self._window)
        stored, file = self._selection.stored, page.directory.file
        for channel in range(page.samples) if page.planar else [None]:
            where = places(page, channel, group.segments)
            found = fetch_places(file, where)
            data = page_file(group.page, found, channel, stored=stored)
            self._opened.append(load_tiff(self._source.name, data))
        self._group = group
        return group

    def _fetch(self, group: Group, y: int, rows: int) -> Voxels:
        """Return rows of the group from row `y` of the page on."""
        page, parts = group.page, []
        for opened in self._opened:
            part = fetch(opened, y - group.start, rows, self._type)
            parts.append(join(page, part) if page.apart else part)
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
        return pixels[:, self._window.x0 - group.x : self._window.x1 - group.x]
