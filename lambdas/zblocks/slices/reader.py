"""Open a slice and read its rows from the top down."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.geometry import Voxels
from zblocks.slices.header import ByteSource, RowReader, SliceHeader
from zblocks.slices.pixels import AS_DECODED, ChannelSelection
from zblocks.slices.window import Window, WindowReader


@dataclass(slots=True)
class FillReader:
    """A missing slice: every voxel has the fill value."""

    value: float

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` with the value."""
        out[...] = self.value


def open_slice(
    source: ByteSource,
    header: SliceHeader,
    rows: int,
    selection: ChannelSelection | None = None,
    window: Window | None = None,
) -> RowReader:
    """Open a slice whose header is known, or a window of it, to be read `rows` rows at a time.

    Raises:
        SliceError: the file does not match the header.
    """
    selection = selection or ChannelSelection()
    whole = Window(0, 0, header.width, header.height)
    window = window or whole
    if header.kind in ("tiff", "tiff-jp2"):
        from zblocks.slices.tiff.reader import TiffReader

        return TiffReader(source, header, selection, window)
    if header.kind == "jp2-tiles":
        from zblocks.slices.jp2_tiles import TileReader

        return TileReader(source, header, window)
    if window == whole:
        return _open(source, header, rows, selection)
    return WindowReader(_open(source, header, 0, selection, window.y1), header.width, window)


def _open(
    source: ByteSource,
    header: SliceHeader,
    rows: int,
    selection: ChannelSelection,
    stop: int | None = None,
) -> RowReader:
    """Open a slice whose rows are read up to row `stop`; None: all."""
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

    return VipsReader(source, header, selection, stop)
