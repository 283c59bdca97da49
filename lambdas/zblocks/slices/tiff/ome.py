"""OME-XML in a TIFF: which planes of a set of files are in this one.

Source: the OME-TIFF specification (schema 2016-06).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from zblocks.slices.header import Place
from zblocks.slices.tiff.directory import MAX_PAGES
from zblocks.slices.tiff.stated import Stated

_BY = "its OME-XML"

_BARE = re.compile(r"&(?!#?\w+;)")
"""Ampersands that some writers don't escape."""


def read_ome(text: str, name: str, samples: int) -> Stated | None:
    """Return what OME-XML says about the planes of a file; None if it is none, or damaged.

    Args:
        text: the XML.
        name: the file's name or URL.
        samples: the channels of its pages.
    """
    text = _BARE.sub("&amp;", text.strip())
    if not text.startswith("<") or not text.endswith("OME>") or "<!DOCTYPE" in text:
        return None
    try:
        root = ET.fromstring(text.encode())  # noqa: S314 (without a DTD, it has no entities)
    except (ET.ParseError, ValueError):
        return None
    _strip(root)
    if (other := root.find("BinaryOnly")) is not None:
        return Stated(_BY, 1, elsewhere=other.get("MetadataFile", "another file"))
    pages: dict[int, tuple[int, tuple[int, int, int]]] = {}
    try:
        own = unquote(name.rpartition("/")[2])
        found = (
            (page, z, (image, t, c))
            for image, pixels in enumerate(root.findall("Image/Pixels"))
            for page, z, t, c in _pages(root, pixels, own, samples)
        )
        for page, z, rest in islice(found, MAX_PAGES + 1):
            pages.setdefault(page, (z, rest))
    except (ValueError, ZeroDivisionError):
        return None
    if not pages:
        return None
    files = {uuid.text or "" for uuid in root.iter("UUID")}
    group = f"{zlib.crc32(' '.join(sorted(files)).encode()):08x}" if len(files) > 1 else ""
    depth = max(int(p.get("SizeZ", 1)) for p in root.iterfind("Image/Pixels"))
    if not group and depth > len({z for z, _ in pages.values()}):
        group = f"SizeZ {depth}"  # the other slices are in files that it doesn't name
    places = tuple(Place(group, *pages[page]) for page in sorted(pages))
    axes = (
        ("P", len({p.other[0] for p in places})),
        ("T", len({p.other[1] for p in places})),
        ("Z", len({p.z for p in places})),
        ("C", len({p.other[2] for p in places})),
    )
    return Stated(_BY, len(pages), axes, places)


def _strip(root: ET.Element) -> None:
    """Remove the namespace, which differs from version to version."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]


def _pages(
    root: ET.Element, pixels: ET.Element, name: str, samples: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield page, z, t and c of every plane of an image that is in this file."""
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "ZTC"}
    inside = int(next((c.get("SamplesPerPixel", 0) for c in pixels.iter("Channel")), 0))
    inside = inside or (samples if sizes["C"] % samples == 0 else 1)
    sizes["C"] = max(sizes["C"] // inside, 1)
    order = pixels.get("DimensionOrder", "XYZCT")[2:]
    if sorted(order) != ["C", "T", "Z"] or min(sizes.values()) < 1:
        return
    total = sizes["Z"] * sizes["T"] * sizes["C"]
    for data in pixels.findall("TiffData") or [ET.Element("TiffData")]:
        if not _is_own(root, data.find("UUID"), name):
            continue
        first, step = 0, 1
        for axis in order:
            first += step * int(data.get(f"First{axis}", 0))
            step *= sizes[axis]
        count = int(
            data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else total))
        )
        page = int(data.get("IFD", 0))
        for n in range(min(count, total - first)):
            at, place = first + n, {}
            for axis in order:
                at, place[axis] = divmod(at, sizes[axis])
            yield page + n, place["Z"], place["T"], place["C"]


def _is_own(root: ET.Element, uuid: ET.Element | None, name: str) -> bool:
    """Return whether planes are in the file with this XML."""
    if uuid is None:
        return True
    own = root.get("UUID")
    return (own is not None and uuid.text == own) or uuid.get("FileName") == name
