"""What the planner decides, as a table."""

from __future__ import annotations

import dataclasses
import json

import pytest

from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec
from zblocks.planning.ownership import COARSE_SHARE
from zblocks.planning.plan import (
    Contrast,
    Framing,
    SliceRef,
    Volume,
    Wishes,
    plan_from_json,
    plan_to_json,
    task_from_json,
    task_to_json,
)
from zblocks.planning.planner import Job, make_plan
from zblocks.planning.time import Worker, predict_coarse_seconds
from zblocks.slices.header import STREAM_ROWS

VOLUME = Volume("uint8", 1, "raw", 0, "gzip", 0)


def job(size, resolution=(1.0, 1.0, 1.0), offset=(0, 0, 0), **changes):
    slices = tuple(SliceRef(offset[2] + z, f"s{z}", 10, "e", "jpeg") for z in range(size[2]))
    grid = [changes.pop(name, None) for name in ("chunk", "scales", "sharding")]
    wishes = Wishes(resolution, Vec(*offset), *grid)
    held = STREAM_ROWS["jpeg"] * size[0] * changes.get("channels", 1)
    volume = dataclasses.replace(VOLUME, **changes)
    return Job("s3://a", "s3://b/c", volume, wishes, size[0], size[1], slices, held, in_place=True)


@pytest.mark.parametrize(
    ("size", "resolution", "blocks", "chunk", "scales", "owned"),
    [
        # the demo brain: three blocks, top scale of one chunk made by Coarsen
        ((197, 233, 189), (1.0, 1.0, 1.0), 3, (64, 64, 64), 3, 2),
        # one block holds all: nothing for Coarsen
        ((500, 500, 60), (1.0, 1.0, 1.0), 1, (64, 64, 64), 4, 4),
        # sections of electron microscopy: shallow chunks, four to a block, in shards
        ((4000, 3000, 1000), (4.0, 4.0, 40.0), 16, (128, 128, 16), 8, 7),
        # a single slice
        ((3000, 2000, 1), (4.0, 4.0, 40.0), 1, (128, 128, 16), 7, 7),
    ],
)
def test_table(size, resolution, blocks, chunk, scales, owned):
    plan, tasks = make_plan(job(size, resolution), Worker(4000))
    assert (plan.blocks, len(plan.scales), plan.owned) == (blocks, scales, owned)
    assert tuple(plan.scales[0].chunk) == chunk
    assert len(tasks) == blocks
    assert plan.scales[-1].chunks == 1


@pytest.mark.parametrize(
    ("size", "resolution"),
    [
        ((2000, 2000, 2000), (1.0, 1.0, 1.0)),
        ((20000, 20000, 500), (4.0, 4.0, 40.0)),
        ((1576, 1864, 189), (1.0, 1.0, 1.0)),
        ((4000, 4000, 4000), (10.0, 10.0, 2.0)),
    ],
)
def test_coarsen_makes_few_voxels(size, resolution):
    plan, _ = make_plan(job(size, resolution), Worker(4000))
    share = sum(s.box.voxels for s in plan.scales[plan.owned :]) / plan.box.voxels
    assert share < COARSE_SHARE


def test_fewer_scales_on_demand():
    plan, _ = make_plan(job((500, 500, 60), scales=2), Worker(4000))
    assert len(plan.scales) == 2


def test_less_memory_makes_strips_then_shallower_blocks():
    """24000×18000 RGB: 64 whole slices are 77 GiB; a worker has 4."""
    big = job((24000, 18000, 256), (4.0, 4.0, 40.0), channels=3)
    plan, _ = make_plan(big, Worker(8000))
    assert plan.rows < 18000
    assert plan.predicted_peak_mb <= 8000
    small, _ = make_plan(big, Worker(2500))
    assert small.block_depth < plan.block_depth
    assert small.predicted_peak_mb <= 2500


def test_a_stack_that_cannot_fit_says_what_would_do():
    big = job((24000, 18000, 256), (4.0, 4.0, 40.0), channels=3)
    with pytest.raises(DoesNotFit, match=r"24000×18000 need a worker with at least (\d+) MiB") as e:
        make_plan(big, Worker(150))
    enough = int(str(e.value).split("at least ")[1].split()[0])
    plan, _ = make_plan(big, Worker(enough))
    assert plan.predicted_peak_mb <= enough


