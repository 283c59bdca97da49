"""Strips and tiles of a TIFF that are JPEG 2000, decoded by OpenJPEG.

Aperio's scanners write compressions 33003 and 33005, Bio-Formats all of them. Aperio's 33003 holds
luma and chroma, which the codestream itself doesn't turn into colours. They become RGB as in JPEG
(JFIF 1.02) with the rounding of libjpeg; chroma of half the width is repeated. So does OpenSlide,
whose green may differ by 1.
"""

from __future__ import annotations

import io

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.faults import damaged
from zblocks.slices.jp2_boxes import codestream_of, has_plain_colours
from zblocks.slices.openjpeg import decode_rows
from zblocks.slices.tiff.page import Page
from zblocks.slices.window import PIECE

HALF = 1 << 15
"""Of a fraction of 16 bits."""


def unpack(page: Page, data: bytes, size: int) -> bytes:
    """Return the pixels of a strip or tile, `size` bytes in the byte order of the file.

    Raises:
        SliceError: it is damaged, or isn't what the tags say.
    """
    width = page.tile[0] if page.tile else page.width
    channels = 1 if page.planar else page.samples
    dtype = np.dtype(page.dtype)
    out: Voxels = np.empty((size // (width * channels * dtype.itemsize), width, channels), dtype)
    _check(page, data, out)
    try:
        decode_rows(data, 0, out)
    except ValueError as error:
        raise damaged(page.directory.file.name, "tiff", error) from error
    if page.ycbcr:
        for y in range(0, len(out), PIECE):
            out[y : y + PIECE] = _to_rgb(out[y : y + PIECE])
    return out.astype(f"{page.directory.file.order}{dtype.str[1:]}").tobytes()


def _check(page: Page, data: bytes, out: Voxels) -> None:
    """Raise SliceError for a strip or tile whose decoder would give other pixels."""
    found = codestream_of(io.BytesIO(data))
    height, width, channels = out.shape
    what = ""
    if found is None:
        what = "a strip or tile that is not JPEG 2000"
    elif found.area != (0, 0, width, height):
        what = f"a strip or tile at {found.area} instead of 0, 0, {width}, {height}"
    elif not page.ycbcr and any((x, y) != (1, 1) for _, _, x, y in found.depths):
        what = "a strip or tile with channels of different sizes"
    elif page.ycbcr and found.turned:
        what = "a strip or tile of luma and chroma that is turned into colours twice"
    elif data[:2] != b"\xff\x4f" and not (
        channels in (1, 3) and has_plain_colours(io.BytesIO(data))
    ):
        what = "a strip or tile with colours of its own"
    if what:
        raise damaged(page.directory.file.name, "tiff", what)


def _to_rgb(ycbcr: Voxels) -> Voxels:
    """Return red, green and blue (y, x, 3) of luma and chroma (y, x, 3), uint8."""
    luma, blue, red = (ycbcr[..., i].astype(np.int32) for i in range(3))
    blue, red = blue - 128, red - 128
    rgb = (
        luma + (91881 * red + HALF >> 16),
        luma + (-22554 * blue - 46802 * red + HALF >> 16),
        luma + (116130 * blue + HALF >> 16),
    )
    return np.stack(rgb, axis=2).clip(0, 255).astype(np.uint8)
