"""Read a page of a TIFF; refuse damaged pages and those that can't become voxels."""

from __future__ import annotations

from zblocks.errors import SliceError
from zblocks.slices.faults import oversized
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.openjpeg import library
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import COMPRESSIONS, JPEG, JPEG2000, NONE, SAMPLES, Page

_NO_PICTURES = {8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array",
                32844: "LogL", 32845: "LogLuv", 34892: "camera raw"}  # fmt: skip
"""Photometric interpretations that can't be read."""

_UNREAD = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 32766: "NeXT", 32771: "CCITT with word alignment",
    32809: "ThunderScan", 32895: "IT8", 32896: "IT8", 32897: "IT8", 32898: "IT8",
    32908: "Pixar 10-bit", 32909: "Pixar log", 32947: "Kodak DCS", 33007: "ALT", 34661: "JBIG",
    34676: "SGI log", 34677: "SGI log", 34713: "Nikon NEF", 34715: "JBIG2",
    34718: "MDI binary", 34719: "MDI progressive", 34720: "MDI vector", 34887: "LERC",
    34892: "lossy JPEG (DNG)", 34926: "zstd (old number)", 34927: "WebP (old number)",
    34933: "PNG", 34934: "JPEG XR", 48124: "Jetraw", 50001: "WebP", 50002: "JPEG XL",
    52546: "JPEG XL (DNG)", 65000: "Kodak DCR", 65535: "Pentax PEF", 22610: "JPEG XR (NDPI)",
}  # fmt: skip
"""Compressions that can't be read."""

READABLE = (
    "grey, RGB, palettes and CMYK of 8, 16 and 32 bits, floats of 16 and 32 bits, labels of 64 bits"
)

MAX_SAMPLES = 64
"""Most channels."""

MAX_SEGMENT = 1 << 31
"""Most decompressed bytes of a strip or tile."""


def page_of(source: ByteSource, header: SliceHeader) -> Page:
    """Read the page that a header describes.

    Raises:
        SliceError: as `read_page`.
    """
    return read_page(t.directory_at(source, header.at), header.plane)


def read_page(directory: t.Directory, plane: int = 0) -> Page:
    """Read a page from its directory, or a further plane of it.

    Raises:
        SliceError: it is damaged, or can't become voxels; says why.
    """
    d = directory
    tiled = t.TILE_WIDTH in d.entries
    height = d.value(t.HEIGHT, 0)
    rows = d.value(t.TILE_HEIGHT, 0) if tiled else min(d.value(t.ROWS_PER_STRIP, height), height)
    samples = d.value(t.SAMPLES, 1)
    photometric = d.value(t.PHOTOMETRIC, 1)
    page = Page(
        directory=d,
        width=d.value(t.WIDTH, 0),
        height=height,
        samples=samples,
        bits=_same(d, t.BITS, 1),
        format=_same(d, t.SAMPLE_FORMAT, 1),
        photometric=photometric,
        compression=d.value(t.COMPRESSION, NONE),
        planar=d.value(t.PLANAR, 1) == 2 and samples > 1,
        tile=(d.value(t.TILE_WIDTH, 0), rows) if tiled else None,
        rows=rows,
        extra=d.values(t.EXTRA_SAMPLES, 64),
        palette=d.values(t.COLORMAP, 1 << 17) if photometric == 3 else (),
        plane=plane,
    )
    _refuse_damaged(page)
    if why := _unreadable(page):
        raise unreadable(page, why)
    return page


def unreadable(page: Page, why: str) -> SliceError:
    """Return the error for a page that can't become voxels."""
    return SliceError(
        f"{page.directory.file.name}: this TIFF has {why}; zblocks reads {READABLE}, without "
        "compression or with LZW, deflate, PackBits, JPEG, JPEG 2000 (8 and 16 bits), zstd, LZMA "
        "or a fax code; convert it or remove it from the list"
    )


def _same(directory: t.Directory, tag: int, default: int) -> int:
    """Return the number that a tag has for every channel; 0 if they differ."""
    values = set(directory.values(tag, 1 << 10)) or {default}
    return values.pop() if len(values) == 1 else 0


