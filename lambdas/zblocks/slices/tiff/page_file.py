"""Strips or tiles of a page, of one channel or all, as a file of their own.

libtiff walks all pages before the requested one, libvips inverts, scales and premultiplies some
pixels, cuts off JPEG tiles of more than twice their pixels' bytes, and neither reads every format.
So they are given a BigTIFF made on the fly: a directory with only the tags that decoding needs, and
the strips or tiles; those in compressions that this libtiff lacks (zstd, LZMA, JPEG 2000)
decompressed, and wrapped as stored deflate blocks.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Sequence

from isal import isal_zlib

from zblocks.errors import SliceError
from zblocks.slices.faults import damaged
from zblocks.slices.ranges import Buffer
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff import jpeg2000
from zblocks.slices.tiff.apart import stored_tags
from zblocks.slices.tiff.blank import blank
from zblocks.slices.tiff.page import COLOURS, DEFLATE, JPEG, JPEG2000, LZMA, Page

STORED = 65535  # bytes of one stored block of deflate

INFLATED = 1 << 17  # bytes inflated at a time

JPEG_HEAD = 1 << 14  # bytes of a strip or tile that show how its JPEG is sampled

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in reverse order."""

_COPIED = ((t.FILL_ORDER, "H"), (t.PREDICTOR, "H"), (t.T4_OPTIONS, "I"), (t.T6_OPTIONS, "I"),
           (t.YCBCR_SAMPLING, "H"))  # fmt: skip
"""Tags that say how pixels were compressed, and the letters of their numbers."""


def page_file(page: Page, found: Sequence[Buffer], channel: int | None, *, stored: bool) -> bytes:
    """Return a file of strips or tiles.

    Args:
        page: a page that consists of these alone.
        found: their bytes; empty for one that was never written.
        channel: the only one in them; None for all.
        stored: whether numbers are wanted as stored, as for labels.

    Raises:
        SliceError: one of them is damaged.
    """
    written = bytes(next(filter(None, found), b"")[:JPEG_HEAD])
    name = page.directory.file.name
    data: list[Buffer] = []
    for i, one in enumerate(found):
        if page.compression == JPEG and page.tile and len(one) > 2 * page.segment_bytes(i):
            what = f"JPEG tiles of {len(one)} bytes for {page.segment_bytes(i)} bytes of pixels"
            raise SliceError(f"{name}: this TIFF has {what}; save it with larger tiles")
        if page.compression in DEFLATE and one:
            due = page.segment_bytes(i), page.segment_bytes(0)
            _check_inflates(name, _reordered(page, one), due)
        if page.recodes:
            size = page.segment_bytes(i)
            data.append(_wrap(_unpack(page, one, size, name) if one else bytes(size)))
        else:
            data.append(one or _reordered(page, blank(page, i, channel, written)))
    tags, sizes = _tags(page, channel, stored=stored), [len(one) for one in data]
    at, starts = len(_directory(page, tags, sizes, sizes)), []
    for size in sizes:
        starts.append(at)
        at += size
    return b"".join([_directory(page, tags, starts, sizes), *data])


def _reordered(page: Page, data: Buffer) -> Buffer:
    """Return data with the bits of each byte reversed if the page stores them so; JPEG never is."""
    if page.directory.value(t.FILL_ORDER, 1) != 2 or page.compression == JPEG:
        return data
    return bytes(data).translate(REVERSED)


def _check_inflates(name: str, data: Buffer, due: tuple[int, ...]) -> None:
    """Raise SliceError unless all of a strip or tile inflates, and its checksum is right.

    libtiff stops when it has all pixels, so most strips with a hole would pass for sound ones.
    Some writers leave out the checksum, or fill the last strip up: then its size must be `due`.
    """
    inflate, total = isal_zlib.decompressobj(), 0
    try:
        for at in range(0, len(data), INFLATED):
            part, found = data[at : at + INFLATED], INFLATED
            while not inflate.eof and (part or found == INFLATED):
                found = len(inflate.decompress(part, INFLATED))
                total, part = total + found, inflate.unconsumed_tail
    except Exception as error:  # IsalError, which its stubs don't call an exception
        raise damaged(name, "tiff", error) from error
    if not inflate.eof and total not in due:
        raise damaged(name, "tiff", "a strip or tile without an end")


