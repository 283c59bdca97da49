"""Means against their slow twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import means
from tests.strategies import sizes, vecs
from zblocks.conversion.downsample import pool_mean
from zblocks.geometry import Vec

cases = given(
    size=sizes(9),
    start=vecs(-3, 3),
    step=vecs(1, 2),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 1000),
)


@cases
@settings(max_examples=300)
def test_equals_the_mean_of_exactly_the_covered_voxels(size, start, step, channels, dtype, seed):
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    voxels = rng.integers(0, top, (*size[::-1], channels), dtype, endpoint=True)
    expected = means(voxels, start, step)
    out = np.empty_like(expected)
    pool_mean(voxels, start, step, out)
    np.testing.assert_array_equal(out, expected)


@given(size=sizes(6), start=vecs(-3, 3), step=vecs(1, 2), seed=st.integers(0, 1000))
def test_real_numbers_that_are_not_finite_are_left_out(size, start, step, seed):
    """The mean is the sum of the finite voxels over their number, both by the slow twin."""
    rng = np.random.default_rng(seed)
    voxels = rng.normal(size=(*size[::-1], 2)).astype(np.float32)
    for part, value in ((0.5, np.nan), (0.2, np.inf), (0.1, -np.inf)):
        voxels[rng.random(voxels.shape) < part] = value
    finite = np.isfinite(voxels)
    whole = np.where(finite, np.rint(voxels * 1000) * 2**10, 0)  # so that no mean is rounded
    voxels = np.where(finite, whole, voxels).astype(np.float32)
    shares = means(finite * 2.0**10, start, step)
    with np.errstate(invalid="ignore"):
        expected = means(whole.astype(float), start, step) / (shares / 2**10)
    out = np.empty(expected.shape, np.float32)
    pool_mean(voxels, start, step, out)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_many_tiles_and_a_view_of_a_larger_array(dtype, channels):
    """More rows than one tile holds, from an array that isn't contiguous."""
    rng = np.random.default_rng(1)
    whole = rng.integers(0, 256, (3, 700, 800, channels)).astype(dtype)
    voxels = whole[:, 5:, :]
    start = Vec(2, 5, 1)
    expected = means_by_reshape(voxels, start)
    out = np.empty_like(expected)
    pool_mean(voxels, start, Vec(2, 2, 2), out)
    np.testing.assert_array_equal(out, expected)


def means_by_reshape(voxels, start):
    """Pool 2×2×2 by padding with the edge: quick enough for a larger array."""
    pads = [(s % 2, (s + n) % 2) for s, n in zip(start[::-1], voxels.shape[:3], strict=True)]
    padded = np.pad(voxels, [*pads, (0, 0)], mode="edge").astype(float)
    z, y, x, c = padded.shape
    cells = padded.reshape(z // 2, 2, y // 2, 2, x // 2, 2, c)
    return np.rint(cells.mean(axis=(1, 3, 5))).astype(voxels.dtype)


def test_no_brightness_drifts():
    """Ties go to even, as often up as down: pairs of 0 to 3 keep their mean grey level."""
    rng = np.random.default_rng(2)
    voxels = rng.integers(0, 4, (64, 256, 256, 1), np.uint8)
    out = np.empty((64, 256, 128, 1), np.uint8)
    pool_mean(voxels, Vec(0, 0, 0), Vec(2, 1, 1), out)
    assert abs(out.mean() - voxels.mean()) < 0.01
