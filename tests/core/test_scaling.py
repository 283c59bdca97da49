"""The model behind docs/scaling.md, with numbers that can be done by hand."""

from __future__ import annotations

import pytest

from benchmarks.scaling import Prices, Rates, block_seconds, estimate, plan_of, puts_seconds
from zblocks.timing import Worker

RATES = Rates(cpu_ns=10.0, out_bytes=0.9, in_bytes=0.1, network=100e6, start_s=3.0, put_rate=100.0)


def test_the_slower_of_cores_and_network_decides():
    slow_cores, slow_network = Worker(1000, cores=0.5), Worker(1000, cores=4.0)
    assert block_seconds(1e9, RATES, slow_cores) == pytest.approx(3 + 20)
    assert block_seconds(1e9, RATES, slow_network) == pytest.approx(3 + 10)


def test_the_request_rate_limits_many_small_objects():
    plan = plan_of((2200, 2200, 2066), sharded=False, memory_mb=2048)
    free = puts_seconds(plan, 1000, 10.0, Rates(10.0, 0.9, 0.1, put_rate=1e9))
    held = puts_seconds(plan, 1000, 10.0, RATES)
    assert free == 10
    assert held >= plan.scales[0].objects / RATES.put_rate


def test_the_bill_is_the_sum_of_its_parts():
    plan = plan_of((2200, 2200, 2066), sharded=True, memory_mb=2048)
    nothing = Prices(0, 0, 0, 0, 0)
    assert estimate(plan, RATES, nothing, 1000).dollars == 0
    puts = Prices(0, 0, 0, put_thousand=1000.0, get_thousand=0)
    made = estimate(plan, RATES, puts, 1000)
    assert made.dollars == pytest.approx(made.objects + 2 * plan.blocks)


def test_shards_are_few():
    plans = [plan_of((10_000, 10_000, 640), sharded=s, memory_mb=2048) for s in (True, False)]
    objects = [sum(s.objects for s in p.scales) for p in plans]
    assert objects[0] * 10 < objects[1]