def test_the_fingerprint_tells_volumes_apart():
    base = job((30, 20, 10))
    same, _ = make_plan(job((30, 20, 10)), Worker(1000))
    assert (
        same.fingerprint == make_plan(base, Worker(4000))[0].fingerprint
    )  # memory changes no voxel
    others = [
        job((30, 20, 10), (2.0, 1.0, 1.0)),
        job((30, 20, 10), offset=(1, 0, 0)),
        job((30, 20, 9)),
        job((30, 20, 10), compression="none"),
        dataclasses.replace(base, slices=base.slices[::-1]),
        dataclasses.replace(
            base, slices=(dataclasses.replace(base.slices[0], etag="f"), *base.slices[1:])
        ),
    ]
    prints = {make_plan(j, Worker(1000))[0].fingerprint for j in others}
    assert len(prints | {same.fingerprint}) == len(others) + 1


def test_documents_travel():
    plan, tasks = make_plan(job((197, 233, 189), (1.5, 1.0, 2.0), (-3, 5, 7)), Worker(4000))
    assert plan_from_json(plan_to_json(plan)) == plan
    for task in tasks:
        assert task_from_json(json.loads(json.dumps(task_to_json(task)))) == task


def test_a_block_that_takes_too_long_is_made_smaller():
    """64 slices of 40000×30000 RGB PNG take a Lambda more than 10 minutes; fewer don't."""
    big = job((40000, 30000, 256), (4.0, 4.0, 40.0), channels=3)
    slow = dataclasses.replace(
        big, slices=tuple(dataclasses.replace(s, kind="png", bytes=10**9) for s in big.slices)
    )
    free, _ = make_plan(slow, Worker(10_000))
    held, _ = make_plan(slow, Worker.on_lambda(10_000))
    assert free.predicted_block_s > 600
    assert held.predicted_block_s <= 600
    assert held.block_depth < free.block_depth


def test_a_block_that_can_only_take_too_long_is_refused():
    big = job((40000, 30000, 256), (4.0, 4.0, 40.0), channels=3, chunk=Vec(64, 64, 64))
    with pytest.raises(DoesNotFit, match="even the smallest block would take"):
        make_plan(big, Worker.on_lambda(3000))


def test_what_is_too_much_for_one_worker_is_coarsened_in_stages():
    """100 teravoxels of cubes: hundreds of tasks first, one at the end; each scale made once."""
    cubes = job((46_416, 46_416, 46_416), (10.0, 10.0, 10.0), sharding=True)
    plan, _ = make_plan(cubes, Worker.on_lambda(10_240))
    stages = plan.stages()
    assert len(stages) > 1
    assert len(stages[-1]) == 1
    assert sorted(i for stage in stages for i in stage) == list(range(len(plan.coarse)))
    made = sorted({k for c in plan.coarse for k in range(c.first, c.last)})
    assert made == list(range(plan.owned, len(plan.scales)))
    for task in plan.coarse:
        source = plan.scales[task.first - 1].box.voxels
        share = task.depth / plan.box.shape.z if task.depth else 1
        assert predict_coarse_seconds(int(source * min(share, 1)), Worker.on_lambda(10_240)) < 700


def test_little_is_coarsened_by_one_task():
    plan, _ = make_plan(job((2000, 2000, 2000)), Worker.on_lambda(4000))
    assert plan.stages() == [[0]]


FRAMING = Framing(40, 30, Box(Vec(1, 2, 3), Vec(31, 22, 13)), 2, True, 90, "x")


def test_contrast_and_framing_travel_and_tell_volumes_apart():
    base = job((20, 30, 5))
    contrast = Contrast(12.0, 300.5, (0.1, 99.9), 32)
    prints = set()
    for changes in [
        {},
        {"contrast": contrast},
        {"contrast": dataclasses.replace(contrast, high=301)},
        {"framing": FRAMING},
        {"framing": dataclasses.replace(FRAMING, reverse=False)},
        {"framing": dataclasses.replace(FRAMING, turn=270)},
    ]:
        volume = dataclasses.replace(base.volume, **changes)
        plan, _ = make_plan(dataclasses.replace(base, volume=volume), Worker(1000))
        assert plan_from_json(plan_to_json(plan)) == plan
        prints.add((plan.fingerprint, plan.grid))
    assert len({f for f, _ in prints}) == len({g for _, g in prints}) == 6


def test_a_crop_plans_for_what_is_decoded():
    """100 rows at the bottom of large slices take the time and the memory of all of them."""
    box = Box(Vec(0, 17_900, 0), Vec(24_000, 18_000, 64))
    small = job((24_000, 100, 64))
    volume = dataclasses.replace(VOLUME, framing=Framing(24_000, 18_000, box))
    plan, _ = make_plan(dataclasses.replace(small, volume=volume), Worker(8000))
    plain, _ = make_plan(small, Worker(8000))
    assert plan.predicted_peak_mb > plain.predicted_peak_mb
    assert plan.predicted_block_s > 10 * plain.predicted_block_s
