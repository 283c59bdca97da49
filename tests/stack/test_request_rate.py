"""S3's request rate is part of the plan: simulated with as many workers as a plan has at once."""

import dataclasses

import pytest

from benchmarks.scaling import plan_of
from handlers.plan import as_state
from tests.plans import a_stack, chunk_format
from zblocks.config import Config
from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import (
    GET_RATE,
    PUT_RATE,
    block_puts,
    block_rates,
    coarse_at_once,
    coarse_rates,
)
from zblocks.planning.time import PUTS_PER_CORE, WorkerSpec
from zblocks.planning.warnings import find_warnings
from zblocks.run.decide import Decision
from zblocks.run.forecast import Workers, _rates
from zblocks.run.start import Prepared

from .plans import JOB
from .s3_rate import TIMEOUT, Work, run_blocks

MOST = 1.3  # requests for each object


def a_run(slices, *, sharded=False):
    """Blocks of 10,000×10,000 voxels, and the state of an execution that may run them all."""
    plan, tasks = plan_of((10_000, 10_000, slices), sharded=sharded, memory_mb=3008)
    config = Config.parse({**JOB, "max_concurrency": 1000}, base=None)
    return plan, tasks, as_state(Prepared(plan, tasks), config, "an execution")


def work_of(plan, tasks, faster=1.0):
    threads = PUTS_PER_CORE * round(WorkerSpec.on_lambda(plan.memory_mb).cores)
    puts = max(block_puts(plan, [task]) for task in tasks)
    return Work(len(tasks), puts, plan.predicted_block_s / faster, threads)


@pytest.mark.parametrize(("faster", "seed"), [(1.0, 0), (1.5, 1), (2.0, 2)])
def test_blocks_side_by_side_are_no_more_than_s3_serves(faster, seed):
    """Also if workers are faster than predicted."""
    plan, tasks, state = a_run(2560)
    work = work_of(plan, tasks, faster)
    done = run_blocks(work, state["stages"][0]["max_concurrency"], seed)
    assert done.lost == 0
    assert done.longest < 1.1 * plan.predicted_block_s
    assert done.requests <= MOST * work.objects * work.blocks
    assert done.seconds < 1.2 * max(work.objects * work.blocks / PUT_RATE, work.seconds)


def test_a_run_so_long_that_s3_doubles_its_rate():
    plan, tasks, state = a_run(10_000)
    work = work_of(plan, tasks, 1.5)
    done = run_blocks(work, state["stages"][0]["max_concurrency"])
    assert done.lost == 0
    assert done.longest < TIMEOUT
    assert done.requests <= MOST * work.objects * work.blocks


def test_all_blocks_at_once_would_run_out_of_time():
    """What the stand-in does to a run that isn't limited."""
    plan, tasks, _ = a_run(10_000)
    assert plan.predicted_block_s < 150
    done = run_blocks(work_of(plan, tasks), len(tasks))
    assert done.longest > TIMEOUT
    assert done.lost


def test_the_time_of_a_run_is_that_of_its_objects():
    plan, tasks, state = a_run(10_000)
    puts = block_puts(plan, tasks)
    said = estimate(plan, tasks, WorkerPool(1000), Prices())
    assert said.at_once == state["stages"][0]["max_concurrency"] < 20
    assert puts / PUT_RATE <= said.blocks_s < 1.2 * puts / PUT_RATE


def test_shards_are_few_enough_for_every_block_at_once():
    _, tasks, state = a_run(10_000, sharded=True)
    assert state["stages"][0]["max_concurrency"] >= len(tasks)


def test_reads_have_a_rate_too():
    plan, tasks, _ = a_run(2560, sharded=True)
    large = tuple(
        dataclasses.replace(
            task,
            slices=tuple(
                type(s)(s.z, s.key, 400 << 20, s.etag, "png") for s in task.slices
            ),
        )
        for task in tasks
    )  # fmt: skip
    rates = block_rates(plan, large)
    assert rates.served == pytest.approx(GET_RATE / rates.gets)
    assert estimate(plan, large, WorkerPool(1000), Prices()).at_once == int(rates.served)


def test_coarse_tasks_are_limited_by_what_they_read_and_write():
    plan, _ = plan_of((46_416, 46_416, 46_416), sharded=True, memory_mb=10_240)
    rates, wide = coarse_rates(plan, WorkerPool(1000)), coarse_at_once(plan, WorkerPool(1000))
    assert wide < len(plan.coarse)
    assert wide * rates.gets <= GET_RATE < (wide + 1) * rates.gets
    assert wide * rates.puts <= PUT_RATE


def test_processes_of_one_machine_are_not_limited():
    plan, tasks, _ = a_run(2560)
    assert estimate(plan, tasks, WorkerPool(48, cloud=False), Prices()).at_once == 48


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"sharding": False}, 'shards are fewer objects ("sharding": true)'),
        ({"compression": "br"}, '"compression": "br" rules out shards, which "gzip" (the default)'),
        ({"sharding": True, "chunk_size": [8, 8, 8]}, "larger chunks (chunk_size) make fewer"),
    ],
)
def test_what_s3_takes_limits_the_blocks_at_once_and_it_is_said(fields, advice):
    voxels = chunk_format(compression=fields.get("compression", "gzip"))
    chunk = Vec(*fields["chunk_size"]) if "chunk_size" in fields else None
    options = {"sharding": fields.get("sharding"), "chunk": chunk}
    stack = a_stack((10_000, 10_000, 9_000), (4.0, 4.0, 40.0), voxels=voxels, options=options)
    plan, tasks = make_plan(stack, WorkerSpec.on_lambda(3008))
    workers = Workers([WorkerSpec.on_lambda(3008)], WorkerPool(1000), Prices())
    decision = Decision("begin", plan, tasks, frozenset(t.name for t in tasks), None)
    said = estimate(plan, tasks, workers.pool, workers.prices)
    (line,) = _rates(decision, workers, said)
    assert line.startswith(f"S3's request rate: {said.at_once} blocks at the same time, since ")
    assert f"{len(tasks)} would make " in line
    assert "PUTs a second, and S3 takes 3,500 of a prefix" in line
    assert advice in line
    few = dataclasses.replace(workers, pool=WorkerPool(said.at_once))
    assert not list(_rates(decision, few, said))
    assert bool([w for w in find_warnings(plan) if "rules out shards" in w]) == (
        "compression" in fields
    )


def test_a_block_of_more_objects_than_a_worker_can_write_is_refused():
    small = {"sharding": False, "chunk": Vec(8, 8, 8)}
    stack = a_stack((10_000, 10_000, 2_000), (4.0, 4.0, 40.0), options=small)
    with pytest.raises(DoesNotFit, match=r'[\d,]+ objects to write, .* give "sharding": true, or'):
        make_plan(stack, WorkerSpec.on_lambda(3008))
    brotli = dataclasses.replace(
        stack, chunk_format=chunk_format(compression="br"), options=stack.options
    )
    with pytest.raises(DoesNotFit, match='"br" rules out shards, which "gzip"'):
        make_plan(brotli, WorkerSpec.on_lambda(3008))
