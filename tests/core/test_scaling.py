"""The model behind docs/scaling.md, with numbers that can be done by hand."""

from __future__ import annotations

import pytest

from benchmarks.scaling import Rates, block_seconds, measured, plan_of
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.finish import listed
from zblocks.planning.requests import PUT_RATE, block_puts
from zblocks.planning.time import WorkerSpec

RATES = Rates(cpu_ns=10.0, out_bytes=0.9, in_bytes=0.1, network=100e6, start_s=3.0)


def test_the_slower_of_cores_and_network_decides():
    slow_cores, slow_network = WorkerSpec(1000, cores=0.5), WorkerSpec(1000, cores=4.0)
    assert block_seconds(1e9, RATES, slow_cores) == pytest.approx(3 + 20)
    assert block_seconds(1e9, RATES, slow_network) == pytest.approx(3 + 10)


def test_the_request_rate_limits_many_small_objects():
    plan, tasks = plan_of((2200, 2200, 2066), sharded=False, memory_mb=2048)
    quick = measured(plan, Rates(0.0, 0.0, 0.0))
    held = estimate(quick, tasks, WorkerPool(1000), Prices())
    least = block_puts(plan, tasks) / PUT_RATE
    assert least <= held.blocks_s < 1.5 * least


def test_blocks_take_what_was_measured():
    plan, tasks = plan_of((2200, 2200, 2066), sharded=True, memory_mb=2048)
    voxels = 2200 * 2200 * plan.block_shape.z
    seconds = block_seconds(voxels, RATES, WorkerSpec.on_lambda(2048))
    made = estimate(measured(plan, RATES), tasks, WorkerPool(1000), Prices())
    assert made.blocks_s == pytest.approx(seconds)
    assert made.busy_s != estimate(plan, tasks, WorkerPool(1000), Prices()).busy_s


def test_shards_are_few():
    plans = [plan_of((10_000, 10_000, 640), sharded=s, memory_mb=2048)[0] for s in (True, False)]
    objects = [sum(listed(p)) for p in plans]
    assert objects[0] * 10 < objects[1]
