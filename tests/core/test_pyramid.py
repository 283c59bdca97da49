"""Which scales a volume gets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import boxes
from zblocks.geometry import Box, Vec
from zblocks.planning.pyramid import CHUNK_BITS, default_chunk, plan_steps
from zblocks.precomputed.scale import scale_key


def factors(size, resolution, count):
    box = Box(Vec(0, 0, 0), Vec(*size))
    steps = plan_steps(box, resolution)
    return [tuple(factor) for factor, _, _ in (next(steps) for _ in range(count))]


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        # isotropic: all axes together
        ((10, 10, 10), [(1, 1, 1), (2, 2, 2), (4, 4, 4)]),
        # the 2019 script's example: x and y twice, then (14720, 14720, 20000) is within √2
        ((3680, 3680, 20000), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 2)]),
        # serial-section electron microscopy: three times x and y
        ((4, 4, 40), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 1), (16, 16, 2)]),
        # z finer than x and y
        ((10, 10, 2), [(1, 1, 1), (1, 1, 2), (1, 1, 4), (2, 2, 8)]),
        # three different axes
        ((1, 2, 4), [(1, 1, 1), (2, 1, 1), (4, 2, 1), (8, 4, 2)]),
        # just within, just beyond √2
        ((10, 10, 14.1), [(1, 1, 1), (2, 2, 2)]),
        ((10, 10, 14.2), [(1, 1, 1), (2, 2, 1)]),
    ],
)
def test_factors_approach_isotropy(resolution, expected):
    assert factors((4096, 4096, 4096), resolution, len(expected)) == expected


def test_a_single_slice_is_never_halved_in_z():
    assert factors((4096, 4096, 1), (4, 4, 4), 3) == [(1, 1, 1), (2, 2, 1), (4, 4, 1)]


@given(boxes(), st.tuples(*[st.sampled_from([1.0, 3.5, 40.0])] * 3))
def test_scales_cover_the_volume_and_end(box, resolution):
    """size_k = ceil((offset + size) / f) - floor(offset / f); resolutions never fall; it ends."""
    steps = list(plan_steps(box, resolution))
    assert len(steps) < 40
    for factor, _, scaled in steps:
        assert scaled == box.coarsen(factor)
    for (f0, r0, _), (f1, r1, _) in itertools.pairwise(steps):
        ratio = [b / a for a, b in zip(f0, f1, strict=True)]
        assert set(ratio) <= {1, 2}
        assert [b / a for a, b in zip(r0, r1, strict=True)] == ratio
        assert f1 != f0


@pytest.mark.parametrize(
    ("resolution", "chunk"),
    [
        ((10, 10, 10), (64, 64, 64)),
        ((4, 4, 40), (128, 128, 16)),
        ((3680, 3680, 20000), (128, 128, 16)),
        ((1, 1, 1e6), (181, 181, 8)),
    ],
)
def test_default_chunks_hold_2_18_voxels(resolution, chunk):
    made = default_chunk(resolution)
    assert made.x * made.y * made.z == 1 << CHUNK_BITS
    if resolution[2] < 1e6:
        assert made == chunk
    else:
        assert made.z == 8  # however flat the voxels are, a request fetches a few slices


@pytest.mark.parametrize(
    ("resolution", "key"),
    [
        ((4, 4, 40), "4_4_40"),
        ((3680.0, 0.5, 1e-3), "3680_0.5_0.001"),
        ((1e9, 1e7, 2), "1000000000_10000000_2"),
    ],
)
def test_keys_are_plain_resolutions(resolution, key):
    assert scale_key(resolution) == key
