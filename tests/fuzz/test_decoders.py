"""Damaged slices become voxels of the promised shape or one of our errors, whatever the damage.

A flip in the entropy-coded data of a JPEG, or in the voxels of a TIFF without compression, may go
unnoticed: these formats have no checksum. That PNG and deflated TIFF notice is tested, too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from functools import partial

import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import TRIED, budget
from tests.fuzz.mutations import changes, damaged
from tests.hostile import flipped, jpeg, plane, png, tiff

PEAK_MB, SECONDS = 500, 20.0

SEEDS = {
    "jpeg": [
        jpeg(90, 70),
        simplejpeg.encode_jpeg(plane(60, 90).reshape(60, 30, 3).copy(), colorspace="RGB"),
    ],
    "png": [png(90, 70), png(33, 20, zlib.compress(bytes(34 * 20)), interlaced=True)],
    "tiff": [
        tiff(rowsperstrip=16),
        tiff(tile=(64, 64), compression="zlib"),
        tiff(rowsperstrip=200, compression="zlib", predictor=True),
        tiff(bigtiff=True, byteorder=">", rowsperstrip=50),
    ],
}


class Decoder:
    """The process that decodes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, data: bytes, rows: int = 0) -> str:
        """Return how decoding ended."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.decoding"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        process = self._process
        watch = threading.Timer(SECONDS, process.kill)
        watch.start()
        process.stdin.write(b"%d %d\n" % (rows, len(data)) + data)
        process.stdin.flush()
        said = process.stdout.readline().decode().strip()
        watch.cancel()
        return said or f"died: {process.wait()}"

    def close(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()


@pytest.fixture(scope="module")
def decoder():
    one = Decoder()
    yield one
    one.close()


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_slices(kind, decoder):
    @budget(600)
    @given(st.sampled_from(SEEDS[kind]), changes, st.sampled_from([0, 7]))
    def check(seed, how, rows):
        said = decoder.ask(damaged(seed, how), rows)
        TRIED[f"{kind} {said if said in ('voxels', 'refused', 'large') else 'odd'}"] += 1
        assert said in ("voxels", "refused", "large")

    check()
    assert int(decoder.ask(b"")) < PEAK_MB


@pytest.mark.parametrize(
    "seed", [png(), tiff(tile=(64, 64), compression="zlib"), tiff(compression="zlib")]
)
def test_checksums_tell_every_flip_in_the_voxels(seed, decoder):
    @budget(80)
    @given(st.floats(0.25, 0.75), st.integers(0, 7), st.sampled_from([0, 7]))
    def check(at, bit, rows):
        TRIED["flips under a checksum"] += 1
        assert decoder.ask(partial(flipped, seed)(at, bit), rows) == "refused"

    check()


@pytest.mark.parametrize("kind", SEEDS)
def test_every_truncation_is_told(kind, decoder):
    @budget(80)
    @given(st.sampled_from(SEEDS[kind]), st.floats(0, 0.93), st.sampled_from([0, 7]))
    def check(seed, at, rows):
        TRIED["truncations"] += 1
        assert decoder.ask(seed[: int(at * len(seed))] or b"\0", rows) == "refused"

    check()
