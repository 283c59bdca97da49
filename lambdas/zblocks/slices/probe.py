"""Read the header of a slice: a few kilobytes of its file.

The first bytes of a file tell its format; its name is ignored. Decoded values: red, green and blue
of palettes (grey if the palette has only greys); 0 and 255 for single bits, multiples of 85 for two
bits and of 17 for four; TIFFs whose 0 is white are inverted. Labels are the numbers as stored.
Alpha is ignored, not multiplied in. Orientation tags are refused, since viewers that obey them and
viewers that don't would show different images.
"""

from __future__ import annotations

from collections.abc import Iterator

from zblocks.errors import SliceError
from zblocks.slices.faults import no_level, spoilt
from zblocks.slices.foreign import foreign_bytes, has_only_a_preview
from zblocks.slices.header import ByteSource, PageSelection, SliceHeader
from zblocks.slices.pixels import ChannelSelection

_MAGIC = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",
    b"\xff\x4f\xff\x51": "jp2",
    b"BM": "bmp",
    b"RIFF": "webp",
}


def kind_of(source: ByteSource) -> str:
    """Return the image format that the first bytes show.

    Raises:
        SliceError: not a format that zblocks reads.
    """
    first = source.read_at(0, 16)
    for magic, kind in _MAGIC.items():
        if first.startswith(magic) and (kind != "webp" or first[8:12] == b"WEBP"):
            if has_only_a_preview(source.name):
                break
            return kind
    what = f"begins with {first[:8].hex(' ')}" if first else "is empty"
    if first and (known := foreign_bytes(source)):
        what = ", which is not read: ".join(known)
    raise spoilt(source.name, f"not a JPEG, PNG, TIFF, JPEG 2000, BMP or WebP image ({what})")


def probe(
    source: ByteSource, selection: ChannelSelection | None = None, page: int | None = None
) -> SliceHeader:
    """Read a slice's header.

    Args:
        source: the file.
        selection: the channels to read; default: as a picture.
        page: page number, from 0; None: the only one.

    Raises:
        SliceError: not an image, not convertible to voxels, no such page, or several pages where
            one was expected.
    """
    return next(probe_pages(source, selection, page))


def probe_pages(
    source: ByteSource,
    selection: ChannelSelection | None = None,
    page: PageSelection = None,
    level: int = 0,
) -> Iterator[SliceHeader]:
    """Read the headers of the selected pages at one resolution, in the file's order.

    Raises:
        SliceError: as `probe`, or a page lacks this resolution.
    """
    kind, selection = kind_of(source), selection or ChannelSelection()
    if kind == "tiff":
        from zblocks.slices.tiff.probe import probe_tiff

        yield from probe_tiff(source, selection, page, level)
        return
    if page not in (None, "all", 0):
        msg = f"{source.name}: page: no page {page}, a {kind.upper()} has only page 0"
        raise SliceError(f'{msg}; give 0 or "all", or leave "page" out')
    if kind == "jp2":
        from zblocks.slices import whole

        yield whole.probe(source, kind, selection, level)
        return
    if kind == "bmp":
        from zblocks.slices import whole

        found = whole.probe(source, kind, selection)
    else:
        from zblocks.slices import vips

        found = vips.probe(source, kind, selection)
    if level:
        raise no_level(source.name, level, [(found.width, found.height)])
    yield found
