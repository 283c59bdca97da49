"""The part of the stack that the config asks for, and its orientation in the volume.

In this order: the z range of `region`, every n-th slice, the reversal of z; then, of each slice (on
its canvas), the x and y ranges of `region`, turned clockwise, then flipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from zblocks.config import Config
from zblocks.errors import InvalidConfig, SliceListError
from zblocks.geometry import Box, Vec
from zblocks.precomputed.scale import Resolution
from zblocks.slices.header import ByteSource
from zblocks.slices.order import Slot
from zblocks.slices.pixel_size import pixel_size
from zblocks.slices.transforms.region import Region


def chosen_slots(config: Config, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Return the slots that the config asks for, numbered from z 0.

    Raises:
        InvalidConfig: the z range reaches beyond the stack.
        SliceListError: all of them are missing.
    """
    z0, z1 = _range(config, "z", len(slots), "slices")
    chosen = slots[z0 : z1 : config.every]
    if not any(s.key for s in chosen):
        msg = (
            f"region: no slice is there from z {z0} to {z1 - 1} (every {config.every}); "
            "correct region, or the list of slices"
        )
        raise SliceListError(msg)
    ordered = chosen[::-1] if config.reverse_z else chosen
    return tuple(replace(s, z=z) for z, s in enumerate(ordered))


def choose_region(config: Config, size: tuple[int, int], count: int) -> Region | None:
    """Return the part of a stack that is kept, and its orientation; None: the whole stack as it is.

    `size` is the width and height of a slice, or of the canvas, in pixels; the stack has `count`
    slots.

    Raises:
        InvalidConfig: a range reaches beyond the stack.
    """
    x, y = (_range(config, n, most, "pixels") for n, most in zip("xy", size, strict=True))
    z = _range(config, "z", count, "slices")
    box = Box(Vec(x[0], y[0], z[0]), Vec(x[1], y[1], z[1]))
    region = Region(*size, box, config.every, config.reverse_z, config.turn, config.flip or "")
    return None if region == Region(*size, Box(Vec(0, 0, 0), Vec(*size, count))) else region


def _range(config: Config, axis: str, size: int, what: str) -> tuple[int, int]:
    wanted: tuple[int, int] | None = getattr(config.region, axis, None)
    if wanted is None:
        return 0, size
    if wanted[1] > size:
        place = "the stack" if axis == "z" else "a slice, or the canvas,"
        msg = (
            f"region: {axis} {list(wanted)} reaches beyond {place} of {size} {what}; "
            f"give an end of at most {size}"
        )
        raise InvalidConfig(msg)
    return wanted


def volume_resolution(config: Config) -> Resolution:
    """Return nm per voxel of the volume, xyz, from that of the slices (`voxel_resolution`)."""
    x, y, z = config.voxel_resolution
    return (y, x, z * config.every) if config.turn in (90, 270) else (x, y, z * config.every)


def resolution_notes(config: Config, first: ByteSource) -> Iterator[str]:
    """Warn of a `voxel_resolution` that isn't the one in the first slice's metadata."""
    said = None if config.page not in (None, 0, "all") else pixel_size(first)  # others are smaller
    if said and said.differs(config.voxel_resolution):
        own = "×".join(f"{size:.6g}" for size in config.voxel_resolution)
        yield (
            f"voxel_resolution: {own} nm, but {first.name} says {said}; a wrong resolution makes "
            "every length and position in the volume wrong, so check which is right"
        )


def region_notes(config: Config, region: Region | None) -> Iterator[str]:
    """Say which part of the stack is kept, and how it is turned."""
    if region is None:
        return
    start, stop = region.box.start, region.box.stop
    yield (
        f"region: x {start.x}–{stop.x}, y {start.y}–{stop.y} of {region.width}×{region.height} "
        f"pixels, z {start.z}–{stop.z} of the stack"
        + (f", one of every {region.every} slices" if region.every > 1 else "")
        + (", in reverse order" if region.reverse else "")
        + (f", turned by {region.turn}°" if region.turn else "")
        + (f", flipped in {region.flip}" if region.flip else "")
    )
    resolution = volume_resolution(config)
    if resolution != config.voxel_resolution:
        yield f"a voxel of the volume is {' × '.join(f'{r:g}' for r in resolution)} nm"
    if region.needs_whole_slice:
        yield (
            "slices that are turned, or flipped in y, can't be read in strips: blocks are small "
            "enough to hold them whole"
        )
