"""Computes a stack's histogram, contrast and anomalies from the statistics of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zblocks.conversion.slice_stats import LEVELS, SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.neuroglancer import (
    Ranges,
    are_colours,
    count_ranges,
    together,
    visible_range,
    whole_range,
)
from zblocks.planning.plan import Plan
from zblocks.report.formats import number, plural

NEIGHBOURS = 3  # slices on each side from which a slice's expected brightness is computed
ODD = 6.0  # standard deviations from its expected mean beyond which a slice is an outlier
FLOOR = 0.005  # smallest standard deviation assumed, as a fraction of the contrast range
SHORT = 0.02  # part of a slice's rows that may always hold one value at its end
NORMAL = 1.4826  # standard deviation over median absolute deviation of a normal distribution


@dataclass(frozen=True, slots=True)
class Blank:
    """A slice that was read and holds a single value, or none."""

    z: int
    slice: str  # its key in the source
    value: int | float | None  # None: no pixel is a finite number

    @property
    def found(self) -> str:
        """What is odd."""
        return f"every pixel is {'NaN or infinite' if self.value is None else number(self.value)}"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A slice that repeats an earlier one."""

    z: int
    slice: str
    same_as: int  # z of the first such slice
    certain: bool
    """Whether the two files are the same (size and ETag); otherwise only their statistics (minimum,
    maximum, mean and histogram) are."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A slice that is much brighter or darker than those around it."""

    z: int
    slice: str
    mean: float
    usual: float  # the mean expected from the slices around it

    @property
    def found(self) -> str:
        """What is odd."""
        return f"mean {number(self.mean)}, neighbours {number(self.usual)}"


@dataclass(frozen=True, slots=True)
class Tail:
    """A slice that ends in more rows of a single value than those around it."""

    z: int
    slice: str
    rows: int
    usual: int  # the number expected from the slices around it

    @property
    def found(self) -> str:
        """What is odd."""
        return (
            f"its last {plural(self.rows, 'row')} hold one value (its neighbours': {self.usual}), "
            "so the file may be cut off"
        )


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Slices to look at, each kind in z order, without filled slices."""

    blank: tuple[Blank, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    tails: tuple[Tail, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The slices that may not be what they should be: all but duplicates, in z order."""
        found: list[Blank | Tail | Outlier] = [*self.blank, *self.tails, *self.outliers]
        odd: dict[int, list[str]] = {}
        for one in found:
            odd.setdefault(one.z, [f"z {one.z}: {one.slice}"]).append(one.found)
        return tuple(f"{odd[z][0]}: {'; '.join(odd[z][1:])}" for z in sorted(odd))


@dataclass(frozen=True, slots=True)
class Histogram:
    """The histogram of all slices and channels."""

    step: int  # width of a bin
    counts: npt.NDArray[np.int64]  # voxels with a value of [i·step, (i + 1)·step)


def present(plan: Plan, slices: Sequence[SliceStats]) -> list[SliceStats]:
    """Return the statistics of the slices that are neither filled nor without a finite number."""
    filled = {f.z for f in plan.filled}
    return [s for s in slices if s.z not in filled and s.finite]


