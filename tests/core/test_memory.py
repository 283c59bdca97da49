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
