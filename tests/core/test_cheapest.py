"""Of several sizes of workers, and of many shapes of blocks, the plan takes what costs least."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from benchmarks.stacks import STACKS, Stack
from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.planning import planner
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.blocks import fitting_blocks
from zblocks.planning.cost import estimate
from zblocks.planning.ownership import coarse_peak
from zblocks.planning.planner import make_plan, needed_peak, run_in
from zblocks.planning.time import WorkerSpec

SIZES = tuple(map(WorkerSpec.on_lambda, (1769, 3008)))
TILED = Stack((21_796, 12_876, 200), "tiff", "uint16").given
WIDE = STACKS["24,000×18,000×450 RGB, JPEG"].given
WHOLE = STACKS["12,000×9,000×1,500 uint8, JPEG 2000"].given


def dollars(given, *workers):
    return estimate(*make_plan(given, *workers), WorkerPool(1000), Prices()).bill.dollars


@pytest.mark.parametrize(("given", "memory_mb"), [(TILED, 1769), (WHOLE, 3008)])
def test_of_two_sizes_the_cheaper_one_is_taken(given, memory_mb):
    plan, _ = make_plan(given, *SIZES)
    assert (plan.memory_mb, plan.sizes_mb) == (memory_mb, (1769, 3008))
    assert dollars(given, *SIZES) == min(dollars(given, each) for each in SIZES)
    assert plan.predicted_peak_mb <= 0.88 * memory_mb


@pytest.mark.parametrize("given", [TILED, WIDE])
def test_no_block_that_fits_makes_a_cheaper_run(given, monkeypatch):
    """By the bill of the whole run, which looks at every block."""
    worker = SIZES[1]
    least = dollars(given, worker)
    for block in fitting_blocks(given, worker):
        monkeypatch.setattr(planner, "fitting_blocks", lambda *_, only=block: [only])
        assert dollars(given, worker) >= 0.995 * least


def test_a_layout_that_is_there_is_preferred():
    """So that slices which were mended don't make all blocks be converted again."""
    cheap, _ = make_plan(TILED, *SIZES)
    other, _ = make_plan(TILED, WorkerSpec.on_lambda(1280))
    assert other.layout_id != cheap.layout_id
    kept, _ = make_plan(TILED, *SIZES, layout=other.layout_id)
    assert (kept.layout_id, kept.volume_id) == (other.layout_id, cheap.volume_id)
    assert kept.predicted_peak_mb <= 0.88 * kept.memory_mb
    assert make_plan(TILED, *SIZES, layout="of another volume")[0] == cheap


def test_shallow_blocks_have_as_many_chunks_as_deep_ones():
    """On AWS, where objects cost money; on one machine, chunks are as they were."""
    for given in (WIDE, Stack((24_000, 18_000, 450), "jpeg", "uint8").given):
        paid, _ = make_plan(given, WorkerSpec.on_lambda(1100))
        assert paid.block_shape.z < 64
        for scale in paid.scales[: paid.owned]:
            assert prod(scale.chunk) == 1 << 18
            assert scale.chunk.x in (scale.chunk.y, 2 * scale.chunk.y, 4 * scale.chunk.y)
        free, _ = make_plan(given, WorkerSpec(1100))
        assert {(s.chunk.x, s.chunk.y) for s in free.scales[: free.owned]} == {(128, 128)}
    given = replace(WIDE, options=replace(WIDE.options, chunk=Vec(64, 64, 8)))
    plan, _ = make_plan(given, SIZES[1])
    assert {tuple(s.chunk) for s in plan.scales[: plan.owned]} == {(64, 64, 8)}


