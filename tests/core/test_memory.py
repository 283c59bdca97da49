"""The terms of the prediction, fed with primes so that no two can be swapped."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from zblocks.planning.memory import (
    DECODERS,
    INTERPRETER_MB,
    MIB,
    QUEUE_BYTES,
    QUEUE_CHUNKS,
    SLACK,
    Footprint,
    predict_peak,
    queued_chunks,
)

BASE = Footprint(
    width=7001,
    voxel_bytes=3,
    depth=11,
    rows=4003,
    height=4003,
    held=29_000_017,
    in_place=True,
    file_bytes=5_000_011,
    coarse_bytes=17_000_023,
    shard_bytes=23_000_009,
    chunk_bytes=1,
)
ROW = 7001 * 3


def mb(total):
    return INTERPRETER_MB + math.ceil(total * SLACK / MIB)


def test_whole_jpegs_are_decoded_into_the_slab():
    slab = ROW * 11 * 4003
    assert predict_peak(BASE) == mb(
        slab + DECODERS * 5_000_011 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


def test_whole_slices_of_other_decoders():
    slab = ROW * 11 * 4003
    assert predict_peak(replace(BASE, in_place=False)) == mb(
        slab + DECODERS * 29_000_017 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


def test_no_more_decoders_than_slices():
    slab = ROW * 3 * 4003
    assert predict_peak(replace(BASE, depth=3, in_place=False)) == mb(
        slab + 3 * 29_000_017 + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


def test_a_few_chunks_wait_even_if_they_are_large():
    slab, chunk = ROW * 11 * 5, 31_000_019
    assert queued_chunks(slab, chunk) == QUEUE_CHUNKS
    assert queued_chunks(slab, 1009) == slab // 1009
    assert queued_chunks(QUEUE_BYTES + 1009, 1009) == QUEUE_BYTES // 1009
    assert predict_peak(replace(BASE, rows=5, chunk_bytes=chunk)) == mb(
        slab + 11 * 29_000_017 + 17_000_023 + 23_000_009 + 2 * QUEUE_CHUNKS * chunk
    )


@pytest.mark.parametrize("in_place", [True, False])
def test_strips(in_place):
    slab = ROW * 11 * 5
    assert predict_peak(replace(BASE, in_place=in_place, rows=5)) == mb(
        slab + 11 * 29_000_017 + 17_000_023 + 23_000_009 + 2 * slab
    )


@pytest.mark.parametrize(("rows", "opened"), [(4003, DECODERS), (5, 11)])
def test_slices_that_are_changed_on_their_way(rows, opened):
    """What is kept is of every open slice, the rest of a few."""
    size = replace(BASE, rows=rows, in_place=False, kept=1_000_003, passing=3_000_017)
    slab = ROW * 11 * rows
    decoders = opened * (29_000_017 + 1_000_003) + DECODERS * 3_000_017
    assert predict_peak(size) == mb(
        slab + decoders + 17_000_023 + 23_000_009 + 2 * min(QUEUE_BYTES, slab)
    )


@pytest.mark.parametrize(("rows", "opened"), [(4003, DECODERS + 3), (5, 11 + 3)])
def test_interpolated_slices_hold_two_decoders(rows, opened):
    """And the rows of the upper slice, while they are mixed."""
    size = replace(BASE, rows=rows, in_place=False, interpolated=3)
    slab = ROW * 11 * rows
    assert predict_peak(size) == mb(
        slab
        + opened * 29_000_017
        + 3 * rows * ROW
        + 17_000_023
        + 23_000_009
        + 2 * min(QUEUE_BYTES, slab)
    )
