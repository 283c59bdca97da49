"""Strips and tiles that were never written: their pixels are zeros, as in GDAL.

libtiff itself can't read them, so it is given zeros in the compression of the page.
"""

from __future__ import annotations

import io
import struct
import zlib

from zblocks.errors import SliceError
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import CCITT, DEFLATE, JPEG, LZW, NONE, PACKBITS, Page

LZW_CODES = 250
"""Bytes for which codes of nine bits suffice after a clear code."""


def blank(page: Page, segment: int, channel: int | None, written: bytes) -> bytes:
    """Return a strip or tile of zeros.

    Args:
        page: the page that it belongs to.
        segment: its number.
        channel: the only one in it; None for all.
        written: the beginning of a strip or tile that was written; empty if none was.

    Raises:
        SliceError: zeros can't be encoded, or GDAL_NODATA is another number.
    """
    if why := _no_blank(page):
        raise _refusal(page, why)
    size = page.segment_bytes(segment)
    if page.compression == NONE or page.recodes:
        return bytes(size)
    if page.compression in DEFLATE:
        return zlib.compress(bytes(size))
    if page.compression == LZW:
        return _lzw(size)
    if page.compression == PACKBITS:
        whole, rest = divmod(size, 128)
        return b"\x81\0" * whole + (bytes([257 - rest, 0]) if rest > 1 else bytes(2 * rest))
    width = page.tile[0] if page.tile else page.width
    rows = size // (width * (1 if page.planar else page.samples))
    samples = page.samples if channel is None else 1
    if page.compression == JPEG and samples in (1, 3, 4):
        return _jpeg(page, (width, rows), samples, written)
    raise _refusal(page, "and zeros can't be given in its compression")


def check_blanks(page: Page) -> None:
    """Refuse strips and tiles that were never written and that zeros can't stand for.

    Raises:
        SliceError: there are some.
    """
    if (why := _no_blank(page)) and 0 in page.directory.values(page.offsets_tag, page.pieces):
        raise _refusal(page, why)


def _no_blank(page: Page) -> str:
    """Return why zeros can't stand for what was never written; empty if they can."""
    d = page.directory
    text = d.raw(t.GDAL_NODATA) if t.GDAL_NODATA in d.entries else b""
    nodata = text.rstrip(b"\0 ").decode(errors="replace")
    try:
        means = float(nodata or 0)
    except ValueError:
        means = 0  # no number
    if means != 0:
        return f"and mean {nodata}, as its tag GDAL_NODATA says"
    return "in a fax code" if page.compression in CCITT else ""


def _refusal(page: Page, why: str) -> SliceError:
    name = page.directory.file.name
    msg = f"{name}: this TIFF has strips or tiles that were never written"
    return SliceError(f"{msg} {why}; save it with all of them")


def _lzw(size: int) -> bytes:
    """Return codes for zeros (TIFF 6.0, section 13), with a clear code before ten bits are due."""
    whole, rest = divmod(size, LZW_CODES)
    one = f"{256:09b}" + "0" * (9 * LZW_CODES)
    bits = one * whole + f"{256:09b}" + "0" * (9 * rest) + f"{257:09b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _jpeg(page: Page, size: tuple[int, int], samples: int, written: bytes) -> bytes:
    """Return a JPEG that is 0 in every channel, or black if channels are YCbCr."""
    from PIL import Image

    mode = {1: "L", 3: "YCbCr", 4: "CMYK"}[samples]
    colour = {1: (0,), 3: (0, 0, 0), 4: (255,) * 4}[samples]  # Pillow inverts inks
    sampling = (1, 1)
    if samples == 3 and page.photometric == 6:
        colour = (0, 128, 128)
        across, down = page.directory.values(t.YCBCR_SAMPLING, 2) or (2, 2)
        sampling = _sampling(written) or (across, down)
    ways = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
    if sampling not in ways:
        raise _refusal(page, f"in a JPEG of unusual sampling {sampling}")
    file = io.BytesIO()
    Image.new(mode, size, colour if samples > 1 else 0).save(
        file, "JPEG", quality=100, subsampling=ways[sampling]
    )
    return file.getvalue()


def _sampling(head: bytes) -> tuple[int, int] | None:
    """Return the chroma subsampling of a JPEG, x and y (ITU-T T.81, B.2.2); None if unknown."""
    at = 2
    while at + 12 <= len(head) and head[at] == 0xFF:
        marker, size = struct.unpack(">BH", head[at + 1 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return divmod(head[at + 11], 16)
        at += 2 + size
    return None
