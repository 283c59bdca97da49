"""Makes small JPEG pictures of voxels, as `data:` URLs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Voxels
from zblocks.neuroglancer import Ranges, in_colours
from zblocks.precomputed.encoding import encode_jpeg

Pixels = npt.NDArray[np.uint8]  # grey (rows, columns, 1) or RGB (rows, columns, 3)
QUALITIES = (82, 65, 45, 25)
"""JPEG qualities to try, the best first, until the pictures are small enough."""

HATCH = ((128, 92, 40), (70, 52, 26))  # RGB colours of the stripes where nothing was made

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, the multiplier of Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG and the size to show it at."""

    address: str  # `data:` URL
    width: int  # CSS pixels
    height: int


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of the contact sheet."""

    z0: int
    z1: int  # the scale 0 slices [z0, z1) that it represents
    picture: Picture | None  # None where nothing was made


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane through the middle of a volume."""

    axes: str  # `xy`, `xz` or `yz`; the first axis points right
    at: str  # its position in scale 0 voxels, such as `z 120`
    scale: str  # key of the scale that it was made from
    picture: Picture


@dataclass(frozen=True, slots=True)
class Pictures:
    """All pictures of a report."""

    thumbs: tuple[Thumb, ...] = ()
    of: int = 0  # number of slices of the contact sheet's scale
    scale: str = ""  # key of that scale
    planes: tuple[Plane, ...] = ()
    problems: tuple[str, ...] = ()  # why pictures are missing


@dataclass(frozen=True, slots=True)
class Display:
    """How to convert voxels to pixels."""

    layer: str  # `image` or `segmentation`
    ranges: Ranges


def shrink(plane: Voxels, layer: str, width: int, height: int) -> Voxels:
    """Return a plane (rows, columns, c) reduced to fit: by means, or for labels by sampling."""
    steps = -(-plane.shape[0] // height), -(-plane.shape[1] // width)
    if steps == (1, 1):
        return plane
    rows, columns = (np.arange(0, n, s) for n, s in zip(plane.shape[:2], steps, strict=True))
    if layer != "image":
        rows = np.minimum(rows + steps[0] // 2, plane.shape[0] - 1)
        columns = np.minimum(columns + steps[1] // 2, plane.shape[1] - 1)
        return plane[np.ix_(rows, columns)]

    def sums(values: Voxels) -> Voxels:
        along = np.add.reduceat(values, rows, axis=0, dtype=np.float64)
        return np.asarray(np.add.reduceat(along, columns, axis=1))

    sizes = (np.diff(at, append=n) for at, n in zip((rows, columns), plane.shape[:2], strict=True))
    counts: Voxels = np.outer(*sizes)[..., np.newaxis]
    if plane.dtype.kind == "f":
        finite = np.isfinite(plane)
        plane, counts = np.where(finite, plane, 0), sums(finite)
    with np.errstate(invalid="ignore"):
        return sums(plane) / counts


def paint(plane: Voxels, display: Display) -> Pixels:
    """Return the pixels of a plane (rows, columns, c); labels get hashed colours, 0 is black."""
    if display.layer != "image":
        return _colours(plane[..., 0])
    if len(display.ranges) == 1 and display.ranges[0]:
        grey = plane.shape[2] not in (3, 4)  # of many channels the first is shown
        light = _light(plane[..., : 1 if grey else 3], display.ranges[0])
    else:
        shown = in_colours(display.ranges)
        parts = [_light(plane[..., n : n + 1], r) * colour for n, r, colour in shown]
        light = np.clip(sum(parts), 0, 1)
    pixels: Pixels = np.rint(light * 255).astype(np.uint8)
    return pixels


def _light(values: Voxels, shown: tuple[float, float]) -> Voxels:
    """Return values as parts of a range, 0 to 1; NaN is 0."""
    low, high = shown
    values = np.where(np.isnan(values), low, values).astype(np.float64)
    return np.clip((values - low) / (high - low or 1), 0, 1)


def _colours(labels: Voxels) -> Pixels:
    mixed = labels.astype(np.uint64) * _GOLDEN
    parts = [(mixed >> np.uint64(shift)) & np.uint64(0xFF) for shift in (56, 40, 24)]
    bright = np.stack(parts, axis=-1) * np.uint64(3) // np.uint64(4) + np.uint64(64)
    pixels: Pixels = np.where(labels[..., np.newaxis] == 0, 0, bright).astype(np.uint8)
    return pixels


def hatch(pixels: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    """Return pixels with stripes where a mask (rows, columns) is true, as RGB if that is so."""
    if not mask.any():
        return pixels
    out = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
    y, x = np.indices(out.shape[:2])
    stripes = np.array(HATCH, np.uint8)[(x + y) // 4 % 2]
    out[mask] = stripes[mask]
    return out


def encode_all(pictures: Sequence[Pixels], limit: int) -> list[str]:
    """Return `data:` URLs of all pictures, at the best quality within `limit` characters in all.

    The lowest quality is used even if it exceeds the limit.
    """
    urls: list[str] = []
    for quality in QUALITIES:
        data = (encode_jpeg(np.ascontiguousarray(p), quality) for p in pictures)
        urls = ["data:image/jpeg;base64," + base64.b64encode(d).decode() for d in data]
        if sum(map(len, urls)) <= limit:
            break
    return urls
