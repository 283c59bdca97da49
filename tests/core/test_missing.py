"""What is read instead of a missing slice, and which planes and chunks are left without data."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plans import a_stack
from tests.references import means
from zblocks.conversion.cascade import Cascade
from zblocks.conversion.tasks import downsamplers, read_slices
from zblocks.geometry import Box, Vec, is_covered
from zblocks.planning.documents import slices_from_json, slices_to_json, stack_slices
from zblocks.planning.missing import (
    coarser_spans,
    hole_spans,
    planned_holes,
    spans_of,
    substitutes_of,
)
from zblocks.planning.plan import MissingSlices
from zblocks.planning.planner import make_plan, volume_id
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.object_names import object_names
from zblocks.precomputed.scale import chunk_key, shard_key
from zblocks.precomputed.sharding import chunk_id
from zblocks.slices import FillReader
from zblocks.slices.transforms.substitutes import InterpolatedReader, Substitutes, blend


def plan_for(gone, policy, *, z0=0, sharding=False, means=True):
    """Plan a stack of 40 slices from z0 on, without those of `gone` (counted from 0)."""
    given = a_stack(
        (7, 5, 40),
        (4.0, 4.0, 4.0),
        (0, 0, z0),
        kind="png",
        gone=gone,
        missing=MissingSlices(policy, in_means=means),
        options={"chunk": Vec(4, 4, 8), "sharding": sharding},
    )
    return make_plan(given, WorkerSpec(4000))


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(-3, 33))
def test_the_nearest_is_read_instead(present, z):
    if z in present:
        return
    (found,) = substitutes_of("nearest", z, sorted(present))
    assert found == min(sorted(present), key=lambda p: abs(p - z))
    between = substitutes_of("interpolate", z, sorted(present))
    below, above = [p for p in present if p < z], [p for p in present if p > z]
    assert between == ((max(below), min(above)) if below and above else (found,))
    for policy in ("fill", "hole"):
        assert substitutes_of(policy, z, sorted(present)) == ()


numbers = st.sampled_from(["uint8", "uint16", "uint32"])


@given(numbers, st.integers(2, 9), st.data())
def test_interpolated_slices_are_rounded_half_to_even(dtype, span, data):
    at = data.draw(st.integers(1, span - 1))
    top = np.iinfo(dtype).max
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, top)] * 2), min_size=1, max_size=9))
    lower, upper = (np.array(side, dtype)[:, None, None] for side in zip(*pairs, strict=True))
    due = [round(low + Fraction((high - low) * at, span)) for low, high in pairs]
    blend(lower, upper, at, span)
    assert lower.ravel().tolist() == due


def test_a_mixture_of_real_numbers_and_in_pieces():
    out = np.zeros((70, 2, 1), np.float32)
    InterpolatedReader(FillReader(-0.5), FillReader(2.5), 2, 3).read_rows(out)
    assert set(out.ravel().tolist()) == {1.5}


gaps = st.sets(st.integers(0, 39), max_size=39)


@given(gaps, st.integers(-9, 9), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 9))
def test_absent_planes_and_layers_are_those_counted_one_by_one(gone, z0, factor, depth):
    span = z0, z0 + 40
    spans = coarser_spans(spans_of(z0 + z for z in gone), span, factor)
    low, high = span[0] // factor, -(-span[1] // factor)
    fine = {p: [z for z in range(p * factor, (p + 1) * factor) if span[0] <= z < span[1]]
            for p in range(low, high)}  # fmt: skip
    absent = {p for p, below in fine.items() if all(z - z0 in gone for z in below)}
    assert {p for a, b in spans for p in range(a, b)} == absent
    assert spans == spans_of(absent)
    holes = hole_spans(spans, Box(Vec(0, 0, low), Vec(1, 1, high)), depth)
    for first in range(low, high, depth):
        layer = range(first, min(first + depth, high))
        assert is_covered(holes, layer.start, layer.stop) == (set(layer) <= absent)


def brute_pool(fine, absent, start, step):
    """Pool along z only, plane by plane: means of planes that are there, rounded half to even."""
    stop = start.z + len(fine)
    planes, gone = [], set()
    for p in range(start.z // step.z, -(-stop // step.z)):
        below = [z for z in range(p * step.z, (p + 1) * step.z) if start.z <= z < stop]
        kept = [z for z in below if z not in absent]
        if not kept:
            gone.add(p)
        part = fine[[z - start.z for z in kept or below]]
        planes.append(means(part, start._replace(z=0), step._replace(z=len(part))))
    return np.concatenate(planes), gone


@pytest.mark.parametrize("how", ["fill", "hole"])
@given(gone=st.sets(st.integers(0, 39), max_size=39), z0=st.integers(-9, 9), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_blocks_keep_absent_planes_out_of_means(how, gone, z0, seed):
    """The cascade over all blocks, against planes pooled one by one."""
    plan, tasks = plan_for(gone, how, z0=z0, means=False)
    voxels = np.random.default_rng(seed).integers(0, 256, (40, 5, 7, 1)).astype(np.uint8)
    voxels[sorted(gone)] = 0
    scales = plan.scales[: plan.owned]
    made = [np.full((*s.box.shape[::-1], 1), 99, np.uint8) for s in scales]
    for task in tasks:
        owned = [plan.owned_box(k, task.index) for k in range(plan.owned)]
        first, last = task.slices[0].z, task.slices[-1].z + 1
        cascade = Cascade(scales, owned, voxels.dtype, 1, downsamplers(plan))
        for band in cascade.push(voxels[first - z0 : last - z0]):
            made[band.scale][band.box.slices(scales[band.scale].box.start)] = band.voxels
    due, absent = voxels, {z0 + z for z in gone}
    for k, scale in enumerate(scales):
        if k:
            step = Vec(*(b // a for a, b in zip(scales[k - 1].factor, scale.factor, strict=True)))
            due, absent = brute_pool(due, absent, scales[k - 1].box.start, step)
        np.testing.assert_array_equal(made[k], due, err_msg=f"scale {k}")


@given(gaps, st.integers(-9, 9), st.booleans())
def test_objects_that_are_due(gone, z0, sharding):
    """Every chunk but those of missing slices only; a shard with none of its chunks isn't due."""
    plan, _ = plan_for(gone, "hole", z0=z0, sharding=sharding)
    absent = {z0 + z for z in gone}
    for scale in plan.scales:
        f, due = scale.factor.z, set()
        for box in scale.box.cells(scale.chunk):
            below = set(range(box.start.z * f, box.stop.z * f)) & set(range(z0, z0 + 40))
            if below <= absent:
                continue
            bits = scale.sharding
            number = chunk_id(scale.cell(box), scale.grid)
            due.add(shard_key(scale, number >> bits.low) if bits else chunk_key(scale, box))
        names = object_names(scale, planned_holes(plan, scale))
        found = [f"{scale.key}/{n}" for layer in names.layers for n in names.in_layer(layer)]
        assert len(found) == len(names.layers) * len(names.xs) * len(names.ys)
        assert set(found) == due


