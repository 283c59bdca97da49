"""What the planner decides, as a table."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from tests.plans import a_stack, chunk_format
from zblocks.errors import DoesNotFit
from zblocks.geometry import Box, Vec
from zblocks.planning.bill import WorkerPool
from zblocks.planning.documents import (
    bytes_of_slices,
    plan_from_json,
    plan_to_json,
    slices_from_bytes,
    slices_from_json,
    slices_to_json,
    stack_slices,
    stage_from_json,
    stage_to_json,
)
from zblocks.planning.ownership import COARSE_SHARE
from zblocks.planning.plan import block_tasks
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import coarse_seconds
from zblocks.planning.time import START, WorkerSpec
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import Cast, Contrast
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.transforms.substitutes import Substitutes

RGB = chunk_format(channels=3)


@pytest.mark.parametrize(
    ("size", "resolution", "blocks", "chunk", "scales", "owned"),
    [
        # the demo brain: three blocks, top scale of one chunk made afterwards
        ((197, 233, 189), (1.0, 1.0, 1.0), 3, (64, 64, 64), 3, 2),
        # one block holds all: nothing is made afterwards
        ((500, 500, 60), (1.0, 1.0, 1.0), 1, (64, 64, 64), 4, 4),
        # sections of electron microscopy: shallow chunks, four to a block, in shards
        ((4000, 3000, 1000), (4.0, 4.0, 40.0), 16, (128, 128, 16), 8, 7),
        # a single slice
        ((3000, 2000, 1), (4.0, 4.0, 40.0), 1, (128, 128, 16), 7, 7),
    ],
)
def test_table(size, resolution, blocks, chunk, scales, owned):
    plan, tasks = make_plan(a_stack(size, resolution), WorkerSpec(4000))
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
    plan, _ = make_plan(a_stack(size, resolution), WorkerSpec(4000))
    share = sum(s.box.voxels for s in plan.scales[plan.owned :]) / plan.box.voxels
    assert share < COARSE_SHARE


def test_fewer_scales_on_demand():
    plan, _ = make_plan(a_stack((500, 500, 60), options={"scales": 2}), WorkerSpec(4000))
    assert len(plan.scales) == 2


def test_less_memory_makes_strips_then_shallower_blocks():
    """24000×18000 RGB: 64 whole slices are 77 GiB; a worker has 4."""
    big = a_stack((24000, 18000, 256), (4.0, 4.0, 40.0), voxels=RGB)
    plan, _ = make_plan(big, WorkerSpec(8000))
    assert plan.rows < 18000
    assert plan.predicted_peak_mb <= 0.88 * 8000
    small, _ = make_plan(big, WorkerSpec(2500))
    assert small.block_shape.z < plan.block_shape.z
    assert small.predicted_peak_mb <= 0.88 * 2500


def test_a_stack_that_cannot_fit_says_what_would_do():
    big = a_stack((24000, 18000, 256), (4.0, 4.0, 40.0), voxels=RGB)
    with pytest.raises(DoesNotFit, match=r"24000×18000 need a worker with at least (\d+) MiB") as e:
        make_plan(big, WorkerSpec(150))
    enough = int(str(e.value).split("at least ")[1].split()[0])
    plan, _ = make_plan(big, WorkerSpec(enough))
    assert plan.predicted_peak_mb <= 0.88 * enough
    with pytest.raises(DoesNotFit):
        make_plan(big, WorkerSpec(enough - 1))


def test_the_id_tells_volumes_apart():
    base = a_stack((30, 20, 10))
    same, _ = make_plan(a_stack((30, 20, 10)), WorkerSpec(1000))
    other, _ = make_plan(base, WorkerSpec(4000))
    assert same.volume_id == other.volume_id  # memory changes no voxel
    others = [
        a_stack((30, 20, 10), (2.0, 1.0, 1.0)),
        a_stack((30, 20, 10), offset=(1, 0, 0)),
        a_stack((30, 20, 9)),
        a_stack((30, 20, 10), voxels=chunk_format(compression="none")),
        dataclasses.replace(base, slices=base.slices[::-1]),
        dataclasses.replace(
            base, slices=(msgspec.structs.replace(base.slices[0], etag="f"), *base.slices[1:])
        ),
    ]
    prints = {make_plan(j, WorkerSpec(1000))[0].volume_id for j in others}
    assert len(prints | {same.volume_id}) == len(others) + 1


def test_documents_travel():
    plan, tasks = make_plan(a_stack((197, 233, 189), (1.5, 1.0, 2.0), (-3, 5, 7)), WorkerSpec(4000))
    assert plan_from_json(plan_to_json(plan)) == plan
    slices = stack_slices(tasks)
    assert slices_from_json(slices_to_json(slices)) == slices
    assert block_tasks(plan, slices) == tasks
    assert stage_from_json(stage_to_json("block", range(3))) == (0, 1, 2)


@pytest.mark.parametrize("gone", [{}, {0, 5, 6, 39}])
def test_a_block_finds_its_slices_among_all_by_their_place(gone):
    """Also where keys are longer than others, of other letters, or missing."""
    base = a_stack((40, 30, 300), offset=(0, 0, -3), gone=gone, options={"chunk": Vec(8, 8, 8)})
    slices = tuple(
        s if s.key is None else msgspec.structs.replace(s, key=f"{'ü' * (s.z % 7)}-{s.z}")
        for s in base.slices
    )
    plan, tasks = make_plan(dataclasses.replace(base, slices=slices), WorkerSpec(120))
    assert plan.blocks == 5
    document = slices_to_json(stack_slices(tasks))
    for task in tasks:
        start, length = bytes_of_slices(len(document), 300, plan.read_slices(task.index))
        assert slices_from_bytes(document[start : start + length]) == task.slices


def test_items_of_a_map_are_small_however_many_slices_and_boxes_there_are():
    """The plan of 24 Tvoxel; 2,000 boxes are less than 1 MB by far."""
    from benchmarks.stacks import STACKS

    given = STACKS["40,000×40,000×15,000 uint16, tiled TIFF"].given
    plan, tasks = make_plan(given, WorkerSpec.on_lambda(1769), WorkerSpec.on_lambda(3008))
    assert len(tasks) == plan.blocks > 2000
    items = stage_to_json("block", (t.index for t in tasks[:2000]))
    assert len(items) < 50_000
    assert len(plan_to_json(plan)) < 50_000


def test_a_block_that_takes_too_long_is_made_smaller():
    """64 slices of 40000×30000 RGB PNG take a Lambda more than 10 minutes; fewer don't."""
    big = a_stack((40000, 30000, 256), (4.0, 4.0, 40.0), voxels=RGB)
    slow = dataclasses.replace(
        big, slices=tuple(msgspec.structs.replace(s, kind="png", bytes=10**9) for s in big.slices)
    )
    free, _ = make_plan(slow, WorkerSpec(10_000))
    held, _ = make_plan(slow, WorkerSpec.on_lambda(10_000))
    assert free.predicted_block_s > 600
    assert held.predicted_block_s <= 600
    assert held.block_shape.z < free.block_shape.z


