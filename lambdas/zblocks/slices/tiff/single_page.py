"""A page of a TIFF, or one of its channels, as a file of its own.

libtiff walks all pages before the requested one, libvips inverts, scales and premultiplies some
pixels, and neither reads every format. So they are given a BigTIFF made on the fly: a directory
with only the tags that decoding needs, followed by the bytes of the file; or, for compressions that
this libtiff lacks (zstd, LZMA), by strips or tiles decompressed on demand and wrapped as stored
deflate blocks.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from bisect import bisect_right

from zblocks.slices.faults import damaged
from zblocks.slices.header import ByteSource
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.apart import stored_tags
from zblocks.slices.tiff.blank import blank
from zblocks.slices.tiff.checksums import Checksums, Segment
from zblocks.slices.tiff.page import COLOURS, DEFLATE, JPEG, LZMA, NONE, Page

PIECE = 65535
"""Bytes of one stored block of deflate."""

NEVER = (0, 0)
"""Offset and size of a strip or tile that was never written."""

JPEG_HEAD = 1 << 14
"""Bytes of a strip or tile that show how its JPEG is sampled."""


class OnePage:
    """A page, or one channel of it, as a byte source for libvips."""

    def __init__(
        self, source: ByteSource, page: Page, channel: int | None, *, stored: bool
    ) -> None:
        self.name = source.name
        self._source, self._page, self._channel = source, page, channel
        self._recodes = page.recodes
        self._whence = places = _places(page, channel)
        checked = page.compression in DEFLATE
        self._checksums = Checksums(
            self.name,
            (Segment(*p, page.segment_bytes(i)) for i, p in enumerate(places) if checked),
        )
        blanks = {} if self._recodes else self._blanks()
        self._sizes = [
            _wrapped(page.segment_bytes(i)) if self._recodes
            else len(blanks[page.segment_bytes(i)]) if place == NEVER
            else place[1]
            for i, place in enumerate(places)
        ]  # fmt: skip
        self._held: tuple[int, bytes] = (-1, b"")
        """The piece that was decompressed last."""
        tags = _tags(page, channel, stored=stored)
        at = len(_written(page, tags, [0] * len(places), self._sizes))
        zeros = {}
        for size, data in blanks.items():
            zeros[size], at = at, at + len(data)
        head, self._starts = at, []
        for i, (place, size) in enumerate(zip(places, self._sizes, strict=True)):
            blank_at = zeros.get(page.segment_bytes(i), 0) if place == NEVER else 0
            self._starts.append(at if self._recodes else blank_at or place[0] + head)
            at += size
        written = _written(page, tags, self._starts, self._sizes)
        self._head = b"".join([written, *blanks.values()])
        self.size = at if self._recodes else source.size + head

    def _blanks(self) -> dict[int, bytes]:
        """Return zeros for strips and tiles that were never written, by their size."""
        page, pieces = self._page, enumerate(self._whence)
        never = {page.segment_bytes(i): i for i, place in pieces if place == NEVER}
        start, count = next((place for place in self._whence if place != NEVER), NEVER)
        written = self._source.read_at(start, min(count, JPEG_HEAD)) if never and count else b""
        return {size: blank(page, i, self._channel, written) for size, i in never.items()}

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`: of the directory, or of what follows it."""
        head = len(self._head)
        if start < head:
            return self._head[start : start + length]
        if not self._recodes:  # what was read with the directory is kept
            kept = self._page.directory.file.kept(start - head, length)
            data = kept or self._source.read_at(start - head, length)
            self._checksums.see(start - head, data)
            return data
        out = bytearray()
        while len(out) < length and start < self.size:
            index = self._index(start)
            piece = self._piece(index)[start - self._starts[index] :][: length - len(out)]
            out += piece
            start += len(piece)
        return bytes(out)

    def finish(self) -> None:
        """Read to the end of a strip that the decoder has left, having all pixels.

        Raises:
            SliceError: it is damaged.
        """
        start, size = self._checksums.rest
        for at in range(start, start + size, PIECE):
            piece = self._source.read_at(at, min(PIECE, start + size - at))
            self._checksums.see(at, piece)

    def _index(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _piece(self, index: int) -> bytes:
        if self._held[0] != index:
            start, count = self._whence[index]
            size = self._page.segment_bytes(index)
            if (start, count) == NEVER:
                data = blank(self._page, index, self._channel, b"")
            else:
                data = _unpack(self._page, self._source.read_at(start, count), size, self.name)
            self._held = index, _wrap(data)
        return self._held[1]


def _places(page: Page, channel: int | None) -> list[tuple[int, int]]:
    """Return offset and size of each strip or tile of a plane, of one channel or all."""
    count, d = page.segments(), page.directory
    along = d.count(page.offsets_tag) >= (page.plane + 1) * page.pieces
    first = (channel or 0) * count + (page.plane * page.pieces if along else 0)
    starts = d.values(page.offsets_tag, first + count)[first:]
    sizes = d.values(page.counts_tag, first + count)[first:]
    if len(sizes) < count:
        sizes = (0,) * count
    behind = 0 if along else page.plane * page.plane_bytes
    places = []
    for i, (start, stated) in enumerate(zip(starts, sizes, strict=True)):
        follows = start and (behind or (not stated and page.compression == NONE))
        size = page.segment_bytes(i) if follows else stated
        if start + behind + size > d.file.size:
            raise d.file.damaged("a strip or tile beyond its end")
        if bool(start) != bool(size):
            raise d.file.damaged(f"a strip or tile of {size} bytes at {start}")
        places.append((start + behind if start else 0, size))
    return places


def _unpack(page: Page, data: bytes, size: int, name: str) -> bytes:
    """Decompress a strip or tile, to no more than its size."""
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


def _wrapped(size: int) -> int:
    return 2 + 5 * max(-(-size // PIECE), 1) + size + 4


def _wrap(data: bytes) -> bytes:
    """Return data as a zlib stream of stored blocks (RFC 1950 and 1951, 3.2.4)."""
    out = [b"\x78\x01"]
    for at in range(0, len(data) or 1, PIECE):
        piece = data[at : at + PIECE]
        last = at + PIECE >= len(data)
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
        t.WIDTH: ("I", [page.width]),
        t.HEIGHT: ("I", [page.height]),
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
    for tag, letter in ((t.FILL_ORDER, "H"), (t.PREDICTOR, "H"), (t.T4_OPTIONS, "I"),
                        (t.T6_OPTIONS, "I"), (t.YCBCR_SAMPLING, "H")):  # fmt: skip
        if values := d.values(tag, 2):
            tags[tag] = (letter, list(values))
    if page.apart:
        tags |= stored_tags(page, samples)
    if page.compression == JPEG and (tables := d.raw(t.JPEG_TABLES)):
        tags[t.JPEG_TABLES] = ("B", list(tables))
    return tags


def _written(
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
