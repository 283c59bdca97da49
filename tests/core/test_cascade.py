"""Bands of rows in, every scale out: against the brute-force pyramid, over whole plans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plans import a_stack
from tests.references import means
from tests.strategies import sizes, vecs
from zblocks.conversion.cascade import Cascade
from zblocks.geometry import Vec
from zblocks.planning.parts import count_parts
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec


def cut(plan, x, y):
    """Cut a plan's blocks along x and y, into parts of so many chunks of scale 0; 0: whole."""
    chunk = plan.scales[0].chunk
    shape = Vec(x * chunk.x, y * chunk.y, plan.block_shape.z)
    parts = count_parts(plan.scales[: plan.owned], shape)
    return replace(plan, block_shape=shape, block_grid=parts)


def plan_for(size, offset, chunk, resolution):
    return make_plan(a_stack(size, resolution, offset, options={"chunk": chunk}), WorkerSpec(4000))


@given(
    size=st.builds(Vec, st.integers(1, 40), st.integers(1, 40), st.integers(1, 150)),
    offset=vecs(-9, 9),
    chunk=st.sampled_from([Vec(8, 4, 16), Vec(16, 16, 8), Vec(5, 7, 20), Vec(64, 64, 64)]),
    resolution=st.sampled_from([(1.0, 1.0, 1.0), (4.0, 4.0, 40.0), (10.0, 10.0, 2.0)]),
    parts=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    rows=st.integers(1, 50),
)
@settings(max_examples=100)
def test_blocks_together_make_every_owned_voxel_once(size, offset, chunk, resolution, parts, rows):
    """Whatever the bands and blocks: each voxel of each owned scale comes out once, right."""
    plan, tasks = plan_for(size, offset, chunk, resolution)
    for index, task in enumerate(tasks):
        read = plan.read_box(index)
        assert [s.z for s in task.slices] == list(range(read.start.z, read.stop.z))
    least = plan.scales[plan.owned - 1].factor  # a part has whole chunks of every owned scale
    plan = cut(plan, parts[0] * least.x, parts[1] * least.y)
    voxels = np.random.default_rng(rows).integers(0, 256, (*size[::-1], 1)).astype(np.uint8)
    scales = plan.scales[: plan.owned]
    made = [np.zeros((*s.box.shape[::-1], 1), np.uint8) for s in scales]
    count = [np.zeros(m.shape, int) for m in made]
    for index in range(plan.blocks):
        owned = [plan.owned_box(k, index) for k in range(plan.owned)]
        read = plan.read_box(index)
        cascade = Cascade(scales, owned, voxels.dtype, 1)
        slab = voxels[read.slices(offset)]
        for y in range(0, read.shape.y, rows):
            for band in cascade.push(slab[:, y : y + rows]):
                at = band.box.slices(scales[band.scale].box.start)
                made[band.scale][at] = band.voxels
                count[band.scale][at] += 1
                on_grid = band.box.start.y - scales[band.scale].box.start.y
                assert on_grid % scales[band.scale].chunk.y == 0
                assert scales[band.scale].aligned(band.box) == band.box
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
