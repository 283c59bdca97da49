"""Means of neighbouring voxels, rounded half to even: numpy in, numpy out.

Half to even keeps the brightness of a volume the same over all scales; truncating makes each
scale darker by up to half a grey level. Arrays are (z, y, x, c), C order.

A coarse voxel at the edge of the volume covers fewer fine voxels. Counting each of those twice
along the short axis leaves their mean as it is and makes every count a power of two, so that the
division is a shift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Vec

Voxels = npt.NDArray[np.unsignedinteger[Any]]
"""Voxels (z, y, x, c), uint8 or uint16, C order."""

_SUM: dict[np.dtype[Any], np.dtype[np.unsignedinteger[Any]]] = {
    np.dtype(np.uint8): np.dtype("<u2"),
    np.dtype(np.uint16): np.dtype("<u4"),
}
"""A type that holds the sum of eight voxels."""

_TILE_BYTES = 1 << 18
"""Input bytes pooled at a time: small enough to stay in a core's L2 cache."""


def pool_mean(voxels: Voxels, start: Vec, step: Vec, out: Voxels) -> None:
    """Write the mean of every coarse voxel's fine voxels into `out`.

    Args:
        voxels: fine voxels (z, y, x, c), uint8 or uint16.
        start: global position of `voxels[0, 0, 0]`, xyz; its parity decides what pairs up.
        step: 1 or 2 fine voxels per coarse voxel, xyz.
        out: coarse voxels (z, y, x, c), ceil(stop / step) - floor(start / step) per axis.
    """
    depth, rows = out.shape[:2]
    row_bytes = voxels.strides[1] * step.y * step.z or 1
    tile = max(1, _TILE_BYTES // row_bytes)
    for z in range(depth):
        planes = _fine(z, z + 1, start.z, step.z, voxels.shape[0])
        for y in range(0, rows, tile):
            y1 = min(y + tile, rows)
            part = voxels[planes, _fine(y, y1, start.y, step.y, voxels.shape[1])]
            origin = Vec(start.x, start.y + y * step.y - (start.y % step.y if y else 0), start.z)
            _pool_tile(part, origin, step, out[z, y:y1])


def _fine(a: int, b: int, start: int, step: int, size: int) -> slice:
    """Return which fine indices the coarse indices [a, b) cover."""
    shift = start % step
    return slice(max(a * step - shift, 0), min(b * step - shift, size))


def _pool_tile(part: Voxels, start: Vec, step: Vec, out: Voxels) -> None:
    """Pool the one or two planes of `part` into the one plane `out` (y, x, c)."""
    total = _pairs_along_x(part, start.x) if step.x == 2 else part.astype(_SUM[part.dtype])
    if step.y == 2:
        total = _pairs(total, 1, start.y)
    plane = total[0] + total[-1] if step.z == 2 else total[0]
    shift = (step.x * step.y * step.z).bit_length() - 1
    if not shift:
        out[...] = plane
        return
    odd = plane >> shift
    odd &= 1
    plane += odd
    plane += (1 << (shift - 1)) - 1
    np.right_shift(plane, shift, out=out, casting="unsafe")


def _pairs(total: Voxels, axis: int, start: int) -> Voxels:
    """Add neighbours along an axis, paired on the global grid; a lone one counts twice."""
    rows = np.moveaxis(total, axis, 0)
    head, stop = start % 2, start + len(rows)
    inner = len(rows) - head - (stop % 2 if len(rows) > head else 0)
    sums = rows[head : head + inner : 2] + rows[head + 1 : head + inner : 2]
    lone_first = [rows[:1] * 2] if head else []
    lone_last = [rows[-1:] * 2] if stop % 2 and len(rows) > head else []
    if lone_first or lone_last:
        sums = np.concatenate([*lone_first, sums, *lone_last])
    return np.moveaxis(sums, 0, axis)


def _pairs_along_x(part: Voxels, start: int) -> Voxels:
    """Add x neighbours in the wider type.

    Two neighbours of one channel are the low and high half of one wider integer: two passes over
    half as many items, several times faster than adding strided halves.
    """
    wide = _SUM[part.dtype]
    width = part.shape[2]
    if part.shape[3] > 1 or start % 2 or width % 2 or width == 0:
        return _pairs(part.astype(wide), 2, start)
    bits = part.dtype.itemsize * 8
    both = part[..., 0].view(wide)
    total: Voxels = both & wide.type((1 << bits) - 1)
    total += both >> bits
    return total[..., None]