def test_slices_say_what_is_read_instead():
    gone = {0, 5, 6, 39}
    _, tasks = plan_for(gone, "interpolate")
    slices = [s for t in tasks for s in t.slices]
    read = [[r.z for r in s.reads] for s in slices]
    assert read[:8] == [[1], [1], [2], [3], [4], [4, 7], [4, 7], [7]]
    assert read[39] == [38]
    document = slices_to_json(stack_slices(tasks))
    assert slices_from_json(document) == stack_slices(tasks)
    usual = [0, 0, 0, 0, []]
    below, above = (["s4", 10, "e", "png", *usual], ["s7", 10, "e", "png", *usual])
    assert json.loads(document)[5] == [5, None, 0, "", "", *usual[:4], [[4, *below], [7, *above]]]
    assert [s.key for s in read_slices(slices[4:7])] == ["s4", "s4", "s7", "s4", "s7"]


def test_how_missing_slices_are_filled_is_part_of_the_volume_only_if_there_are_any():
    def name(policy, gone, fill=0):
        missing = MissingSlices(policy, fill)
        steps = (Substitutes(fill),)
        return volume_id(a_stack((30, 20, 4), gone=gone, missing=missing, steps=steps))

    assert name("fill", {}) == name("nearest", {}) == name("hole", {}) == name("fill", {}, 7)
    others = {name(policy, {2}) for policy in ("fill", "nearest", "hole")}
    assert len(others | {name("fill", {2}, 7)}) == 4
