"""Missing slices: what is read in their place, and what of every scale they leave without data.

1. `substitutes_of` says which slices are read instead of a missing one.
2. A plane of a scale is absent where no slice below it holds data: all of its scale 0 slices are
   missing and are holes, or are kept out of means. Absent planes come in spans.
3. In a volume with holes a chunk is written unless all of its planes are absent. So the holes of a
   scale are whole layers of chunks.

Spans are half-open z ranges in voxels of one scale, global, ascending and disjoint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zblocks.geometry import Box, Span, ceil_div
from zblocks.planning.plan import MissingSlices, Plan
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef


@dataclass(frozen=True, slots=True)
class Hole:
    """Chunks that were left out: a box of one scale, in its voxels, xyz."""

    scale: str
    """Its key."""
    box: Box

    @property
    def entry(self) -> dict[str, str]:
        """How provenance and report name it."""
        return {"scale": self.scale, "box": self.box.name}


def substitutes_of(policy: str, z: int, present: Sequence[int]) -> tuple[int, ...]:
    """Return the z of the slices that are read in place of the missing slice at `z`.

    Args:
        policy: as `MissingSlices.policy`.
        z: of the missing slice.
        present: the z of all slices that there are, ascending; at least one.

    Returns:
        None for a fill or a hole; the nearest, of two that are as near the lower; for `interpolate`
        the next below and the next above, or the nearest at an end of the stack.
    """
    if policy not in ("nearest", "interpolate"):
        return ()
    at = bisect_left(present, z)
    around = tuple(present[max(at - 1, 0) : at + 1])
    if policy == "interpolate" and len(around) == 2:
        return around
    return (min(around, key=lambda other: (abs(other - z), other)),)


def with_substitutes(slices: Sequence[SliceRef], policy: str) -> tuple[SliceRef, ...]:
    """Return all slices, in z order, the missing ones with what is read in their place."""
    there = {s.z: s for s in slices if s.key is not None}
    present = list(there)

    def read(ref: SliceRef) -> SliceRef:
        instead = substitutes_of(policy, ref.z, present)
        return SliceRef(ref.z, None, substitutes=tuple(there[z] for z in instead))

    return tuple(s if s.z in there else read(s) for s in slices)


def describe_filled(plan: Plan) -> list[dict[str, Any]]:
    """Return an entry for every slice that isn't there: z, name, why, and how it was filled.

    `in_means` is there, and false, where coarser scales are made without it.
    """
    gone, box, missing = {f.z for f in plan.filled}, plan.box, plan.missing
    present = [z for z in range(box.start.z, box.stop.z) if z not in gone]
    left_out = {} if missing.counts else {"in_means": False}
    return [
        {**f._asdict(), "how": _describe(missing, f.z, present), **left_out} for f in plan.filled
    ]


def _describe(missing: MissingSlices, z: int, present: Sequence[int]) -> str:
    instead = substitutes_of(missing.policy, z, present)
    if len(instead) == 2:
        return f"between z {instead[0]} and z {instead[1]}"
    if instead:
        return f"nearest z {instead[0]}"
    return "hole" if missing.policy == "hole" else f"fill {missing.fill}"


def absent_spans(plan: Plan) -> tuple[Span, ...]:
    """Return the spans of scale 0 without data; none where missing slices count in means."""
    return () if plan.missing.counts else spans_of(f.z for f in plan.filled)


def spans_of(places: Iterable[int]) -> tuple[Span, ...]:
    """Join whole numbers, in any order, into spans."""
    spans: list[Span] = []
    for z in sorted(set(places)):
        if spans and spans[-1][1] == z:
            spans[-1] = (spans[-1][0], z + 1)
        else:
            spans.append((z, z + 1))
    return tuple(spans)


def coarser_spans(spans: Iterable[Span], span: Span, factor: int) -> tuple[Span, ...]:
    """Return which planes of a coarser scale are absent.

    Args:
        spans: of scale 0.
        span: z range of scale 0.
        factor: its voxels per voxel of the coarser scale, along z.
    """
    found = []
    for a, b in spans:
        # A plane at an end of the volume lies above fewer slices.
        first = a // factor if a == span[0] else ceil_div(a, factor)
        last = ceil_div(b, factor) if b == span[1] else b // factor
        if first < last:
            found.append((first, last))
    return tuple(found)


def hole_spans(absent: Iterable[Span], box: Box, depth: int) -> tuple[Span, ...]:
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


def planned_holes(plan: Plan, scale: Scale) -> tuple[Span, ...]:
    """Return the layers of chunks of a scale that are left out because no slice is below them."""
    if plan.missing.policy != "hole":
        return ()
    return hole_spans(absent_planes(plan, scale), scale.box, scale.chunk.z)


def missing_holes(plan: Plan) -> tuple[Hole, ...]:
    """Return the same for all scales, as holes."""
    return tuple(
        Hole(s.key, s.box.with_z(z0, z1)) for s in plan.scales for z0, z1 in planned_holes(plan, s)
    )


def absent_planes(plan: Plan, scale: Scale) -> tuple[Span, ...]:
    """Return the planes of a scale without data."""
    span = plan.box.start.z, plan.box.stop.z
    return coarser_spans(absent_spans(plan), span, scale.factor.z)
