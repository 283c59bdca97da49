"""Half-open boxes on a global grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from tests.strategies import boxes, sizes
from zblocks.geometry import Box, Vec, ceil_div


@pytest.mark.parametrize(("a", "b", "expected"), [(7, 2, 4), (-7, 2, -3), (8, 4, 2), (0, 5, 0)])
def test_ceil_div(a, b, expected):
    assert ceil_div(a, b) == expected


def test_a_box_that_ends_before_it_starts_prints_itself():
    with pytest.raises(ValueError, match=r"start=Vec\(x=0, y=0, z=1\)"):
        Box(Vec(0, 0, 1), Vec(1, 1, 0))


def test_name_is_the_chunks_object_name():
    assert Box(Vec(-3, 5, 0), Vec(61, 69, 64)).name == "-3-61_5-69_0-64"


@given(boxes(), sizes())
def test_cells_tile_the_box(box, size):
    """Each voxel lies in exactly one cell, and there are as many cells as the grid says."""
    count = np.zeros(box.shape[::-1], int)
    cells = list(box.cells(size))
    for cell in cells:
        count[cell.slices(box.start)] += 1
    assert (count == 1).all()
    grid = box.grid(size)
    assert len(cells) == grid.x * grid.y * grid.z


@given(boxes(), sizes(), boxes())
def test_cells_within_are_those_that_start_there(box, size, area):
    inside = [c for c in box.cells(size) if all(
        a <= s < b for a, s, b in zip(area.start, c.start, area.stop, strict=True)
    )]  # fmt: skip
    assert list(box.cells(size, within=area)) == inside


@given(boxes(), sizes())
def test_coarsening_covers_and_is_tight(box, factor):
    fine = box.coarsen(factor).refine(factor)
    assert fine & box == box
    assert all(a - b < f for a, b, f in zip(box.start, fine.start, factor, strict=True))
    assert all(b - a < f for a, b, f in zip(box.stop, fine.stop, factor, strict=True))


@given(boxes(), boxes())
def test_intersection_is_symmetric_in_what_it_holds(a, b):
    assert (a & b).voxels == (b & a).voxels
    assert (a & a) == a
