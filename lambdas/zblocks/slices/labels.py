"""Labels stored as something else: in the colours of RGB, as floats, or as signed numbers.

Every number is kept, or the slice is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels

JOINED = {"rgb24": (16, 8, 0), "bgr24": (0, 8, 16)}
"""`ChannelSelection.channels` that join red, green and blue to one number: the lowest bit of each.
"""


def joined(pixels: Voxels, way: str) -> Voxels:
    """Join red, green and blue (y, x, 3 or more) to one number (y, x, 1)."""
    total: Voxels = np.zeros((*pixels.shape[:2], 1), np.uint32)
    for channel, bit in enumerate(JOINED[way]):
        total[..., 0] |= pixels[..., channel].astype(np.uint32) << np.uint32(bit)
    return total


def equal(name: str, pixels: Voxels) -> Voxels:
    """Return the number (y, x, 1) that red, green and blue (y, x, 3 or more) all hold.

    Raises:
        SliceError: they differ.
    """
    first: Voxels = pixels[..., :1]
    odd = (pixels[..., 1:3] != first).any(axis=2)
    if odd.any():
        found = pixels[odd][0, :3].tolist()
        msg = (
            f'{name}: a pixel has red, green and blue {found}, but "channels": "grey" of labels '
            "needs three equal numbers; if they are one number of 24 bits, give "
            '"rgb24" (red is its highest byte) or "bgr24" (blue is)'
        )
        raise SliceError(msg)
    return first


def whole(name: str, pixels: Voxels, dtype: np.dtype[Any], exact: int) -> Voxels:
    """Convert floats or signed numbers to the unsigned `dtype`, all values unchanged.

    Args:
        name: of the slice.
        pixels: as decoded.
        dtype: of the volume.
        exact: the number below which floats hold every whole number; 0 for signed numbers.

    Raises:
        SliceError: some aren't whole, or are too small or too large.
    """
    end = int(np.iinfo(dtype).max) + 1
    end = min(end, exact) if exact else end
    good = pixels >= 0
    if exact:
        good &= (pixels < end) & (pixels == np.floor(pixels))
    elif end <= np.iinfo(pixels.dtype).max:
        good &= pixels < end
    if not good.all():
        source = f"floats of {exact.bit_length() - 1} exact bits" if exact else f"{pixels.dtype}"
        msg = (
            f"{name}: a pixel is {pixels[~good][0]}, but labels of a {dtype} volume stored as "
            f"{source} must be whole numbers from 0 to {end - 1}; correct the slice, or save "
            "its labels as unsigned integers"
        )
        raise SliceError(msg)
    return pixels.astype(dtype)
