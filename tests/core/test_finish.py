"""What one call of a function can't finish is refused before it begins, with the way out."""

from __future__ import annotations

import dataclasses

import pytest

from tests.plans import a_stack, chunk_format
from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.planning.finish import finalize_seconds, listed, replaced_objects
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.run.decide import Destination, Planned, decide

LAMBDA = WorkerSpec.on_lambda(3008)
LARGE, SMALL = (12_000, 12_000, 8000), (1200, 1200, 200)


def stack(size=LARGE, *, sharding=False, **fields):
    options = {"sharding": sharding, "chunk": Vec(32, 32, 16)}
    return a_stack(size, (4.0, 4.0, 40.0), options=options, **fields)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (stack(), 'set "sharding": true, or give a larger chunk_size'),
        (
            stack(voxels=chunk_format(compression="br")),
            'set "sharding": true and another "compression" than br',
        ),
        (stack((60_000, 60_000, 24_000), sharding=True), "raise the memory of workers"),
    ],
    ids=["chunks", "brotli", "shards"],
)
def test_more_objects_than_finalize_can_compare_are_refused(given, advice):
    with pytest.raises(DoesNotFit, match=r"[\d,]+ objects: Finalize, one function") as error:
        make_plan(given, WorkerSpec.on_lambda(10_240))
    assert advice in str(error.value)
    assert "convert on one machine (`zblocks convert`)" in str(error.value)


def test_the_ways_out_lead_out():
    assert make_plan(stack(sharding=True), LAMBDA)
    larger = dataclasses.replace(stack().options, chunk=Vec(128, 128, 16))
    assert make_plan(dataclasses.replace(stack(), options=larger), LAMBDA)
    here, _ = make_plan(stack(), WorkerSpec(3008))
    assert sum(listed(here)) > 20_000_000


def test_seconds_grow_with_objects_tasks_and_what_is_deleted():
    small, _ = make_plan(stack(SMALL), LAMBDA)
    large, _ = make_plan(stack((12_000, 1200, 200)), LAMBDA)
    assert finalize_seconds(small) < finalize_seconds(large)
    assert finalize_seconds(large, 0.5) > finalize_seconds(large) > finalize_seconds(large, 2.0)
    assert finalize_seconds(large, 6.0) == finalize_seconds(large, 2.0), "Python uses one core"
    assert finalize_seconds(large, 1.0, 35_000) == pytest.approx(finalize_seconds(large) + 10)


def test_a_volume_too_large_to_be_deleted_is_not_replaced():
    old = Planned(*make_plan(stack((12_000, 12_000, 400)), WorkerSpec(3008)))
    new = Planned(*make_plan(stack(SMALL, sharding=True), LAMBDA))
    there = Destination("s3://volumes/brain", old, finished=True)
    refusal = decide(there, new, [LAMBDA], overwrite=True).refusal
    assert isinstance(refusal, DoesNotFit)
    assert "objects would have to be deleted" in str(refusal)
    assert "`aws s3 rm --recursive s3://volumes/brain`" in str(refusal)
    assert decide(there, new, [WorkerSpec(3008)], overwrite=True).refusal is None


def test_objects_of_the_same_names_are_not_deleted():
    plan, _ = make_plan(stack(SMALL), LAMBDA)
    other, _ = make_plan(stack(LARGE), WorkerSpec(3008))
    assert replaced_objects(plan, plan) == 0
    assert replaced_objects(other, plan) == sum(listed(other))
