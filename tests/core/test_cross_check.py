"""The chunks that the second reader compares, of any number: against a list of all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.plans import a_stack
from zblocks.geometry import Vec
from zblocks.planning.missing import Hole
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.run.cross_check import _samples

PLAN, _ = make_plan(
    a_stack((70, 50, 90), options={"chunk": Vec(32, 32, 8), "sharding": False}), WorkerSpec(4000)
)


@given(st.sampled_from(PLAN.scales), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4))))
def test_the_first_middle_and_last_chunk_outside_the_holes(scale, drawn):
    layers = [(first, min(first + count, scale.grid.z)) for first, count in drawn]
    spans = [(scale.layer(a)[0], scale.layer(b - 1)[1]) for a, b in layers if a < b]
    holes = [Hole(scale.key, scale.box.with_z(*span)) for span in spans]
    others = [Hole("another", scale.box)]
    there = [
        c for c in map(scale.chunk_box, scale.cells()) if not any((c & h.box).voxels for h in holes)
    ]
    count = len(there)
    expected = [there[i] for i in sorted({0, count // 2, count - 1})] if there else []
    assert _samples(scale, [*holes, *others]) == expected
