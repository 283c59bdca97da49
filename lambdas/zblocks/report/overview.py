"""Makes the report's pictures from the stored scales of a volume.

1. `SHEET_BYTES`, `PLANE_BYTES` and `CHUNKS` limit what is read, so that terabytes take seconds.
   Planes use the finest scale within the limits.
2. The contact sheet uses a scale with as many slices as the limits allow, and of those the
   coarsest that is large enough. It shows all of its slices, or `THUMBS` of them, evenly spaced.
3. Where nothing was made (blocks that failed), nothing is read, and the pictures show the gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from zblocks.compression import MissingDecoderError
from zblocks.conversion.bands import StoredScale
from zblocks.geometry import Box, Voxels, ceil_div
from zblocks.planning.plan import Plan
from zblocks.precomputed.scale import Scale
from zblocks.report.partial_volume import PartialVolume
from zblocks.report.pictures import (
    Picture,
    Pictures,
    Pixels,
    Plane,
    Thumb,
    encode_all,
    hatch,
    paint,
    shrink,
)

MIB = 1 << 20

SHEET_BYTES = (64 * MIB, 256 * MIB)
"""Limits of the bytes to read for the contact sheet: 1/512 of the volume, within these."""

PLANE_BYTES = (8 * MIB, 32 * MIB)
"""Limits of the bytes to read for each middle plane: 1/2048 of the volume, within these."""

CHUNKS = 2048  # most chunks to read for the contact sheet, and for the three middle planes together
THUMBS = 400  # most pictures in the contact sheet
THUMB_SIDE, PLANE_SIDE = 96, 640  # longest side of a picture, in pixels

SHEET_CHARACTERS, PLANE_CHARACTERS = 2_200_000, 800_000
"""Limits of all pictures together, in characters of `data:` URLs."""

READERS = 16  # chunks read at the same time


def make_pictures(seen: PartialVolume) -> Pictures:
    """Make all pictures.

    Raises IncompleteVolume: a chunk is missing; SliceError: a chunk is damaged; StorageError: the
    store failed after retries.
    """
    try:
        with ThreadPoolExecutor(READERS) as pool:
            planes, problems = _planes(seen, pool)
            sheet = _sheet(seen, pool)
    except MissingDecoderError as error:
        return Pictures(problems=(f"no decoder for {error} is installed here",))
    if sheet is None:
        problems.append("no stored scale is small enough for a contact sheet")
        return Pictures(planes=planes, problems=tuple(problems))
    return Pictures(*sheet, planes=planes, problems=tuple(problems))


def _read(seen: PartialVolume, scale: Scale, area: Box, pool: ThreadPoolExecutor) -> Voxels:
    """Return the voxels (z, y, x, c) of an area, with the fill value where nothing was made."""
    gone = seen.gone(scale)
    stored = StoredScale(seen.plan, seen.target, scale, allow_holes=bool(seen.undone))
    voxels = scale.empty(area, seen.plan.missing.fill)

    def fill(cell: Box) -> None:
        inside, z = cell & area, scale.box.start.z
        if not gone[cell.start.z - z : cell.stop.z - z].all():
            chunk = stored.read(cell)
            voxels[inside.slices(area.start)] = chunk[inside.slices(cell.start)]

    for _ in pool.map(fill, scale.box.cells(scale.chunk, within=scale.aligned(area))):
        pass
    return voxels


# The contact sheet


def _sheet(
    seen: PartialVolume, pool: ThreadPoolExecutor
) -> tuple[tuple[Thumb, ...], int, str] | None:
    """Return the pictures, and the number of slices and key of their scale; None if none fits."""
    scale = _sheet_scale(seen)
    if scale is None:
        return None
    box, gone, factor = scale.box, seen.gone(scale), scale.factor.z
    depth = box.shape.z
    chosen = sorted({round(z) for z in np.linspace(0, depth - 1, min(depth, THUMBS)).tolist()})
    size = _fit(scale, "xy", THUMB_SIDE)
    shown = [z for z in chosen if not gone[z]]
    planes = _shown_planes(seen, scale, shown, pool)
    pixels = [
        _painted(
            seen, p, seen.absent(scale, box.with_z(box.start.z + z, box.start.z + z + 1))[0], size
        )
        for z, p in zip(shown, planes, strict=True)
    ]
    urls = dict(zip(shown, encode_all(pixels, SHEET_CHARACTERS), strict=True))
    first, last = seen.plan.box.start.z, seen.plan.box.stop.z
    thumbs = tuple(
        Thumb(
            max((z + box.start.z) * factor, first),
            min((z + box.start.z + 1) * factor, last),
            Picture(urls[z], *size) if z in urls else None,
        )
        for z in chosen
    )
    return thumbs, depth, scale.key


def _sheet_scale(seen: PartialVolume) -> Scale | None:
    """Return the coarsest scale of sufficient width among those with the most slices."""
    plan = seen.plan
    limit = _share(plan, 512, SHEET_BYTES), CHUNKS
    fits = [s for s in plan.scales if _affordable(seen, s, s.box, limit)]
    fits = [s for s in fits if not seen.gone(s).all()]
    finest = min((s.factor.z for s in fits), default=1)
    fits = [s for s in fits if s.factor.z == finest]
    large = [s for s in fits if max(s.box.shape.x, s.box.shape.y) >= THUMB_SIDE]
    return large[-1] if large else next(iter(fits), None)


def _share(plan: Plan, part: int, within: tuple[int, int]) -> int:
    """Return 1/`part` of the bytes of all scale 0 voxels, within limits."""
    least, most = within
    whole = plan.box.voxels * plan.volume.format.voxel_bytes
    return min(max(whole // part, least), most)


def _affordable(seen: PartialVolume, scale: Scale, area: Box, limit: tuple[int, int]) -> bool:
    return all(a <= b for a, b in zip(seen.cost(scale, area), limit, strict=True))


def _shown_planes(
    seen: PartialVolume, scale: Scale, shown: Sequence[int], pool: ThreadPoolExecutor
) -> Iterator[Voxels]:
    """Yield the slices (y, x, c) to show, read one layer of chunks at a time."""
    box, deep = scale.box, scale.chunk.z
    for layer in range(0, box.shape.z, deep):
        wanted = [z for z in shown if layer <= z < layer + deep]
        if wanted:
            z0, z1 = box.start.z + wanted[0], box.start.z + wanted[-1] + 1
            voxels = _read(seen, scale, box.with_z(z0, z1), pool)
            yield from (voxels[z - wanted[0]] for z in wanted)


def _fit(scale: Scale, axes: str, side: int) -> tuple[int, int]:
    """Return the width and height, in CSS pixels, of a plane with a longest side of `side`."""
    extents = [getattr(scale.box.shape, a) * scale.resolution["xyz".index(a)] for a in axes]
    width, height = (max(round(side * e / max(extents)), side // 12) for e in extents)
    return width, height


# Planes through the middle


def _planes(seen: PartialVolume, pool: ThreadPoolExecutor) -> tuple[tuple[Plane, ...], list[str]]:
    """Return the three planes, and the reasons for those that can't be made."""
    made: list[tuple[str, str, Scale, Pixels]] = []
    problems = []
    for axes in ("xy", "xz", "yz"):
        scale = _plane_scale(seen, axes)
        if scale is None:
            problems.append(f"no stored scale is small enough for the {axes} plane")
        else:
            at, pixels = _plane(seen, scale, axes, pool)
            made.append((axes, at, scale, pixels))
    urls = encode_all([pixels for *_, pixels in made], PLANE_CHARACTERS)
    return tuple(
        Plane(axes, at, scale.key, Picture(url, *_fit(scale, axes, PLANE_SIDE)))
        for (axes, at, scale, _), url in zip(made, urls, strict=True)
    ), problems