def test_a_block_that_can_only_take_too_long_is_refused():
    big = a_stack(
        (40000, 30000, 256), (4.0, 4.0, 40.0), voxels=RGB, options={"chunk": Vec(64, 64, 64)}
    )
    with pytest.raises(DoesNotFit, match="even the smallest block would take"):
        make_plan(big, WorkerSpec.on_lambda(3000))


def test_what_is_too_much_for_one_worker_is_coarsened_in_stages():
    """100 teravoxels of cubes: hundreds of tasks first, one at the end; each scale made once."""
    cubes = a_stack((46_416, 46_416, 46_416), (10.0, 10.0, 10.0), options={"sharding": True})
    plan, _ = make_plan(cubes, WorkerSpec.on_lambda(10_240))
    stages = plan.stages()
    assert len(stages) > 1
    assert len(stages[-1]) == 1
    assert sorted(i for stage in stages for i in stage) == list(range(len(plan.coarse)))
    made = sorted({k for c in plan.coarse for k in range(c.first, c.last)})
    assert made == list(range(plan.owned, len(plan.scales)))
    assert max(coarse_seconds(plan, WorkerPool(1))) < 700


def test_little_is_coarsened_by_one_task():
    plan, _ = make_plan(a_stack((2000, 2000, 2000)), WorkerSpec.on_lambda(4000))
    assert plan.stages() == [[0]]


REGION = Region(40, 30, Box(Vec(1, 2, 3), Vec(31, 22, 13)), 2, True, 90, "x")
CONTRAST = Contrast(12.0, 300.5, "uint8", "uint16", (0.1, 99.9), 32)


def test_steps_and_region_travel_and_tell_volumes_apart():
    base, ids = a_stack((20, 30, 5), rows=RowFormat(40, 30, 1, "uint16")), set()
    for steps, region in [
        ((), None),
        ((CONTRAST,), None),
        ((msgspec.structs.replace(CONTRAST, high=301),), None),
        ((Cast("uint32"),), None),
        ((Canvas(40, 30, "center", 3),), None),
        ((Canvas(40, 30, "top-left", 3),), None),
        ((CONTRAST, Canvas(40, 30, "center", 3)), None),
        ((REGION,), REGION),
        ((), msgspec.structs.replace(REGION, reverse=False)),
        ((msgspec.structs.replace(REGION, turn=270),), REGION),
    ]:
        given = dataclasses.replace(
            base, stack=dataclasses.replace(base.stack, transforms=(*steps, Substitutes(7)))
        )
        plan, _ = make_plan(dataclasses.replace(given, region=region), WorkerSpec(1000))
        assert plan_from_json(plan_to_json(plan)) == plan
        ids.add((plan.volume_id, plan.layout_id))
    assert len({v for v, _ in ids}) == len({n for _, n in ids}) == 10


def test_a_crop_plans_for_what_is_decoded():
    """100 rows at the bottom of large slices take the time and the memory of all of them."""
    crop = Region(24_000, 18_000, Box(Vec(0, 17_900, 0), Vec(24_000, 18_000, 64)))
    large = RowFormat(24_000, 18_000, 1, "uint8")
    cropped = a_stack((24_000, 100, 64), rows=large, steps=(crop,), region=crop)
    plan, _ = make_plan(cropped, WorkerSpec(8000))
    plain, _ = make_plan(a_stack((24_000, 100, 64)), WorkerSpec(8000))
    assert plan.box == plain.box
    assert plan.predicted_peak_mb > plain.predicted_peak_mb
    assert plan.predicted_block_s - START > 5 * (plain.predicted_block_s - START)
