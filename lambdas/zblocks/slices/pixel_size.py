"""What does a TIFF say of the size of its pixels? A hint for people, never believed by itself.

OME-XML (PhysicalSizeX and its unit), ImageJ's description (unit, spacing), or the baseline tags
XResolution and ResolutionUnit. Scanners and programs write printers' dots per inch into the last;
what would be larger than 40 µm is taken for those.

Source: OME schema 2016-06; TIFF 6.0, section 8; ImageJ's TiffDecoder.
"""

from __future__ import annotations

import re
import struct

from zblocks.errors import SliceError
from zblocks.slices.header import ByteSource
from zblocks.slices.probe import kind_of
from zblocks.slices.tiff import directory as t

DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, UNIT = 270, 282, 283, 296
RATIONAL = 5
LARGEST_NM = 40_000.0

NM = {
    "nm": 1.0, "nanometer": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "\\u00b5m": 1e3, "mm": 1e6, "millimeter": 1e6, "cm": 1e7, "inch": 2.54e7,
    "å": 0.1, "pm": 1e-3, "m": 1e9,
}  # fmt: skip
"""Nanometres of a unit, in lower case."""

_SIZE = re.compile(r'PhysicalSize([XYZ])="([0-9.eE+-]+)"')
_SIZE_UNIT = re.compile(r'PhysicalSize([XYZ])Unit="([^"]*)"')


def scale_of(source: ByteSource) -> str:
    """Return what a file says of its pixels, as `650×650×5000 nm (OME)`; empty if nothing."""
    try:
        if kind_of(source) != "tiff":
            return ""
        page = t.directory_at(source, 0)
        text = page.raw(DESCRIPTION).decode(errors="replace")
        return _of_ome(text) or _of_tags(page, text)
    except (SliceError, ValueError, struct.error):
        return ""


def _of_ome(text: str) -> str:
    """Read OME-XML; a size without a unit is in µm."""
    units = dict(_SIZE_UNIT.findall(text))
    sizes = {
        axis: float(size) * NM[units.get(axis, "µm").lower()]
        for axis, size in _SIZE.findall(text)
        if units.get(axis, "µm").lower() in NM
    }
    return _shown([sizes[a] for a in "XYZ" if a in sizes], "OME") if "X" in sizes else ""


def _of_tags(page: t.Directory, text: str) -> str:
    """Read the resolution tags, in ImageJ's unit where it gives one."""
    named = re.search(r"^unit=(.+)$", text, re.MULTILINE)
    unit = {2: "inch", 3: "cm"}.get(page.value(UNIT, 2), "")
    by = "resolution tags"
    if named and text.startswith("ImageJ"):
        unit, by = named[1].strip().lower(), "ImageJ"
    dots = [_rational(page, tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    if unit not in NM or not all(dots):
        return ""
    sizes = [NM[unit] / d for d in dots]
    if by == "ImageJ" and (deep := re.search(r"^spacing=([0-9.eE+-]+)", text, re.MULTILINE)):
        sizes.append(float(deep[1]) * NM[unit])
    elif sizes[0] > LARGEST_NM:
        return ""
    return _shown(sizes, by)


def _rational(page: t.Directory, tag: int) -> float:
    """Return a tag's fraction; 0 if it isn't there or is none."""
    entry = page.entries.get(tag)
    if entry is None or entry.kind != RATIONAL or entry.count != 1:
        return 0.0
    data = entry.inline
    if len(data) < 8:
        (place,) = struct.unpack(f"{page.order}I", data)
        data = page.windows.read_at(place, 8)
    above, below = struct.unpack(f"{page.order}II", data[:8])
    return above / below if below else 0.0


def _shown(sizes: list[float], by: str) -> str:
    """Return sizes for people."""
    return f"{'×'.join(f'{size:.6g}' for size in sizes)} nm ({by})"
