"""The terms of the prediction, fed with primes so that no two can be swapped."""

from __future__ import annotations

from zblocks.memory import INTERPRETER_MB, MIB, QUEUE_BYTES, STREAM_BYTES, Footprint, predict_peak


def mb(n):
    return -(-n // MIB)


def test_whole_slices():
    size = Footprint(
        width=7001, pixel_bytes=3, depth=11, rows=503, height=503, coarse_bytes=17, shard_bytes=23
    )
    slab = 7001 * 3 * 11 * 503
    assert slab > QUEUE_BYTES
    decoders = 4 * 503 * 7001 * 3
    assert predict_peak(size) == INTERPRETER_MB + mb(slab + decoders + 17 + 23 + 2 * QUEUE_BYTES)


def test_strips():
    size = Footprint(
        width=7001, pixel_bytes=2, depth=13, rows=5, height=503, coarse_bytes=19, shard_bytes=0
    )
    slab = 7001 * 2 * 13 * 5
    decoders = 13 * (640 * 7001 * 2 + STREAM_BYTES)
    assert predict_peak(size) == INTERPRETER_MB + mb(slab + decoders + 19 + 2 * slab)
