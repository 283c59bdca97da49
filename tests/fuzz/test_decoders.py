"""Damaged slices become voxels of the promised shape or one of our errors, whatever the damage.

What can't be told, so that voxels are wrong without a word: a flip in the entropy-coded data of a
JPEG or in the voxels of a TIFF without compression or with LZW, since nothing there is a checksum;
and about a seventh of the flips in deflated TIFF, since libtiff stops before the checksum once it
has a strip's or tile's bytes. PNG tells every flip, and each format every truncation: tested here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path

import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.registry import INPUTS
from tests.fuzz.conftest import TRIED, budget
from tests.fuzz.mutations import changes, damaged
from tests.hostile import flipped, jpeg, plane, png, tiff

PEAK_MB, SECONDS = 500, 20.0

TIFFS = ("TIFF planar zstd", "TIFF palette", "TIFF JPEG YCbCr tiles", "TIFF 1 bit fax", "TIFF CMYK")


def made(name: str) -> bytes:
    """Return a file of the registry."""
    kind = INPUTS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{kind.extension}")
        kind.write(path, kind.planes()[0])
        return path.read_bytes()


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
        tiff(compression="zstd", tile=(64, 64), predictor=True),
        tiff(compression="lzw", rowsperstrip=200),
        *map(made, TIFFS),
    ],
    "jp2": [made("JP2 RGB"), made("JP2 RGB 16 bit"), made("JP2 tiles")],
    "bmp": [made("BMP RGB"), made("BMP palette")],
    "webp": [made("WebP lossless")],
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


def test_a_checksum_tells_every_flip_in_the_voxels(decoder):
    @budget(150)
    @given(st.floats(0.01, 0.99), st.integers(0, 7), st.sampled_from([0, 7]))
    def check(at, bit, rows):
        TRIED["png flips"] += 1
        assert decoder.ask(flipped(png(), at, bit), rows) == "refused"

    check()


@pytest.mark.parametrize("kind", SEEDS)
def test_every_truncation_is_told(kind, decoder):
    @budget(80)
    @given(st.sampled_from(SEEDS[kind]), st.floats(0, 0.93), st.sampled_from([0, 7]))
    def check(seed, at, rows):
        TRIED["truncations"] += 1
        assert decoder.ask(seed[: int(at * len(seed))] or b"\0", rows) == "refused"

    check()
