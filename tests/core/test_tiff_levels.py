"""How many pixels one of a smaller copy stands for, from the sizes alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zblocks.geometry import ceil_div
from zblocks.slices.tiff.levels import nominal_factor


@pytest.mark.parametrize(
    ("whole", "part", "factor"),
    [
        ((46000, 32914), (11500, 8228), 4),  # a scan of Aperio, rounded down
        ((46000, 32914), (2875, 2057), 16),
        ((1001, 999), (501, 500), 2),  # rounded up
        ((1001, 999), (501, 499), 2),  # one up, one down
        ((1000, 900), (333, 300), 3),
        ((45056, 35840), (11264, 9216), 0),  # padded to whole tiles
        ((1000, 900), (500, 300), 0),  # not the same along x and y
        ((46000, 32914), (387, 463), 0),  # a label
        ((1000, 1000), (8, 8), 128),  # 112 to 142 are possible
        ((1000, 1000), (1, 1), 0),  # 512, 1024, or more
        ((1000, 900), (1000, 900), 0),  # no smaller copy
        ((10, 10), (7, 7), 0),
    ],
)
def test_the_factor_of_a_copy(whole, part, factor):
    assert nominal_factor(whole, part) == factor


@given(
    st.tuples(st.integers(64, 10**6), st.integers(64, 10**6)),
    st.integers(1, 6),
    st.sampled_from([int.__floordiv__, ceil_div, lambda n, f: round(n / f)]),
)
def test_halving_again_and_again_however_it_is_rounded(whole, level, rounded):
    part = whole
    for _ in range(level):
        part = tuple(rounded(n, 2) for n in part)
    assert nominal_factor(whole, part) in (1 << level, 0)
    if min(whole) > 4 << 2 * level:  # else copies are too small to tell
        assert nominal_factor(whole, part) == 1 << level
