"""Half floats, which libvips is given as integers: its own widening makes infinity of NaN."""

from __future__ import annotations

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import Page


def stored_type(page: Page) -> str:
    """Return the type in which samples are read: of two bytes apart, or as integers of 16 bits."""
    return "uint8" if page.bytewise else "uint16"


def stored_tags(page: Page, samples: int) -> dict[int, tuple[str, list[int]]]:
    """Return the tags of a directory that differ for samples so read."""
    if not page.bytewise:
        return {t.SAMPLE_FORMAT: ("H", [1] * samples)}
    samples *= 2
    return {
        t.WIDTH: ("I", [page.across]),
        t.BITS: ("H", [8] * samples),
        t.SAMPLES: ("H", [samples]),
        t.SAMPLE_FORMAT: ("H", [1] * samples),
        t.EXTRA_SAMPLES: ("H", [0] * (samples - 1)),
        t.PREDICTOR: ("H", [1]),
    }


def widen(page: Page, stored: Voxels) -> Voxels:
    """Return pixels (y, x, c) as float32.

    Predictor 3 stores the high bytes of a row of a strip or tile, then the low ones, each less the
    one before it in its channel (Adobe Photoshop TIFF Technical Note 3).
    """
    if page.bytewise:
        rows, across, pairs = stored.shape
        wide, channels = page.tile[0] if page.tile else across, pairs // 2
        pieces = stored.reshape(rows, -1, 2 * wide, channels).cumsum(axis=2, dtype=np.uint8)
        planes = pieces.reshape(rows, -1, 2, wide * channels).astype(np.uint16)
        whole = planes[:, :, 0] << 8 | planes[:, :, 1]
        stored = whole.reshape(rows, across, channels)[:, : page.width]
    return stored.view(np.float16).astype(np.float32)
