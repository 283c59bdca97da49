"""The names of a scale's objects are known without a list: against lists, by hypothesis."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plans import a_stack
from zblocks.geometry import ONE, Vec, is_covered
from zblocks.omezarr.array import ZarrArray
from zblocks.omezarr.object_names import ZarrNames
from zblocks.outputs.scales import PRECOMPUTED_ONLY, Formats
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.object_names import object_names

ZARR = Formats(precomputed=False, zarr=True)
sides = st.integers(1, 300)


@st.composite
def scales(draw):
    """Draw a scale of a plan, sharded or not, at any offset, and some of its layers as holes."""
    size = (draw(sides), draw(sides), draw(st.integers(1, 150)))
    offset = tuple(draw(st.integers(-1000, 1000)) for _ in range(3))
    options = {"sharding": draw(st.booleans()), "chunk": Vec(32, 32, 16)}
    formats = draw(st.sampled_from([PRECOMPUTED_ONLY, ZARR, replace(ZARR, zarr_sharded=True)]))
    stack = a_stack(size, offset=offset, options=options, formats=formats)
    plan, _ = make_plan(stack, WorkerSpec(4000))
    number = draw(st.integers(0, len(plan.scales) - 1))
    (stored,), scale = plan.stored(number), plan.scales[number]
    first = draw(st.integers(0, scale.grid.z))
    last = draw(st.integers(first, scale.grid.z))
    holes = ((scale.layer(first)[0], scale.layer(last - 1)[1]),) if first < last else ()
    return stored, holes


def listed(stored, holes):
    """Return the names of all objects, by brute force; a shard in which any chunk is due is due."""
    scale, start = stored.scale, len(stored.folder) + 1
    cells = [c for c in scale.cells() if not is_covered(holes, *scale.layer(c.z))]
    return {stored.key(cell)[start:] for cell in cells}


class Folder:
    """A store that adds `.gz` to the names of gzipped objects."""

    def stored_name(self, key, encoding):
        return f"{key}.gz" if encoding else key


class Bucket:
    """A store that does not."""

    def stored_name(self, key, _encoding):
        return key


@given(scales(), st.sampled_from([Folder(), Bucket()]))
def test_every_object_is_in_one_layer(drawn, store):
    stored, holes = drawn
    suffix = store.stored_name("", stored.headers[1])
    names = stored.names(holes, store)
    found = {name: layer for layer in names.layers for name in names.in_layer(layer)}
    assert found.keys() == {name + suffix for name in listed(stored, holes)}
    assert len(found) == len(names.layers) * len(names.xs) * len(names.ys)
    assert {name: names.locate(name)[0] for name in found} == found
    for name in {name + suffix for name in listed(stored, ())} - found.keys():
        assert names.locate(name) is None, "a hole"


@given(scales())
def test_an_object_is_located_at_its_first_voxel(drawn):
    stored, _ = drawn
    names, scale, start = stored.names((), Bucket()), stored.scale, len(stored.folder) + 1
    for cell in scale.cells():
        layer, x, y = names.locate(stored.key(cell)[start:])
        first = cell.over(stored.group).times(stored.group)
        assert (x, y) == scale.chunk_box(first).start[:2]
        assert names.layers[layer][0] == scale.chunk_box(first).start.z


@given(scales(), scales())
def test_names_of_another_grid_are_not_its_own(ours, theirs):
    names, mine = ours[0].names(ours[1], Bucket()), listed(*ours)
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


@pytest.mark.parametrize(
    "name", ["", "0", "0/0", "0/0/0/0", "00/0/0", "0/0/+0", "0/0/ 0", "-1/0/0", "1/0/0", "0/1/0",
             "0/0/1", "0/0/0.gz", "zarr.json", "0/0/\u0660", f"0/0/{10**120}"],
)  # fmt: skip
def test_other_names_belong_to_no_layer_of_an_array(name):
    array = ZarrArray("0", Vec(32, 32, 16), 1, Vec(32, 32, 16), "uint8", "")
    names = ZarrNames(array, Vec(-3, 5, 7), ())
    assert names.locate("0/0/0") == (0, -3, 5)
    assert names.locate(name) is None


@given(scales(), st.integers(1, 50))
def test_runs_have_about_one_size(drawn, count):
    stored, holes = drawn
    names = stored.names(holes, Bucket())
    splits, runs = names.splits(count), Counter()
    assert splits == sorted(set(splits))
    assert len(splits) < count
    for name in listed(stored, holes):
        runs[bisect_left(splits, name)] += 1
    if stored.group == ONE and names.layers:
        # Columns along z of chunks of a precomputed volume, rows along x of those of an array.
        z, y, x = len(names.layers), len(names.ys), len(names.xs)
        lines, length = (z * y, x) if isinstance(names, ZarrNames) else (x * y, z)
        assert max(runs.values()) <= -(-lines // min(count, lines)) * length