def _plane_scale(seen: PartialVolume, axes: str) -> Scale | None:
    limit = _share(seen.plan, 2048, PLANE_BYTES), CHUNKS // 3
    return next(
        (
            s
            for s in seen.plan.scales
            if not seen.gone(s).all() and _affordable(seen, s, _through(seen, s, axes), limit)
        ),
        None,
    )


def _through(seen: PartialVolume, scale: Scale, axes: str) -> Box:
    """Return the box of a middle plane, one voxel thick."""
    axis = next(a for a in "xyz" if a not in axes)
    box = scale.box
    middle = (getattr(box.start, axis) + getattr(box.stop, axis)) // 2
    if axis == "z":
        middle = _middle_slice(seen, scale)
    return Box(box.start._replace(**{axis: middle}), box.stop._replace(**{axis: middle + 1}))


def _middle_slice(seen: PartialVolume, scale: Scale) -> int:
    """Return the z nearest to the middle, in voxels of the scale, of a made, unfilled slice."""
    first, factor = scale.box.start.z, scale.factor.z
    bad = seen.gone(scale).copy()
    for z in range(len(bad)) if seen.filled else ():
        covered = range((z + first) * factor, (z + first + 1) * factor)
        bad[z] |= any(c in seen.filled for c in covered)
    places = np.flatnonzero(~bad if not bad.all() else ~seen.gone(scale))
    return first + int(places[np.abs(places - len(bad) // 2).argmin()])


def _plane(
    seen: PartialVolume, scale: Scale, axes: str, pool: ThreadPoolExecutor
) -> tuple[str, Pixels]:
    box = _through(seen, scale, axes)
    voxels, absent = _read(seen, scale, box, pool), seen.absent(scale, box)
    axis = next(a for a in "xyz" if a not in axes)
    through = "zyx".index(axis)
    plane, gap = (np.asarray(each.take(0, through)) for each in (voxels, absent))
    pixels = _painted(seen, plane, gap, _fit(scale, axes, PLANE_SIDE))
    return f"{axis} {getattr(box.start, axis) * getattr(scale.factor, axis)}", pixels


def _painted(
    seen: PartialVolume, plane: Voxels, absent: npt.NDArray[np.bool_], size: tuple[int, int]
) -> Pixels:
    """Return a plane (rows, columns, c) of at most `size` pixels, striped where it is absent."""
    pixels = paint(shrink(plane, seen.plan.volume.layer, *size), seen.display)
    for axis in (0, 1):
        step = ceil_div(plane.shape[axis], pixels.shape[axis])
        starts = np.arange(0, plane.shape[axis], step)
        absent = np.logical_and.reduceat(absent, starts, axis=axis)
    return hatch(pixels, absent)
