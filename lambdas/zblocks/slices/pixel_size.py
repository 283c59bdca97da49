"""The pixel size in a TIFF's metadata: `init` shows it, `plan` warns if it is another.

Read from OME-XML (PhysicalSizeX and its unit), ImageJ's description (unit, spacing), or the
baseline tags XResolution and ResolutionUnit. Many programs write dots per inch for printers into
the latter, so sizes above 40 µm are ignored there.

Sources: OME schema 2016-06; TIFF 6.0, section 8; ImageJ's TiffDecoder.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from zblocks.errors import SliceError
from zblocks.slices.header import ByteSource
from zblocks.slices.probe import kind_of
from zblocks.slices.tiff import directory as t

DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, UNIT = 270, 282, 283, 296
RATIONAL = 5
LARGEST_NM = 40_000.0
TOLERANCE = 0.02

NM = {
    "nm": 1.0, "nanometer": 1.0, "µm": 1e3, "μm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "\\u00b5m": 1e3, "mm": 1e6, "millimeter": 1e6, "cm": 1e7, "inch": 2.54e7,
    "å": 0.1, "pm": 1e-3, "m": 1e9,
}  # fmt: skip
"""Nanometres per unit; names in lower case."""

_SIZE = re.compile(r'PhysicalSize([XYZ])="([0-9.eE+-]+)"')
_SIZE_UNIT = re.compile(r'PhysicalSize([XYZ])Unit="([^"]*)"')


@dataclass(frozen=True, slots=True)
class PixelSize:
    """The size of a pixel according to a file."""

    nm: tuple[float, ...]
    """Along x and y, and z if known."""
    by: str
    """Its source: `OME`, `ImageJ` or `resolution tags`."""

    def __str__(self) -> str:
        """Size and source, such as `650×650×5000 nm (OME)`."""
        return f"{'×'.join(f'{size:.6g}' for size in self.nm)} nm ({self.by})"

    def differs(self, nm: Sequence[float]) -> bool:
        """Return whether another size differs by more than rounding."""
        return any(
            abs(own - other) > TOLERANCE * other for own, other in zip(self.nm, nm, strict=False)
        )


def pixel_size(source: ByteSource) -> PixelSize | None:
    """Return the pixel size in a file's metadata; None if unknown."""
    try:
        if kind_of(source) != "tiff":
            return None
        page = t.directory_at(source, 0)
        text = page.raw(DESCRIPTION).decode(errors="replace")
        return _of_ome(text) or _of_tags(page, text)
    except (SliceError, ValueError, struct.error):
        return None


def _of_ome(text: str) -> PixelSize | None:
    """Read OME-XML; sizes without a unit are in µm."""
    units = dict(_SIZE_UNIT.findall(text))
    sizes = {
        axis: float(size) * NM[units.get(axis, "µm").lower()]
        for axis, size in _SIZE.findall(text)
        if units.get(axis, "µm").lower() in NM
    }
    if "X" not in sizes or "Y" not in sizes:
        return None
    return PixelSize(tuple(sizes[a] for a in "XYZ" if a in sizes), "OME")


def _of_tags(page: t.Directory, text: str) -> PixelSize | None:
    """Read the resolution tags, in ImageJ's unit if it gives one."""
    named = re.search(r"^unit=(.+)$", text, re.MULTILINE)
    unit = {2: "inch", 3: "cm"}.get(page.value(UNIT, 2), "")
    by = "resolution tags"
    if named and text.startswith("ImageJ"):
        unit, by = named[1].strip().lower(), "ImageJ"
    dots = [_rational(page, tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    if unit not in NM or not all(dots):
        return None
    sizes = [NM[unit] / d for d in dots]
    if by == "ImageJ" and (deep := re.search(r"^spacing=([0-9.eE+-]+)", text, re.MULTILINE)):
        sizes.append(float(deep[1]) * NM[unit])
    elif sizes[0] > LARGEST_NM:
        return None
    return PixelSize(tuple(sizes), by)


def _rational(page: t.Directory, tag: int) -> float:
    """Return the rational number of a tag; 0 without one."""
    entry = page.entries.get(tag)
    if entry is None or entry.kind != RATIONAL or entry.count != 1:
        return 0.0
    data = entry.inline
    if len(data) < 8:
        (place,) = page.file.unpack("I", data)
        data = page.file.read_at(place, 8)
    above, below = page.file.unpack("II", data[:8])
    return above / below if below else 0.0
