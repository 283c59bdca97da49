"""Percentiles of the values of a whole stack, measured once, before any block is converted.

1. Up to `MOST_SLICES` evenly spaced slices are read, including the first and the last; fewer if
   these have more than `MOST_BYTES` of pixels.
2. Their pixels inside the region are counted, all channels together, so that colours don't shift:
   values of 8 and 16 bits by a histogram, of every n-th row of large slices; of other types a
   sample is kept.
3. A percentile is a value that occurs: the smallest for which enough values are no larger.

The same stack always gives the same values: nothing is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from zblocks.errors import InvalidConfig, SliceError
from zblocks.geometry import Voxels, ceil_div
from zblocks.slices import ChannelSelection, SliceHeader, open_slice
from zblocks.slices.transforms.contrast import TABLES, Contrast
from zblocks.slices.window import PIECE, Window
from zblocks.storage import StoredFile

MOST_SLICES = 32
MOST_BYTES = 1 << 34  # of decoded pixels: takes minutes, and the plan's Lambda has fifteen
MOST_COUNTED = 1 << 26  # values of one slice in the histogram
MOST_KEPT = 1 << 22  # values of all slices together, if there is no histogram
MOST_HELD = 1 << 30  # bytes that a decoder may hold of a slice that can't be read in strips
AT_ONCE = 2  # slices


@dataclass(frozen=True, slots=True)
class ContrastSample:
    """The pixels of one slice that are measured."""

    file: StoredFile
    header: SliceHeader
    selection: ChannelSelection
    crop: Window  # the pixels of the slice that are in the region

    @property
    def values(self) -> int:
        """Number of values in the crop."""
        return self.crop.width * self.crop.height * self.header.channels


def measure(
    samples: Sequence[ContrastSample],
    percentiles: tuple[float, float],
    dtype: str,
    *,
    skip_damaged: bool = False,
) -> Contrast:
    """Return the values at two percentiles, 0 to 100, for a volume of type `dtype`.

    `samples` are all slices that aren't missing, in z order, of the same type. `skip_damaged`
    leaves out slices that turn out to be damaged, unless all are.

    Raises:
        InvalidConfig: both are the same value, the region is empty, or the slices are too large.
        SliceError: a slice is damaged.
    """
    samples = [s for s in samples if s.values]
    if not samples:
        msg = "contrast: no slice has a pixel in the region; correct region or canvas"
        raise InvalidConfig(msg)
    looked_at = [samples[i] for i in evenly(len(samples), _how_many(samples))]
    marks = np.array(percentiles) / 100
    whole = any(s.header.whole for s in looked_at)
    with ThreadPoolExecutor(1 if whole else AT_ONCE) as pool:
        if size := TABLES.get(samples[0].header.dtype):
            parts = _sound(pool.map(_tried(_count), looked_at), skip_damaged=skip_damaged)
            counts = sum(parts, np.zeros(size, np.int64))
            found = np.quantile(np.arange(size), marks, weights=counts, method="inverted_cdf")
        else:
            keep = MOST_KEPT // len(looked_at)
            some = pool.map(_tried(lambda sample: _sample(sample, keep)), looked_at)
            parts = _sound(some, skip_damaged=skip_damaged)
            values = np.concatenate(parts)
            if not values.size:
                msg = f"contrast: the {len(parts)} measured slices hold no finite number"
                raise InvalidConfig(f'{msg}; give {{"range": [low, high]}}')
            found = np.quantile(values, marks, method="inverted_cdf")
    low, high = (float(v) for v in found)
    if low == high:
        msg = (
            f"contrast: {percentiles[0]:g} % and {percentiles[1]:g} % are both {low:g} in the "
            f"{len(parts)} measured slices; give percentiles that are further apart, or "
            '{"range": [low, high]}'
        )
        raise InvalidConfig(msg)
    return Contrast(low, high, dtype, samples[0].header.dtype, percentiles, len(parts))


def _tried(
    measure_one: Callable[[ContrastSample], Voxels],
) -> Callable[[ContrastSample], Voxels | SliceError]:
    def tried(sample: ContrastSample) -> Voxels | SliceError:
        try:
            return measure_one(sample)
        except SliceError as error:
            return error

    return tried


def _sound(found: Iterable[Voxels | SliceError], *, skip_damaged: bool) -> list[Voxels]:
    """Return what was measured; raise an error that isn't damage, or if nothing was measured."""
    parts: list[Voxels] = []
    errors: list[SliceError] = []
    for one in found:
        if not isinstance(one, SliceError):
            parts.append(one)
        elif skip_damaged and one.damage:
            errors.append(one)
        else:
            raise one
    if not parts:
        raise errors[0]
    return parts


def evenly(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the indices below `count`, evenly spaced, with the first and the last."""
    wanted = min(wanted, count)
    return [round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted)]


def _how_many(samples: Sequence[ContrastSample]) -> int:
    held = max((s.header.held for s in samples if s.header.whole), default=0)
    if held > MOST_HELD:
        msg = (
            "contrast: the slices are too large to measure percentiles, since each must be decoded "
            f'as a whole ({held >> 20} MiB); give {{"range": [low, high]}}'
        )
        raise InvalidConfig(msg)
    largest = max(s.header.width * s.header.height for s in samples) * samples[0].header.channels
    slice_bytes = largest * np.dtype(samples[0].header.dtype).itemsize
    return max(min(MOST_SLICES, MOST_BYTES // slice_bytes), 2)


def _count(sample: ContrastSample) -> Voxels:
    counts = np.zeros(TABLES[sample.header.dtype], np.int64)
    step = ceil_div(sample.values, MOST_COUNTED)
    for y, rows in _rows(sample):
        counts += np.bincount(rows[-y % step :: step].ravel(), minlength=counts.size)
    return counts


def _sample(sample: ContrastSample, most: int) -> Voxels:
    """Return evenly spaced finite values of a slice: all, or about `most`."""
    row = sample.crop.width * sample.header.channels
    step = ceil_div(sample.values, most)
    while math.gcd(step, row) > 1:  # else some columns would never be sampled
        step += 1
    kept = [rows.ravel()[-y * row % step :: step] for y, rows in _rows(sample)]
    values: Voxels = np.concatenate(kept)
    return values[np.isfinite(values)]


def _rows(sample: ContrastSample) -> Iterator[tuple[int, Voxels]]:
    """Decode the crop of a slice some rows at a time; give the first row's number and the rows."""
    header, crop = sample.header, sample.crop
    reader = open_slice(sample.file, header, 0, sample.selection, crop)
    for y in range(0, crop.height, PIECE):
        rows = np.empty((min(PIECE, crop.height - y), crop.width, header.channels), header.dtype)
        reader.read_rows(rows)
        yield y, rows
