"""Samples that libvips is given as one or several integers, and that are joined here.

Half floats, since libvips' own widening turns NaN into infinity, and numbers of 64 bits, which it
lacks.
"""

from __future__ import annotations

import sys

import numpy as np

from zblocks.geometry import Voxels
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import Page


def stored_type(page: Page) -> str:
    """Return the type in which samples are read: bytes, 16 bits, or two halves of 64 bits."""
    return "uint8" if page.bytewise else "uint16" if page.bits == 16 else "uint32"


def stored_tags(page: Page, samples: int) -> dict[int, tuple[str, list[int]]]:
    """Return the tags of a directory that differ for samples read this way."""
    if page.words == 1:
        return {t.SAMPLE_FORMAT: ("H", [1] * samples)}
    bits, samples = page.bits // page.words, samples * page.words
    return {
        t.BITS: ("H", [bits] * samples),
        t.SAMPLES: ("H", [samples]),
        t.SAMPLE_FORMAT: ("H", [1] * samples),
        t.EXTRA_SAMPLES: ("H", [0] * (samples - 1)),
        t.PREDICTOR: ("H", [1]),
    }


def join(page: Page, stored: Voxels) -> Voxels:
    """Return pixels (y, x, c) from samples as read; half floats become float32."""
    rows, across, parts = stored.shape
    wide, channels = page.tile[0] if page.tile else across, parts // page.words
    unsigned = np.dtype(f"uint{page.bits}")
    if page.bytewise:
        stored = _of_planes(stored.reshape(rows, -1, wide * parts), channels, unsigned)
        stored = stored.reshape(rows, across, channels)[:, : page.width]
    elif page.words == 2:
        pairs = stored.reshape(rows, across, channels, 2)
        if (page.directory.file.order == ">") == (sys.byteorder == "little"):
            pairs = pairs[..., ::-1]
        stored = np.ascontiguousarray(pairs).view(unsigned)[..., 0]
        if page.predictor == 2:
            stored = stored.reshape(rows, -1, wide, channels).cumsum(axis=2, dtype=unsigned)
        stored = stored.reshape(rows, across, channels)[:, : page.width]
    if page.format != 3:
        return stored.view(page.dtype)
    return stored.view(f"float{page.bits}").astype(page.dtype, copy=False)


def _of_planes(pieces: Voxels, channels: int, unsigned: np.dtype[np.unsignedinteger]) -> Voxels:
    """Return the numbers in rows of strips or tiles (y, piece, bytes) with predictor 3.

    It stores the high bytes of a row first, then the next ones, each less the one before it in its
    channel (Adobe Photoshop TIFF Technical Note 3).
    """
    rows, count, size = pieces.shape
    sums = pieces.reshape(rows, count, -1, channels).cumsum(axis=2, dtype=np.uint8)
    planes = sums.reshape(rows, count, unsigned.itemsize, size // unsigned.itemsize)
    whole: Voxels = np.zeros((rows, count, planes.shape[3]), unsigned)
    for n in range(unsigned.itemsize):
        whole = whole << unsigned.type(8) | planes[:, :, n]
    return whole
