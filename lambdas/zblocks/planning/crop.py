"""The part of the stack that the config asks for, and how it lies in the volume.

In this order: the z range of `region`, every n-th slice, the last first; of each slice (on its
canvas) the x and y ranges of `region`, turned clockwise, then flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from zblocks.errors import InvalidConfig, SliceListError
from zblocks.geometry import Box, Vec
from zblocks.slices.order import Slot
from zblocks.slices.transforms.region import Region

if TYPE_CHECKING:
    from zblocks.config import Config
    from zblocks.precomputed.scale import Resolution


def chosen_slots(config: Config, slots: Sequence[Slot]) -> tuple[Slot, ...]:
    """Return the chosen slots, numbered anew from z 0.

    Raises:
        InvalidConfig: the z range reaches beyond the stack.
        SliceListError: there is no slice at any of them.
    """
    z0, z1 = _span(config, "z", len(slots), "slices")
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
    """Return what is kept of a stack and how it lies; None for all of it, as it is.

    Args:
        config: what the user asks for.
        size: width and height of slice or canvas, pixels.
        count: slots of the stack.

    Raises:
        InvalidConfig: a range reaches beyond the stack.
    """
    x, y = (_span(config, n, most, "pixels") for n, most in zip("xy", size, strict=True))
    z = _span(config, "z", count, "slices")
    box = Box(Vec(x[0], y[0], z[0]), Vec(x[1], y[1], z[1]))
    region = Region(*size, box, config.every, config.reverse_z, config.turn, config.flip or "")
    plain = Region(*size, Box(Vec(0, 0, 0), Vec(*size, count)))
    return None if region == plain else region


def _span(config: Config, axis: str, size: int, what: str) -> tuple[int, int]:
    """Return the wanted range of an axis."""
    span: tuple[int, int] | None = getattr(config.region, axis, None)
    if span is None:
        return 0, size
    if span[1] > size:
        place = "the stack" if axis == "z" else "a slice, or the canvas,"
        msg = (
            f"region: {axis} {list(span)} reaches beyond {place} of {size} {what}; "
            f"give an end up to {size}"
        )
        raise InvalidConfig(msg)
    return span


def volume_resolution(config: Config) -> Resolution:
    """Return nm per voxel of the volume, xyz: `voxel_resolution` is that of the slices."""
    x, y, z = config.voxel_resolution
    return (y, x, z * config.every) if config.turn in (90, 270) else (x, y, z * config.every)


def region_notes(config: Config, region: Region | None) -> list[str]:
    """Say what was made of the stack."""
    if region is None:
        return []
    start, stop = region.box.start, region.box.stop
    notes = [
        f"region: x {start.x}–{stop.x}, y {start.y}–{stop.y} of {region.width}×{region.height} "
        f"pixels, z {start.z}–{stop.z} of the stack"
        + (f", every {region.every}. slice" if region.every > 1 else "")
        + (", the last first" if region.reverse else "")
        + (f", turned by {region.turn}°" if region.turn else "")
        + (f", flipped in {region.flip}" if region.flip else "")
    ]
    resolution = volume_resolution(config)
    if resolution != config.voxel_resolution:
        shown = " × ".join(f"{r:g}" for r in resolution)
        notes.append(f"a voxel of the volume is {shown} nm")
    if region.needs_whole_slice:
        notes.append(
            "turned slices, and those flipped in y, can't be read in strips: blocks are made small "
            "enough to hold them whole"
        )
    return notes
