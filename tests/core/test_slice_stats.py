"""What is counted of each slice, against numpy over the whole of it; and it travels."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.conversion.joined_stats import join_stats
from zblocks.conversion.slice_stats import EVERY, KEPT, LEVELS, PIECE_BYTES, SliceStatsCounter
from zblocks.geometry import Box, Vec
from zblocks.run.records import Receipt

TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32"]


def counted(plane, strip):
    counter = SliceStatsCounter(7, str(plane.dtype))
    for y in range(0, len(plane), strip):
        counter.add(plane[y : y + strip])
    return counter.result()


def travelled(stats):
    receipt = Receipt("g", "block-00000", (), (), (stats,), 1.0, 9, 1)
    return Receipt.from_json(receipt.to_json()).slices[0]


@pytest.mark.parametrize("dtype", TYPES)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40))
def test_strips_of_any_height_count_the_same(dtype, seed, height, strip):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        plane = rng.normal(0, 9, (height, 5, 2)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        low = rng.integers(info.min, info.max, dtype=dtype, endpoint=True)
        plane = rng.integers(low, info.max, (height, 5, 2), dtype=dtype, endpoint=True)
    found = counted(plane, strip)
    assert (found.z, found.low, found.high) == (7, plane.min().item(), plane.max().item())
    looked_at = plane[::EVERY]
    assert found.mean == pytest.approx(looked_at.mean(dtype=np.float64), rel=1e-9, abs=6e-4)
    assert bool(found.histogram) == (dtype in ("uint8", "uint16"))
    if found.histogram:
        assert list(found.histogram) == np.bincount(looked_at.ravel() // found.step).tolist()
    there = travelled(found)
    assert there == found
    assert type(there.low) is type(found.low)  # labels of 64 bits are no real numbers


@pytest.mark.parametrize("strip", [1, 3, 16])
def test_of_real_numbers_only_finite_ones_count(strip):
    plane = np.arange(16 * 4, dtype=np.float32).reshape(16, 4, 1)
    plane[0], plane[5, 1], plane[8, 2], plane[15] = np.nan, np.inf, -np.inf, np.nan
    found = counted(plane, strip)
    assert (found.low, found.high) == (4, 59)
    assert found.mean == pytest.approx(np.mean([32, 33, 35]), abs=6e-4)
    assert travelled(found) == found


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_slice_without_a_finite_value(value):
    found = counted(np.full((9, 4, 1), value, np.float32), 4)
    assert (found.low, found.high, found.mean, found.step) == (0, 0, None, 0)
    assert not found.finite
    assert travelled(found) == found


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_range_is_a_sample_of_its_channel(dtype, channels):
    """The same for strips of any height; and of a large slice no more is kept."""
    plane = np.random.default_rng(0).gamma(2, 9, (700, 600, channels)).astype(dtype)
    found = counted(plane, 700)
    assert found.ranges == counted(plane, 13).ranges == counted(plane, 1).ranges
    colours = channels == 3 and dtype == "uint8"
    apart = plane.reshape(-1, 1 if colours else channels)
    for values, (low, *levels, high) in zip(apart.T, found.ranges, strict=True):
        assert (low, high) == (values.min(), values.max())
        assert len(levels) == len(LEVELS)
        below = [(values <= level).mean() for level in levels]
        assert np.all(np.abs(np.array(below) - LEVELS) < (0.1 if dtype == "uint8" else 0.05))
    counter = SliceStatsCounter(0, dtype)
    counter.add(plane)
    assert sum(part.size for part in counter._sample._parts) <= KEPT + 3 * channels


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 5), ("float32", 3)])
def test_whole_slices_are_counted_in_pieces(dtype, channels):
    """What it takes doesn't grow with the slice; the same is counted."""
    plane = np.random.default_rng(0).integers(0, 200, (6000, 2000, channels)).astype(dtype)
    plane[77] = np.nan if dtype == "float32" else 9
    whole = SliceStatsCounter(7, dtype)
    tracemalloc.start()
    whole.add(plane)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * PIECE_BYTES < plane.nbytes
    assert whole.result() == counted(plane, 100)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(0, 40))
def test_parts_of_a_slice_are_joined(dtype, seed, across, down, tail):
    """Cut into blocks along x and y: ends, sums and rows are exact, levels are near."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(300 if dtype == "uint16" else 90, 12, (48, 60, 1)).astype(dtype)
    plane[48 - tail :] = 7
    xs, ys = (
        sorted({0, n, *rng.integers(0, n // 8, m - 1) * 8}) for n, m in ((60, across), (48, down))
    )
    parts = []
    for y0, y1 in pairwise(ys):
        for x0, x1 in pairwise(xs):
            box = Box(Vec(x0, y0, 7), Vec(x1, y1, 8))
            parts.append((box, counted(plane[y0:y1, x0:x1], 16)))
    (found,) = join_stats(parts[::-1])
    whole = counted(plane, 16)
    assert (found.z, found.low, found.high, found.seen) == (7, whole.low, whole.high, whole.seen)
    assert found.tail == whole.tail
    assert found.mean == pytest.approx(whole.mean, rel=1e-9)
    fold = max(found.step // whole.step, 1) if whole.step else 1
    assert [
        sum(whole.histogram[i : i + fold]) for i in range(0, len(whole.histogram), fold)
    ] == list(found.histogram)
    ((low, *levels, high),) = found.ranges
    assert (low, high) == (whole.low, whole.high)
    assert levels == sorted(levels)
