"""Warnings about a plan: what is allowed but is probably a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from zblocks.neuroglancer import EXACT_FLOAT, MAX_TEXTURE
from zblocks.planning.blocks import MANY_OBJECTS, NO_SHARDS
from zblocks.planning.plan import Plan

SMALLEST_NM = 1.0  # no microscope has finer voxels
LONGEST_NM = 2e9  # no sample is longer
FLATTEST = 100.0  # times their pixels: few sections are thicker
NAMED = 5  # missing slices


def find_warnings(plan: Plan) -> tuple[str, ...]:
    """Return what a user should check before a run, one line each."""
    return (
        *_of_resolution(plan),
        *_of_place(plan),
        *_of_chunks(plan),
        *_of_slices(plan),
        *plan.notes,
    )


def _of_resolution(plan: Plan) -> Iterator[str]:
    """Look for micrometres, for the size of the whole volume, and for mixed units."""
    resolution = plan.scales[0].resolution
    shown = "×".join(f"{r:g}" for r in resolution)
    extents = [n * r for n, r in zip(plan.box.shape, resolution, strict=True)]
    if min(resolution) < SMALLEST_NM:
        yield (
            f"voxel_resolution: {shown} nm is finer than any microscope; if these are "
            f"micrometres, write {', '.join(f'{r * 1000:g}' for r in resolution)}"
        )
    elif max(extents) > LONGEST_NM:
        yield (
            f"voxel_resolution: at {shown} nm a voxel the volume is {max(extents) / 1e9:,.3g} m "
            "long; give the size of one voxel, not of the volume"
        )
    elif max(resolution) > FLATTEST * min(resolution):
        yield (
            f"voxel_resolution: {shown} nm: one side is {max(resolution) / min(resolution):,.0f} "
            "times another; check the units of each"
        )


def _of_place(plan: Plan) -> Iterator[str]:
    box = plan.box
    far = max(abs(n) for n in (*box.start, *box.stop))
    if far > EXACT_FLOAT:
        yield (
            f"voxel_offset: the volume reaches voxel {far:,}; beyond {EXACT_FLOAT:,} a viewer "
            "can't tell neighbouring voxels apart"
        )
    factor = plan.scales[-1].factor
    if any(start % f for start, f in zip(box.start, factor, strict=True)):
        yield (
            f"voxel_offset: {list(box.start)} is not a multiple of the coarsest scale's factor "
            f"{list(factor)}, so the first voxels of coarse scales cover less than the others; "
            "this is correct, but only multiples look the same at every zoom"
        )


def _of_chunks(plan: Plan) -> Iterator[str]:
    chunks = sum(s.chunks for s in plan.scales)
    if plan.volume.format.compression == "br" and chunks > MANY_OBJECTS:
        yield f"compression: {chunks:,} objects, since {NO_SHARDS}"
    channels = plan.volume.format.channels
    for scale in plan.scales:
        longest = max(scale.chunk.x, scale.chunk.y, scale.chunk.z * channels)
        if longest > MAX_TEXTURE:
            yield (
                f"chunk_size: {list(scale.chunk)} with {channels} channels is {longest} long, but "
                f"viewers draw at most {MAX_TEXTURE}; give a shallower one"
            )
            return


def _of_slices(plan: Plan) -> Iterator[str]:
    if plan.filled:
        some = ", ".join(f"z {z} {name} ({why})" for z, name, why in plan.filled[:NAMED])
        more = f" and {len(plan.filled) - NAMED} more" if len(plan.filled) > NAMED else ""
        yield f"{len(plan.filled)} of {plan.box.shape.z} slices will be filled: {some}{more}"
