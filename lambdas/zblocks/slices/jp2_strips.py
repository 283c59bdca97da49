"""JPEG 2000 slices, grey or RGB, decoded some rows at a time.

OpenJPEG decodes only the code blocks that rows depend on, with tiles or without. The rows are bit
for bit those of the whole slice decoded at once, even if compression was lossy.
"""

from __future__ import annotations

import numpy as np

from zblocks.geometry import Voxels
from zblocks.host import own_cores
from zblocks.slices.faults import changed, damaged
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.jp2_boxes import codestream_span
from zblocks.slices.jp2_rows import strip_rows
from zblocks.slices.openjpeg import Decoder, Read
from zblocks.slices.pillow_file import as_file, open_file
from zblocks.slices.pixels import ChannelSelection, map_pixels
from zblocks.slices.whole import decodes_once, pixels_of, size_of


class StripReader:
    """Rows of one slice, from the top down."""

    def __init__(
        self, source: ByteSource, header: SliceHeader, selection: ChannelSelection
    ) -> None:
        self._source, self._header, self._selection = source, header, selection
        self._y = 0
        self._decoder: Decoder | None = None
        self._once = False
        """Whether each strip needs a decoder of its own."""
        self._read: Read = source.read_at
        """Reads the codestream, `_bytes` long."""
        self._bytes = source.size
        self._left: Voxels = np.empty((0, header.width, header.channels), header.dtype)

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the slice is damaged there, or has changed since the plan was made.
        """
        if not self._y:
            self._open()
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
            decoder = self._decoder or Decoder(self._read, self._bytes, header.level, own_cores())
            decoder.decode(self._y, strip)
        except ValueError as error:
            raise damaged(self._source.name, "jp2", error) from error
        self._y += rows
        # Frees its memory now, not when the other slices of the block have been read.
        self._decoder = None if self._once or self._y >= header.height else decoder
        return strip

    def _open(self) -> None:
        """Check that the file matches the plan."""
        name, header = self._source.name, self._header
        opened = open_file(name, "jp2", as_file(self._source))
        mapping = map_pixels(name, pixels_of(opened, self._selection), self._selection)
        size = size_of(opened, header.level)
        found = SliceHeader(header.kind, *size, mapping.channels, mapping.dtype)
        if str(found) != str(header):
            raise changed(name, found, header)
        begin, end = codestream_span(opened.file, self._source.size)
        self._bytes, self._once = min(end, self._source.size) - begin, decodes_once(opened)
        self._read = _part(self._source, begin, self._bytes, held=self._once)


def _part(source: ByteSource, begin: int, size: int, *, held: bool) -> Read:
    """Return a reader of a part of a file; if `held`, from memory."""
    if held:
        data = source.read_at(begin, size)
        return lambda at, length: data[at : at + length]
    return lambda at, length: source.read_at(begin + at, min(length, size - at))
