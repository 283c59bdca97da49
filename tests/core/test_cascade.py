"""Bands of rows in, every scale out: against the brute-force pyramid, over whole plans."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plans import a_stack
from tests.references import means
from tests.strategies import sizes, vecs
from zblocks.conversion.cascade import Cascade, needed_z
from zblocks.geometry import Vec
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec


def plan_for(size, offset, chunk, resolution):
    return make_plan(a_stack(size, resolution, offset, options={"chunk": chunk}), WorkerSpec(4000))


@given(
    size=st.builds(Vec, st.integers(1, 40), st.integers(1, 40), st.integers(1, 150)),
    offset=vecs(-9, 9),
    chunk=st.sampled_from([Vec(8, 4, 16), Vec(16, 16, 8), Vec(5, 7, 20), Vec(64, 64, 64)]),
    resolution=st.sampled_from([(1.0, 1.0, 1.0), (4.0, 4.0, 40.0), (10.0, 10.0, 2.0)]),
    rows=st.integers(1, 50),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_blocks_together_make_every_owned_voxel_once(size, offset, chunk, resolution, rows, seed):
    """Whatever the bands and blocks: each voxel of each owned scale comes out once, right."""
    plan, tasks = plan_for(size, offset, chunk, resolution)
    voxels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 1)).astype(np.uint8)
    scales = plan.scales[: plan.owned]
    made = [np.zeros((*s.box.shape[::-1], 1), np.uint8) for s in scales]
    count = [np.zeros(m.shape, int) for m in made]
    for task in tasks:
        owned = [plan.owned_z(k, task.index) for k in range(plan.owned)]
        z0, z1 = needed_z(scales, owned)[0]
        assert [s.z for s in task.slices] == list(range(z0, z1))
        cascade = Cascade(scales, owned, voxels.dtype, 1)
        slab = voxels[z0 - offset.z : z1 - offset.z]
        for y in range(0, size.y, rows):
            for band in cascade.push(slab[:, y : y + rows]):
                at = band.box.slices(scales[band.scale].box.start)
                made[band.scale][at] = band.voxels
                count[band.scale][at] += 1
                on_grid = band.box.start.y - scales[band.scale].box.start.y
                assert on_grid % scales[band.scale].chunk.y == 0
    expected = voxels
    for k, scale in enumerate(scales):
        if k:
            step = Vec(*(b // a for a, b in zip(scales[k - 1].factor, scale.factor, strict=True)))
            expected = means(expected, scales[k - 1].box.start, step)
        assert (count[k] == 1).all(), f"scale {k}"
        np.testing.assert_array_equal(made[k], expected, err_msg=f"scale {k}")


@given(offset=st.integers(-70, 70), size=st.integers(1, 400), seed=sizes(3))
def test_a_block_reads_little_more_than_its_own_slices(offset, size, seed):
    """The halo is shorter than the coarsest owned factor; none where that divides the offset."""
    del seed
    plan, tasks = plan_for(Vec(8, 8, size), Vec(0, 0, offset), Vec(64, 64, 64), (1.0, 1.0, 1.0))
    coarsest = plan.scales[plan.owned - 1].factor.z
    read = sum(len(t.slices) for t in tasks)
    assert read <= size + (coarsest - 1) * len(tasks)
    if offset % coarsest == 0:
        assert read == size
