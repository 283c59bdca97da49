"""Odd slices, found by their statistics alone."""

from __future__ import annotations

import numpy as np
import pytest

from zblocks.conversion.slice_stats import SliceStats, Tally
from zblocks.geometry import Vec
from zblocks.planning.plan import Plan, SliceRef, Volume, Wishes
from zblocks.planning.planner import Job, make_plan
from zblocks.planning.time import Worker
from zblocks.report.outliers import contrast, find_odd, histogram, spare_bits
from zblocks.run.receipt import Receipt, Source


def a_plan(dtype: str = "uint8", layer: str = "image", channels: int = 1) -> Plan:
    job = Job(
        source="s3://slices/brain",
        destination="s3://volumes/brain",
        volume=Volume(dtype, channels, "raw", 90, "gzip", 0, layer),
        wishes=Wishes((4.0, 4.0, 40.0), Vec(0, 0, 0), None, None),
        width=300,
        height=200,
        slices=tuple(SliceRef(z, f"{z}.png", 1, "e", "png") for z in range(20)),
        held=1,
        in_place=False,
    )
    return make_plan(job, Worker(2000))[0]


def counted(z: int, voxels: np.ndarray) -> SliceStats:
    tally = Tally(z, str(voxels.dtype))
    tally.add(voxels[..., np.newaxis])
    return tally.result()


def a_receipt(stats: list[SliceStats], etags: dict[int, str] | None = None) -> Receipt:
    names = etags or {}
    sources = tuple(Source(s.z, f"{s.z}.png", 9, names.get(s.z, f"e{s.z}")) for s in stats)
    return Receipt("g", "block-00000", (), sources, tuple(stats), 9, 1.0, 9, 1)


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
    odd = find_odd(a_plan(), [a_receipt(noise(means))])
    assert [o.z for o in odd.outliers] == expected
    assert all(o.slice == f"{o.z}.png" for o in odd.outliers)


def test_brightness_means_nothing_to_labels():
    odd = find_odd(a_plan(layer="segmentation"), [a_receipt(noise([9.0] * 9 + [200.0]))])
    assert odd.outliers == ()


def test_a_blank_slice_is_no_outlier_and_no_duplicate():
    stats = noise([100.0] * 20)
    stats[4] = counted(4, np.zeros((64, 64), np.uint8))
    stats[5] = counted(5, np.zeros((64, 64), np.uint8))
    odd = find_odd(a_plan(), [a_receipt(stats)])
    assert [(b.z, b.value) for b in odd.blank] == [(4, 0), (5, 0)]
    assert odd.outliers == odd.duplicates == ()


def test_duplicates_by_file_and_by_look():
    rng = np.random.default_rng(1)
    planes = rng.integers(0, 250, (8, 64, 64), np.uint8)
    planes[6] = planes[2]
    stats = [counted(z, plane) for z, plane in enumerate(planes)]
    odd = find_odd(a_plan(), [a_receipt(stats, {4: "e1"})])
    assert [(d.z, d.same_as, d.certain) for d in odd.duplicates] == [(4, 1, True), (6, 2, False)]


def test_a_halo_slice_in_two_receipts_is_no_duplicate():
    stats = noise([100.0] * 8)
    first = a_receipt(stats[:4])
    second = a_receipt(stats[4:])
    halo = Source(3, "3.png", 9, "e3")
    both = [first, Receipt(**{**fields(second), "sources": (halo, *second.sources)})]
    assert find_odd(a_plan(), both).duplicates == ()


def fields(receipt: Receipt) -> dict:
    return {name: getattr(receipt, name) for name in Receipt.__slots__}


def test_without_a_histogram_nothing_looks_the_same():
    """Of floats only lowest, highest and mean are known, which normalised slices share."""
    plane = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    stats = [counted(z, plane) for z in range(6)]
    assert find_odd(a_plan("float32"), [a_receipt(stats)]).duplicates == ()


def test_a_filled_slice_is_none_of_these():
    stats = noise([100.0] * 9)
    receipt = a_receipt(stats)
    blank = counted(9, np.zeros((64, 64), np.uint8))
    receipt = Receipt(**{**fields(receipt), "slices": (*stats, blank)})
    assert find_odd(a_plan(), [receipt]).blank == ()


def test_histograms_of_different_steps_add_up():
    low = counted(0, np.full((8, 8), 100, np.uint16))
    high = counted(1, np.full((8, 8), 40_000, np.uint16))
    assert low.step < high.step
    found = histogram(a_receipt([low, high]).slices)
    assert found is not None
    assert found.step == high.step
    assert found.counts.sum() == 16  # the first of eight rows of each
    assert found.counts[100 // found.step] == found.counts[40_000 // found.step] == 8
    assert contrast(a_plan("uint16"), [a_receipt([low, high])]) == found.contrast
    assert contrast(a_plan(channels=3), [a_receipt([low, high])]) is None


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
    found = spare_bits(a_plan(dtype), [a_receipt(stats)])
    assert found.startswith(words)
    assert bool(found) == bool(words)
