"""Of the scales that blocks can write, they write as many as make the run cheapest.

Coarse tasks make the others, for requests and seconds that read chunks back.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stacks import SECTIONS, STACKS, Stack
from tests.plans import a_stack, chunk_format
from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.outputs.scales import Formats
from zblocks.planning import planner
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.blocks import fitting_blocks
from zblocks.planning.cost import estimate, least_dollars, predict_dollars
from zblocks.planning.finish import listed
from zblocks.planning.planner import ABOUT, CENTS, make_plan
from zblocks.planning.time import WorkerSpec, predict_coarse_seconds

SIZES = tuple(map(WorkerSpec.on_lambda, (1769, 3008)))
CUBE = (2000, 2000, 2000)
WIDE_RGB = STACKS["24,000×18,000×450 RGB, JPEG"].given


def chunked(size, *chunk, sharding=False, **fields):
    options = {"chunk": Vec(*chunk) if chunk else None, "sharding": sharding}
    return a_stack(size, options=options, **fields)


# Stacks; how many scales blocks write on AWS; how many they write on one machine.
CASES = {
    "an object per chunk, for a few cents more": (chunked(CUBE, 64, 64, 64), 4, 4),
    "tall chunks": (chunked((64, 64, 600), 8, 8, 64), 4, 4),
    "RGB, which fill a large worker": (WIDE_RGB, 2, 5),
    "shards": (chunked(CUBE, sharding=True), 4, 4),
    "tiny chunks in shards": (chunked((1000, 1000, 1000), 16, 16, 16, sharding=True), 4, 4),
    "sections": (a_stack((2200, 2200, 500), SECTIONS, options={"sharding": False}), 6, 6),
    "z is the finest": (a_stack((4000, 4000, 1000), (10.0, 10.0, 2.0)), 3, 4),
    "tiles": (Stack((21_796, 12_876, 200), "tiff", "uint16").given, 3, 4),
    "labels": (a_stack(CUBE, layer="segmentation", voxels=chunk_format(dtype="uint64")), 4, 4),
    "both formats": (a_stack(CUBE, formats=Formats(True, True, "zstd", True)), 4, 4),
}


def every_plan(stack):
    """Yield each plan that is possible, with its block and worker."""
    for worker in SIZES:
        for block in fitting_blocks(stack, worker):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(planner, "fitting_blocks", lambda *_, only=block: [only])
                try:
                    yield make_plan(stack, worker)[0], block, worker
                except DoesNotFit:
                    continue


def most_objects(plan):
    return max(planner.FEW_OBJECTS, planner.OBJECTS_PER_VOXEL * plan.box.voxels)


@pytest.mark.parametrize("name", CASES)
def test_no_other_number_of_scales_makes_a_cheaper_run(name):
    """By the bill of the whole run, which looks at every task."""
    stack, owned, _ = CASES[name]
    plan, tasks = make_plan(stack, *SIZES)
    assert plan.owned == owned
    others = [each for each, _, _ in every_plan(stack)]
    assert {each.owned for each in others} >= set(range(1, owned + 1))
    few = [each for each in others if sum(listed(each)) <= most_objects(each)]
    pool, prices = WorkerPool(1000), Prices()
    least = min(
        estimate(each, planner.block_tasks(each, stack.slices), pool, prices).bill.dollars
        for each in few or others
    )
    assert estimate(plan, tasks, pool, prices).bill.dollars <= (ABOUT + 0.003) * least + CENTS


@pytest.mark.parametrize("name", CASES)
def test_on_one_machine_blocks_write_all_scales_that_they_can(name):
    """Its seconds cost nothing: what is read back only takes time."""
    stack, _, most = CASES[name]
    assert make_plan(stack, WorkerSpec(3008))[0].owned == most


def test_of_bills_that_are_about_as_low_blocks_write_the_most_scales():
    stack = CASES["sections"][0]
    plan, _ = make_plan(stack, *SIZES)
    bills = {each: predict_dollars(each, stack.slices) for each, *_ in every_plan(stack)}
    least = min(bills, key=bills.get)
    near = [each for each in bills if bills[each] <= ABOUT * bills[least]]
    assert least.owned < plan.owned == max(each.owned for each in near)


def planned(stack, **patches):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in patches.items():
            patch.setattr(planner, name, value)
        return make_plan(stack, *SIZES)[0]


STACKS_OF_ALL_SIZES = st.builds(
    lambda size, resolution, channels, chunk, sharding: a_stack(
        size,
        resolution,
        voxels=chunk_format(channels=channels),
        options={"chunk": chunk, "sharding": sharding},
        file_bytes=size[0] * size[1] * channels // 7,
    ),
    st.tuples(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 900)),
    st.sampled_from([(1.0, 1.0, 1.0), SECTIONS, (10.0, 10.0, 2.0)]),
    st.sampled_from([1, 3]),
    st.sampled_from([None, Vec(64, 64, 64), Vec(32, 32, 16), Vec(128, 64, 8)]),
    st.sampled_from([None, True, False]),
)


@given(stack=STACKS_OF_ALL_SIZES)
@settings(max_examples=40, deadline=None)
def test_what_is_left_out_could_not_have_been_chosen(stack):
    """And equal stacks get equal plans."""
    plan, *again = (planned(stack) for _ in range(2))
    assert again == [plan]
    assert planned(stack, least_dollars=lambda *_: 0.0) == plan
    for other, block, worker in every_plan(stack):
        assert least_dollars(stack, block, worker) <= predict_dollars(other, stack.slices) + 1e-12


def test_a_layout_with_fewer_scales_is_found_again():
    """Also if it isn't the cheapest now."""
    stack = CASES["shards"][0]
    for other, *_ in every_plan(stack):
        kept, _ = make_plan(stack, *SIZES, layout=other.layout_id)
        assert kept.layout_id == other.layout_id


def test_fewer_scales_may_fit_where_all_do_not():
    """24,000×18,000 RGB in blocks of 16 slices."""
    blocks = fitting_blocks(WIDE_RGB, SIZES[0])
    owned = {depth: {b.owned for b in blocks if b.shape.z == depth} for depth in (8, 16)}
    assert max(owned[16]) < max(owned[8])


def test_coarse_tasks_take_time_for_what_they_make():
    worker = SIZES[0]
    read = predict_coarse_seconds(10**9, 0, 100, ["gzip"], worker)
    made = predict_coarse_seconds(10**9, 10**8, 100, ["gzip"], worker)
    both = predict_coarse_seconds(10**9, 10**8, 100, ["gzip", "zstd"], worker)
    assert read + 1 < made < both
    assert predict_coarse_seconds(10**9, 10**8, 100, ["labels"], worker) < read


def test_slices_are_counted_once():
    stack = a_stack((300, 200, 20), gone={3, 9})
    assert (stack.totals.reads, stack.totals.largest, stack.totals.kinds) == (18, 10, {"jpeg"})
    assert replace(stack, slices=stack.slices[:5]).totals.reads == 4
