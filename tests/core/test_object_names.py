"""The names of a scale's objects are known without a list: against lists, by hypothesis."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plans import a_stack
from zblocks.geometry import Vec, is_covered
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.object_names import object_names
from zblocks.precomputed.scale import object_key

sides = st.integers(1, 300)


@st.composite
def scales(draw):
    """Draw a scale of a plan, sharded or not, at any offset, and some of its layers as holes."""
    size = (draw(sides), draw(sides), draw(st.integers(1, 150)))
    offset = tuple(draw(st.integers(-1000, 1000)) for _ in range(3))
    options = {"sharding": draw(st.booleans()), "chunk": Vec(32, 32, 16)}
    plan, _ = make_plan(a_stack(size, offset=offset, options=options), WorkerSpec(4000))
    scale = draw(st.sampled_from(plan.scales))
    first = draw(st.integers(0, scale.grid.z))
    last = draw(st.integers(first, scale.grid.z))
    holes = ((scale.layer(first)[0], scale.layer(last - 1)[1]),) if first < last else ()
    return scale, holes


def listed(scale, holes):
    """Return the names of all objects, by brute force; a shard in which any chunk is due is due."""
    cells = [c for c in scale.cells() if not is_covered(holes, *scale.layer(c.z))]
    return {object_key(scale, cell).partition("/")[2] for cell in cells}


@given(scales(), st.sampled_from(["", ".gz"]))
def test_every_object_is_in_one_layer(drawn, suffix):
    scale, holes = drawn
    suffix = "" if scale.sharding else suffix
    names = object_names(scale, holes, suffix)
    found = {name: layer for layer in names.layers for name in names.in_layer(layer)}
    assert found.keys() == {name + suffix for name in listed(scale, holes)}
    assert len(found) == names.count
    assert {name: names.locate(name)[0] for name in found} == found
    for name in {name + suffix for name in listed(scale, ())} - found.keys():
        assert names.locate(name) is None, "a hole"


@given(scales(), scales())
def test_names_of_another_grid_are_not_its_own(ours, theirs):
    names, mine = object_names(ours[0], ours[1]), listed(*ours)
    for name in listed(*theirs):
        assert (names.locate(name) is not None) == (name in mine)


@pytest.mark.parametrize(
    "name",
    ["", "_", "__", "0-32", "0-32_0-32", "0-32_0-32_0-16_", "0-32_0-32_0-16.br", "00.shard",
     "0-32_0-32_00-16", "+0-32_0-32_0-16", "0-32_0-32_0-16/x", "x/0-32_0-32_0-16", "info"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_other_names_belong_to_no_layer_of_chunks(name, suffix):
    options = {"sharding": False, "chunk": Vec(32, 32, 16)}
    plan, _ = make_plan(a_stack((64, 64, 32), options=options), WorkerSpec(4000))
    names = object_names(plan.scales[0], (), suffix)
    assert names.locate(f"0-32_0-32_0-16{suffix}") == (0, 0, 0)
    assert names.locate(name) is None


@pytest.mark.parametrize(
    "name", ["", ".shard", "00.shard", "0", "0.shards", "0.SHARD", "A.shard", "g.shard", "-1.shard",
             "1_0.shard", " 1.shard", "ffffffff.shard", "0-32_0-32_0-16"],
)  # fmt: skip
def test_other_names_belong_to_no_layer_of_shards(name):
    options = {"sharding": True, "chunk": Vec(32, 32, 16)}
    plan, _ = make_plan(a_stack((600, 600, 32), options=options), WorkerSpec(4000))
    names = object_names(plan.scales[0], ())
    assert names.locate("0.shard") == (0, 0, 0)
    assert names.locate(name) is None


@given(scales(), st.integers(1, 50))
def test_runs_have_about_one_size(drawn, count):
    scale, holes = drawn
    names, splits = object_names(scale, holes), object_names(scale, holes).splits(count)
    assert splits == sorted(set(splits))
    assert len(splits) < count
    runs = [0] * (len(splits) + 1)
    for name in listed(scale, ()):
        runs[bisect_left(splits, name)] += 1
    if scale.sharding is None:
        columns = scale.grid.x * scale.grid.y
        assert max(runs) <= -(-columns // min(count, columns)) * scale.grid.z
        assert names.per_layer == columns
