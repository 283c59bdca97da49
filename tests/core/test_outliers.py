"""Odd slices, found by their statistics alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plans import a_stack, chunk_format
from zblocks.conversion.slice_stats import SliceStats, SliceStatsCounter
from zblocks.conversion.tasks import ReadSlice
from zblocks.planning.plan import Plan
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.report.outliers import contrast, find_anomalies, histogram, spare_bits


def a_plan(dtype: str = "uint8", layer: str = "image", channels: int = 1, gone=()) -> Plan:
    voxels = chunk_format(dtype=dtype, channels=channels)
    return make_plan(a_stack(voxels=voxels, layer=layer, gone=gone), WorkerSpec(2000))[0]


def counted(z: int, voxels: np.ndarray) -> SliceStats:
    counter = SliceStatsCounter(z, str(voxels.dtype))
    counter.add(voxels[..., np.newaxis])
    return counter.result()


def read(stats: list[SliceStats], etags: dict[int, str] | None = None) -> list[ReadSlice]:
    names = etags or {}
    return [ReadSlice(s.z, f"{s.z}.png", 9, names.get(s.z, f"e{s.z}")) for s in stats]


def anomalies(
    stats: list[SliceStats], etags: dict[int, str] | None = None, plan: Plan | None = None
):
    return find_anomalies(plan or a_plan(), stats, read(stats, etags))


def noise(means: list[float], seed: int = 0) -> list[SliceStats]:
    rng = np.random.default_rng(seed)
    return [
        counted(z, np.clip(rng.normal(m, 20, (64, 64)), 0, 255).astype(np.uint8))
        for z, m in enumerate(means)
    ]


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([100.0] * 30, []),
        ([20.0 + 5 * z for z in range(40)], []),  # a steady rise, to the very ends
        ([100.0 + 50 * np.sin(z / 6) for z in range(60)], []),  # waves
        ([100.0] * 15 + [140.0] * 15, []),  # a step is no outlier
        ([*[100.0] * 10, 160.0, *[100.0] * 19], [10]),
        ([160.0, *[100.0] * 29], [0]),  # the first, and the last
        ([*[100.0] * 29, 40.0], [29]),
        ([*[100.0] * 9, 150.0, 155.0, 152.0, *[100.0] * 9], [9, 10, 11]),  # three in a row
        ([100.0, 100.0, 200.0, 100.0], []),  # too few to tell
    ],
)
def test_outliers_differ_from_their_neighbours(means, expected):
    odd = anomalies(noise(means))
    assert [o.z for o in odd.outliers] == expected
    assert all(o.slice == f"{o.z}.png" for o in odd.outliers)


def test_brightness_means_nothing_to_labels():
    odd = anomalies(noise([9.0] * 9 + [200.0]), plan=a_plan(layer="segmentation"))
    assert odd.outliers == ()


def test_a_blank_slice_is_no_outlier_and_no_duplicate():
    stats = noise([100.0] * 20)
    stats[4] = counted(4, np.zeros((64, 64), np.uint8))
    stats[5] = counted(5, np.zeros((64, 64), np.uint8))
    odd = anomalies(stats)
    assert [(b.z, b.value) for b in odd.blank] == [(4, 0), (5, 0)]
    assert odd.outliers == odd.duplicates == ()


def test_duplicates_by_file_and_by_look():
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 250, (8, 64, 64), np.uint8)
    planes[6] = planes[2]
    stats = [counted(z, plane) for z, plane in enumerate(planes)]
    odd = anomalies(stats, {4: "e1"})
    assert [(d.z, d.same_as, d.certain) for d in odd.duplicates] == [(4, 1, True), (6, 2, False)]


def test_pages_of_one_file_are_no_duplicates():
    stats = noise([100.0] * 8)
    pages = [ReadSlice(s.z, "stack.tif", 9, "e", page=s.z) for s in stats]
    assert find_anomalies(a_plan(), stats, pages).duplicates == ()


def test_a_halo_slice_that_is_read_twice_is_no_duplicate():
    stats = noise([100.0] * 8)
    sources = read(stats)
    halo = ReadSlice(3, "3.png", 9, "e3")
    both = [*sources[:4], halo, *sources[4:]]
    assert find_anomalies(a_plan(), stats, both).duplicates == ()


def test_without_a_histogram_nothing_looks_the_same():
    """Of floats only lowest, highest and mean are known, which normalised slices share."""
    plane = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    stats = [counted(z, plane) for z in range(6)]
    assert anomalies(stats, plan=a_plan("float32")).duplicates == ()


def test_a_filled_slice_is_none_of_these():
    stats = noise([100.0] * 9)
    blank = counted(9, np.zeros((64, 64), np.uint8))
    plan = a_plan(gone={9})
    assert find_anomalies(plan, [*stats, blank], read(stats)).blank == ()
    assert contrast(plan, [*stats, blank]) == contrast(a_plan(), stats)


def test_histograms_of_different_steps_add_up():
    low = counted(0, np.full((8, 8), 100, np.uint16))
    high = counted(1, np.full((8, 8), 40_000, np.uint16))
    assert low.step < high.step
    found = histogram([low, high])
    assert found is not None
    assert found.step == high.step
    assert found.counts.sum() == 16  # the first of eight rows of each
    assert found.counts[100 // found.step] == found.counts[40_000 // found.step] == 8
    assert contrast(a_plan("uint16"), [low, high]) == ((100, 40_000),)


@pytest.mark.parametrize(
    ("dtype", "top", "words"),
    [
        ("uint16", 4095, "values use 12 of 16 bits, up to 4095"),
        ("uint16", 4096, "values use 13 of"),
        ("uint16", 255, "values use 8 of"),
        ("uint16", 32768, ""),
        ("uint16", 0, ""),
        ("uint8", 100, ""),
    ],
)
def test_fewer_bits_than_the_files_hold(dtype, top, words):
    stats = [counted(0, np.full((8, 8), top, dtype))]
    found = spare_bits(a_plan(dtype), stats)
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_small_real_numbers_have_outliers_too():
    rng = np.random.default_rng(0)
    means = [*[1e-9] * 10, 1.6e-9, *[1e-9] * 10]
    stats = [counted(z, rng.normal(m, 2e-10, (64, 64)).astype("f4")) for z, m in enumerate(means)]
    assert [o.z for o in anomalies(stats, plan=a_plan("float32")).outliers] == [10]