@pytest.mark.parametrize("name", [name for name in STACKS if "300 RGB" not in name])
def test_shards_of_shallow_blocks_are_large_too(name):
    """Of four layers of chunks at least 4 deep; or of two, where a block is 8 deep."""
    plan, _ = make_plan(STACKS[name].given, *SIZES)
    finest = plan.scales[0]
    layers = plan.block_shape.z // finest.chunk.z
    assert layers == min(4, plan.block_shape.z // 4)
    assert 1 << finest.sharding.low in {4: (128, 256), 2: (32,)}[layers]


def test_jpeg_2000_is_decoded_two_at_a_time_since_each_takes_much_memory():
    assert make_plan(WHOLE, SIZES[1])[0].decoders == 2
    assert make_plan(WIDE, SIZES[1])[0].decoders == 4
    assert make_plan(WHOLE, WorkerSpec.on_lambda(10_240))[0].decoders == 6
    assert make_plan(WIDE, WorkerSpec.on_lambda(10_240))[0].decoders == 6


def test_a_size_in_which_nothing_fits_is_left_out():
    plan, _ = make_plan(WIDE, WorkerSpec.on_lambda(128), SIZES[1])
    assert plan.memory_mb == 3008
    with pytest.raises(DoesNotFit, match="this one has 130"):
        make_plan(WIDE, WorkerSpec.on_lambda(128), WorkerSpec.on_lambda(130))


@pytest.mark.parametrize(
    ("begun", "deployed", "memory_mb"),
    [
        (3008, (1769, 3008, 4096), 3008),  # the smallest that has the memory
        (3008, (2400, 4096), 4096),
        (3008, (1024, 1769), 1769),  # none has: refused by `decide`
        (1769, (1769, 3008), 1769),
    ],
)
def test_blocks_that_were_planned_before_run_in_the_smallest_worker(begun, deployed, memory_mb):
    plan, _ = make_plan(WIDE, WorkerSpec.on_lambda(begun))
    moved = run_in(plan, WIDE, [WorkerSpec.on_lambda(mb) for mb in deployed])
    assert (moved.memory_mb, moved.sizes_mb) == (memory_mb, ())
    assert moved.layout_id == plan.layout_id
    fits = needed_peak(moved) <= WorkerSpec.on_lambda(memory_mb).planned_mb
    assert fits == (deployed != (1024, 1769))
    smaller, larger = sorted((plan, moved), key=lambda p: p.memory_mb)
    assert smaller.predicted_block_s >= larger.predicted_block_s


def test_blocks_that_would_take_too_long_get_a_larger_worker():
    """What one machine began may be too much for one core in the time of a function."""
    slow = Stack((7000, 7000, 64), "jp2", "uint8", 3).given
    begun, _ = make_plan(slow, WorkerSpec(3008))
    sizes = [WorkerSpec.on_lambda(mb) for mb in (3008, 6000)]
    moved = run_in(begun, slow, sizes)
    assert needed_peak(begun) <= sizes[0].planned_mb
    assert (moved.memory_mb, moved.predicted_block_s < sizes[1].limit_s) == (6000, True)


def test_the_largest_task_counts_that_of_coarsen_too():
    plan, _ = make_plan(Stack((16_000, 16_000, 4000), "jpeg", "uint8").given, SIZES[0])
    assert plan.coarse
    coarse = max(coarse_peak(plan.scales, task, plan.formats) for task in plan.coarse)
    assert needed_peak(plan) == max(plan.predicted_peak_mb, coarse)
    small = replace(plan, predicted_peak_mb=1)
    assert needed_peak(small) == coarse > 100


def test_on_one_machine_the_largest_block_is_taken():
    """Its seconds cost nothing; blocks are as large as memory allows."""
    stack = Stack((24_000, 18_000, 450), "jpeg", "uint8", ratio=0.15).given
    here = WorkerSpec(3008)
    (first,) = fitting_blocks(stack, here)
    plan, _ = make_plan(stack, here)
    assert plan.block_shape == first.shape
    other = fitting_blocks(stack, WorkerSpec(3008, paid=True))[0]
    assert (first.shape, first.rows, first.seconds) == (other.shape, other.rows, other.seconds)
