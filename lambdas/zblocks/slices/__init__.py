"""Image files: their headers and their rows of pixels, and the order of slices in a stack."""

from zblocks.slices.header import ByteSource, RowReader, SliceHeader
from zblocks.slices.pixels import ChannelSelection
from zblocks.slices.probe import kind_of, probe, probe_pages
from zblocks.slices.reader import FillReader, open_slice

__all__ = [
    "ByteSource",
    "ChannelSelection",
    "FillReader",
    "RowReader",
    "SliceHeader",
    "kind_of",
    "open_slice",
    "probe",
    "probe_pages",
]  # fmt: skip