def histogram(slices: Sequence[SliceStats]) -> Histogram | None:
    """Return the sum of the slices' histograms; None if they have none (32 bits and more)."""
    stats = [s for s in slices if s.step]
    if not stats:
        return None
    step = max(s.step for s in stats)
    counts = np.zeros(1 + max((len(s.histogram) * s.step - 1) // step for s in stats), np.int64)
    for s in stats:
        np.add.at(counts, np.arange(len(s.histogram)) * s.step // step, s.histogram)
    return Histogram(step, counts)


def contrast(plan: Plan, slices: Sequence[SliceStats]) -> Ranges:
    """Return the values to show black and white; none for labels.

    Filled slices don't count, unless nothing could be seen without them.
    """
    ranges = _ranges(plan, present(plan, slices))
    return ranges if any(ranges) else _ranges(plan, [s for s in slices if s.finite])


def _ranges(plan: Plan, stats: Sequence[SliceStats]) -> Ranges:
    voxels = plan.volume.format
    if plan.volume.layer != "image" or not stats:
        return (None,)
    colours = are_colours(voxels.channels, voxels.dtype)
    # A receipt of an earlier version has only the ends.
    bare = count_ranges(voxels.channels, voxels.dtype)
    columns = zip(*(s.ranges or [(s.low, s.high)] * bare for s in stats), strict=False)
    return together(tuple(_range([c for c in col if c], colours=colours) for col in columns))


def _range(found: Sequence[tuple[float, ...]], *, colours: bool) -> tuple[float, float] | None:
    """Return the range over all slices' `SliceStats.ranges`, or over one channel of each."""
    if not found:
        return None
    middles = (np.array(LEVELS[1:]) + LEVELS[:-1]) / 2
    weights = np.diff([0, *middles, 1])
    sampled = [f[1:-1] for f in found if len(f) > 2]
    ends = min(f[0] for f in found), max(f[-1] for f in found)
    values = np.array(sampled).ravel()
    return visible_range(values, np.tile(weights, len(sampled)), ends, colours=colours)


def spare_bits(plan: Plan, slices: Sequence[SliceStats]) -> str:
    """Return a remark if 16-bit voxels use fewer bits, as with many cameras; else empty."""
    high = int(max((s.high for s in present(plan, slices)), default=0))
    if (
        plan.volume.format.dtype != "uint16"
        or plan.volume.layer != "image"
        or not 0 < high < 1 << 15
    ):
        return ""
    return f"values use {high.bit_length()} of 16 bits, up to {high}"


def find_anomalies(
    plan: Plan, slices: Sequence[SliceStats], read: Sequence[ReadSlice]
) -> Anomalies:
    """Find blank, duplicate and outlying slices among those that were read.

    A slice is blank if its minimum equals its maximum, and a duplicate if an earlier slice has the
    same file or, for 8 and 16 bits, the same statistics. Outliers (see `_outliers`) are looked for
    in images only.
    """
    sources = {s.z: s for s in read}
    stats = sorted((s for s in slices if s.z in sources), key=lambda s: s.z)
    blank = tuple(
        Blank(s.z, sources[s.z].key, s.low if s.finite else None) for s in stats if s.low == s.high
    )
    rest = [s for s in stats if s.low != s.high]
    marks = whole_range(contrast(plan, slices))
    spans = np.array([s.high - s.low for s in rest] or [0], np.float64)
    span = marks[1] - marks[0] if marks else _median(spans)
    if plan.volume.layer != "image":
        return Anomalies(blank, _duplicates(rest, sources))
    outliers = _outliers(rest, sources, span)
    return Anomalies(blank, _duplicates(rest, sources), outliers, _tails(plan, rest, sources))


def _duplicates(
    stats: Sequence[SliceStats], sources: dict[int, ReadSlice]
) -> tuple[Duplicate, ...]:
    files: dict[tuple[str, int, int], int] = {}
    looks: dict[tuple[Any, ...], int] = {}
    found = []
    for s in stats:
        source = sources[s.z]
        file = (source.etag, source.bytes, source.page)
        look = (s.low, s.high, s.mean, s.step, s.histogram)
        if source.etag and file in files:
            found.append(Duplicate(s.z, source.key, files[file], certain=True))
        elif s.step and look in looks:
            found.append(Duplicate(s.z, source.key, looks[look], certain=False))
        files.setdefault(file, s.z)
        looks.setdefault(look, s.z)
    return tuple(found)


def _outliers(
    stats: Sequence[SliceStats], sources: dict[int, ReadSlice], span: float
) -> tuple[Outlier, ...]:
    known = [(s.z, s.mean) for s in stats if s.mean is not None]
    odd = _odd(np.array([mean for _, mean in known]), FLOOR * span)
    return tuple(
        Outlier(z, sources[z].key, mean, float(f"{usual:.12g}"))
        for (z, mean), usual in zip(known, odd, strict=True)
        if usual is not None
    )


def _tails(
    plan: Plan, stats: Sequence[SliceStats], sources: dict[int, ReadSlice]
) -> tuple[Tail, ...]:
    """Find slices that end in more rows of one value than expected.

    Turned or flipped slices are skipped: their last rows aren't those of the files.
    """
    if plan.region and plan.region.needs_whole_slice:
        return ()
    odd = _odd(np.array([float(s.tail) for s in stats]), plan.box.shape.y * SHORT / ODD)
    return tuple(
        Tail(s.z, sources[s.z].key, s.tail, round(usual))
        for s, usual in zip(stats, odd, strict=True)
        if usual is not None and s.tail > usual
    )


def _odd(values: npt.NDArray[np.float64], least: float) -> list[float | None]:
    """Return the expected value of each that is more than `ODD` standard deviations from it.

    The standard deviation, at least `least`, is estimated from the median absolute deviation, so
    that outliers themselves don't affect it.
    """
    if len(values) < 5:
        return [None] * len(values)
    usual = _usual(values)
    off = np.abs(values - usual)
    limit = ODD * max(NORMAL * _median(off), least)
    return [float(u) if o > limit else None for u, o in zip(usual, off, strict=True)]


def _usual(means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each slice's expected mean.

    This is the median of the slice and `NEIGHBOURS` slices on each side, fewer near the ends, so
    that neither three odd slices in a row nor a steady rise affects it. For the first and the last
    slice it is the value of one of the two slices next to it, or the line through them, whichever
    is nearest.
    """
    last = len(means) - 1
    usual = means.copy()
    for i in range(1, last):
        reach = min(NEIGHBOURS, i, last - i)
        usual[i] = _median(means[i - reach : i + reach + 1])
    for end, next_one, second in ((0, 1, 2), (last, last - 1, last - 2)):
        a, b = means[next_one], means[second]
        usual[end] = min((a, b, 2 * a - b), key=lambda guess: abs(guess - means[end]))
    return usual


def _median(values: npt.NDArray[np.float64]) -> float:
    """Return the median; numpy's own would import numpy.ma, in a tenth of a small run's time."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
