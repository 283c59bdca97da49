"""docs/scaling.md is what its script makes of the planner, and how many objects limit a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling import KEPT, PAGE, SIZES, inputs, plan_of, row
from benchmarks.stacks import STACKS
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.finish import listed
from zblocks.planning.requests import PUT_RATE, block_puts
from zblocks.planning.time import START


@pytest.mark.parametrize("name", ["10 Gvoxel uint8, JPEG, shards", "24,000×18,000×450 uint8, JPEG"])
def test_the_page_has_what_the_planner_says(name):
    lines = PAGE.read_text().splitlines()
    assert row(name, (SIZES | STACKS)[name]) in lines
    assert {f"| {' | '.join(each)} |" for each in inputs()} <= set(lines)
    assert KEPT in lines


def test_the_request_rate_limits_many_small_objects():
    plan, tasks = plan_of((2200, 2200, 2066), sharded=False, memory_mb=2048)
    quick = replace(plan, predicted_block_s=START)
    held = estimate(quick, tasks, WorkerPool(1000), Prices())
    least = block_puts(plan, tasks) / PUT_RATE
    assert least <= held.blocks_s < 1.5 * least


def test_shards_are_few():
    plans = [plan_of((10_000, 10_000, 640), sharded=s, memory_mb=2048)[0] for s in (True, False)]
    objects = [sum(listed(p)) for p in plans]
    assert objects[0] * 10 < objects[1]
