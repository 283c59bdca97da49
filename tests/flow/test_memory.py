"""Does a worker stay within the memory that its plan predicts? From block to block, too."""

from __future__ import annotations

import pytest

from benchmarks.memory import convert, smallest, write_stack
from tests.formats.registry import INPUTS


@pytest.mark.parametrize(("sharding", "memory_mb"), [(False, 700), (True, 1100)])
def test_the_peak_is_below_the_prediction_and_near_it(tmp_path, sharding, memory_mb):
    """Slices of 8000×6000 that don't fit whole: decoded in strips, two blocks by one process."""
    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in", INPUTS["JPEG grey"], (8000, 6000), 32)
    found = convert(tmp_path, memory_mb, sharding=sharding, scales=4)
    assert found.rows < 6000
    assert found.peak <= found.predicted <= 0.88 * memory_mb
    if not sharding:  # shards are planned for as if they didn't compress
        assert found.peak >= 0.6 * found.predicted


@pytest.mark.parametrize(
    ("kind", "packed"),
    [("JPEG grey", "br"), ("TIFF RGB uint8", "gzip"), ("TIFF zstd strips", "none")],
)
def test_the_smallest_worker_is_large_enough(tmp_path, kind, packed):
    """Few rows are decoded at a time, and no more chunks wait, however slow their encoder is."""
    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in", INPUTS[kind], (6000, 1000), 8)
    fields = {"chunk_size": [64, 64, 8], "scales": 2, "compression": packed}
    found = convert(tmp_path, smallest(tmp_path, **fields), **fields)
    assert found.rows == 64
    assert found.peak <= found.predicted
