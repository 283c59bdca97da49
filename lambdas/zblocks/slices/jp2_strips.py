"""JPEG 2000 slices of 8 bits, grey or RGB, decoded some rows at a time.

OpenJPEG decodes the code blocks that rows depend on, and no others, whether there are tiles or not.
What it gives is bit for bit what it gives for the whole slice, also where compression was lossy.
"""

from __future__ import annotations

import io

import numpy as np

from zblocks.geometry import Voxels
from zblocks.host import own_cores
from zblocks.slices.faults import changed, damaged
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jp2_boxes import without_extras
from zblocks.slices.openjpeg import decode_rows, strip_rows
from zblocks.slices.pillow_file import open_file
from zblocks.slices.pixels import ChannelSelection, map_pixels
from zblocks.slices.whole import pixels_of, size_of


class StripReader:
    """Rows of one slice, from the top down."""

    def __init__(
        self, source: ByteSource, header: SliceHeader, selection: ChannelSelection
    ) -> None:
        self._source, self._header, self._selection = source, header, selection
        self._y = 0
        self._data = b""
        self._left: Voxels = np.empty((0, header.width, header.channels), header.dtype)

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the slice is damaged there, or has changed since the plan was made.
        """
        if not self._data:
            self._data = self._checked()
        y = 0
        while y < len(out):
            if not len(self._left):
                self._left = self._decode()
            rows = self._left[: len(out) - y]
            out[y : y + len(rows)] = rows
            self._left, y = self._left[len(rows) :], y + len(rows)

    def _decode(self) -> Voxels:
        header = self._header
        rows = min(strip_rows(header.width, header.channels), header.height - self._y)
        strip: Voxels = np.empty((rows, header.width, header.channels), header.dtype)
        try:
            decode_rows(self._data, self._y, strip, header.level, own_cores())
        except ValueError as error:
            raise damaged(self._source.name, "jp2", error) from error
        self._y += rows
        return strip

    def _checked(self) -> bytes:
        name, header = self._source.name, self._header
        data = without_extras(self._source.read_at(0, self._source.size))
        opened = open_file(name, "jp2", io.BytesIO(data))
        mapping = map_pixels(name, pixels_of(opened, self._selection), self._selection)
        size = size_of(opened, header.level)
        found = SliceHeader(header.kind, *size, mapping.channels, mapping.dtype)
        if str(found) != str(header):
            raise changed(name, found, header)
        return data
