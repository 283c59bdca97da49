"""The terms of the prediction, fed with primes so that no two can be swapped."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from zblocks.memory import (
    DECODERS,
    INTERPRETER_MB,
    MIB,
    OPENJPEG,
    QUEUE_BYTES,
    SLACK,
    STREAM_BYTES,
    STREAM_ROWS,
    Footprint,
    predict_peak,
)

BASE = Footprint(
    width=7001,
    pixel_bytes=3,
    depth=11,
    rows=4003,
    height=4003,
    kind="jpeg",
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


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_whole_slices_of_libvips(kind):
    slab = ROW * 11 * 4003
    decoders = DECODERS * (STREAM_ROWS[kind] * ROW + STREAM_BYTES)
    assert predict_peak(replace(BASE, kind=kind)) == mb(
        slab + decoders + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_strips(kind):
    slab = ROW * 11 * 5
    decoders = 11 * (STREAM_ROWS[kind] * ROW + STREAM_BYTES)
    assert predict_peak(replace(BASE, kind=kind, rows=5)) == mb(
        slab + decoders + 17_000_023 + 23_000_009 + 2 * slab
    )


@pytest.mark.parametrize(("rows", "opened"), [(4003, DECODERS), (5, 11)])
def test_slices_that_are_changed_on_their_way(rows, opened):
    """Streams are as wide as the slice; what is kept is of every open one, the rest of a few."""
    size = replace(
        BASE,
        rows=rows,
        streamed=True,
        slice_width=9001,
        slice_height=1709,
        slice_pixel=2,
        kept=1_000_003,
        passing=3_000_017,
    )
    slab = ROW * 11 * rows
    stream = 1709 * 9001 * 2 + STREAM_BYTES
    assert predict_peak(size) == mb(
        slab
        + opened * (stream + 1_000_003)
        + DECODERS * 3_000_017
        + 17_000_023
        + 23_000_009
        + 2 * min(QUEUE_BYTES, slab)
    )


def test_a_whole_jp2_takes_its_own_pixels():
    size = replace(BASE, kind="jp2", channels=3, slice_width=9001, slice_height=1709)
    decoded = OPENJPEG * 9001 * 1709 * 3 + 5_000_011
    assert predict_peak(size) == mb(
        ROW * 11 * 4003 + DECODERS * decoded + 17_000_023 + 23_000_009 + 2 * QUEUE_BYTES
    )
