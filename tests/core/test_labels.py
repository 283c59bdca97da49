"""Modes of labels and means of rare types, against voxel-by-voxel twins."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.references import means
from zblocks.conversion.downsample import pool_mean, pool_mode
from zblocks.geometry import Box, Vec


def modes(voxels: np.ndarray, start: Vec, step: Vec, *, sparse: bool) -> np.ndarray:
    """Return the commonest label of each cell, the smallest of those, counted one by one."""
    stop = Vec(*(s + n for s, n in zip(start, voxels.shape[2::-1], strict=True)))
    fine = Box(start, stop)
    coarse = fine.coarsen(step)
    out = np.zeros((*coarse.shape[::-1], 1), voxels.dtype)
    for cell in coarse.cells(Vec(1, 1, 1)):
        covered = voxels[(cell.refine(step) & fine).slices(start)].ravel().tolist()
        counts = Counter(v for v in covered if v or not sparse)
        if counts:
            most = max(counts.values())
            out[cell.slices(coarse.start)] = min(v for v, n in counts.items() if n == most)
    return out


steps = st.builds(Vec, *[st.sampled_from([1, 2])] * 3)
starts = st.builds(Vec, *[st.integers(-3, 3)] * 3)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7), st.just(1))


@given(shapes, starts, steps, st.integers(0, 2**32), st.booleans())
def test_modes_are_those_of_a_count(shape, start, step, seed, sparse):
    voxels = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint64) << 40
    due = modes(voxels, start, step, sparse=sparse)
    out = np.full(due.shape, 77, np.uint64)
    pool_mode(voxels, start, step, out, sparse=sparse)
    np.testing.assert_array_equal(out, due)


@pytest.mark.parametrize("dtype", ["uint32", "float32"])
@given(shapes, starts, steps, st.integers(0, 2**32))
def test_means_of_rare_types(dtype, shape, start, step, seed):
    voxels = np.random.default_rng(seed).integers(0, 2**24, shape).astype(dtype)
    if dtype == "uint32":
        due = means(voxels, start, step)
        out = np.zeros_like(due)
        pool_mean(voxels, start, step, out)
        np.testing.assert_array_equal(out, due)
        return
    out = np.zeros(means(voxels, start, step).shape, dtype)
    pool_mean(voxels, start, step, out)
    np.testing.assert_allclose(out.mean(), means(voxels, start, step).mean(), rtol=1e-5)
