"""Missing slices: what is read in their place, and which parts of every scale have no data.

1. `substitutes_of` says which slices are read in place of a missing one.
2. A plane of a scale is absent if all scale 0 slices below it are missing, and missing slices are
   holes or don't count in means.
3. In a volume with holes, a chunk is left out if all of its planes are absent. So the holes of a
   scale are whole layers of chunks.

Spans are half-open z ranges in voxels of one scale, global, ascending and disjoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from zblocks.geometry import Box, Span, ceil_div
from zblocks.planning.plan import MissingSlices, Plan
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef


@dataclass(frozen=True, slots=True)
class Hole:
    """Chunks that are left out."""

    scale: str  # key of the scale
    box: Box  # in its voxels

    @property
    def entry(self) -> dict[str, str]:
        """The hole in provenance and report."""
        return {"scale": self.scale, "box": self.box.name}


def substitutes_of(policy: str, z: int, present: Sequence[int]) -> tuple[int, ...]:
    """Return the z of the slices that are read in place of the missing slice at `z`.

    `present` are the z of all slices that aren't missing, ascending, at least one. The result is
    empty for `fill` and `hole`; for `nearest` one slice, the lower of two at the same distance; for
    `interpolate` the next below and the next above, or at an end of the stack the nearest.
    """
    if policy not in ("nearest", "interpolate"):
        return ()
    at = bisect_left(present, z)
    around = tuple(present[max(at - 1, 0) : at + 1])
    if policy == "interpolate" and len(around) == 2:
        return around
    return (min(around, key=lambda other: (abs(other - z), other)),)


def with_substitutes(slices: Sequence[SliceRef], policy: str) -> tuple[SliceRef, ...]:
    """Return the same slices, in z order, the missing ones with what is read in their place."""
    there = {s.z: s for s in slices if s.key is not None}
    zs = list(there)
    return tuple(
        there.get(s.z)
        or SliceRef(s.z, None, substitutes=tuple(there[z] for z in substitutes_of(policy, s.z, zs)))
        for s in slices
    )


def describe_filled(plan: Plan) -> list[dict[str, Any]]:
    """Return an entry for every missing slice: its z, its name, why, and how it was filled.

    `"in_means": false` is added if coarser scales are computed without it.
    """
    gone, box = {f.z for f in plan.filled}, plan.box
    present = [z for z in range(box.start.z, box.stop.z) if z not in gone]
    left_out = {} if plan.missing.counts else {"in_means": False}
    return [
        {**f._asdict(), "how": _how(plan.missing, f.z, present), **left_out} for f in plan.filled
    ]


def _how(missing: MissingSlices, z: int, present: Sequence[int]) -> str:
    instead = substitutes_of(missing.policy, z, present)
    if len(instead) == 2:
        return f"between z {instead[0]} and z {instead[1]}"
    if instead:
        return f"nearest z {instead[0]}"
    return "hole" if missing.policy == "hole" else f"fill {missing.fill}"


def absent_spans(plan: Plan) -> tuple[Span, ...]:
    """Return the absent planes of scale 0; none if missing slices count in means."""
    return () if plan.missing.counts else spans_of(f.z for f in plan.filled)


def spans_of(places: Iterable[int]) -> tuple[Span, ...]:
    """Join whole numbers, in any order, into spans."""
    numbered = enumerate(sorted(set(places)))
    runs = [[z for _, z in run] for _, run in groupby(numbered, lambda pair: pair[1] - pair[0])]
    return tuple((run[0], run[-1] + 1) for run in runs)


def coarser_spans(spans: Iterable[Span], span: Span, factor: int) -> tuple[Span, ...]:
    """Return the absent planes of a coarser scale from those of scale 0.

    `span` is the z range of scale 0, `factor` its voxels per coarser voxel along z.
    """
    found = []
    for a, b in spans:
        # A plane at an end of the volume may lie above fewer slices than the others.
        first = a // factor if a == span[0] else ceil_div(a, factor)
        last = ceil_div(b, factor) if b == span[1] else b // factor
        if first < last:
            found.append((first, last))
    return tuple(found)


def hole_spans(absent: Iterable[Span], box: Box, depth: int) -> tuple[Span, ...]:
    """Return the layers of chunks, each `depth` planes of the scale, that are wholly absent."""
    start, stop = box.start.z, box.stop.z
    found = []
    for a, b in absent:
        first = start + ceil_div(a - start, depth) * depth
        last = stop if b == stop else start + (b - start) // depth * depth
        if first < last:
            found.append((first, last))
    return tuple(found)


def absent_planes(plan: Plan, scale: Scale) -> tuple[Span, ...]:
    """Return the absent planes of a scale."""
    span = plan.box.start.z, plan.box.stop.z
    return coarser_spans(absent_spans(plan), span, scale.factor.z)


def planned_holes(plan: Plan, scale: Scale) -> tuple[Span, ...]:
    """Return the layers of chunks of a scale that are left out: all their slices are missing."""
    if plan.missing.policy != "hole":
        return ()
    return hole_spans(absent_planes(plan, scale), scale.box, scale.chunk.z)


def missing_holes(plan: Plan) -> tuple[Hole, ...]:
    """Return the planned holes of all scales."""
    return tuple(
        Hole(s.key, s.box.with_z(z0, z1)) for s in plan.scales for z0, z1 in planned_holes(plan, s)
    )
