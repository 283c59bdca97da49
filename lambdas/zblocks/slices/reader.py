"""Open a slice and read its rows from the top down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zblocks.geometry import Voxels
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.pixels import AS_DECODED, ChannelSelection


class SliceReader(Protocol):
    """Rows of one slice, from the top down."""

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged there.
        """
        ...


@dataclass(slots=True)
class FillReader:
    """A missing slice: every voxel has the fill value."""

    value: float

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` with the value."""
        out[...] = self.value


def open_slice(
    source: ByteSource, header: SliceHeader, rows: int, selection: ChannelSelection | None = None
) -> SliceReader:
    """Open a slice whose header is known, to be read `rows` rows at a time.

    Raises:
        SliceError: the file does not match the header.
    """
    selection = selection or ChannelSelection()
    if header.kind == "jp2-strips" and rows < header.height:
        from zblocks.slices.jp2_strips import StripReader

        return StripReader(source, header, selection)
    if header.kind in ("jp2", "jp2-strips", "bmp", "png-indices"):
        from zblocks.slices.whole import WholeReader

        return WholeReader(source, header, selection)
    whole_jpeg = header.kind in ("jpeg", "jpeg-scans") and selection.channels in AS_DECODED
    if whole_jpeg and rows >= header.height:
        from zblocks.slices.jpeg import WholeJpeg

        return WholeJpeg(source)
    from zblocks.slices.vips import VipsReader

    return VipsReader(source, header, selection)
