"""The terms of the prediction, fed with primes so that no two can be swapped."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from zblocks.memory import (
    DECODERS,
    INTERPRETER_MB,
    MIB,
    QUEUE_BYTES,
    SLACK,
    Footprint,
    predict_peak,
)

BASE = Footprint(
    width=7001,
    pixel_bytes=3,
    depth=11,
    rows=4003,
    height=4003,
    held=29_000_017,
    in_place=True,
    file_bytes=5_000_011,
    coarse_bytes=17_000_023,
    shard_bytes=23_000_009,
)
ROW = 7001 * 3


def mb(total):
    return INTERPRETER_MB + math.ceil(total * SLACK / MIB)


def test_whole_jpegs_are_decoded_into_the_slab():
    slab = ROW * 11 * 4003
    assert predict_peak(BASE) == mb(
        slab + DECODERS * 5_000_011 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


@pytest.mark.parametrize("change", [{"in_place": False}, {"placed": True}])
def test_whole_slices_of_other_decoders(change):
    slab = ROW * 11 * 4003
    assert predict_peak(replace(BASE, **change)) == mb(
        slab + DECODERS * 29_000_017 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


def test_no_more_decoders_than_slices():
    slab = ROW * 3 * 4003
    assert predict_peak(replace(BASE, depth=3, in_place=False)) == mb(
        slab + 3 * 29_000_017 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


@pytest.mark.parametrize("in_place", [True, False])
def test_strips(in_place):
    slab = ROW * 11 * 5
    assert predict_peak(replace(BASE, in_place=in_place, rows=5)) == mb(
        slab + 11 * 29_000_017 + 17_000_023 + 23_000_009 + 2 * slab
    )
