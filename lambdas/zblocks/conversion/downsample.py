"""Downsamples voxels (z, y, x, c) by 2: means of images, rounded half to even, and modes of labels.

A mean of floats is over the finite ones; it is NaN where there are none.

Rounding half to even keeps the brightness of all scales the same; truncation would make each scale
darker by up to half a grey level.

A coarse voxel at the edge of the volume covers fewer fine voxels. Counting each of them twice along
the short axis doesn't change their mean and makes every count a power of two, so that division is
a shift.

Means are computed in tiles that fit in a core's L2 cache, in buffers that are reused: new ones
would cost more in page faults than the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Span, Vec, Voxels, is_covered

Downsample = Callable[[Voxels, Vec, Vec, Voxels], None]
"""Takes fine voxels, their start in the scale, the step, and the array for coarse voxels."""

_SUM: dict[np.dtype[Any], np.dtype[np.unsignedinteger[Any]]] = {
    np.dtype(np.uint8): np.dtype("<u2"),
    np.dtype(np.uint16): np.dtype("<u4"),
}
"""Types that can hold the sum of eight voxels."""

_TILE_BYTES = 1 << 18  # bytes of fine voxels per tile


def pool_mean(voxels: Voxels, start: Vec, step: Vec, out: Voxels) -> None:
    """Write the means of fine voxels, both (z, y, x, c), into `out`; uint8 and uint16 are fast.

    `start`, xyz, is where `voxels` begin in the fine scale (its parity determines pairs), `step` 1
    or 2 fine voxels per coarse voxel. `out` has ceil(stop / step) - floor(start / step) per axis.
    """
    if voxels.dtype not in _SUM:
        _pool_plainly(voxels, start, step, out)
        return
    depth, rows = out.shape[:2]
    row_bytes = voxels.shape[2] * voxels.shape[3] * voxels.itemsize * step.y * step.z or 1
    tile = max(1, _TILE_BYTES // row_bytes)
    buffers = _Buffers(voxels, step, min(tile, rows), out.shape[2])
    for z in range(depth):
        planes = _fine(z, z + 1, start.z, step.z, voxels.shape[0])
        for y in range(0, rows, tile):
            y1 = min(y + tile, rows)
            covered = _fine(y, y1, start.y, step.y, voxels.shape[1])
            origin = start._replace(y=start.y + covered.start)
            _pool_tile(voxels[planes, covered], origin, step, out[z, y:y1], buffers)


def pool_mode(voxels: Voxels, start: Vec, step: Vec, out: Voxels, *, sparse: bool) -> None:
    """Write the most frequent labels of fine voxels into `out`; arguments as of `pool_mean`.

    Of equally frequent labels the smallest is taken, whatever the order of the voxels; if `sparse`,
    0 only where there is no other.
    """
    for z in range(out.shape[0]):
        planes = _fine(z, z + 1, start.z, step.z, voxels.shape[0])
        samples, there = _samples(voxels[planes], start, step, out.shape[1:])
        if sparse:
            there &= samples != 0
        best, most = np.zeros(out.shape[1:], out.dtype), np.zeros(out.shape[1:], np.uint8)
        for candidate, counts in zip(samples, there, strict=True):
            votes = ((samples == candidate) & there).sum(axis=0, dtype=np.uint8) * counts
            wins = (votes > most) | ((votes == most) & (votes > 0) & (candidate < best))
            np.copyto(best, candidate, where=wins)
            np.maximum(most, votes, out=most)
        out[z] = best


def downsampler(layer: str, *, sparse: bool) -> Downsample:
    """Return `pool_mean` for images, or `pool_mode` for labels."""
    return pool_mean if layer == "image" else partial(pool_mode, sparse=sparse)


@dataclass(frozen=True, slots=True)
class DownsamplePresent:
    """Downsamples only planes with data; if all lack data, all of them."""

    downsample: Downsample
    absent: Sequence[Span]  # z ranges [z0, z1) of fine planes without data, ascending and disjoint

    def __call__(self, voxels: Voxels, start: Vec, step: Vec, out: Voxels) -> None:
        """Write coarse voxels into `out`; the arguments are those of `pool_mean`."""
        there = [
            not is_covered(self.absent, z, z + 1) for z in range(start.z, start.z + len(voxels))
        ]
        if all(there):
            self.downsample(voxels, start, step, out)
            return
        for z in range(len(out)):
            fine = _fine(z, z + 1, start.z, step.z, len(voxels))
            both = range(fine.start, fine.stop)
            # A single plane is downsampled as at the edge of the volume.
            used = [p for p in both if there[p]] or both
            part = voxels[used[0] : used[-1] + 1]
            self.downsample(part, start._replace(z=start.z + used[0]), step, out[z : z + 1])


def _samples(
    part: Voxels, start: Vec, step: Vec, shape: tuple[int, ...]
) -> tuple[Voxels, npt.NDArray[np.bool_]]:
    """Return the fine voxels of each coarse voxel, (sample, y, x, c), and which of them exist."""
    y, x = start.y % step.y, start.x % step.x
    room = (len(part), shape[0] * step.y, shape[1] * step.x, shape[2])
    padded, exists = np.zeros(room, part.dtype), np.zeros(room, np.bool_)
    inside = slice(None), slice(y, y + part.shape[1]), slice(x, x + part.shape[2])
    padded[inside], exists[inside] = part, True
    corners = [
        (z, slice(dy, None, step.y), slice(dx, None, step.x))
        for z, dy, dx in product(range(len(part)), range(step.y), range(step.x))
    ]
    return np.stack([padded[c] for c in corners]), np.stack([exists[c] for c in corners])


@np.errstate(invalid="ignore")
def _pool_plainly(voxels: Voxels, start: Vec, step: Vec, out: Voxels) -> None:
    """Write means of any type; those of integers rounded half to even."""
    whole = np.issubdtype(out.dtype, np.integer)
    for z in range(out.shape[0]):
        planes = _fine(z, z + 1, start.z, step.z, voxels.shape[0])
        samples, there = _samples(voxels[planes], start, step, out.shape[1:])
        means = samples.sum(axis=0, dtype=np.float64) / there.sum(axis=0)
        if not whole and not np.isfinite(means).all():
            there &= np.isfinite(samples)
            samples[~there] = 0
            means = samples.sum(axis=0, dtype=np.float64) / there.sum(axis=0)
        out[z] = np.rint(means) if whole else means


def _fine(a: int, b: int, start: int, step: int, size: int) -> slice:
    """Return the fine indices that the coarse indices [a, b) cover."""
    shift = start % step
    return slice(max(a * step - shift, 0), min(b * step - shift, size))


class _Buffers:
    """The arrays for a tile of `rows` coarse rows of `width` voxels."""

    def __init__(self, voxels: Voxels, step: Vec, rows: int, width: int) -> None:
        wide, channels = _SUM[voxels.dtype], voxels.shape[3]
        fine_rows = rows * step.y
        self.even = np.empty((step.z, fine_rows, width * step.x, channels), voxels.dtype)
        self.along_x = np.empty((step.z, fine_rows, width, channels), wide)
        self.high = np.empty((step.z, fine_rows, width, channels), wide)
        self.along_y = np.empty((step.z, rows, width, channels), wide)
        self.plane = np.empty((rows, width, channels), wide)
        self.odd = np.empty((rows, width, channels), wide)


def _pool_tile(part: Voxels, start: Vec, step: Vec, out: Voxels, buffers: _Buffers) -> None:
    """Downsample the one or two planes of `part` to the plane `out` (y, x, c)."""
    planes, rows = len(part), len(out)
    part = _paired(part, start, step, buffers.even[:planes, : rows * step.y])
    total = buffers.along_x[:planes, : rows * step.y]
    if step.x == 2:
        _add_along_x(part, total, buffers.high[:planes, : rows * step.y])
    else:
        total[...] = part
    if step.y == 2:
        sums = buffers.along_y[:planes, :rows]
        total = np.add(total[:, ::2], total[:, 1::2], out=sums)
    plane = buffers.plane[:rows]
    if step.z == 2:
        np.add(total[0], total[-1], out=plane)
    else:
        plane[...] = total[0]
    _divide(plane, (step.x * step.y * step.z).bit_length() - 1, buffers.odd[:rows], out)


def _paired(part: Voxels, start: Vec, step: Vec, room: Voxels) -> Voxels:
    """Return `part` with a partner for every voxel in x and y; at an edge, the voxel itself."""
    if part.shape == room.shape and part[0].flags.c_contiguous:
        return part
    y, x = start.y % step.y, start.x % step.x
    rows, width = part.shape[1:3]
    room[:, y : y + rows, x : x + width] = part
    if x:
        room[:, :, 0] = room[:, :, 1]
    if x + width < room.shape[2]:
        room[:, :, -1] = room[:, :, -2]
    if y:
        room[:, 0] = room[:, 1]
    if y + rows < room.shape[1]:
        room[:, -1] = room[:, -2]
    return room


def _divide(plane: Voxels, shift: int, odd: Voxels, out: Voxels) -> None:
    """Write plane / 2^shift, rounded half to even, into `out`."""
    if not shift:
        out[...] = plane
        return
    np.right_shift(plane, shift, out=odd)
    odd &= 1
    plane += odd
    plane += (1 << (shift - 1)) - 1
    np.right_shift(plane, shift, out=out, casting="unsafe")


def _add_along_x(part: Voxels, out: Voxels, high: Voxels) -> None:
    """Add pairs of x neighbours in the wider type.

    With one channel, two neighbours are read as the low and high half of one wider integer. Three
    passes over half as many items are several times faster than adding strided halves.
    """
    if part.shape[3] > 1:
        np.add(part[:, :, ::2], part[:, :, 1::2], out=out, dtype=out.dtype)
        return
    bits = part.itemsize * 8
    both = part[..., 0].view(out.dtype)
    np.right_shift(both, bits, out=high[..., 0])
    np.bitwise_and(both, (1 << bits) - 1, out=out[..., 0])
    out += high