def _refuse_damaged(page: Page) -> None:
    """Raise SliceError for impossible sizes, and for offsets beyond the end of the file."""
    d = page.directory
    sizes = (page.width, page.height, page.rows, page.samples, *(page.tile or ()))
    if min(sizes) < 1 or max(page.width, page.height) > 10**7 or max(sizes) > 2**31:
        raise d.file.damaged(f"{page.width}×{page.height} in pieces of {page.rows} rows")
    count = page.pieces
    if count > d.file.size:
        raise oversized(d.file.name, page.width, page.height, d.file.size)
    for tag in (page.offsets_tag, page.counts_tag):
        entry = d.entries.get(tag)
        if entry is None or entry.count < count:
            if tag == page.counts_tag and page.compression == NONE:
                continue  # old writers omit them
            found = entry.count if entry else 0
            raise d.file.damaged(f"{count} strips or tiles, but offsets of {found}")
        d.place(tag, count)
        if count == 1 and d.value(tag, 0) > d.file.size:
            raise d.file.damaged("a strip or tile beyond its end")


def _unreadable(page: Page) -> str:
    """Return what keeps a page from becoming voxels; empty for nothing."""
    colours, turn = len(page.palette) // 3, page.directory.value(t.ORIENTATION, 1)
    packed = page.segment_bytes(0)
    by_channel = page.planar and page.photometric == 6
    reasons = {
        f"{_NO_PICTURES.get(page.photometric)} pixels": page.photometric in _NO_PICTURES,
        "YCbCr without JPEG": page.photometric == 6 and page.compression not in (JPEG, *JPEG2000),
        kind_of_samples(page): (page.format, page.bits) not in SAMPLES,
        f"{kind_of_samples(page)} that are not grey or RGB": page.format == 2
        and page.photometric not in (1, 2),
        f"{_UNREAD.get(page.compression, 'unknown')} compression ({page.compression})": (
            page.compression not in COMPRESSIONS
        ),
        "tiles of several planes": bool(page.tile) and page.directory.value(t.TILE_DEPTH, 1) > 1,
        "planes of separate channels": page.planar and page.directory.value(t.IMAGE_DEPTH, 1) > 1,
        **_unreadable_jpeg2000(page),
        f"JPEG of {page.bits} bits": page.compression == JPEG and page.bits != 8,
        "JPEG of YCbCr with separate channels": page.compression == JPEG and by_channel,
        f"{page.samples} channels of {page.bits} bits": page.bits < 8 and page.samples > 1,
        f"{page.samples} channels": page.samples > MAX_SAMPLES,
        f"a palette of {colours} colours for {page.samples} channels of {page.bits} bits": (
            page.photometric == 3
            and (page.samples > 1 or page.bits > 8 or colours != 1 << page.bits)
        ),
        f"strips or tiles of {packed} bytes": packed > MAX_SEGMENT,
        "bits in reverse order": page.recodes and page.directory.value(t.FILL_ORDER, 1) != 1,
        f"an orientation tag ({turn}) instead of turned pixels": turn > 1,
    }
    return next((why for why, found in reasons.items() if found), "")


def _unreadable_jpeg2000(page: Page) -> dict[str, bool]:
    """Return what keeps JPEG 2000 in a page from becoming voxels, and whether it does."""
    if page.compression not in JPEG2000:
        return {}
    shape = (page.samples, page.bits, page.format, page.planar)
    return {
        f"JPEG 2000 of {kind_of_samples(page)}": page.format == 3 or page.bits not in (8, 16),
        "JPEG 2000 of luma and chroma in other than three channels of 8 bits": (
            page.ycbcr and shape != (3, 8, 1, False)
        ),
        "JPEG 2000, and the OpenJPEG of this installation can't be called": library() is None,
    }


def kind_of_samples(page: Page) -> str:
    """Return the type of the samples, in words."""
    kinds = {1: "unsigned integers", 2: "signed integers", 3: "floats"}
    bits = f"of {page.bits} bits" if page.bits else "of different sizes"
    return f"{kinds.get(page.format, f'samples of format {page.format}')} {bits}"
