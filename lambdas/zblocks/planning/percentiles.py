"""Percentiles of the values of a whole stack, measured once, before any block begins.

1. Up to `MOST_SLICES` evenly spaced slices are read, the first and the last among them; fewer where
   they would be more than `MOST_BYTES` of pixels.
2. Their pixels inside the region are counted, those of all channels together, so that colours keep.
   Of 8 and 16 bits by value, every n-th row of large slices; of other types a sample is kept.
3. A percentile is a value that was seen: the smallest with at least so many values up to it.

The same stack gives the same values: nothing is drawn by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from zblocks.errors import InvalidConfig
from zblocks.geometry import Voxels, ceil_div
from zblocks.slices import ChannelSelection, SliceHeader, open_slice
from zblocks.slices.transforms.contrast import TABLES, Contrast
from zblocks.slices.transforms.region import Crop, RegionReader
from zblocks.slices.transforms.rows import PIECE
from zblocks.storage import StoredFile

MOST_SLICES = 32

MOST_BYTES = 1 << 34
"""Pixels that may be decoded, in bytes: minutes of the Plan function's fifteen."""

MOST_COUNTED = 1 << 26
"""Values of a slice that are counted."""

MOST_KEPT = 1 << 22
"""Values of all slices that are kept where they can't be counted by value."""

AT_ONCE = 2
"""Slices that are read at the same time: each decoder holds some 2000 rows of its slice."""

MOST_HELD = 1 << 30
"""Bytes that a decoder may hold of a slice that can't be read in strips."""


@dataclass(frozen=True, slots=True)
class ContrastSample:
    """The pixels of one slice that are measured."""

    file: StoredFile
    header: SliceHeader
    selection: ChannelSelection
    """What is wanted of its pixels."""
    crop: Crop
    """The pixels of the slice that are in the region: x0, y0, x1, y1; not empty."""


def measure(
    samples: Sequence[ContrastSample], percentiles: tuple[float, float], dtype: str
) -> Contrast:
    """Return the values at two percentiles of the stack.

    Args:
        samples: the slices that there are, in z order, all of one type.
        percentiles: the lower and the higher one, 0 to 100.
        dtype: of the volume.

    Raises:
        InvalidConfig: both are the same value, or there is none.
        SliceError: a slice is damaged.
    """
    looked_at = [samples[i] for i in evenly(len(samples), _how_many(samples))]
    marks = np.array(percentiles) / 100
    whole = any(s.header.whole for s in looked_at)
    with ThreadPoolExecutor(1 if whole else AT_ONCE) as pool:
        if size := TABLES.get(samples[0].header.dtype):
            counts = sum(pool.map(_count, looked_at), np.zeros(size, np.int64))
            found = np.quantile(np.arange(size), marks, weights=counts, method="inverted_cdf")
        else:
            keep = MOST_KEPT // len(looked_at)
            values = np.concatenate([*pool.map(lambda sample: _sample(sample, keep), looked_at)])
            values = values if values.size else np.zeros(1)  # of NaN alone: refused below
            found = np.quantile(values, marks, method="inverted_cdf")
    low, high = (float(v) for v in found)
    if low == high:
        msg = (
            f"contrast: {percentiles[0]:g} % and {percentiles[1]:g} % are both {low:g} in the "
            f"{len(looked_at)} slices that were measured; give percentiles further apart, or "
            '{"range": [low, high]}'
        )
        raise InvalidConfig(msg)
    return Contrast(low, high, dtype, samples[0].header.dtype, percentiles, len(looked_at))


def evenly(count: int, wanted: int) -> list[int]:
    """Return so many of the indices below `count`, evenly spaced, first and last among them."""
    if wanted >= count:
        return list(range(count))
    if wanted == 1:
        return [0]
    return [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


def _how_many(samples: Sequence[ContrastSample]) -> int:
    """Return how many slices to look at."""
    held = max((s.header.held for s in samples if s.header.whole), default=0)
    if held > MOST_HELD:
        msg = (
            "contrast: percentiles of slices this large can't be measured, since they are decoded "
            f'whole ({held >> 20} MiB); give {{"range": [low, high]}}'
        )
        raise InvalidConfig(msg)
    largest = max(s.header.width * s.header.height for s in samples) * samples[0].header.channels
    slice_bytes = largest * np.dtype(samples[0].header.dtype).itemsize
    return max(min(MOST_SLICES, MOST_BYTES // slice_bytes), 2)


def _count(sample: ContrastSample) -> Voxels:
    counts = np.zeros(TABLES[sample.header.dtype], np.int64)
    x0, y0, x1, y1 = sample.crop
    step = ceil_div((x1 - x0) * (y1 - y0) * sample.header.channels, MOST_COUNTED)
    for y, rows in _rows(sample):
        counts += np.bincount(rows[-y % step :: step].ravel(), minlength=counts.size)
    return counts


def _sample(sample: ContrastSample, most: int) -> Voxels:
    """Return evenly spaced values of a slice: all, or about `most`; finite ones only."""
    x0, y0, x1, y1 = sample.crop
    row = (x1 - x0) * sample.header.channels
    step = ceil_div(row * (y1 - y0), most)
    while math.gcd(step, row) > 1:  # else some columns would never be looked at
        step += 1
    kept = [rows.ravel()[-y * row % step :: step] for y, rows in _rows(sample)]
    values: Voxels = np.concatenate(kept)
    return values[np.isfinite(values)]


def _rows(sample: ContrastSample) -> Iterator[tuple[int, Voxels]]:
    """Decode the visible pixels of a slice some rows at a time: the first's number, and rows."""
    header, (x0, y0, x1, y1) = sample.header, sample.crop
    reader = open_slice(sample.file, header, 0, sample.selection)
    region = RegionReader(reader, header.width, sample.crop)
    for y in range(0, y1 - y0, PIECE):
        rows = np.empty((min(PIECE, y1 - y0 - y), x1 - x0, header.channels), header.dtype)
        region.read_rows(rows)
        yield y, rows
