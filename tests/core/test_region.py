"""Cropped, turned and flipped rows and stretched values, against numpy's own words for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.references import framed
from zblocks.geometry import Box, Vec
from zblocks.planning.percentiles import evenly
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.canvas import Canvas, Placement, visible
from zblocks.slices.transforms.contrast import Contrast, ContrastReader, stretch
from zblocks.slices.transforms.region import Region, as_it_lies
from zblocks.slices.window import Window, WindowReader


class Rows:
    """A slice in memory, read from the top down."""

    def __init__(self, plane):
        self.plane, self.taken = plane, 0

    def read_rows(self, out):
        out[...] = self.plane[self.taken : self.taken + len(out)]
        self.taken += len(out)


def parts(draw, width, height):
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Window(x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height)))


@given(st.data())
def test_any_window_of_any_region(data):
    """Whole if it is turned or upside down, else in strips; of the slice, only what it shows."""
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 150))
    plane = np.arange(width * height * 2, dtype=np.uint16).reshape(height, width, 2)
    x0, y0, x1, y1 = parts(data.draw, width, height)
    turn = data.draw(st.sampled_from([0, 90, 180, 270]))
    flip = data.draw(st.sampled_from(["", "x", "y", "xy"]))
    region = Region(width, height, Box(Vec(x0, y0, 0), Vec(x1, y1, 1)), turn=turn, flip=flip)
    due = framed(plane[None], {"x": [x0, x1], "y": [y0, y1]}, turn=turn, flip=flip)[0]
    np.testing.assert_array_equal(as_it_lies(due, turn, flip), plane[y0:y1, x0:x1])
    window = parts(data.draw, *region.size)
    opened = []

    def open_file(_ref, lying, _in_place):
        opened.append((rows := Rows(plane), lying))
        return WindowReader(rows, width, lying)

    reader = region.wrap(open_file)(SliceRef(0, "s"), window, False)
    due = due[window.y0 : window.y1, window.x0 : window.x1]
    out = np.zeros_like(due)
    strip = len(out) if region.needs_whole_slice else data.draw(st.integers(1, 80))
    for y in range(0, len(out), strip):
        reader.read_rows(out[y : y + strip])
    np.testing.assert_array_equal(out, due)
    ((rows, lying),) = opened
    assert rows.taken == lying.y1  # rows below are never asked for
    assert lying.width * lying.height == window.width * window.height


@given(st.data())
def test_any_window_of_a_slice_on_a_canvas(data):
    """What the slice doesn't cover is filled, however the window cuts the slice."""
    width, height = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 90))
    plane = np.arange(1, width * height + 1, dtype=np.uint16).reshape(height, width, 1)
    canvas = Canvas(data.draw(st.integers(1, 12)), data.draw(st.integers(1, 99)), "center", 7)
    at, full = canvas.place(width, height), np.full((canvas.height, canvas.width, 1), 7, np.uint16)
    for y in range(max(at.y, 0), min(at.y + height, canvas.height)):
        for x in range(max(at.x, 0), min(at.x + width, canvas.width)):
            full[y, x] = plane[y - at.y, x - at.x]
    window = parts(data.draw, canvas.width, canvas.height)
    opener = canvas.wrap(lambda _ref, seen, _: WindowReader(Rows(plane), width, seen))
    reader = opener(SliceRef(0, "s", width=width, height=height), window, False)
    due = full[window.y0 : window.y1, window.x0 : window.x1]
    out, strip = np.zeros_like(due), data.draw(st.integers(1, 80))
    for y in range(0, len(out), strip):
        reader.read_rows(out[y : y + strip])
    np.testing.assert_array_equal(out, due)


def test_clockwise_is_what_it_says():
    """The left column, read upwards, becomes the top row."""
    plane = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)[..., None]
    assert framed(plane[None], turn=90)[0, ..., 0].tolist() == [[5, 3, 1], [6, 4, 2]]


@pytest.mark.parametrize(
    ("crop", "at", "due"),
    [
        ((0, 0, 9, 9), Placement(9, 9, 0, 0), (0, 0, 9, 9)),
        ((2, 3, 7, 8), Placement(4, 4, 3, 1), (0, 2, 4, 4)),  # padded at the left, cut at the top
        ((2, 3, 7, 8), Placement(20, 20, -5, -6), (7, 9, 12, 14)),  # larger than the canvas
        ((0, 0, 3, 3), Placement(4, 4, 5, 5), (0, 0, 0, 0)),  # not in the region at all
    ],
)
def test_what_a_region_shows_of_a_slice(crop, at, due):
    seen = visible(Window(*crop), at)
    assert seen == due or (not seen.width and not any(due))


def by_hand(value, low, high, top):
    """Stretch one value in whole numbers, ties to even."""
    part, whole = divmod((value - low) * top, high - low)
    up = 2 * whole > high - low or (2 * whole == high - low and part % 2)
    return min(max(part + up, 0), top)


@pytest.mark.parametrize("into", ["uint8", "uint16"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@given(st.data())
def test_stretched_values(dtype, into, data):
    most = np.iinfo(dtype).max
    low = data.draw(st.integers(0, most - 1))
    high = data.draw(st.integers(low + 1, most))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    near = np.concatenate([rng.integers(0, most, 30), rng.integers(low, high, 30, endpoint=True)])
    plane = np.array([*near, low, high, 0, most], dtype).reshape(-1, 4, 1)
    out = np.zeros(plane.shape, into)
    ContrastReader(Rows(plane), Contrast(low, high, into, dtype)).read_rows(out)
    top = np.iinfo(into).max
    due = [by_hand(int(v), low, high, top) for v in plane.ravel()]
    assert out.ravel().tolist() == due


def test_stretched_floats():
    """What is no number is lowest."""
    values = np.array([np.nan, -np.inf, np.inf, -1, 0, 0.5, 1, 2, 3e38], np.float32)
    assert stretch(values, 0, 1, "uint8").tolist() == [0, 0, 255, 0, 0, 128, 255, 255, 255]
    assert stretch(values, -1e-40, 1e-40, "uint16").tolist()[3:7] == [0, 32768, 65535, 65535]


@given(st.integers(1, 500), st.integers(2, 40))
def test_evenly_spaced(count, wanted):
    chosen = evenly(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    steps = np.diff(chosen)
    assert steps.size == 0 or steps.max() - steps.min() <= 1
