"""Voxels become small pictures: JPEG inside `data:` addresses, so that the page asks for nothing.

Planes are (rows, columns, c) arrays of a volume's type; grey ones are shown between the same two
values as in the viewer. Labels get colours from a hash, and 0 is black.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Voxels

Pixels = npt.NDArray[np.uint8]
"""Grey (rows, columns, 1) or RGB (rows, columns, 3)."""

QUALITIES = (82, 65, 45, 25)
"""Of JPEG, the best first; the next one where pictures would take too many bytes."""

HATCH = ((128, 92, 40), (70, 52, 26))
"""RGB of the stripes where nothing was made."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplying with it spreads labels that are near (Knuth)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG, and how large it is to be shown."""

    address: str
    """`data:` url."""
    width: int
    """CSS pixels."""
    height: int


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of the contact sheet."""

    z0: int
    z1: int
    """The scale 0 slices [z0, z1) that it stands for."""
    picture: Picture | None
    """None where nothing was made."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane through the middle."""

    axes: str
    """`xy`, `xz` or `yz`; the first one goes to the right."""
    at: str
    """Where it is, in scale 0 voxels."""
    scale: str
    """Key of the scale that it was made from."""
    picture: Picture


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures, and why some are missing."""

    thumbs: tuple[Thumb, ...] = ()
    of: int = 0
    """Slices of the scale that the contact sheet was made from."""
    scale: str = ""
    """Key of that scale."""
    planes: tuple[Plane, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Display:
    """How voxels become pixels."""

    layer: str
    """`image` or `segmentation`."""
    low: float
    high: float
    """The values shown black and white."""


def shrink(plane: Voxels, layer: str, width: int, height: int) -> Voxels:
    """Return a plane (rows, columns, c) at most so wide and high: means, of labels samples."""
    steps = -(-plane.shape[0] // height), -(-plane.shape[1] // width)
    if steps == (1, 1):
        return plane
    rows, columns = (np.arange(0, n, s) for n, s in zip(plane.shape[:2], steps, strict=True))
    if layer != "image":
        rows = np.minimum(rows + steps[0] // 2, plane.shape[0] - 1)
        columns = np.minimum(columns + steps[1] // 2, plane.shape[1] - 1)
        return plane[np.ix_(rows, columns)]
    sums = np.add.reduceat(plane, rows, axis=0, dtype=np.float64)
    sums = np.add.reduceat(sums, columns, axis=1)
    counts = np.outer(np.diff(rows, append=plane.shape[0]), np.diff(columns, append=plane.shape[1]))
    means: Voxels = sums / counts[..., np.newaxis]
    return means


def paint(plane: Voxels, display: Display) -> Pixels:
    """Return the pixels of a plane (rows, columns, c)."""
    if display.layer != "image":
        return _colours(plane[..., 0])
    span = max(display.high - display.low, 1e-9)
    scaled = (np.nan_to_num(plane.astype(np.float64)) - display.low) * (255 / span)
    pixels: Pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels


def _colours(labels: Voxels) -> Pixels:
    """Return a colour (rows, columns, 3) for each label, none of them dark but that of 0."""
    mixed = labels.astype(np.uint64) * _GOLDEN
    parts = [(mixed >> np.uint64(shift)) & np.uint64(0xFF) for shift in (56, 40, 24)]
    bright = np.stack(parts, axis=-1) * np.uint64(3) // np.uint64(4) + np.uint64(64)
    pixels: Pixels = np.where(labels[..., np.newaxis] == 0, 0, bright).astype(np.uint8)
    return pixels


def hatch(pixels: Pixels, rows: npt.NDArray[np.bool_]) -> Pixels:
    """Return RGB pixels with stripes over the rows where nothing was made."""
    if not rows.any():
        return pixels
    out = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
    y, x = np.indices(out.shape[:2])
    stripes = np.array(HATCH, np.uint8)[(x + y) // 4 % 2]
    out[rows] = stripes[rows]
    return out


def encode_all(pictures: Sequence[Pixels], limit: int) -> list[str]:
    """Return `data:` urls of all pictures, together at most `limit` characters if JPEG can.

    The last quality is taken even if it can't.
    """
    urls: list[str] = []
    for quality in QUALITIES:
        urls = [_encode(p, quality) for p in pictures]
        if sum(map(len, urls)) <= limit:
            break
    return urls


def _encode(pixels: Pixels, quality: int) -> str:
    """Return a JPEG as a `data:` url."""
    import simplejpeg

    space = "GRAY" if pixels.shape[2] == 1 else "RGB"
    data = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorspace=space, colorsubsampling="444"
    )
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
