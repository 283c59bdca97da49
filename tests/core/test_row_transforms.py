"""Steps from a slice's rows to the volume's, folded over: formats, bytes held, and how it opens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.core.test_region import Rows
from tests.references import framed
from zblocks.geometry import Box, Vec
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import SCRATCH_BYTES, Cast, Contrast
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import (
    RowFormat,
    RowMemory,
    RowTransform,
    memory,
    opener,
    result,
)
from zblocks.slices.transforms.substitutes import Substitutes
from zblocks.slices.window import PIECE, Window, WindowReader

ROWS = RowFormat(width=7001, height=4003, channels=3, dtype="uint16")
CONTRAST = Contrast(100.0, 4000.0, "uint8", "uint16")
CANVAS = Canvas(9001, 5003, "center", 5)
REGION = Region(9001, 5003, Box(Vec(11, 13, 0), Vec(2011, 3013, 1)), turn=90)
FILL = Substitutes(77)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), ROWS),
        ((CONTRAST,), replace(ROWS, dtype="uint8")),
        ((Cast("uint32"),), replace(ROWS, dtype="uint32")),
        ((CANVAS,), replace(ROWS, width=9001, height=5003)),
        # 2000×3000 pixels, on their side
        ((CANVAS, REGION), replace(ROWS, width=3000, height=2000)),
        ((CONTRAST, CANVAS, REGION, FILL), RowFormat(3000, 2000, 3, "uint8")),
        # each step says what it makes, whatever comes before it
        ((REGION, CANVAS), replace(ROWS, width=9001, height=5003)),
    ],
)
def test_what_rows_are_like_after_all_steps(steps, expected):
    assert result(steps, ROWS) == expected


@pytest.mark.parametrize(
    ("steps", "kept", "passing"),
    [
        ((), 0, 0),
        ((FILL,), 0, 0),
        ((Cast("uint32"),), 0, 0),
        # rows of the slice's own type wait to be converted
        ((CONTRAST,), 0, SCRATCH_BYTES + PIECE * 7001 * 3 * 2),
        # of the same type they are converted where they are
        ((Contrast(1.0, 9.0, "uint16", "uint16"),), 0, SCRATCH_BYTES),
        # a canvas keeps rows of the slice, a region takes rows of the canvas
        ((CANVAS,), PIECE * 7001 * 3 * 2, 0),
        ((REGION,), 0, PIECE * 7001 * 3 * 2),
        ((CANVAS, REGION), PIECE * 7001 * 3 * 2, PIECE * 9001 * 3 * 2),
        # each step's rows are those that the step before it makes: narrower after contrast
        ((CONTRAST, CANVAS), PIECE * 7001 * 3, SCRATCH_BYTES + PIECE * 7001 * 3 * 2),
        ((CANVAS, CONTRAST), PIECE * 7001 * 3 * 2, SCRATCH_BYTES + PIECE * 9001 * 3 * 2),
        (
            (CONTRAST, CANVAS, REGION, FILL),
            PIECE * 7001 * 3,
            SCRATCH_BYTES + PIECE * 7001 * 3 * 2 + PIECE * 9001 * 3,
        ),
    ],
)
def test_what_all_steps_hold_together(steps, kept, passing):
    assert memory(steps, ROWS) == RowMemory(kept, passing)


class Halved(RowTransform, frozen=True, tag=True):
    """A step that nobody has heard of: every second pixel."""

    def result(self, rows):
        return replace(rows, width=rows.width // 2)

    def memory(self, rows):
        return RowMemory(kept=2 * rows.width, passing=3 * rows.height)


def test_a_new_step_is_one_more_entry():
    """Nothing asks which kinds of steps there are."""
    steps = (Halved(), CANVAS, Halved())
    assert result(steps, ROWS).width == 4500
    kept = 2 * 7001 + PIECE * 3500 * 3 * 2 + 2 * 9001
    assert memory(steps, ROWS) == RowMemory(kept, 3 * 4003 + 3 * 5003)


PLAIN = SliceRef(3, "s3", 1, "e", "png")
ODD = SliceRef(3, "s3", 1, "e", "png", 50, 60)
"""Of another size than the stack's."""


@pytest.mark.parametrize(
    ("steps", "ref", "asked", "told"),
    [
        ((), PLAIN, True, True),
        ((), PLAIN, False, False),
        ((FILL,), PLAIN, True, True),
        ((Cast("uint16"),), PLAIN, True, False),
        ((CONTRAST,), PLAIN, True, False),
        ((Contrast(1.0, 9.0, "uint8", "uint8"),), PLAIN, True, True),
        ((CANVAS,), PLAIN, True, True),
        ((CANVAS,), ODD, True, False),
        ((REGION,), PLAIN, True, False),
        ((Contrast(1.0, 9.0, "uint8", "uint8"), CANVAS, FILL), PLAIN, True, True),
        ((Contrast(1.0, 9.0, "uint8", "uint8"), CANVAS, FILL), ODD, True, False),
    ],
)
def test_slices_are_decoded_in_place_only_where_every_step_allows_it(steps, ref, asked, told):
    found = []

    def open_file(_ref, _window, in_place):
        found.append(in_place)
        return Rows(np.zeros((60, 50, 1), np.uint8))

    opener(steps, open_file)(ref, Window(0, 0, 9001, 5003), asked)
    assert found == [told]


def by_numpy(plane, low, high, canvas, crop, turn):
    """Stretch, place and cut one plane (y, x, c) at once."""
    top = np.rint((plane.astype(float) - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)
    out = np.full((canvas.height, canvas.width, plane.shape[2]), canvas.fill, np.uint8)
    y, x = (canvas.height - plane.shape[0]) // 2, (canvas.width - plane.shape[1]) // 2
    out[y : y + plane.shape[0], x : x + plane.shape[1]] = top
    return framed(out[None], {"x": [crop[0], crop[2]], "y": [crop[1], crop[3]]}, turn=turn)[0]


def test_rows_pass_through_the_steps_in_order():
    """Contrast, canvas, region and a missing slice between two, against numpy's words for them."""
    rng = np.random.default_rng(5)
    planes = {z: rng.integers(0, 5000, (83, 47, 1)).astype(np.uint16) for z in (2, 4)}
    canvas, crop = Canvas(101, 131, "center", 5), (7, 11, 97, 109)
    region = Region(101, 131, Box(Vec(7, 11, 0), Vec(97, 109, 1)), turn=90)
    steps = (CONTRAST, canvas, region, FILL)
    refs = {z: SliceRef(z, f"s{z}", 1, "e", "tiff", 47, 83) for z in (2, 4)}
    window = Window(3, 5, 77, 90)

    def open_file(ref, seen, _in_place):
        return WindowReader(Rows(planes[ref.z]), 47, seen)

    open_one = opener(steps, open_file)

    def read(ref):
        out = np.zeros((window.height, window.width, 1), np.uint8)
        open_one(ref, window, True).read_rows(out)
        return out

    expected = {z: by_numpy(planes[z], 100, 4000, canvas, crop, 90)[5:90, 3:77] for z in (2, 4)}
    np.testing.assert_array_equal(read(refs[2]), expected[2])
    np.testing.assert_array_equal(read(SliceRef(3, None, substitutes=(refs[4],))), expected[4])
    both = SliceRef(3, None, substitutes=(refs[2], refs[4]))
    between = np.rint((expected[2].astype(float) + expected[4]) / 2)
    np.testing.assert_array_equal(read(both), between)
    assert (read(SliceRef(3, None)) == 77).all()