def _unpack(page: Page, data: Buffer, size: int, name: str) -> bytes:
    """Decompress a strip or tile, to no more than its size."""
    if page.compression in JPEG2000:
        return jpeg2000.unpack(page, bytes(data), size)
    try:
        if page.compression == LZMA:
            found = lzma.LZMADecompressor().decompress(data, size + 1)
        else:
            from backports import zstd

            found = zstd.ZstdDecompressor().decompress(data, size + 1)
    except Exception as error:  # each library has its own
        raise damaged(name, "tiff", error) from error
    if len(found) != size:
        raise damaged(name, "tiff", f"a strip or tile of {len(found)} bytes instead of {size}")
    return found


def _wrap(data: bytes) -> bytes:
    """Return data as a zlib stream of stored blocks (RFC 1950 and 1951, 3.2.4)."""
    out = [b"\x78\x01"]
    for at in range(0, len(data) or 1, STORED):
        piece = data[at : at + STORED]
        last = at + STORED >= len(data)
        out += [struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece]
    return b"".join([*out, struct.pack(">I", zlib.adler32(data))])


def _tags(page: Page, channel: int | None, *, stored: bool) -> dict[int, tuple[str, list[int]]]:
    """Return the tags of the directory for libvips, without the offsets of the pixels."""
    d = page.directory
    samples = page.samples if channel is None else 1
    photometric = 1  # as stored: nothing is inverted, no channel is alpha
    if page.palette and not stored:
        photometric = 3
    elif page.compression == JPEG and channel is None and page.photometric in (2, 5, 6):
        photometric = page.photometric  # tells the colours of a JPEG
    colours = COLOURS[photometric]
    tags: dict[int, tuple[str, list[int]]] = {
        # Whole tiles: libvips rejects tiles much larger than the image as damaged.
        t.WIDTH: ("I", [page.across]),
        t.HEIGHT: ("I", [page.down]),
        t.BITS: ("H", [page.bits] * samples),
        t.COMPRESSION: ("H", [DEFLATE[0] if page.recodes else page.compression]),
        t.PHOTOMETRIC: ("H", [photometric]),
        t.SAMPLES: ("H", [samples]),
        t.PLANAR: ("H", [1]),
        t.SAMPLE_FORMAT: ("H", [page.format] * samples),
    }
    if page.tile:
        tags |= {t.TILE_WIDTH: ("I", [page.tile[0]]), t.TILE_HEIGHT: ("I", [page.tile[1]])}
    else:
        tags[t.ROWS_PER_STRIP] = ("I", [page.rows])
    if samples > colours:
        tags[t.EXTRA_SAMPLES] = ("H", [0] * (samples - colours))
    if photometric == 3:
        tags[t.COLORMAP] = ("H", list(page.palette))
    for tag, letter in () if page.compression in JPEG2000 else _COPIED:
        if values := d.values(tag, 2):
            tags[tag] = (letter, list(values))
    if page.apart:
        tags |= stored_tags(page, samples)
    if page.compression == JPEG and (tables := d.raw(t.JPEG_TABLES)):
        tags[t.JPEG_TABLES] = ("B", list(tables))
    return tags


def _directory(
    page: Page,
    tags: dict[int, tuple[str, list[int]]],
    starts: list[int],
    sizes: list[int],
) -> bytes:
    """Return the header and the only directory of a BigTIFF."""
    order = page.directory.file.order
    tags = {**tags, page.offsets_tag: ("Q", starts), page.counts_tag: ("Q", sizes)}
    kinds = {"B": 7, "H": 3, "I": 4, "Q": 16}
    behind = 16 + 8 + 20 * len(tags) + 8
    entries, more = [], b""
    for tag, (letter, values) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}{letter}", *values)
        where = data.ljust(8, b"\0")
        if len(data) > 8:
            where = struct.pack(f"{order}Q", behind + len(more))
            more += data + bytes(-len(data) % 8)
        entries.append(struct.pack(f"{order}HHQ", tag, kinds[letter], len(values)) + where)
    head = struct.pack(f"{order}2sHHHQQ", b"II" if order == "<" else b"MM", 43, 8, 0, 16, len(tags))
    return head + b"".join(entries) + struct.pack(f"{order}Q", 0) + more
