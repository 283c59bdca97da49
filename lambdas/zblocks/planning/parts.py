"""How a volume is cut into boxes along the chunk grids of its scales."""

from __future__ import annotations

from collections.abc import Sequence

from zblocks.geometry import Box, Vec, ceil_div
from zblocks.precomputed.scale import Scale


def part_box(scale: Scale, shape: Vec, part: Vec) -> Box:
    """Return the box, in a scale's voxels, of one of the parts into which the volume is cut.

    `shape` is a full part's, in scale 0 voxels; an axis of 0 isn't cut. `part` is its place
    among them, xyz, from 0. The box may be empty.
    """
    box = scale.box
    size = [n // f or whole for n, f, whole in zip(shape, scale.factor, box.shape, strict=True)]
    start = Vec(*(a + n * i for a, n, i in zip(box.start, size, part, strict=True)))
    stop = Vec(*(a + n for a, n in zip(start, size, strict=True)))
    return Box(Vec(*map(min, start, box.stop)), Vec(*map(min, stop, box.stop)))


def count_parts(scales: Sequence[Scale], shape: Vec) -> Vec:
    """Return how many parts of `shape`, as in `part_box`, cover all scales along each axis."""
    counts = [
        [ceil_div(whole, n // f) if n else 1 for n, f, whole in axes]
        for axes in (zip(shape, s.factor, s.box.shape, strict=True) for s in scales)
    ]
    return Vec(*map(max, zip(*counts, strict=True)))


def needed_boxes(scales: Sequence[Scale], owned: Sequence[Box]) -> list[Box]:
    """Return, per scale, the box to compute: what is owned and what the coarser scales need."""
    needed = list(owned)
    for k in range(len(scales) - 2, -1, -1):
        step = scales[k + 1].factor.over(scales[k].factor)
        if needed[k + 1].voxels:
            needed[k] = owned[k].hull(needed[k + 1].refine(step) & scales[k].box)
    return needed
