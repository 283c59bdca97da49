"""What stands in a missing slice's place, and what of every scale that leaves without data.

1. `stand_ins` says which slices are read instead of a missing one.
2. A plane of a scale is absent where no slice below it holds data: all of its scale 0 slices are
   missing and are to be holes, or to be kept out of means. Absent planes come in runs.
3. In a volume with holes a chunk is due unless all of its planes are absent. So the holes of a
   scale are whole layers of chunks.

Pure: everything follows from the plan. Runs are half-open z ranges in voxels of one scale, global,
ascending and apart.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from zblocks.conversion.downsample import Pool, PoolPresent, pool_mean, pool_mode
from zblocks.geometry import Box, ceil_div
from zblocks.planning.plan import Plan, SliceRef, Volume
from zblocks.planning.pyramid import Scale

Run = tuple[int, int]


def stand_ins(how: str, z: int, present: Sequence[int]) -> tuple[int, ...]:
    """Return the z of the slices that are read in place of the missing slice at `z`.

    Args:
        how: as `Volume.missing` has it.
        z: of the missing slice.
        present: the z of all slices that there are, ascending; at least one.

    Returns:
        None for a fill or a hole; the nearest, of two that are as near the lower; for `interpolate`
        the next below and the next above, or the nearest at an end of the stack.
    """
    if how not in ("nearest", "interpolate"):
        return ()
    at = bisect_left(present, z)
    around = tuple(present[max(at - 1, 0) : at + 1])
    if how == "interpolate" and len(around) == 2:
        return around
    return (min(around, key=lambda other: (abs(other - z), other)),)


def with_stand_ins(slices: Sequence[SliceRef], how: str) -> tuple[SliceRef, ...]:
    """Return all slices, in z order, the missing ones with what is read in their place."""
    there = {s.z: s for s in slices if s.key is not None}
    present = list(there)

    def read(ref: SliceRef) -> SliceRef:
        return replace(ref, instead=tuple(there[z] for z in stand_ins(how, ref.z, present)))

    return tuple(s if s.z in there else read(s) for s in slices)


def describe_filled(plan: Plan) -> list[dict[str, Any]]:
    """Return an entry for every slice that isn't there: z, name, why, and how it was filled.

    `in_means` is there, and false, where coarser scales are made without it.
    """
    gone = {z for z, _, _ in plan.filled}
    box, volume = plan.box, plan.volume
    present = [z for z in range(box.start.z, box.stop.z) if z not in gone]
    left_out = {} if in_means(volume) else {"in_means": False}
    return [
        {"z": z, "name": name, "why": why, "how": _how(volume, z, present), **left_out}
        for z, name, why in plan.filled
    ]


def _how(volume: Volume, z: int, present: Sequence[int]) -> str:
    """Say what stands in a missing slice's place."""
    instead = stand_ins(volume.missing, z, present)
    if len(instead) == 2:
        return f"between z {instead[0]} and z {instead[1]}"
    if instead:
        return f"nearest z {instead[0]}"
    return "hole" if volume.missing == "hole" else f"fill {volume.fill}"


def in_means(volume: Volume) -> bool:
    """Tell whether missing slices count in the means of coarser scales."""
    return volume.missing_in_means and volume.missing != "hole"


def absent_runs(plan: Plan) -> tuple[Run, ...]:
    """Return the runs of scale 0 without data; none where missing slices count in means."""
    return () if in_means(plan.volume) else runs_of(z for z, _, _ in plan.filled)


def runs_of(places: Iterable[int]) -> tuple[Run, ...]:
    """Join whole numbers, in any order, into runs."""
    runs: list[Run] = []
    for z in sorted(set(places)):
        if runs and runs[-1][1] == z:
            runs[-1] = (runs[-1][0], z + 1)
        else:
            runs.append((z, z + 1))
    return tuple(runs)


def coarser_runs(runs: Iterable[Run], span: Run, factor: int) -> tuple[Run, ...]:
    """Return which planes of a coarser scale are absent.

    Args:
        runs: of scale 0.
        span: z range of scale 0.
        factor: its voxels per voxel of the coarser scale, along z.
    """
    found = []
    for a, b in runs:
        # A plane at an end of the volume lies above fewer slices.
        first = a // factor if a == span[0] else ceil_div(a, factor)
        last = ceil_div(b, factor) if b == span[1] else b // factor
        if first < last:
            found.append((first, last))
    return tuple(found)


def hole_runs(absent: Iterable[Run], box: Box, depth: int) -> tuple[Run, ...]:
    """Return the layers of chunks, `depth` planes each, that are absent as a whole.

    Args:
        absent: absent planes of the scale.
        box: the scale's voxels.
        depth: of a chunk.
    """
    start, stop = box.start.z, box.stop.z
    found = []
    for a, b in absent:
        first = start + ceil_div(a - start, depth) * depth
        last = stop if b == stop else start + (b - start) // depth * depth
        if first < last:
            found.append((first, last))
    return tuple(found)


def planned_holes(plan: Plan, scale: Scale) -> tuple[Run, ...]:
    """Return the layers of chunks of a scale that are left out because no slice is below them."""
    if plan.volume.missing != "hole":
        return ()
    return hole_runs(_absent_of(plan, scale), scale.box, scale.chunk.z)


def is_within(runs: Sequence[Run], z0: int, z1: int) -> bool:
    """Tell whether one of the runs holds all of [z0, z1), which isn't empty."""
    at = bisect_right(runs, (z0, z1)) - 1
    return any(a <= z0 and z1 <= b for a, b in runs[max(at, 0) : at + 2])


def _absent_of(plan: Plan, scale: Scale) -> tuple[Run, ...]:
    """Return the absent planes of a scale."""
    span = plan.box.start.z, plan.box.stop.z
    return coarser_runs(absent_runs(plan), span, scale.factor.z)


def pool_of(volume: Volume) -> Pool:
    """Return how a volume's coarser scales are made of data."""
    if volume.layer == "image":
        return pool_mean
    return partial(pool_mode, sparse=volume.sparse)


def pools_of(plan: Plan) -> Callable[[Scale], Pool]:
    """Return how the scale above any given one is made, absent planes kept out."""
    pool = pool_of(plan.volume)
    if not absent_runs(plan):
        return lambda _: pool
    return lambda finer: PoolPresent(pool, _absent_of(plan, finer))
